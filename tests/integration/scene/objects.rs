// SPDX-License-Identifier: Apache-2.0

//! Objects to apply, and what tests ask of them.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use kube::ResourceExt;
use sandbox::{Condition, Credential, ManagerAccount};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::Scene;

const API_VERSION: &str = "digitalmessaging.io/v1alpha1";

/// A Secret with the opt-in label.
pub fn labelled_secret(name: &str, values: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "labels": { "digitalmessaging.io/credentials": "true" } },
        "stringData": values,
    })
}

/// The Secret of a credential, named like it.
pub fn manager_secret(name: &str, credential: &Credential) -> Value {
    labelled_secret(
        name,
        &json!({ "managerId": credential.manager_id, "managerKey": credential.manager_key.expose() }),
    )
}

/// A `ManagerCredential` that reads the Secret of its own name.
pub fn manager_credential(name: &str, endpoint: &str, method: AuthenticationMethod) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "ManagerCredential",
        "metadata": { "name": name },
        "spec": {
            "manager": { "digitalMessaging": { "endpoint": endpoint } },
            "authentication": { "method": method, "secretRef": { "name": name } },
            "observeInterval": "10s",
        },
    })
}

/// A `DigitalMessagingInterface`.
pub fn interface(name: &str, credential: &str) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "DigitalMessagingInterface",
        "metadata": { "name": name },
        "spec": {
            "credentialRef": { "name": credential },
            "displayName": "Acme support",
            "templateOperator": "dm-template",
            "baseUrl": "https://acme.example/prweb",
        },
    })
}

/// A `ChannelConnection` with this channel.
pub fn connection(name: &str, interface: &str, channel: &Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "ChannelConnection",
        "metadata": { "name": name },
        "spec": { "interfaceRef": { "name": interface }, "channel": channel },
    })
}

/// The same interface or connection, with this `policy.deletion`.
pub fn with_deletion(mut object: Value, deletion: &str) -> Value {
    object["spec"]["policy"] = json!({ "deletion": deletion });
    object
}

/// A Web Messaging channel.
pub fn web() -> Value {
    json!({ "webMessaging": { "primaryColor": "#0b5cad" } })
}

/// A client channel.
pub fn client_channel() -> Value {
    json!({ "clientChannel": { "webhookUrl": "https://acme.example/webhook" } })
}

/// An SMS channel whose Secret has key `authToken`.
pub fn sms(number: &str, secret: &str) -> Value {
    json!({ "sms": { "phoneNumber": number, "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" }, "secretRef": { "name": secret } } })
}

/// A Facebook Messenger channel whose Secret has keys `pageAccessToken`, `appId` and `appSecret`.
pub fn facebook(page: &str, secret: &str) -> Value {
    json!({ "facebookMessenger": { "pageId": page, "secretRef": { "name": secret } } })
}

/// A WhatsApp channel by the Cloud API, whose Secret has keys `accessToken` and `appSecret`.
pub fn whatsapp(number: &str, secret: &str) -> Value {
    let account = json!({ "phoneNumberId": "100000000000002", "businessAccountId": "100000000000003" });
    json!({ "whatsApp": { "phoneNumber": number, "cloudApi": account, "secretRef": { "name": secret } } })
}

/// An Apple Messages channel whose Secret has key `apiSecret`.
pub fn apple(business: &str, secret: &str) -> Value {
    json!({ "appleMessages": { "businessId": business, "secretRef": { "name": secret } } })
}

/// An X direct message channel whose Secret has keys `consumerKey`, `consumerSecret`, `accessToken` and `accessTokenSecret`.
pub fn twitter(handle: &str, secret: &str) -> Value {
    json!({ "twitterDirectMessage": { "accountHandle": handle, "secretRef": { "name": secret } } })
}

/// An object of ours with conditions.
pub trait Conditioned:
    kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + 'static
{
}
impl Conditioned for ManagerCredential {}
impl Conditioned for DigitalMessagingInterface {}
impl Conditioned for ChannelConnection {}

/// Fails unless the condition has this status and reason.
pub fn expect(object: &impl Serialize, kind: &str, status: &str, reason: &str) -> Result<Condition, String> {
    match Condition::of(object, kind) {
        Some(found) if found.status == status && found.reason == reason => Ok(found),
        Some(found) => Err(found.to_string()),
        None => Err(format!("no condition {kind}")),
    }
}

impl Scene {
    /// Waits until an object's condition has this status and reason for its present spec, and returns the object.
    pub async fn condition<K: Conditioned>(&self, name: &str, kind: &str, status: &str, reason: &str) -> (K, Condition) {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("{} {name}: {kind}={status} {reason}", K::kind(&()));
        self.eventually(&what, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let found = expect(&object, kind, status, reason)?;
            if found.observed_generation == object.meta().generation {
                Ok((object, found))
            } else {
                Err(format!("of an older generation: {found}"))
            }
        })
        .await
    }

    /// Waits until an object's condition has this status and reason, for whatever spec.
    pub async fn condition_of_any_generation<K: Conditioned>(&self, name: &str, kind: &str, status: &str, reason: &str) {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("{} {name}: {kind}={status} {reason}", K::kind(&()));
        self.eventually(&what, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            expect(&object, kind, status, reason)
        })
        .await;
    }

    /// Waits until an object is Ready and Synced for its present spec, and returns it.
    pub async fn ready<K: Conditioned>(&self, name: &str) -> K {
        self.condition::<K>(name, "Ready", "True", "Ready").await;
        self.condition::<K>(name, "Synced", "True", "Synced").await.0
    }

    /// Provisions an account and applies credential and Secret `acme` for it; waits until it is Ready.
    pub async fn ready_credential(&self) -> ManagerAccount {
        let credential = self.provision(AuthenticationMethod::Jwt).await;
        self.apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", self.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
        self.ready::<ManagerCredential>("acme").await;
        self.account(&credential)
    }

    /// Applies Secret and `ManagerCredential` `acme` for these credentials, in this order.
    pub async fn apply_credential(&self, credential: &Credential, method: AuthenticationMethod) {
        self.apply(manager_secret("acme", credential)).await;
        self.apply(manager_credential("acme", self.manager_url(), method)).await;
    }

    /// The same, with interface `support` Ready.
    pub async fn ready_interface(&self) -> ManagerAccount {
        let account = self.ready_credential().await;
        self.apply(interface("support", "acme")).await;
        self.ready::<DigitalMessagingInterface>("support").await;
        account
    }

    /// The outputs of a connection, by key.
    pub async fn outputs(&self, connection: &str) -> std::collections::BTreeMap<String, String> {
        let object = self.connections().get(connection).await.unwrap();
        self.outputs_of_secret(&object.output_secret_name()).await
    }

    /// The outputs in a Secret, by key.
    pub async fn outputs_of_secret(&self, name: &str) -> std::collections::BTreeMap<String, String> {
        let secret = self.secrets().get(name).await.unwrap();
        let data = secret.data.unwrap_or_default();
        let outputs: std::collections::BTreeMap<_, _> = data
            .into_iter()
            .map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
            .collect();
        if let Some(secret) = outputs.get("jwtSecret") {
            self.secret_value(secret);
        }
        outputs
    }

    /// Annotates an object of ours.
    pub async fn annotate<K: Conditioned>(&self, name: &str, annotation: &str, value: &str) {
        self.patch::<K>(name, json!({ "metadata": { "annotations": { annotation: value } } }))
            .await;
    }

    /// Changes an object of ours by a merge patch.
    pub async fn patch<K: Conditioned>(&self, name: &str, patch: Value) {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        api.patch(name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Deletes an object of ours and waits until it is gone.
    pub async fn delete<K: Conditioned>(&self, name: &str) {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
        self.gone::<K>(name).await;
    }

    /// Waits until an object of ours is gone.
    pub async fn gone<K: Conditioned>(&self, name: &str) {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually(&format!("{} {name} is gone", K::kind(&())), async || {
            match api.get_opt(name).await {
                Ok(None) => Ok(()),
                Ok(Some(object)) => Err(format!("{} is there: {:?}", object.name_any(), Condition::all(&object))),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }
}

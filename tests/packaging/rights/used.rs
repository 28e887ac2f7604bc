// SPDX-License-Identifier: Apache-2.0

//! A whole life uses every right that the chart grants, and never asks for one that it does not have: the program, started
//! with the arguments and the roles of the chart, and what the API server noted about it.

use std::{collections::BTreeSet, fs, path::Path};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    desired::pump::Scope,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use messaging_manager::{Manager, config::Config, credentials::NewCredential};
use sandbox::{Condition, ControlPlane, Manifests, Operator, Request, service_account_user, wait_for, wait_for_condition};
use serde_json::{Value, json};

use super::{Grant, grant, looked_for, wait_until_in_effect};
use crate::chart::{DEADLINE, render_in};

const API_VERSION: &str = "digitalmessaging.io/v1alpha1";

/// The definitions without their schema, as if objects had been stored before there was one.
fn definitions_without_schema() -> String {
    let folder = sandbox::program::project().join("crds");
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definitions = ["managercredentials", "digitalmessaginginterfaces", "channelconnections"].map(|name| {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let mut definition: Value = serde_yaml::from_str(&text).unwrap();
        let version = &mut definition["spec"]["versions"][0];
        version["schema"]["openAPIV3Schema"] =
            json!({ "type": "object", "properties": { "spec": anything, "status": anything } });
        version.as_object_mut().unwrap().remove("selectableFields");
        definition.to_string()
    });
    definitions.join("\n---\n")
}

async fn apply(client: &Client, namespace: &str, objects: &[Value]) {
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    let manifests = Manifests::parse(&text.join("\n---\n")).unwrap().in_namespace(namespace);
    manifests.apply(client).await.unwrap();
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn secret(name: &str, values: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": { "digitalmessaging.io/credentials": "true" } }, "stringData": values })
}

struct Life {
    client: Client,
    namespace: String,
}

impl Life {
    async fn connection_says(&self, name: &str, kind: &str, status: &str) {
        let api: Api<ChannelConnection> = Api::namespaced(self.client.clone(), &self.namespace);
        wait_for_condition(&api, name, kind, status, DEADLINE).await.unwrap();
    }

    /// Objects that do not parse are told so, whatever their kind.
    async fn objects_that_do_not_parse(&self) {
        let kinds = ["ManagerCredential", "DigitalMessagingInterface", "ChannelConnection"];
        let broken = kinds.map(|kind| object(kind, "broken", &json!({ "written": "by another version" })));
        apply(&self.client, &self.namespace, &broken).await;
        for object in broken {
            let object: kube::api::DynamicObject = serde_json::from_value(object).unwrap();
            let mut object = object;
            object.metadata.namespace = Some(self.namespace.clone());
            let api = sandbox::manifests::api_for(&self.client, &object).await.unwrap();
            wait_for("it is told to be unreadable", DEADLINE, async || {
                let present = api.get("broken").await.map_err(|error| error.to_string())?;
                match Condition::of(&present, "Stalled") {
                    Some(told) if told.status == "True" => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await
            .unwrap();
        }
    }

    async fn three_resources_that_are_deleted_at_the_manager(&self, manager: &str, id: &str, key: &str) {
        let policy = json!({ "deletion": "Delete" });
        apply(
            &self.client,
            &self.namespace,
            &[
                secret("manager", &json!({ "managerId": id, "managerKey": key })),
                object(
                    "ManagerCredential",
                    "manager",
                    &json!({ "manager": { "digitalMessaging": { "endpoint": manager } }, "authentication": { "method": "JWT", "secretRef": { "name": "manager" } } }),
                ),
                object(
                    "DigitalMessagingInterface",
                    "support",
                    &json!({ "credentialRef": { "name": "manager" }, "displayName": "Support", "templateOperator": "template", "baseUrl": "https://acme.example/prweb", "policy": policy }),
                ),
                secret("twilio", &json!({ "authToken": "example" })),
                object(
                    "ChannelConnection",
                    "sms",
                    &json!({ "interfaceRef": { "name": "support" }, "policy": policy, "channel": { "sms": { "phoneNumber": "+14155550199", "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" }, "secretRef": { "name": "twilio" } } } }),
                ),
            ],
        )
        .await;
        self.connection_says("sms", "Ready", "True").await;
    }

    /// The same event twice: the second is a patch of the first.
    async fn the_same_trouble_twice(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        for (label, says) in [
            (Value::Null, "False"),
            ("true".into(), "True"),
            (Value::Null, "False"),
            ("true".into(), "True"),
        ] {
            let patch = Patch::Merge(json!({ "metadata": { "labels": { "digitalmessaging.io/credentials": label } } }));
            secrets.patch("twilio", &PatchParams::default(), &patch).await.unwrap();
            self.connection_says("sms", "Synced", says).await;
        }
    }

    async fn outputs_that_somebody_changes(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let spoiled = json!({ "data": { "connectionId": "c3BvaWxlZA==" } });
        secrets
            .patch("sms-connection", &PatchParams::default(), &Patch::Merge(spoiled))
            .await
            .unwrap();
        wait_for("the outputs are put back", DEADLINE, async || {
            let data = secrets
                .get("sms-connection")
                .await
                .map_err(|error| error.to_string())?
                .data
                .unwrap();
            if data["connectionId"].0 == b"spoiled" {
                Err("spoiled".to_owned())
            } else {
                Ok(())
            }
        })
        .await
        .unwrap();
    }

    async fn the_end(&self) {
        self.delete::<ChannelConnection>("sms").await;
        self.delete::<DigitalMessagingInterface>("support").await;
        self.delete::<ManagerCredential>("manager").await;
    }

    async fn delete<K>(&self, name: &str)
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        wait_for("it is gone", DEADLINE, async || match api.get_opt(name).await {
            Ok(None) => Ok(()),
            other => Err(format!(
                "{:?}",
                other.map(|present| present.map(|present| present.meta().finalizers.clone()))
            )),
        })
        .await
        .unwrap();
    }
}

/// What was asked for, as a right; reviews and paths that everybody may ask for are none.
fn right(request: &Request, own: &str) -> Option<Grant> {
    if request.resource.is_empty() || request.resource.ends_with("reviews") {
        return None;
    }
    let own = request.namespace == own;
    let named = looked_for().into_iter().any(|grant| {
        grant.own == own
            && grant.resource == request.resource
            && grant.verb == request.verb
            && grant.name.as_deref() == Some(&request.name)
    });
    Some(Grant {
        own,
        group: request.group.clone(),
        resource: match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        },
        name: named.then(|| request.name.clone()),
        verb: request.verb.clone(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_uses_all_rights_and_no_others() {
    // A control plane of its own: the definitions are changed.
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().await.unwrap();
    Manifests::parse(&definitions_without_schema())
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    let own = control_plane.create_namespace("own").await.unwrap();
    let watched = control_plane.create_namespace("watched").await.unwrap();
    let objects = render_in(&own, &json!({ "watchNamespaces": [watched] }));
    let kubeconfig = grant(&control_plane, &own, &objects).await;
    wait_until_in_effect(&kubeconfig, &Scope::Namespaces([watched.clone()].into()), &own).await;

    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().join("manager.sqlite"));
    config.allow_insecure_urls = true;
    let manager = Manager::open(config).await.unwrap().start("127.0.0.1:0").await.unwrap();
    let credentials = manager.manager().credentials();
    let issued = credentials
        .create(NewCredential::new(AuthenticationMethod::Jwt))
        .await
        .unwrap();

    let mark = control_plane.audit_log().mark().unwrap();
    let operator = start(&control_plane, &kubeconfig, &own, &objects.arguments());
    operator.wait_until_ready().await.unwrap();
    let life = Life {
        client,
        namespace: watched,
    };
    life.objects_that_do_not_parse().await;
    let url = manager.url().as_str().trim_end_matches('/').to_owned();
    life.three_resources_that_are_deleted_at_the_manager(&url, &issued.manager_id, issued.manager_key.expose())
        .await;
    life.the_same_trouble_twice().await;
    life.outputs_that_somebody_changes().await;
    life.the_end().await;
    // Its fingerprint key is made anew at the next start.
    let secrets: Api<Secret> = Api::namespaced(life.client.clone(), &own);
    let lost = Patch::Merge(json!({ "data": { "fingerprintKey": null } }));
    let params = PatchParams::default();
    secrets
        .patch("digital-messaging-operator-installation", &params, &lost)
        .await
        .unwrap();
    operator.process().terminate(DEADLINE).await.unwrap();
    operator.process().restart().unwrap();
    operator.wait_until_ready().await.unwrap();
    operator.process().terminate(DEADLINE).await.unwrap();

    let account = objects.one("ServiceAccount")["metadata"]["name"].as_str().unwrap();
    let user = service_account_user(&own, account);
    let all = looked_for();
    // A watch is noted when it ends.
    wait_for("the whole life is in the log", DEADLINE, async || {
        let requests = control_plane
            .audit_log()
            .requests_by(&user, mark)
            .map_err(|error| format!("{error:#}"))?;
        let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
        assert!(refused.is_empty(), "{refused:?}");
        let exercised: BTreeSet<Grant> = requests.iter().filter_map(|request| right(request, &own)).collect();
        let unknown: Vec<_> = exercised.difference(&all).collect();
        assert!(unknown.is_empty(), "used, but not looked for at the start: {unknown:?}");
        let unused: Vec<_> = all.difference(&exercised).collect();
        if unused.is_empty() {
            Ok(())
        } else {
            Err(format!("granted, but not used: {unused:?}"))
        }
    })
    .await
    .unwrap();
}

/// The program with the arguments of the chart; only the address it listens on is the test's.
fn start(control_plane: &ControlPlane, kubeconfig: &Path, own: &str, arguments: &[&str]) -> Operator {
    assert_eq!(arguments[0], "run");
    let arguments = arguments[1..].iter().filter(|argument| !argument.starts_with("--listen="));
    Operator::start_with(control_plane.run(), kubeconfig, arguments, &[("POD_NAMESPACE", own)]).unwrap()
}

// SPDX-License-Identifier: Apache-2.0

//! The life of the three resources when nobody makes a mistake: they become ready in any order, cost no more than they
//! must, survive restarts and re-applies, are adopted, changed and deleted.

mod adoption;
mod at_rest;
mod channels;
mod deletion;
mod examples;
mod order;
mod orphan;
mod outputs;
mod process;
mod restart;
mod switching;
mod write_counts;

use std::collections::BTreeMap;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, FINALIZER, ManagerCredential};
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use sandbox::{AuditMark, Request};
use serde_json::{Value, json};

use crate::scene::{
    Conditioned, Scene, apple, client_channel, connection, expect, facebook, labelled_secret, sms, twitter, web, whatsapp,
};

/// All keys that channels need, in one Secret.
const CHANNEL_KEYS: [&str; 8] = [
    "pageAccessToken",
    "appId",
    "appSecret",
    "authToken",
    "apiSecret",
    "consumerKey",
    "consumerSecret",
    "accessTokenSecret",
];

/// A Secret that serves any channel.
pub fn channel_secret(scene: &Scene, name: &str) -> Value {
    let keys = CHANNEL_KEYS.into_iter().chain(["accessToken"]);
    let values: BTreeMap<_, _> = keys.map(|key| (key, scene.new_secret_value())).collect();
    labelled_secret(name, &json!(values))
}

/// The `number`-th of a mix of connections that covers all channels, with its secrets in Secret `secret`.
pub fn one_of_a_mix(number: usize, interface: &str, secret: &str) -> Value {
    let phone_number = format!("+1415555{number:04}");
    let id = (1000 + number).to_string();
    let channel = match number % 7 {
        0 => web(),
        1 => client_channel(),
        2 => facebook(&id, secret),
        3 => whatsapp(&phone_number, secret),
        4 => sms(&phone_number, secret),
        5 => apple(&id, secret),
        _ => twitter(&format!("acme_{id}"), secret),
    };
    connection(&format!("mixed-{number}"), interface, &channel)
}

impl Scene {
    /// Has so many connections of all channels ready, under interface `support`; their number is on record there.
    pub async fn ready_mix(&self, count: usize) {
        self.apply(channel_secret(self, "channels")).await;
        self.apply_all((0..count).map(|number| one_of_a_mix(number, "support", "channels")))
            .await;
        self.eventually("all connections are ready", async || {
            let all = self
                .connections()
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?;
            let waiting = all.iter().filter(|it| expect(it, "Ready", "True", "Ready").is_err()).count();
            if waiting == 0 && all.items.len() == count {
                Ok(())
            } else {
                Err(format!("{waiting} are not"))
            }
        })
        .await;
        self.counted(count).await;
        // What the last status writes have set off is over.
        self.time_passes(2).await;
    }

    /// Waits until interface `support` has so many connections on record, all ready: it writes that a few seconds later.
    pub async fn counted(&self, count: usize) {
        self.eventually("the interface has counted them", async || {
            let interface = self.interfaces().get("support").await.map_err(|error| error.to_string())?;
            let counts = interface.status.and_then(|status| status.connections).unwrap_or_default();
            let count = u32::try_from(count).unwrap();
            if (counts.desired, counts.ready) == (count, count) {
                Ok(())
            } else {
                Err(format!("{counts:?}"))
            }
        })
        .await;
    }

    /// Waits until the operator has renewed its lease for so many seconds: it had that long to do something it should not.
    pub async fn time_passes(&self, seconds: i64) {
        let renewed = async || -> Result<Timestamp, String> {
            let leases: Api<Lease> = Api::namespaced(self.client.clone(), self.operator_namespace());
            let lease = leases
                .get("digital-messaging-operator")
                .await
                .map_err(|error| error.to_string())?;
            lease
                .spec
                .and_then(|spec| spec.renew_time)
                .map(|time| time.0)
                .ok_or("never renewed".to_owned())
        };
        let start = self.eventually("there is a lease", renewed).await;
        self.eventually("time passes", async || {
            let passed = renewed().await?.duration_since(start).as_secs();
            if passed >= seconds {
                Ok(())
            } else {
                Err(format!("{passed} s"))
            }
        })
        .await;
    }

    /// What was written at the manager since a mark, such as `PATCH /v1/connections/cn_…`.
    pub fn manager_writes(&self, since: usize) -> Vec<String> {
        let calls = self.manager_calls(since);
        calls
            .iter()
            .filter(|call| call.is_write())
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }

    /// What the operator wrote in Kubernetes to objects of these names since then.
    pub fn writes_to(&self, names: &[&str], since: AuditMark) -> Vec<String> {
        self.operator_writes(since)
            .iter()
            .filter(|write| names.contains(&write.name.as_str()))
            .map(written)
            .collect()
    }

    /// The finalizers of ours that an object carries: one or none.
    pub async fn is_protected<K: Conditioned + Resource<Scope = NamespaceResourceScope>>(&self, name: &str) -> bool {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name)
            .await
            .unwrap()
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
    }

    /// Asks for deletion and does not wait for it.
    pub async fn ask_to_delete<K: Conditioned + Resource<Scope = NamespaceResourceScope>>(&self, name: &str) {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Takes the whole status away, as a restore from a backup does.
    pub async fn wipe_status<K: Conditioned + Resource<Scope = NamespaceResourceScope>>(&self, name: &str) {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({ "status": null })))
            .await
            .unwrap();
    }

    /// A Secret of the scene's namespace, if it is there.
    pub async fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets().get_opt(name).await.unwrap()
    }

    /// The remote ID that a connection's status tells.
    pub async fn connection_id(&self, name: &str) -> String {
        self.connections().get(name).await.unwrap().status.unwrap().id.unwrap()
    }

    /// Waits until all three of these are Ready and Synced.
    pub async fn all_ready(&self, credential: &str, interface: &str, connection: &str) {
        self.ready::<ManagerCredential>(credential).await;
        self.ready::<DigitalMessagingInterface>(interface).await;
        self.ready::<ChannelConnection>(connection).await;
    }
}

/// A write, for people, such as `update channelconnections/status web`.
pub fn written(write: &Request) -> String {
    let place = if write.subresource.is_empty() {
        write.resource.clone()
    } else {
        format!("{}/{}", write.resource, write.subresource)
    };
    format!("{} {place} {}", write.verb, write.name)
}

/// All orders of some things.
pub fn permutations<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for index in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(index);
        for mut order in permutations(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

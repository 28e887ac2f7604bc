// SPDX-License-Identifier: Apache-2.0

//! Rotation of all that is secret: keys of managers, secrets that the manager generates, the operator's own key. Nobody notices but
//! those who are to.

mod asked_for;
mod by_hand;
mod fingerprint_key;
mod interrupted;
mod manager_key;
mod refused;
mod told_once;
mod under_load;

use digital_messaging_operator::api::{ChannelConnection, ManagerCredential, annotation::ROTATE_SECRET};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use sandbox::ManagerAccount;

use crate::scene::{Scene, connection, web};

/// The fingerprint of the key that serves.
fn active_key(credential: &ManagerCredential) -> String {
    credential.status.clone().unwrap().active_key.unwrap().fingerprint
}

impl Scene {
    /// Waits until credential `acme` is served by another key than this one.
    async fn active_key_is_not(&self, before: &str) {
        self.eventually("the new key is the active one", async || {
            let now = self.credentials().get("acme").await.map_err(|error| error.to_string())?;
            if active_key(&now) == before {
                Err("still the old one".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    }

    /// Has connection `web` Ready, and tells its ID.
    async fn ready_web(&self) -> String {
        self.apply(connection("web", "support", &web())).await;
        self.ready::<ChannelConnection>("web").await;
        self.outputs("web").await;
        self.connection_id("web").await
    }

    /// Asks for a rotation.
    async fn ask_to_rotate(&self, name: &str, token: &str) {
        self.annotate::<ChannelConnection>(name, ROTATE_SECRET, token).await;
    }

    /// Waits until the status says that this request was acted on.
    async fn rotated(&self, name: &str, token: &str) -> ChannelConnection {
        self.eventually(&format!("{name} is rotated for {token}"), async || {
            let object = self.connections().get(name).await.map_err(|error| error.to_string())?;
            let handled = object.status.as_ref().and_then(|status| status.last_handled_rotation.clone());
            if handled.as_deref() == Some(token) {
                Ok(object)
            } else {
                Err(format!("last handled: {handled:?}"))
            }
        })
        .await
    }

    /// How often the manager made a new secret for a connection after the first one, whatever it was asked how often.
    async fn rotations(&self, account: &ManagerAccount, id: &str) -> usize {
        let manager = self.manager.manager();
        let records = manager.write_records(&account.credential().manager_id).await.unwrap();
        let posts = records.iter().filter(|record| record.method == "POST" && record.id == id);
        posts.count() - 1
    }

    /// How often the manager was asked for a rotation since a mark.
    fn asked_to_rotate(&self, since: usize) -> usize {
        let calls = self.manager_calls(since);
        calls.iter().filter(|call| call.path.ends_with("/jwt-secret/rotate")).count()
    }

    /// The notes of the events that tell of a rotation of `name`; a repeated one counts again.
    async fn told_of_rotations(&self, name: &str) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = api.list(&ListParams::default()).await.unwrap().items;
        let ours = events.into_iter().filter(|event| {
            event.reason.as_deref() == Some("SecretRotated")
                && event.type_.as_deref() == Some("Normal")
                && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
        });
        ours.flat_map(|event| {
            let times = event.series.map_or(1, |series| series.count);
            vec![event.note.unwrap_or_default(); usize::try_from(times).unwrap()]
        })
        .collect()
    }
}

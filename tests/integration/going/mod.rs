// SPDX-License-Identifier: Apache-2.0

//! The order of going, with the real controllers of Kubernetes that empty namespaces and collect garbage: whatever goes
//! first and whoever fails meanwhile, what must be cleaned up is, and nothing is stuck.

mod abandon;
mod interrupted;
mod namespace;
mod policy;
mod proven_key;
mod refused;
mod reuse;
mod uninstall;

use std::time::Duration;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use sandbox::{Condition, ControlPlane, ManagerAccount, wait_for};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::scene::{Conditioned, Scene, connection, interface, manager_credential, manager_secret, web, with_deletion};

/// The namespace controller looks five seconds after the deletion, and again every eight seconds while something stays.
const NAMESPACE_DEADLINE: Duration = Duration::from_mins(3);

/// The control plane with controllers that these tests share.
async fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED
        .get_or_init(async || ControlPlane::start_with_controllers().await.unwrap())
        .await
}

/// A scene whose namespace can be deleted as a whole: the operator lives in another one.
async fn scene() -> Scene {
    scene_on(control_plane().await).await
}

async fn scene_on(control_plane: &'static ControlPlane) -> Scene {
    let own = control_plane.create_namespace("operator").await.unwrap();
    Scene::on(control_plane, |_| {}, |settings| settings.namespace = own).await
}

impl Scene {
    /// Has credential `acme`, interface `support` and connections `web-0`, `web-1`, … ready, all with this deletion.
    async fn ready_set(&self, deletion: &str, connections: usize) -> ManagerAccount {
        let credential = self.provision(AuthenticationMethod::Jwt).await;
        let mut object = manager_credential("acme", self.manager_url(), AuthenticationMethod::Jwt);
        object["spec"]["defaults"] = json!({ "policy": { "deletion": deletion } });
        let parents = [
            manager_secret("acme", &credential),
            object,
            with_deletion(interface("support", "acme"), deletion),
        ];
        let all = (0..connections).map(|number| connection(&format!("web-{number}"), "support", &web()));
        self.apply_all(parents.into_iter().chain(all)).await;
        self.ready::<ManagerCredential>("acme").await;
        self.ready::<DigitalMessagingInterface>("support").await;
        for number in 0..connections {
            self.ready::<ChannelConnection>(&format!("web-{number}")).await;
        }
        self.account(&credential)
    }

    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// Asks for the deletion of the whole namespace.
    async fn delete_namespace(&self) {
        self.namespaces()
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the namespace has gone; says what Kubernetes says is in the way.
    async fn namespace_gone(&self) {
        let gone = wait_for("the namespace to go", NAMESPACE_DEADLINE, async || {
            let found = self
                .namespaces()
                .get_opt(&self.namespace)
                .await
                .map_err(|error| error.to_string())?;
            let Some(namespace) = found else { return Ok(()) };
            let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
            let in_the_way = conditions.into_iter().filter(|it| it.status == "True");
            Err(in_the_way.filter_map(|it| it.message).collect::<Vec<_>>().join("; "))
        });
        if let Err(error) = gone.await {
            panic!("{error:#}\n{}", self.describe().await);
        }
    }

    /// Waits until an object that is being deleted says why it stays.
    async fn says_why_it_stays<K: Conditioned>(&self, name: &str) -> Condition {
        let api: kube::Api<K> = kube::Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually(&format!("{name} says why it stays"), async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let synced = Condition::of(&object, "Synced").ok_or("no condition")?;
            // A deletion is a generation of its own: what was said before it is about something else.
            let is_about_it =
                object.meta().deletion_timestamp.is_some() && synced.observed_generation == object.meta().generation;
            if is_about_it && synced.status == "False" {
                Ok(synced)
            } else {
                Err(synced.to_string())
            }
        })
        .await
    }

    /// Waits until no connection and no interface is left at the manager.
    async fn empty_at_the_manager(&self, account: &ManagerAccount) {
        self.eventually("nothing is left at the manager", async || {
            let held = held(account).await;
            if held == (0, 0) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    }
}

/// How many interfaces and connections an account holds.
async fn held(account: &ManagerAccount) -> (usize, usize) {
    (
        account.interfaces().await.unwrap().len(),
        account.connections().await.unwrap().len(),
    )
}

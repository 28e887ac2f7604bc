// SPDX-License-Identifier: Apache-2.0

//! Uninstalling, in the right order and in the wrong one, with the way out that `docs/deletion.md` has.

use std::process::Command;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, FINALIZER, ManagerCredential};
use k8s_openapi::{api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams},
};
use sandbox::{ControlPlane, program, wait_for};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::{NAMESPACE_DEADLINE, held, scene_on};
use crate::scene::{Conditioned, Scene};

/// A control plane for tests that take the definitions away: one after the other.
async fn control_plane() -> (MutexGuard<'static, ()>, &'static ControlPlane) {
    static TURN: Mutex<()> = Mutex::const_new(());
    static OWN: OnceCell<ControlPlane> = OnceCell::const_new();
    let turn = TURN.lock().await;
    let own = OWN
        .get_or_init(async || ControlPlane::start_with_controllers().await.unwrap())
        .await;
    (turn, own)
}

impl Scene {
    fn definitions(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.client.clone())
    }

    async fn delete_definitions(&self) {
        for name in [
            ManagerCredential::plural(&()),
            DigitalMessagingInterface::plural(&()),
            ChannelConnection::plural(&()),
        ] {
            let name = format!("{name}.digitalmessaging.io");
            self.definitions().delete(&name, &DeleteParams::default()).await.unwrap();
        }
    }

    async fn definitions_gone(&self) {
        wait_for("the definitions to go", NAMESPACE_DEADLINE, async || {
            let left = self.our_definitions().await.map_err(|error| error.to_string())?;
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await
        .unwrap();
    }

    /// Names of our definitions, and whether they are being deleted.
    async fn our_definitions(&self) -> kube::Result<Vec<(String, bool)>> {
        let all = self.definitions().list(&ListParams::default()).await?;
        let ours = all.into_iter().filter(|it| it.spec.group == "digitalmessaging.io");
        Ok(ours
            .map(|it| (it.name_any(), it.metadata.deletion_timestamp.is_some()))
            .collect())
    }

    async fn delete_all<K: Conditioned>(&self) {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        api.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
    }

    /// Everything in the namespace that our finalizer holds, as `kind/name`.
    async fn held_by_a_finalizer(&self) -> Vec<String> {
        async fn of<K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug>(
            api: Api<K>,
        ) -> Vec<String> {
            let all = api.list(&ListParams::default()).await.unwrap();
            let ours = all.into_iter().filter(|it| it.finalizers().iter().any(|it| it == FINALIZER));
            ours.map(|it| format!("{}/{}", K::kind(&()), it.name_any())).collect()
        }
        let mut found = of(self.credentials()).await;
        found.extend(of(self.interfaces()).await);
        found.extend(of(self.connections()).await);
        found.extend(of::<Secret>(self.secrets()).await);
        found
    }

    /// Deletes namespace and definitions after the operator has gone, and waits until all that nothing holds is gone.
    async fn uninstall_in_the_wrong_order(&mut self) {
        self.stop_operator().await;
        self.delete_namespace().await;
        self.delete_definitions().await;
        self.eventually("what nothing holds is gone", async || {
            let left = self
                .secrets()
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?;
            let left: Vec<_> = left.into_iter().map(|it| it.name_any()).collect();
            if left == ["acme-proven"] {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
        assert_eq!(
            self.held_by_a_finalizer().await,
            [
                "ManagerCredential/acme",
                "DigitalMessagingInterface/support",
                "ChannelConnection/web-0",
                "ChannelConnection/web-1",
                "Secret/acme-proven"
            ]
        );
        let stuck = self.our_definitions().await.unwrap();
        assert!(stuck.len() == 3 && stuck.iter().all(|(_, deleting)| *deleting), "{stuck:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_then_operator_then_definitions_leaves_nothing() {
    let (_turn, control_plane) = control_plane().await;
    let mut scene = scene_on(control_plane).await;
    let account = scene.ready_set("Delete", 2).await;

    scene.delete_all::<ChannelConnection>().await;
    scene.delete_all::<DigitalMessagingInterface>().await;
    scene.delete_all::<ManagerCredential>().await;
    scene.gone::<ManagerCredential>("acme").await;
    assert_eq!(held(&account).await, (0, 0));
    assert_eq!(scene.held_by_a_finalizer().await, Vec::<String>::new());
    scene.stop_operator().await;
    scene.delete_definitions().await;
    scene.definitions_gone().await;
    scene.delete_namespace().await;
    scene.namespace_gone().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_first_while_the_operator_runs_leaves_nothing_either() {
    let (_turn, control_plane) = control_plane().await;
    let scene = scene_on(control_plane).await;
    let account = scene.ready_set("Delete", 2).await;
    scene.delete_definitions().await;
    scene.definitions_gone().await;
    assert_eq!(held(&account).await, (0, 0));
    scene.delete_namespace().await;
    scene.namespace_gone().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_wrong_order_an_operator_that_is_started_again_cleans_up() {
    let (_turn, control_plane) = control_plane().await;
    let mut scene = scene_on(control_plane).await;
    let account = scene.ready_set("Delete", 2).await;
    scene.uninstall_in_the_wrong_order().await;

    scene.start_operator().await;
    scene.namespace_gone().await;
    scene.definitions_gone().await;
    assert_eq!(held(&account).await, (0, 0));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_wrong_order_the_commands_of_the_handbook_let_everything_go() {
    let (_turn, control_plane) = control_plane().await;
    let mut scene = scene_on(control_plane).await;
    let account = scene.ready_set("Delete", 2).await;
    scene.uninstall_in_the_wrong_order().await;

    let commands = commands_of_the_handbook().replace("<namespace>", &scene.namespace);
    let path = format!("{}:{}", program::tools().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-euc", &commands])
        .env("KUBECONFIG", control_plane.kubeconfig())
        .env("PATH", path);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{commands}\n{output:?}");

    scene.namespace_gone().await;
    scene.definitions_gone().await;
    assert_eq!(held(&account).await, (1, 2), "the manager keeps what nobody cleaned up");
    scene.finish().await;
}

/// The only block of commands under the heading about an operator that has gone first.
fn commands_of_the_handbook() -> String {
    let page = include_str!("../../../docs/deletion.md");
    let (_, section) = page.split_once("## When the operator has gone first").unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

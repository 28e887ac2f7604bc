// SPDX-License-Identifier: Apache-2.0

//! All three are deleted, at the manager too.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use kube::{Api, Resource, ResourceExt, api::DeleteParams, core::NamespaceResourceScope};
use rstest::rstest;
use serde_json::json;

use super::{
    References, Scenario,
    end::{made_secrets, told},
    explore,
    stage::{CONNECTIONS, Stage},
};
use crate::scene::Conditioned;

#[derive(Default)]
pub struct Deletion;

impl Scenario for Deletion {
    const NAME: &'static str = "deletion";
    const SCENES: u32 = 3;

    async fn begin(&mut self, _: &mut Stage) {}

    async fn prepare(&mut self, stage: &mut Stage) {
        stage.on_its_own().await;
        let mut all = stage.all();
        for object in &mut all {
            if object["kind"] == "DigitalMessagingInterface" || object["kind"] == "ChannelConnection" {
                object["spec"]["policy"] = json!({ "deletion": "Delete" });
            }
        }
        stage.scene.apply_all(all).await;
        let (acme, support, web) = (stage.name("acme"), stage.name("support"), stage.name("web"));
        stage.scene.all_ready(&acme, &support, &web).await;
        stage.scene.ready::<ChannelConnection>(&stage.name("phone")).await;
    }

    async fn act(&mut self, stage: &Stage) {
        ask::<ManagerCredential>(stage, "acme").await;
        ask::<DigitalMessagingInterface>(stage, "support").await;
        for name in CONNECTIONS {
            ask::<ChannelConnection>(stage, name).await;
        }
    }

    async fn is_done(&self, stage: &Stage) -> Result<(), String> {
        gone::<ManagerCredential>(stage, "acme").await?;
        gone::<DigitalMessagingInterface>(stage, "support").await?;
        for name in CONNECTIONS {
            gone::<ChannelConnection>(stage, name).await?;
        }
        let (interfaces, connections) = (
            told(stage.account.interfaces().await)?,
            told(stage.account.connections().await)?,
        );
        let made = made_secrets(stage).await;
        if interfaces.is_empty() && connections.is_empty() && made.is_empty() {
            Ok(())
        } else {
            let left = (interfaces.len(), connections.len());
            Err(format!("left are {left:?} objects at the manager, and the Secrets {made:?}"))
        }
    }
}

fn api<K: Conditioned + Resource<Scope = NamespaceResourceScope>>(stage: &Stage) -> Api<K> {
    Api::namespaced(stage.scene.client.clone(), &stage.scene.namespace)
}

async fn ask<K: Conditioned>(stage: &Stage, name: &str) {
    api::<K>(stage)
        .delete(&stage.name(name), &DeleteParams::default())
        .await
        .unwrap();
}

async fn gone<K: Conditioned>(stage: &Stage, name: &str) -> Result<(), String> {
    match told(api::<K>(stage).get_opt(&stage.name(name)).await)? {
        None => Ok(()),
        Some(object) => Err(format!("{} is there", object.name_any())),
    }
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_deleting_everything_leaves_nothing_behind(#[case] references: References) {
    explore::<Deletion>(references).await;
}

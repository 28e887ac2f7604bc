// SPDX-License-Identifier: Apache-2.0

//! What is deleted in Kubernetes stays at the manager, and is found again.

use std::collections::BTreeSet;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use kube::ResourceExt;
use rstest::rstest;
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use super::channel_secret;
use crate::scene::{Scene, client_channel, connection, interface, manager_credential, sms, web};

#[rstest]
#[case::web_messaging(web())]
#[case::client_channel(client_channel())]
#[case::with_secrets(sms("+14155550100", "channels"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_deleted_and_applied_again_is_the_same_one(#[case] channel: Value) {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    let yaml = connection("again", "support", &channel);
    scene.apply(yaml.clone()).await;
    let first: ChannelConnection = scene.ready("again").await;
    let (outputs, secret) = (scene.outputs("again").await, scene.secret("again-connection").await.unwrap());
    let held = ids(&account).await;

    let calls = scene.journal.len();
    scene.delete::<ChannelConnection>("again").await;
    assert_eq!(scene.outputs_of_secret("again-connection").await, outputs);
    scene.apply(yaml).await;
    let second: ChannelConnection = scene.ready("again").await;

    assert_ne!(first.uid(), second.uid());
    assert_eq!(first.status.unwrap().id, second.status.unwrap().id);
    assert_eq!(scene.outputs("again").await, outputs);
    assert_eq!(scene.secret("again-connection").await.unwrap().uid(), secret.uid());
    assert_eq!(ids(&account).await, held);
    assert!(
        scene.manager_writes(calls).iter().all(|write| write.starts_with("PATCH")),
        "{:?}",
        scene.manager_writes(calls)
    );
    // The claim is the new object's.
    assert_eq!(account.connections().await.unwrap()[0].claimant, second.metadata.uid);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_status_is_found_out_again() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene.apply(connection("web", "support", &web())).await;
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.all_ready("acme", "support", "web").await;
    scene.ready::<ChannelConnection>("sms").await;
    let (web, texts) = (scene.connection_id("web").await, scene.connection_id("sms").await);
    let (outputs, held) = (scene.outputs("web").await, ids(&account).await);

    let calls = scene.journal.len();
    scene.wipe_status::<ChannelConnection>("web").await;
    scene.wipe_status::<ChannelConnection>("sms").await;
    scene.wipe_status::<DigitalMessagingInterface>("support").await;
    scene.wipe_status::<ManagerCredential>("acme").await;
    scene.all_ready("acme", "support", "web").await;
    scene.ready::<ChannelConnection>("sms").await;

    assert_eq!(
        [scene.connection_id("web").await, scene.connection_id("sms").await],
        [web, texts]
    );
    assert_eq!(scene.outputs("web").await, outputs);
    assert_eq!(ids(&account).await, held);
    assert!(
        scene.manager_writes(calls).iter().all(|write| write.starts_with("PATCH")),
        "{:?}",
        scene.manager_writes(calls)
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_and_a_credential_that_are_deleted_and_applied_again_are_the_same_ones() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let (held, outputs) = (ids(&account).await, scene.outputs("web").await);

    let calls = scene.journal.len();
    scene.delete::<DigitalMessagingInterface>("support").await;
    scene.apply(interface("support", "acme")).await;
    scene.all_ready("acme", "support", "web").await;

    scene.delete::<ManagerCredential>("acme").await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), account.credential().method))
        .await;
    scene.all_ready("acme", "support", "web").await;
    // It works, too.
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "displayName": "Chat" } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;

    assert_eq!(ids(&account).await, held);
    assert_eq!(account.connections().await.unwrap()[0].display_name, "Chat");
    assert_eq!(scene.outputs("web").await, outputs);
    assert!(
        scene.manager_writes(calls).iter().all(|write| write.starts_with("PATCH")),
        "{:?}",
        scene.manager_writes(calls)
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_set_that_is_deleted_and_applied_again_is_the_same() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let (held, outputs) = (ids(&account).await, scene.outputs("web").await);

    scene.ask_to_delete::<ManagerCredential>("acme").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    scene.ask_to_delete::<ChannelConnection>("web").await;
    scene
        .apply_all([
            connection("web", "support", &web()),
            interface("support", "acme"),
            manager_credential("acme", scene.manager_url(), account.credential().method),
        ])
        .await;
    scene.all_ready("acme", "support", "web").await;
    assert_eq!(ids(&account).await, held);
    assert_eq!(scene.outputs("web").await, outputs);
    scene.finish().await;
}

async fn ids(account: &ManagerAccount) -> BTreeSet<String> {
    let connections = account.connections().await.unwrap().into_iter().map(|it| it.id);
    let interfaces = account.interfaces().await.unwrap().into_iter().map(|it| it.id);
    connections.chain(interfaces).collect()
}

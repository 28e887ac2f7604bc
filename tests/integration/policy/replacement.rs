// SPDX-License-Identifier: Apache-2.0

//! What could only be changed by a new object with a new ID is refused: with the fields, what it would cost, and the recipe.

use digital_messaging_operator::api::ChannelConnection;
use serde_json::json;

use crate::{
    lifecycle::channel_secret,
    scene::{Scene, connection, sms},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_needs_replacement_says_what_it_would_cost_and_how_it_is_done() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    let id = scene.connection_id("sms").await;

    let calls = scene.journal.len();
    let both = json!({ "spec": { "displayName": "Texts", "channel": { "sms": { "phoneNumber": "+14155550199" } } } });
    scene.patch::<ChannelConnection>("sms", both).await;
    let (_, refused) = scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "ReplaceRequired")
        .await;
    for part in [
        "/channel/sms/phoneNumber",
        "its ID, URLs and secrets would change",
        "customers would be lost",
        "Put the old value back",
        "create another resource",
    ] {
        assert!(refused.message.contains(part), "no {part:?} in: {refused}");
    }
    scene.meanwhile().await;
    // Not even the part of the change that could be made.
    assert_eq!(scene.operator_manager_writes(calls), Vec::<String>::new());
    scene
        .condition_of_any_generation::<ChannelConnection>("sms", "Ready", "True", "Ready")
        .await;

    // The recipe works: another resource takes the traffic, then the first one goes.
    scene
        .apply(connection("sms-2", "support", &sms("+14155550199", "channels")))
        .await;
    scene.ready::<ChannelConnection>("sms-2").await;
    let old = json!({ "spec": { "channel": { "sms": { "phoneNumber": "+14155550100" } } } });
    scene.patch::<ChannelConnection>("sms", old).await;
    scene.ready::<ChannelConnection>("sms").await;
    assert_eq!(scene.connection_id("sms").await, id);
    assert_eq!(account.connections().await.unwrap().len(), 2);
    scene.finish().await;
}

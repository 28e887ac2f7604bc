// SPDX-License-Identifier: Apache-2.0

//! Web Messaging that switches to other connections: they may come later, and may switch back.

use digital_messaging_operator::api::ChannelConnection;
use serde_json::{Value, json};

use super::channel_secret;
use crate::scene::{Scene, connection, sms, web};

fn web_switching_to(targets: &[&str]) -> Value {
    let connections: Vec<_> = targets.iter().map(|name| json!({ "name": name })).collect();
    json!({ "webMessaging": { "switching": { "placement": "Menu", "connections": connections } } })
}

async fn switch_targets(scene: &Scene, account: &sandbox::ManagerAccount, name: &str) -> Value {
    let id = scene.connection_id(name).await;
    let held = account
        .connections()
        .await
        .unwrap()
        .into_iter()
        .find(|it| it.id == id)
        .unwrap();
    serde_json::to_value(held).unwrap()["channel"]["switching"]["connectionIds"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_serves_while_what_it_switches_to_is_missing_and_adds_it_later() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    let mark = scene.audit_mark();
    scene
        .apply(connection("web", "support", &web_switching_to(&["later", "sms"])))
        .await;
    scene.condition::<ChannelConnection>("web", "Ready", "True", "Ready").await;
    let (_, pending) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "SwitchTargetPending")
        .await;
    assert!(
        pending.message.contains("later") && pending.message.contains("sms"),
        "{pending}"
    );

    let calls = scene.journal.len();
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    let sms_id = scene.connection_id("sms").await;
    scene
        .eventually("the chat switches to it", async || {
            let targets = switch_targets(&scene, &account, "web").await;
            if targets == json!([sms_id]) {
                Ok(())
            } else {
                Err(targets.to_string())
            }
        })
        .await;
    let (_, pending) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "SwitchTargetPending")
        .await;
    assert!(pending.message.contains("later"), "{pending}");

    scene
        .apply(connection("later", "support", &json!({ "webMessaging": {} })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(
        switch_targets(&scene, &account, "web").await,
        json!([scene.connection_id("later").await, sms_id])
    );
    let id = scene.connection_id("web").await;
    scene.time_passes(3).await;
    let patches = scene
        .manager_writes(calls)
        .into_iter()
        .filter(|write| *write == format!("PATCH /v1/connections/{id}"))
        .count();
    assert_eq!(patches, 2);
    let statuses = scene.writes_to(&["web"], mark);
    assert!(statuses.len() <= 4, "{statuses:?}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_switch_to_each_other_converge_and_come_to_rest() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply_all([
            connection("one", "support", &web_switching_to(&["two"])),
            connection("two", "support", &web_switching_to(&["three"])),
            connection("three", "support", &web_switching_to(&["one", "two"])),
        ])
        .await;
    for name in ["one", "two", "three"] {
        scene.ready::<ChannelConnection>(name).await;
    }
    let [one, two, three] = [
        scene.connection_id("one").await,
        scene.connection_id("two").await,
        scene.connection_id("three").await,
    ];
    assert_eq!(switch_targets(&scene, &account, "one").await, json!([two]));
    assert_eq!(switch_targets(&scene, &account, "two").await, json!([three]));
    assert_eq!(switch_targets(&scene, &account, "three").await, json!([one, two]));

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.time_passes(5).await;
    let writes: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    // The interface may still count them.
    assert!(
        writes.iter().all(|write| write.contains("digitalmessaginginterfaces")),
        "{writes:?}"
    );
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_deleted_and_applied_again_stays_switched_to() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let target = connection("target", "support", &json!({ "webMessaging": {} }));
    scene
        .apply_all([connection("web", "support", &web_switching_to(&["target"])), target.clone()])
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.ready::<ChannelConnection>("target").await.status.unwrap().id;
    scene.delete::<ChannelConnection>("target").await;
    scene.apply(target).await;
    scene.ready::<ChannelConnection>("target").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(switch_targets(&scene, &account, "web").await, json!([id]));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_switching_is_gone_at_the_manager() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let switching = json!({ "webMessaging": { "switching": { "placement": "Header", "connections": [{ "name": "other" }] } } });
    scene
        .apply_all([
            connection("other", "support", &web()),
            connection("web", "support", &switching),
        ])
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene
        .patch::<ChannelConnection>(
            "web",
            json!({ "spec": { "channel": { "webMessaging": { "switching": null } } } }),
        )
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let held = serde_json::to_string(&account.connections().await.unwrap()).unwrap();
    assert!(!held.contains("connectionIds"), "{held}");
    scene.finish().await;
}

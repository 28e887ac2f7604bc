// SPDX-License-Identifier: Apache-2.0

//! All channels: their secrets reach the manager once, and what it generates comes back.

use std::collections::BTreeMap;

use digital_messaging_contract::connection::ConnectionState;
use digital_messaging_operator::api::ChannelConnection;
use serde_json::{Value, json};

use super::channel_secret;
use crate::scene::{Scene, apple, client_channel, connection, facebook, labelled_secret, sms, twitter, web, whatsapp};

/// Name, channel and the keys of its outputs.
fn channels() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let twilio = json!({ "whatsApp": { "phoneNumber": "+14155550109", "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" }, "secretRef": { "name": "secrets-of-whatsapp-by-twilio" } } });
    vec![
        ("web", web(), &["connectionId", "jwtSecret", "scriptUrl", "widgetId"]),
        ("client", client_channel(), &["connectionId", "jwtSecret", "webhookUrl"]),
        (
            "facebook",
            facebook("100000000000001", "secrets-of-facebook"),
            &["connectionId", "webhookUrl"],
        ),
        (
            "whatsapp",
            whatsapp("+14155550100", "secrets-of-whatsapp"),
            &["connectionId", "webhookUrl"],
        ),
        ("whatsapp-by-twilio", twilio, &["connectionId", "webhookUrl"]),
        ("sms", sms("+14155550101", "secrets-of-sms"), &["connectionId", "webhookUrl"]),
        (
            "apple",
            apple("00000000-0000-4000-8000-000000000001", "secrets-of-apple"),
            &["connectionId", "webhookUrl"],
        ),
        (
            "twitter",
            twitter("acme_support", "secrets-of-twitter"),
            &["connectionId", "webhookUrl"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn all_channels_are_ready_and_hand_out_what_the_manager_generated() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let calls = scene.journal.len();
    for (name, channel, _) in channels() {
        scene
            .apply_all([
                channel_secret(&scene, &format!("secrets-of-{name}")),
                connection(name, "support", &channel),
            ])
            .await;
    }
    let held = {
        for (name, ..) in channels() {
            scene.ready::<ChannelConnection>(name).await;
        }
        account.connections().await.unwrap()
    };
    assert_eq!(held.len(), channels().len());
    for (name, channel, keys) in channels() {
        let status = scene.connections().get(name).await.unwrap().status.unwrap();
        let remote = held.iter().find(|it| Some(&it.id) == status.id.as_ref()).unwrap();
        assert_eq!(remote.display_name, name);
        assert_eq!(remote.state, ConnectionState::Active);
        assert!(
            channel.get(remote.channel.channel_type().as_str()).is_some(),
            "{name} is a {:?}",
            remote.channel
        );
        assert_eq!(status.webhook_url, remote.webhook_url);

        let outputs = scene.outputs(name).await;
        assert_eq!(outputs.keys().map(String::as_str).collect::<Vec<_>>(), keys, "{name}");
        assert_eq!(outputs["connectionId"], remote.id);
        assert_eq!(outputs.get("webhookUrl"), remote.webhook_url.as_ref());
        assert_eq!(outputs.get("widgetId"), remote.widget.as_ref().map(|widget| &widget.id));
        assert_eq!(
            outputs.get("scriptUrl"),
            remote.widget.as_ref().map(|widget| &widget.script_url)
        );
    }
    // The manager takes a connection only with all its secrets; it was asked once for each.
    assert_eq!(scene.manager_writes(calls), vec!["POST /v1/connections"; channels().len()]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_is_one_patch_for_each_connection_that_uses_it() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let values = |token: String| labelled_secret("shared", &json!({ "authToken": token }));
    scene.apply(values(scene.new_secret_value())).await;
    scene.apply(channel_secret(&scene, "other")).await;
    scene
        .apply(connection("one", "support", &sms("+14155550101", "shared")))
        .await;
    scene
        .apply(connection("two", "support", &sms("+14155550102", "shared")))
        .await;
    scene
        .apply(connection("three", "support", &sms("+14155550103", "other")))
        .await;
    let mut ids = BTreeMap::new();
    for name in ["one", "two", "three"] {
        ids.insert(name, scene.ready::<ChannelConnection>(name).await.status.unwrap().id.unwrap());
    }

    scene.counted(3).await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.apply(values(scene.new_secret_value())).await;
    scene
        .eventually("the new values are sent", async || {
            let count = scene.manager_writes(calls).len();
            if count >= 2 { Ok(()) } else { Err(format!("{count} writes")) }
        })
        .await;
    scene.time_passes(3).await;
    let mut expected = [
        format!("PATCH /v1/connections/{}", ids["one"]),
        format!("PATCH /v1/connections/{}", ids["two"]),
    ];
    let mut patches = scene.manager_writes(calls);
    expected.sort();
    patches.sort();
    assert_eq!(patches, expected);
    let mut statuses: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    statuses.sort();
    assert_eq!(
        statuses,
        ["update channelconnections/status one", "update channelconnections/status two"]
    );

    // A new version with the same values is not sent.
    let calls = scene.journal.len();
    let labels = json!({ "metadata": { "annotations": { "example": "touched" } } });
    scene
        .secrets()
        .patch("shared", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(labels))
        .await
        .unwrap();
    scene.time_passes(3).await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messenger_waits_for_a_page_administrator() {
    let scene = Scene::with(|manager| manager.facebook_needs_authorization = true, |_| {}).await;
    let account = scene.ready_interface().await;
    scene
        .apply_all([
            channel_secret(&scene, "page"),
            connection("messenger", "support", &facebook("100000000000001", "page")),
        ])
        .await;
    let (object, waits) = scene
        .condition::<ChannelConnection>("messenger", "Ready", "False", "AwaitingAuthorization")
        .await;
    assert!(!waits.message.is_empty());
    scene
        .condition::<ChannelConnection>("messenger", "Synced", "True", "Synced")
        .await;
    let id = object.status.unwrap().id.unwrap();

    let calls = scene.journal.len();
    scene
        .manager
        .manager()
        .authorize(&account.credential().manager_id, &id)
        .await
        .unwrap();
    scene.ready::<ChannelConnection>("messenger").await;
    assert_eq!(scene.connection_id("messenger").await, id);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_of_a_number_is_changed_in_place() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let whatsapp = |provider: serde_json::Value| {
        let mut channel = json!({ "phoneNumber": "+4930901820", "secretRef": { "name": "tokens" } });
        channel.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
        connection("number", "support", &json!({ "whatsApp": channel }))
    };
    scene.apply(channel_secret(&scene, "tokens")).await;
    scene
        .apply(whatsapp(
            json!({ "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" } }),
        ))
        .await;
    let before: ChannelConnection = scene.ready("number").await;
    scene
        .apply(whatsapp(
            json!({ "cloudApi": { "phoneNumberId": "1", "businessAccountId": "2" } }),
        ))
        .await;
    let after: ChannelConnection = scene.ready("number").await;
    assert_eq!(after.status.unwrap().id, before.status.unwrap().id);
    let held = serde_json::to_value(&account.connections().await.unwrap()[0].channel).unwrap();
    assert_eq!(held["provider"]["type"], "cloudApi");
    scene.finish().await;
}

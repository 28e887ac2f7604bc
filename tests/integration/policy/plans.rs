// SPDX-License-Identifier: Apache-2.0

//! What a plan in the status says and what not: no secret, never much, and only while it waits. Who waits is counted.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use serde_json::{Value, json};

use super::{APPROVE, plan_that_waits, required, with};
use crate::{
    lifecycle::channel_secret,
    scene::{Scene, connection, interface, sms, web},
};

fn waiting(kind: &str) -> String {
    format!("digital_messaging_plans_waiting{{kind=\"{kind}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_is_a_change_without_a_value_and_waits_like_any_other() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    let id = scene.connection_id("sms").await;
    scene
        .patch::<ChannelConnection>("sms", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<ChannelConnection>("sms").await;

    let calls = scene.journal.len();
    scene.apply(channel_secret(&scene, "channels")).await;
    let first = plan_that_waits::<ChannelConnection>(&scene, "sms", None).await;
    let shown = &first.changes[0];
    assert_eq!(
        (
            first.changes.len(),
            shown.field.as_str(),
            shown.from.as_deref(),
            shown.to.as_deref()
        ),
        (1, "/channel/sms/secretRef", None, Some("changed"))
    );
    // Another value is another plan, although it shows the same.
    scene.apply(channel_secret(&scene, "channels")).await;
    let second = plan_that_waits::<ChannelConnection>(&scene, "sms", Some(&first)).await;
    assert_eq!(second.changes, first.changes);
    assert_eq!(scene.operator_manager_writes(calls), Vec::<String>::new());
    scene.annotate::<ChannelConnection>("sms", APPROVE, &second.hash).await;
    scene.ready::<ChannelConnection>("sms").await;
    assert_eq!(scene.operator_manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_huge_change_is_cut_and_its_hash_covers_what_is_not_shown() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene
        .patch::<DigitalMessagingInterface>("support", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    let text = |number: usize| format!("{number}: {}", "Grüße \"aus\" 🦀 ".repeat(60));
    let commands: Vec<Value> = (0..40)
        .map(|number| json!({ "name": format!("command-{number}"), "triggers": [format!("word {number}")], "texts": [text(number)] }))
        .collect();
    let responses = json!({ "welcome": text(1), "noMatch": text(2), "multipleMatch": text(3), "error": text(4), "authenticationPrompt": text(5) });
    let huge = |description: &str| {
        json!({ "spec": {
            "displayName": "Help", "description": description, "templateOperator": "another",
            "baseUrl": format!("https://acme.example/{}/prweb", "a".repeat(300)),
            "bot": { "languages": ["en", "de"], "systemResponses": responses, "responseCommands": commands, "escalation": { "afterNoMatches": 5 } },
        } })
    };
    scene
        .patch::<DigitalMessagingInterface>("support", huge(&"x".repeat(400)))
        .await;
    let plan = plan_that_waits::<DigitalMessagingInterface>(&scene, "support", None).await;
    let size = serde_json::to_vec(&plan).unwrap().len();
    crate::figures::record("plan-of-a-huge-change", format!("{size} bytes"));
    assert!(size < 8 * 1024 && plan.changes.len() <= 20, "{size} bytes: {plan:?}");
    assert!(plan.changes.len() >= 10, "{plan:?}");
    let long = |value: &Option<String>| value.as_ref().is_some_and(|value| value.chars().count() > 64);
    assert!(
        !plan.changes.iter().any(|change| long(&change.from) || long(&change.to)),
        "{plan:?}"
    );
    let end = format!("{}y", "x".repeat(399));
    scene.patch::<DigitalMessagingInterface>("support", huge(&end)).await;
    let other = plan_that_waits::<DigitalMessagingInterface>(&scene, "support", Some(&plan)).await;
    assert_eq!(other.changes, plan.changes);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_when_something_else_is_the_matter() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    let id = scene.connection_id("sms").await;
    let renamed = |name: &str| json!({ "spec": { "policy": { "approval": "Required" }, "displayName": name } });
    let number = |number: &str| json!({ "spec": { "channel": { "sms": { "phoneNumber": number } } } });
    scene.patch::<ChannelConnection>("sms", renamed("Texts")).await;
    plan_that_waits::<ChannelConnection>(&scene, "sms", None).await;

    scene.patch::<ChannelConnection>("sms", number("+14155550199")).await;
    let (sms, _) = scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "ReplaceRequired")
        .await;
    assert_eq!(sms.status.unwrap().plan, None);
    scene.metric_is(&waiting("ChannelConnection"), 0).await;
    scene.patch::<ChannelConnection>("sms", number("+14155550100")).await;
    plan_that_waits::<ChannelConnection>(&scene, "sms", None).await;

    scene
        .patch::<ChannelConnection>("sms", json!({ "spec": { "suspend": true } }))
        .await;
    let (sms, _) = scene
        .condition::<ChannelConnection>("sms", "Reconciling", "False", "Suspended")
        .await;
    assert_eq!(sms.status.unwrap().plan, None);
    scene
        .patch::<ChannelConnection>("sms", json!({ "spec": { "suspend": false } }))
        .await;
    plan_that_waits::<ChannelConnection>(&scene, "sms", None).await;

    account.delete_connection(&id).await.unwrap();
    let (sms, _) = scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "RemoteMissing")
        .await;
    assert_eq!(sms.status.unwrap().plan, None);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_counted_by_kind_also_after_a_restart_and_when_it_goes() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene
        .apply_all([
            required(connection("one", "support", &web())),
            required(connection("two", "support", &web())),
            required(with(interface("second", "acme"), "displayName", json!("Second"))),
        ])
        .await;
    scene.metric_is(&waiting("ChannelConnection"), 2).await;
    scene.metric_is(&waiting("DigitalMessagingInterface"), 1).await;

    scene.restart_operator().await;
    scene.metric_is(&waiting("ChannelConnection"), 2).await;
    scene.metric_is(&waiting("DigitalMessagingInterface"), 1).await;
    scene.delete::<ChannelConnection>("one").await;
    scene.delete::<DigitalMessagingInterface>("second").await;
    scene.metric_is(&waiting("ChannelConnection"), 1).await;
    scene.metric_is(&waiting("DigitalMessagingInterface"), 0).await;
    scene
        .patch::<ChannelConnection>("two", json!({ "spec": { "policy": { "approval": "NotRequired" } } }))
        .await;
    scene.ready::<ChannelConnection>("two").await;
    scene.metric_is(&waiting("ChannelConnection"), 0).await;
    scene.finish().await;
}

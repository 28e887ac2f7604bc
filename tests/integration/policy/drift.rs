// SPDX-License-Identifier: Apache-2.0

//! Drift is named, counted, put right and kept on record; it waits with approval, and is only reported with `Observe`.

use std::time::Duration;

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use http::Method;
use messaging_manager::faults::{Fault, Rule};
use serde_json::json;

use super::{APPROVE, made_by_hand, plan_that_waits, with};
use crate::scene::{Scene, connection, web};

const COLOR: &str = "/channel/webMessaging/primaryColor";

fn drift(outcome: &str) -> String {
    format!("digital_messaging_drift_total{{kind=\"ChannelConnection\",outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_put_right_with_one_patch_and_one_status_that_keeps_which_and_when() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    scene.counted(1).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    let by_hand = json!({ "displayName": "Changed by hand", "channel": { "primaryColor": "#222222" } });
    account.patch_connection(&id, &by_hand).await.unwrap();
    let last = scene
        .eventually("the correction is on record", async || {
            let web = scene.connections().get("web").await.map_err(|error| error.to_string())?;
            web.status.and_then(|status| status.last_drift).ok_or("none".to_owned())
        })
        .await;
    assert_eq!(last.fields, [COLOR, "/displayName"]);
    assert!(last.detected_at <= last.corrected_at);
    let (kind, note) = scene.told("web", "DriftCorrected").await;
    assert!(
        kind == "Normal" && note.contains(COLOR) && note.contains("/displayName"),
        "{kind}: {note}"
    );
    assert_eq!(scene.metric(&drift("corrected")), Some(1));
    scene.time_passes(3).await;

    assert_eq!(scene.operator_manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    let found = scene.writes_to(&["web", "web-connection", "support", "acme"], writes);
    assert_eq!(found, ["update channelconnections/status web"]);
    let held = account.connections().await.unwrap().remove(0);
    assert_eq!(held.display_name, "web");
    let web: ChannelConnection = scene.ready("web").await;
    assert_eq!(web.status.unwrap().drift, None);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_an_interface_is_kept_on_record_too() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap();
    account
        .patch_interface(&id, &json!({ "displayName": "Changed by hand" }))
        .await
        .unwrap();
    scene.told("support", "DriftCorrected").await;
    let support: DigitalMessagingInterface = scene
        .eventually("the correction is on record", async || {
            let support = scene.interfaces().get("support").await.map_err(|error| error.to_string())?;
            let kept = support.status.as_ref().is_some_and(|status| status.last_drift.is_some());
            if kept { Ok(support) } else { Err("not yet".to_owned()) }
        })
        .await;
    assert_eq!(support.status.unwrap().last_drift.unwrap().fields, ["/displayName"]);
    assert_eq!(account.interfaces().await.unwrap()[0].spec.display_name, "Acme support");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_waits_for_approval_is_named_since_it_was_first_seen() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;

    account
        .patch_connection(&id, &json!({ "channel": { "primaryColor": "#222222" } }))
        .await
        .unwrap();
    let first = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    let (web, drifted) = scene
        .condition::<ChannelConnection>("web", "Drifted", "True", "Differs")
        .await;
    assert!(drifted.message.contains(COLOR), "{drifted}");
    let since = web.status.unwrap().drift.unwrap();
    assert_eq!(since.fields, [COLOR]);
    scene.metric_is(&drift("waiting"), 1).await;

    // More of it later is still the same drift.
    account
        .patch_connection(&id, &json!({ "displayName": "Changed by hand" }))
        .await
        .unwrap();
    let second = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&first)).await;
    let web = scene.connections().get("web").await.unwrap().status.unwrap();
    let now = web.drift.unwrap();
    assert_eq!((now.fields.len(), &now.since), (2, &since.since));

    scene.annotate::<ChannelConnection>("web", APPROVE, &second.hash).await;
    scene.ready::<ChannelConnection>("web").await;
    let web = scene.connections().get("web").await.unwrap().status.unwrap();
    assert_eq!(web.drift, None);
    assert_eq!(web.last_drift.unwrap().detected_at, since.since);
    assert_eq!(scene.metric(&drift("corrected")), Some(1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_the_manager_does_not_let_be_put_right_stays_named() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    // The change by hand comes first and goes through.
    let path = format!("/v1/connections/{id}");
    for rule in [
        Rule::new(Fault::Latency(Duration::ZERO)).once(),
        Rule::new(Fault::Problem(Code::Forbidden, None)),
    ] {
        scene.faults.push(rule.method(Method::PATCH).path(path.clone()));
    }
    account
        .patch_connection(&id, &json!({ "channel": { "primaryColor": "#222222" } }))
        .await
        .unwrap();
    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "Forbidden")
        .await;
    let (web, _) = scene
        .condition::<ChannelConnection>("web", "Drifted", "True", "Differs")
        .await;
    assert_eq!(web.status.unwrap().drift.unwrap().fields, [COLOR]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_spec_never_set_is_the_managers_and_no_drift() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    let calls = scene.journal.len();
    let theirs = json!({ "channel": { "allowedDomains": ["theirs.example"] } });
    account.patch_connection(&id, &theirs).await.unwrap();
    scene.meanwhile().await;
    assert_eq!(scene.operator_manager_writes(calls), Vec::<String>::new());

    // Set once, then taken away: only that returns to the default.
    let logo = |url| json!({ "spec": { "channel": { "webMessaging": { "logoUrl": url } } } });
    scene
        .patch::<ChannelConnection>("web", logo(Some("https://acme.example/logo.svg")))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.patch::<ChannelConnection>("web", logo(None)).await;
    scene.ready::<ChannelConnection>("web").await;
    let held = serde_json::to_value(&account.connections().await.unwrap()[0].channel).unwrap();
    assert_eq!(held["logoUrl"], serde_json::Value::Null);
    assert_eq!(held["allowedDomains"], json!(["theirs.example"]));
    assert_eq!(scene.metric(&drift("corrected")), None);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_writes_nothing_sees_drift_and_gets_no_secret() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = made_by_hand(&scene, &account, "By hand").await;
    let mark = scene.journal.len();
    let observing = with(connection("web", "support", &web()), "displayName", json!("By hand"));
    let observing = with(observing, "adoption", json!({ "by": "ID", "id": id, "mode": "Match" }));
    scene
        .apply(with(observing, "policy", json!({ "management": "Observe" })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert!(!scene.outputs("web").await.contains_key("jwtSecret"));

    account
        .patch_connection(&id, &json!({ "channel": { "primaryColor": "#222222" } }))
        .await
        .unwrap();
    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "Differs")
        .await;
    let drifted = scene.connections().get("web").await.unwrap().status.unwrap().drift.unwrap();
    assert_eq!(drifted.fields, [COLOR]);
    scene.metric_is(&drift("reported"), 1).await;
    assert_eq!(scene.operator_manager_writes(mark), Vec::<String>::new());
    assert_eq!(account.connections().await.unwrap()[0].external_reference, None);
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! Every change waits for its own approval: creation, adoption, a changed spec, drift, deletion.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use kube::api::DeleteParams;
use serde_json::json;

use super::{APPROVE, made_by_hand, plan_that_waits, required, with};
use crate::scene::{Scene, connection, interface, web};

const WAITING: &str = "digital_messaging_plans_waiting{kind=\"ChannelConnection\"}";

#[tokio::test(flavor = "multi_thread")]
async fn every_change_waits_for_its_own_approval_and_a_serving_channel_stays_ready() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(required(connection("web", "support", &web()))).await;

    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    assert_eq!(account.connections().await.unwrap(), []);
    let creation = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    let (kind, note) = scene.told("web", "AwaitingApproval").await;
    assert!(kind == "Normal" && note.contains("status.plan"), "{kind}: {note}");
    scene.metric_is(WAITING, 1).await;
    scene.annotate::<ChannelConnection>("web", APPROVE, &creation.hash).await;
    let made: ChannelConnection = scene.ready("web").await;
    assert!(made.status.unwrap().plan.is_none());
    scene.metric_is(WAITING, 0).await;

    let change = |color: &str| json!({ "spec": { "channel": { "webMessaging": { "primaryColor": color } } } });
    scene.patch::<ChannelConnection>("web", change("#111111")).await;
    let first = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&creation)).await;
    let shown = &first.changes[0];
    assert_eq!(
        (
            shown.field.as_str(),
            shown.from.as_deref(),
            shown.to.as_deref(),
            shown.destructive
        ),
        ("/channel/webMessaging/primaryColor", Some("#0b5cad"), Some("#111111"), false)
    );
    let waiting = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    assert!(waiting.1.message.contains(&first.hash));
    scene
        .condition_of_any_generation::<ChannelConnection>("web", "Ready", "True", "Ready")
        .await;
    scene.annotate::<ChannelConnection>("web", APPROVE, &first.hash).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_good_for_one_time_however_often_the_same_difference_returns() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    let by_hand = json!({ "channel": { "primaryColor": "#0b5cad" } });
    let change =
        json!({ "spec": { "policy": { "approval": "Required" }, "channel": { "webMessaging": { "primaryColor": "#111111" } } } });
    scene.patch::<ChannelConnection>("web", change).await;

    let mut plan = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    let mut seen = vec![plan.hash.clone()];
    for _ in 0..3 {
        let calls = scene.journal.len();
        scene.annotate::<ChannelConnection>("web", APPROVE, &plan.hash).await;
        scene.ready::<ChannelConnection>("web").await;
        assert_eq!(scene.operator_manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
        // Back again by hand, with the old approval still on the object.
        account.patch_connection(&id, &by_hand).await.unwrap();
        plan = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&plan)).await;
        assert!(!seen.contains(&plan.hash), "{seen:?}");
        seen.push(plan.hash.clone());
        // No old hash will do.
        for old in &seen[..seen.len() - 1] {
            scene.annotate::<ChannelConnection>("web", APPROVE, old).await;
        }
        let calls = scene.meanwhile().await;
        assert!(!calls.iter().any(|call| call.path.contains(&id)), "{calls:?}");
        assert_eq!(account.connections().await.unwrap()[0].id, id);
    }
    scene
        .condition_of_any_generation::<ChannelConnection>("web", "Drifted", "True", "Differs")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_waits_again_when_either_side_moves_on_before_it_is_approved() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    let change = json!({ "spec": { "policy": { "approval": "Required" }, "displayName": "Chat" } });
    scene.patch::<ChannelConnection>("web", change).await;
    let first = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;

    // At the manager, in a field that the plan does not even name.
    let elsewhere = json!({ "channel": { "allowedDomains": ["acme.example"] } });
    account.patch_connection(&id, &elsewhere).await.unwrap();
    let second = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&first)).await;
    assert_eq!(second.changes, first.changes);
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "displayName": "Help" } }))
        .await;
    let third = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&second)).await;
    let calls = scene.journal.len();
    for void in [&first, &second] {
        scene.annotate::<ChannelConnection>("web", APPROVE, &void.hash).await;
        scene.meanwhile().await;
    }
    assert_eq!(scene.operator_manager_writes(calls), Vec::<String>::new());
    let status = scene.connections().get("web").await.unwrap().status.unwrap();
    assert_eq!(status.plan.unwrap().hash, third.hash);
    scene.annotate::<ChannelConnection>("web", APPROVE, &third.hash).await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(account.connections().await.unwrap()[0].display_name, "Help");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_approval_to_be_adopted_is_adopted_once_approved() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = made_by_hand(&scene, &account, "By hand").await;
    let adoption = json!({ "by": "ID", "id": id, "mode": "Override" });
    scene
        .apply(required(with(connection("web", "support", &web()), "adoption", adoption)))
        .await;

    let plan = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    assert!(scene.connections().get("web").await.unwrap().status.unwrap().id.is_none());
    scene.annotate::<ChannelConnection>("web", APPROVE, &plan.hash).await;
    let adopted: ChannelConnection = scene.ready("web").await;
    assert_eq!(adopted.status.unwrap().id, Some(id));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_at_the_manager_waits_for_approval_too() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    let policy = json!({ "deletion": "Delete", "approval": "Required" });
    scene.apply(with(interface("support", "acme"), "policy", policy)).await;
    let creation = plan_that_waits::<DigitalMessagingInterface>(&scene, "support", None).await;
    scene
        .annotate::<DigitalMessagingInterface>("support", APPROVE, &creation.hash)
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;

    scene.interfaces().delete("support", &DeleteParams::default()).await.unwrap();
    let deletion = plan_that_waits::<DigitalMessagingInterface>(&scene, "support", Some(&creation)).await;
    assert!(deletion.changes[0].destructive);
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene
        .annotate::<DigitalMessagingInterface>("support", APPROVE, &deletion.hash)
        .await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    assert_eq!(account.interfaces().await.unwrap(), []);
    scene.finish().await;
}

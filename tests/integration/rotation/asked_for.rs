// SPDX-License-Identifier: Apache-2.0

//! A person asks for a new JWT secret: it is made once, handed out, and the one before is honoured for a while.

use std::time::Duration;

use digital_messaging_operator::api::{ChannelConnection, annotation::CONTENT_HASH, annotation::ROTATE_SECRET};
use jiff::Timestamp;
use kube::ResourceExt;
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::scene::{DEADLINE, Scene, connection, web};

#[tokio::test(flavor = "multi_thread")]
async fn each_new_token_makes_one_new_secret_and_the_outputs_follow() {
    let scene = Scene::with(|manager| manager.jwt_secret_grace = Duration::from_hours(1), |_| {}).await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let (first, made) = (scene.outputs("web").await, scene.secret("web-connection").await.unwrap());
    scene.counted(1).await;

    let (calls, writes) = (scene.journal.len(), scene.audit_mark());
    scene.ask_to_rotate("web", "one").await;
    let after = scene.rotated("web", "one").await;
    let second = scene.outputs("web").await;
    assert_ne!(second["jwtSecret"], first["jwtSecret"]);
    let told = account.jwt_secret(&id).await.unwrap();
    assert_eq!(second["jwtSecret"], told.jwt_secret.expose());
    let honoured = told.previous_valid_until.expect("the secret before is honoured for a while");
    assert!(honoured > Timestamp::now());

    // What uses the Secret can roll on its hash, which the same status write told.
    let secret = scene.secret("web-connection").await.unwrap();
    assert_ne!(secret.annotations()[CONTENT_HASH], made.annotations()[CONTENT_HASH]);
    assert_eq!(
        after.status.unwrap().outputs.unwrap().content_hash,
        secret.annotations()[CONTENT_HASH]
    );

    scene.ready::<ChannelConnection>("web").await;
    scene.time_passes(2).await;
    assert_eq!(
        scene.manager_writes(calls),
        [format!("POST /v1/connections/{id}/jwt-secret/rotate")]
    );
    let mut written = scene.writes_to(&["web", "web-connection"], writes);
    written.retain(|write| !write.starts_with("create secrets"));
    assert_eq!(
        written,
        ["update secrets web-connection", "update channelconnections/status web"]
    );

    // The same token once more, and any other change, rotate nothing.
    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/retry", "1")
        .await;
    scene.ask_to_rotate("web", "one").await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "displayName": "Web" } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!((scene.rotations(&account, &id).await, scene.asked_to_rotate(calls)), (1, 1));

    scene.ask_to_rotate("web", "two").await;
    scene.rotated("web", "two").await;
    assert_ne!(scene.outputs("web").await["jwtSecret"], second["jwtSecret"]);
    assert_eq!((scene.rotations(&account, &id).await, scene.asked_to_rotate(calls)), (2, 2));
    let news = scene
        .eventually("the events are there", async || {
            let news = scene.told_of_rotations("web").await;
            if news.len() >= 2 { Ok(news) } else { Err(format!("{news:?}")) }
        })
        .await;
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(
        news[0].contains("web-connection") && news[0].contains("honoured until"),
        "{news:?}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_and_rotates_nothing_more() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let calls = scene.journal.len();
    scene.faults.push(Rule::new(Fault::DropReply).path_end("/rotate").once());
    scene.ask_to_rotate("web", "one").await;
    scene.rotated("web", "one").await;
    let held = account.jwt_secret(&id).await.unwrap();
    assert_eq!(scene.outputs("web").await["jwtSecret"], held.jwt_secret.expose());
    assert_eq!((scene.asked_to_rotate(calls), scene.rotations(&account, &id).await), (2, 1));
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_rotation_is_made_good_by_the_next_leader() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let before = scene.outputs("web").await;
    let answered = CancellationToken::new();
    scene
        .faults
        .push(Rule::new(Fault::HoldReply(answered.clone())).path_end("/rotate").once());
    scene.ask_to_rotate("web", "one").await;
    scene
        .eventually("the manager has rotated", async || {
            let held = account.connections().await.map_err(|error| error.to_string())?;
            held[0].jwt_secret_rotation.clone().ok_or("not yet".to_owned())
        })
        .await;
    scene.crash_operator().await;
    assert_eq!(scene.outputs("web").await, before);

    scene.start_operator().await;
    scene.rotated("web", "one").await;
    answered.cancel();
    let held = account.jwt_secret(&id).await.unwrap();
    assert_eq!(scene.outputs("web").await["jwtSecret"], held.jwt_secret.expose());
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_for_approval_like_any_change() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let calls = scene.journal.len();
    scene.ask_to_rotate("web", "one").await;
    let (waiting, _) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    scene.condition::<ChannelConnection>("web", "Ready", "True", "Ready").await;
    let plan = waiting.status.unwrap().plan.unwrap();
    let [change] = plan.changes.as_slice() else {
        panic!("one change: {plan:?}")
    };
    assert_eq!(
        (change.field.as_str(), change.to.as_deref()),
        ("/outputs/jwtSecret", Some("rotated"))
    );
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/approve", &plan.hash)
        .await;
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!((scene.asked_to_rotate(calls), scene.rotations(&account, &id).await), (1, 1));

    // The approval is used up.
    scene.ask_to_rotate("web", "two").await;
    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_rotation_whose_answer_is_lost_needs_no_second_approval() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.faults.push(Rule::new(Fault::DropReply).path_end("/rotate").once());
    scene.ask_to_rotate("web", "one").await;
    let (waiting, _) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    let plan = waiting.status.unwrap().plan.unwrap();
    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/approve", &plan.hash)
        .await;
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_connection_rotates_when_it_goes_on() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let suspend = |suspend: bool| json!({ "spec": { "suspend": suspend } });
    scene.patch::<ChannelConnection>("web", suspend(true)).await;
    scene
        .condition::<ChannelConnection>("web", "Reconciling", "False", "Suspended")
        .await;
    let calls = scene.journal.len();
    scene.ask_to_rotate("web", "one").await;
    scene.time_passes(2).await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene.patch::<ChannelConnection>("web", suspend(false)).await;
    scene.rotated("web", "one").await;
    assert_eq!((scene.asked_to_rotate(calls), scene.rotations(&account, &id).await), (1, 1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_with_the_resource_or_comes_back_with_it_rotates_nothing_more() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let calls = scene.journal.len();
    let mut web = connection("web", "support", &web());
    web["metadata"]["annotations"] = json!({ ROTATE_SECRET: "in git" });
    scene.apply(web.clone()).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.rotated("web", "in git").await;
    let id = scene.connection_id("web").await;
    assert_eq!((scene.asked_to_rotate(calls), scene.rotations(&account, &id).await), (0, 0));

    web["metadata"]["annotations"] = json!({ ROTATE_SECRET: "in git, changed" });
    scene.apply(web.clone()).await;
    scene.rotated("web", "in git, changed").await;
    let rotated = scene.outputs("web").await;
    scene.delete::<ChannelConnection>("web").await;
    scene.apply(web).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.rotated("web", "in git, changed").await;
    assert_eq!(scene.outputs("web").await, rotated);
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_into_the_annotation_stays_short_on_its_way() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    // Fails at the end if it is in a log, status or event as a whole.
    let hostile = scene.secret_value(&"\u{1b}[31m\r\nrotate ".repeat(4_000));
    let calls = scene.journal.len();
    scene.ask_to_rotate("web", &hostile).await;
    let shown: String = hostile.chars().take(256).collect();
    scene.rotated("web", &shown).await;
    scene.ready::<ChannelConnection>("web").await;
    let held = account.connections().await.unwrap();
    assert_eq!(held[0].jwt_secret_rotation.as_ref().unwrap().len(), 43);
    scene.time_passes(2).await;
    assert_eq!((scene.asked_to_rotate(calls), scene.rotations(&account, &id).await), (1, 1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_given_while_the_manager_is_away_is_used_when_it_is_back() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "approval": "Required" } } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.ask_to_rotate("web", "one").await;
    let (waiting, _) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    let plan = waiting.status.unwrap().plan.unwrap();
    let calls = scene.journal.len();
    scene.faults.push(Rule::new(Fault::Status(503)).path_end("/rotate"));
    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/approve", &plan.hash)
        .await;
    let refused = |entries: &[Entry]| entries[calls..].iter().filter(|call| call.path.ends_with("/rotate")).count() >= 2;
    scene
        .journal
        .wait_until(DEADLINE, refused)
        .await
        .expect("it is tried, in vain, and again");
    scene.faults.clear();
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

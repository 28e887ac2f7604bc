// SPDX-License-Identifier: Apache-2.0

//! A rotation that cannot be made is refused in words, and holds nothing else up.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::{
    api::{ChannelConnection, annotation::ROTATE_SECRET},
    controller::reason::Reason,
};
use kube::api::DeleteParams;
use messaging_manager::faults::{Fault, Rule};
use serde_json::{Value, json};

use crate::{
    lifecycle::channel_secret,
    scene::{Scene, assert_serves, connection, sms},
};

/// A merge patch that takes the request back, as the message says.
fn taken_back() -> Value {
    json!({ "metadata": { "annotations": { ROTATE_SECRET: null } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_without_a_generated_secret_has_nothing_to_rotate() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene
        .apply_all([
            channel_secret(&scene, "tokens"),
            connection("sms", "support", &sms("+14155550101", "tokens")),
        ])
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    let calls = scene.journal.len();
    scene.ask_to_rotate("sms", "one").await;
    let refused: ChannelConnection = scene
        .trouble("sms", Reason::RotationRefused, "generates no secret for this channel")
        .await;
    assert_serves(&refused);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    // What is declared is not held up by it.
    scene
        .patch::<ChannelConnection>("sms", json!({ "spec": { "displayName": "Text" } }))
        .await;
    scene
        .trouble::<ChannelConnection>("sms", Reason::RotationRefused, "kubectl annotate")
        .await;
    let id = scene.connection_id("sms").await;
    assert_eq!(scene.manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);

    scene.patch::<ChannelConnection>("sms", taken_back()).await;
    scene.ready::<ChannelConnection>("sms").await;
    scene
        .assert_told_once::<ChannelConnection>("sms", Reason::RotationRefused)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_rotates_nothing_until_he_may() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let management = |management: &str| json!({ "spec": { "policy": { "management": management } } });
    scene.patch::<ChannelConnection>("web", management("Observe")).await;
    scene.ready::<ChannelConnection>("web").await;
    let calls = scene.journal.len();
    scene.ask_to_rotate("web", "one").await;
    let refused: ChannelConnection = scene.trouble("web", Reason::RotationRefused, "management: Observe").await;
    assert_serves(&refused);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene.patch::<ChannelConnection>("web", management("Full")).await;
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_could_not_be_handed_out_is_not_made() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    scene
        .apply(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "theirs" } }))
        .await;
    let calls = scene.journal.len();
    let patch = json!({
        "metadata": { "annotations": { ROTATE_SECRET: "one" } },
        "spec": { "outputs": { "secret": { "name": "theirs" } } },
    });
    scene.patch::<ChannelConnection>("web", patch).await;
    scene
        .trouble::<ChannelConnection>("web", Reason::OutputConflict, "theirs")
        .await;
    assert_eq!(scene.asked_to_rotate(calls), 0);

    scene.secrets().delete("theirs", &DeleteParams::default()).await.unwrap();
    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/retry", "1")
        .await;
    scene.rotated("web", "one").await;
    let held = account.jwt_secret(&id).await.unwrap();
    assert_eq!(scene.outputs_of_secret("theirs").await["jwtSecret"], held.jwt_secret.expose());
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_does_not_rotate_is_asked_once() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let id = scene.ready_web().await;
    let before = scene.outputs("web").await;
    scene
        .faults
        .push(Rule::new(Fault::Problem(Code::NotFound, None)).path_end("/rotate"));
    let calls = scene.journal.len();
    scene.ask_to_rotate("web", "one").await;
    let refused: ChannelConnection = scene.trouble("web", Reason::Rejected, "injected").await;
    assert_serves(&refused);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(
        scene.manager_writes(calls),
        [format!("POST /v1/connections/{id}/jwt-secret/rotate")]
    );
    assert_eq!(scene.outputs("web").await, before);
    scene.finish().await;
}

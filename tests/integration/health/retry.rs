// SPDX-License-Identifier: Apache-2.0

//! The annotation `retry` tries now, once, whatever the operator waits for; a restart does not repeat it.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation},
    controller::reason::Reason,
};
use http::Method;
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};

use crate::scene::{Scene, connection, interface, web};

/// So long the manager asks to be left alone: longer than any test waits.
const AN_HOUR: Option<u64> = Some(3600);

fn down() -> Rule {
    Rule::new(Fault::Problem(Code::Unavailable, AN_HOUR))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_credential_closes_the_breaker_long_before_the_next_attempt() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.faults.push(down());
    scene
        .trouble::<ManagerCredential>("acme", Reason::ManagerUnavailable, "injected")
        .await;
    let calls = scene.journal.len();
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "in vain")
        .await;
    scene.handled::<ManagerCredential>("acme", "in vain").await;
    scene.time_passes(4).await;
    let tried = scene.manager_calls(calls);
    // The credentials are proven anew, and the account is looked at: each once.
    assert!(!tried.is_empty() && tried.len() <= 2, "{tried:#?}");

    scene.restart_operator().await;
    scene.wait_until_leading().await;
    let calls = scene.journal.len();
    scene.time_passes(4).await;
    // The given key and the one that was proven last, which are the same: the restart tries them, the token does not.
    assert!(scene.manager_calls(calls).len() <= 2, "{:#?}", scene.manager_calls(calls));

    scene.faults.clear();
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "it is back")
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_an_interface_tries_once_while_the_breaker_is_open_and_closes_it() {
    let scene = Scene::new().await;
    scene.ready_credential().await;
    scene.faults.push(down());
    scene
        .trouble::<ManagerCredential>("acme", Reason::ManagerUnavailable, "injected")
        .await;
    scene.apply(interface("support", "acme")).await;
    scene
        .trouble::<DigitalMessagingInterface>("support", Reason::CredentialNotReady, "injected")
        .await;
    assert_eq!(scene.journal.count(Entry::is_write), 0, "the breaker is open");
    scene
        .annotate::<DigitalMessagingInterface>("support", annotation::RETRY, "in vain")
        .await;
    scene.handled::<DigitalMessagingInterface>("support", "in vain").await;
    scene.time_passes(4).await;
    assert_eq!(scene.journal.count(Entry::is_write), 1);

    scene.faults.clear();
    scene
        .annotate::<DigitalMessagingInterface>("support", annotation::RETRY, "it is back")
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_connection_tries_once_while_the_breaker_is_open_and_a_restart_does_not_repeat_it() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.faults.push(down());
    scene
        .trouble::<ManagerCredential>("acme", Reason::ManagerUnavailable, "injected")
        .await;
    scene.apply(connection("web", "support", &web())).await;
    scene
        .trouble::<ChannelConnection>("web", Reason::CredentialNotReady, "injected")
        .await;
    let is_create = |call: &Entry| call.method == Method::POST && call.path == "/v1/connections";
    scene.annotate::<ChannelConnection>("web", annotation::RETRY, "in vain").await;
    scene.handled::<ChannelConnection>("web", "in vain").await;
    scene.time_passes(4).await;
    assert_eq!(scene.journal.count(is_create), 1);

    // Only what writes is broken, so that the restarted operator gets as far as the connection.
    scene.faults.clear();
    scene.faults.push(down().method(Method::POST));
    scene.restart_operator().await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .trouble::<ChannelConnection>("web", Reason::ManagerUnavailable, "injected")
        .await;
    scene.time_passes(4).await;
    assert_eq!(
        scene.journal.count(is_create),
        2,
        "the restart tries once, the token does not"
    );

    scene.faults.clear();
    scene
        .annotate::<ChannelConnection>("web", annotation::RETRY, "it is back")
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene.finish().await;
}

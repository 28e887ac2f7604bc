// SPDX-License-Identifier: Apache-2.0

//! What a manager may answer to a write.

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
use rstest::rstest;

use crate::scene::{Scene, assert_not_ready, assert_serves, connection, interface, web};

fn creates(fault: Fault) -> Rule {
    Rule::new(fault).method(Method::POST).path("/v1/connections")
}

fn is_create(call: &Entry) -> bool {
    call.method == Method::POST && call.path == "/v1/connections"
}

/// Failures that may pass: tried again by itself, ever more slowly.
#[rstest]
#[case::internal_error(Fault::Problem(Code::Internal, None), Reason::ManagerUnavailable, "injected")]
#[case::unavailable(Fault::Problem(Code::Unavailable, None), Reason::ManagerUnavailable, "injected")]
#[case::no_answer(Fault::DropRequest, Reason::ManagerUnreachable, "cannot reach the manager")]
#[case::a_page_of_html(Fault::Html, Reason::UnexpectedResponse, "text/html")]
#[case::far_too_much(Fault::OversizedBody(2 * 1024 * 1024), Reason::UnexpectedResponse, "larger than 1 MiB")]
#[case::a_redirect(Fault::Redirect("https://elsewhere.example/".to_owned()), Reason::UnexpectedResponse, "redirect")]
#[case::bare_404(Fault::Status(404), Reason::UnexpectedResponse, "404")]
#[case::interface_gone(Fault::Problem(Code::NotFound, None), Reason::InterfaceNotReady, "interface")]
#[case::reference_of_nobody(Fault::Problem(Code::ReferenceExists, None), Reason::AlreadyClaimed, "injected")]
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_is_tried_again_ever_more_slowly(#[case] fault: Fault, #[case] reason: Reason, #[case] hint: &str) {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.faults.push(creates(fault));
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.trouble("web", reason, hint).await;
    assert_not_ready(&web, reason);
    scene.assert_backs_off(is_create).await;

    scene.faults.clear();
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.assert_told_once::<ChannelConnection>("web", reason).await;
    scene.finish().await;
}

/// Refusals that only a person can end: tried once.
#[rstest]
#[case::forbidden(Code::Forbidden, Reason::Forbidden)]
#[case::invalid(Code::ValidationFailed, Reason::Rejected)]
#[case::claimed(Code::NaturalKeyClaimed, Reason::AlreadyClaimed)]
#[case::full(Code::QuotaExceeded, Reason::QuotaExceeded)]
#[case::wrong_secret(Code::CredentialsRejected, Reason::ChannelCredentialsRejected)]
#[case::not_offered(Code::ChannelUnsupported, Reason::ChannelUnsupported)]
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_is_not_tried_again_before_someone_asks(#[case] code: Code, #[case] reason: Reason) {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.faults.push(creates(Fault::Problem(code, None)));
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.trouble("web", reason, "injected").await;
    assert_not_ready(&web, reason);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(scene.journal.count(is_create), 1);
    scene.ready::<ManagerCredential>("acme").await;

    scene.faults.clear();
    scene
        .annotate::<ChannelConnection>("web", annotation::RETRY, "put right at the manager")
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.assert_told_once::<ChannelConnection>("web", reason).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_manager_refuses_is_told_by_its_field_and_the_next_one_is_tried_at_once() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let refusal = Fault::Problem(Code::ValidationFailed, None);
    scene.faults.push(Rule::new(refusal).method(Method::PATCH).once());
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    let color = |color: &str| serde_json::json!({ "spec": { "channel": { "webMessaging": { "primaryColor": color } } } });
    scene.patch::<ChannelConnection>("web", color("#000000")).await;
    let web: ChannelConnection = scene.trouble("web", Reason::Rejected, "injected").await;
    assert_serves(&web);
    assert_eq!(scene.meanwhile().await, []);

    scene.patch::<ChannelConnection>("web", color("#111111")).await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.assert_told_once::<ChannelConnection>("web", Reason::Rejected).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_slow_the_session_down_before_anyone_hears_of_it() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let busy = Fault::Problem(Code::RateLimited, Some(1));
    scene.faults.push(creates(busy).times(3));
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.ready("web").await;
    scene.outputs("web").await;
    let at: Vec<_> = scene
        .journal
        .entries()
        .into_iter()
        .filter(is_create)
        .map(|call| call.at)
        .collect();
    assert_eq!(at.len(), 4);
    assert!(
        at.windows(2).all(|pair| pair[1].duration_since(pair[0]).as_secs_f64() >= 1.0),
        "{at:?}"
    );
    assert_eq!(web.status.unwrap().conditions.len(), 2, "it only took longer");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_stays_busy_is_told() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.faults.push(creates(Fault::Problem(Code::RateLimited, Some(1))));
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.trouble("web", Reason::RateLimited, "injected").await;
    assert_not_ready(&web, Reason::RateLimited);

    scene.faults.clear();
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene.assert_told_once::<ChannelConnection>("web", Reason::RateLimited).await;
    scene.finish().await;
}

#[rstest]
#[case::lost(Fault::DropReply)]
#[case::broken_off(Fault::TruncateBody)]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_gets_lost_leaves_no_second_connection(#[case] fault: Fault) {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.faults.push(creates(fault).once());
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.ready("web").await;
    scene.outputs("web").await;
    let held = account.connections().await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(web.status.unwrap().id.as_ref(), Some(&held[0].id));
    scene.finish().await;
}

#[rstest]
#[case::unavailable(Fault::Problem(Code::Unavailable, None), Reason::ManagerUnavailable, "injected")]
#[case::not_found(Fault::Problem(Code::NotFound, None), Reason::UnexpectedResponse, "endpoint")]
#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_cannot_be_made_is_tried_again_ever_more_slowly(
    #[case] fault: Fault,
    #[case] reason: Reason,
    #[case] hint: &str,
) {
    let scene = Scene::new().await;
    scene.ready_credential().await;
    scene
        .faults
        .push(Rule::new(fault).method(Method::POST).path("/v1/interfaces"));
    scene.apply(interface("support", "acme")).await;
    let support: DigitalMessagingInterface = scene.trouble("support", reason, hint).await;
    assert_not_ready(&support, reason);
    scene.assert_backs_off(|call| call.method == Method::POST).await;

    scene.faults.clear();
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.assert_told_once::<DigitalMessagingInterface>("support", reason).await;
    scene.finish().await;
}

/// Reads work, writes do not: an account must not be taken for healthy again by a read alone, over and over.
#[tokio::test(flavor = "multi_thread")]
async fn many_writes_that_fail_do_not_take_turns_in_failing() {
    const CONNECTIONS: usize = 30;
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.faults.push(creates(Fault::Problem(Code::Unavailable, None)));
    for n in 0..CONNECTIONS {
        scene.apply(connection(&format!("web-{n}"), "support", &web())).await;
    }
    scene
        .trouble::<ManagerCredential>("acme", Reason::ManagerUnavailable, "injected")
        .await;
    for _ in 0..3 {
        scene.meanwhile().await;
    }
    let tries: Vec<_> = scene
        .journal
        .entries()
        .into_iter()
        .filter(is_create)
        .map(|call| call.at)
        .collect();
    let took = tries[tries.len() - 1].duration_since(tries[0]);
    // All of them once at most before it is noticed, and then one after the other.
    assert!(tries.len() <= CONNECTIONS + 10, "{} tries in {took}", tries.len());

    scene.faults.clear();
    for n in 0..CONNECTIONS {
        scene.ready::<ChannelConnection>(&format!("web-{n}")).await;
        scene.outputs(&format!("web-{n}")).await;
    }
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::ManagerUnavailable)
        .await;
    scene.finish().await;
}

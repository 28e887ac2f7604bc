// SPDX-License-Identifier: Apache-2.0

//! What a manager, or whatever answers in its place, may say when it is asked who it is.

use digital_messaging_contract::{account::AuthenticationMethod, problem::Code};
use digital_messaging_operator::{
    api::{ManagerCredential, annotation},
    controller::reason::Reason,
};
use messaging_manager::faults::{Fault, Rule};
use rstest::rstest;

use crate::scene::{Scene, assert_not_ready};

/// Failures that may pass: tried again and again, ever more slowly.
#[rstest]
#[case::internal_error(Fault::Problem(Code::Internal, None), Reason::ManagerUnavailable, "injected")]
#[case::bare_500(Fault::Status(500), Reason::ManagerUnavailable, "500")]
#[case::bare_503(Fault::Status(503), Reason::ManagerUnavailable, "503")]
#[case::too_many_requests(Fault::Problem(Code::RateLimited, None), Reason::RateLimited, "injected")]
#[case::bare_404(Fault::Status(404), Reason::UnexpectedResponse, "404")]
#[case::not_found(Fault::Problem(Code::NotFound, None), Reason::UnexpectedResponse, "endpoint")]
#[case::conflict(Fault::Problem(Code::NaturalKeyClaimed, None), Reason::UnexpectedResponse, "endpoint")]
#[case::invalid(Fault::Problem(Code::ValidationFailed, None), Reason::UnexpectedResponse, "endpoint")]
#[case::a_page_of_html(Fault::Html, Reason::UnexpectedResponse, "text/html")]
#[case::far_too_much(Fault::OversizedBody(2 * 1024 * 1024), Reason::UnexpectedResponse, "larger than 1 MiB")]
#[case::a_redirect(Fault::Redirect("https://elsewhere.example/".to_owned()), Reason::UnexpectedResponse, "put the final address into the endpoint")]
#[case::half_an_answer(Fault::TruncateBody, Reason::ManagerUnreachable, "cannot reach the manager")]
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_may_pass_is_tried_again_ever_more_slowly(
    #[case] fault: Fault,
    #[case] reason: Reason,
    #[case] hint: &str,
) {
    let scene = Scene::new().await;
    scene.faults.push(Rule::new(fault));
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    let acme: ManagerCredential = scene.trouble("acme", reason, hint).await;
    assert_not_ready(&acme, reason);
    scene.assert_backs_off(|_| true).await;

    scene.faults.clear();
    scene.ready::<ManagerCredential>("acme").await;
    scene.assert_told_once::<ManagerCredential>("acme", reason).await;
    scene.finish().await;
}

/// Refusals that only a person can end: tried once.
#[rstest]
#[case::bare_401(Fault::Status(401), Reason::AuthenticationRefused, "401")]
#[case::bare_403(Fault::Status(403), Reason::Forbidden, "403")]
#[case::forbidden(Fault::Problem(Code::Forbidden, None), Reason::Forbidden, "injected")]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_tried_again_before_someone_asks(#[case] fault: Fault, #[case] reason: Reason, #[case] hint: &str) {
    let scene = Scene::new().await;
    scene.faults.push(Rule::new(fault));
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    let acme: ManagerCredential = scene.trouble("acme", reason, hint).await;
    assert_not_ready(&acme, reason);
    assert_eq!(scene.meanwhile().await, []);

    scene.faults.clear();
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "allowed now")
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.assert_told_once::<ManagerCredential>("acme", reason).await;
    scene.finish().await;
}

#[rstest]
#[case::too_many_requests(Code::RateLimited, Reason::RateLimited)]
#[case::unavailable(Code::Unavailable, Reason::ManagerUnavailable)]
#[tokio::test(flavor = "multi_thread")]
async fn the_manager_says_when_to_come_back(#[case] code: Code, #[case] reason: Reason) {
    let scene = Scene::new().await;
    scene.faults.push(Rule::new(Fault::Problem(code, Some(4))).once());
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    scene.trouble::<ManagerCredential>("acme", reason, "injected").await;
    scene.ready::<ManagerCredential>("acme").await;
    let calls = scene.journal.entries();
    let waited = calls[1].at.duration_since(calls[0].at).as_secs_f64();
    assert!(waited >= 4.0, "came back after {waited} s");
    scene.assert_told_once::<ManagerCredential>("acme", reason).await;
    scene.finish().await;
}

#[rstest]
#[case::html(Fault::Html, Reason::UnexpectedResponse)]
#[case::unavailable(Fault::Problem(Code::Unavailable, None), Reason::ManagerUnavailable)]
#[case::forbidden(Fault::Problem(Code::Forbidden, None), Reason::Forbidden)]
#[case::skewed_clock(Fault::Problem(Code::ClockSkew, None), Reason::ClockSkew)]
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_watched_any_more_is_told_once_and_found_again(#[case] fault: Fault, #[case] reason: Reason) {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.faults.push(Rule::new(fault).path("/v1/changes"));
    let acme: ManagerCredential = scene.trouble("acme", reason, "").await;
    assert_not_ready(&acme, reason);

    scene.faults.clear();
    scene.annotate::<ManagerCredential>("acme", annotation::RETRY, "now").await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.assert_told_once::<ManagerCredential>("acme", reason).await;
    scene.finish().await;
}

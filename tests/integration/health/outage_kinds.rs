// SPDX-License-Identifier: Apache-2.0

//! Each kind of outage: how often the manager is called meanwhile, what is written, and what people are told.

use std::time::Instant;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ManagerCredential, annotation, manager_credential::Breaker},
    controller::reason::Reason,
};
use messaging_manager::faults::{Fault, Rule};
use rstest::rstest;

use crate::{
    figures::record,
    scene::{Scene, expect, manager_credential, manager_secret},
};

#[rstest]
#[case::server_error("server-error", Fault::Status(503), Reason::ManagerUnavailable)]
#[case::broken_connection("broken-connection", Fault::DropRequest, Reason::ManagerUnreachable)]
#[case::never_answers("never-answers", Fault::NeverAnswer, Reason::ManagerTimeout)]
#[case::refused_credentials("refused-credentials", Fault::Status(401), Reason::AuthenticationRefused)]
#[case::too_many_requests("too-many-requests", Fault::Status(429), Reason::RateLimited)]
#[case::html("html", Fault::Html, Reason::UnexpectedResponse)]
#[case::truncated("truncated", Fault::TruncateBody, Reason::ManagerUnreachable)]
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_one_status_write_and_few_calls(#[case] kind: &str, #[case] fault: Fault, #[case] reason: Reason) {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.ready_mix(5).await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.faults.push(Rule::new(fault));
    let began = Instant::now();
    scene
        .condition_of_any_generation::<ManagerCredential>("acme", "Ready", "False", reason.as_str())
        .await;
    let noticed = began.elapsed().as_secs_f64();
    scene.time_passes(6).await;

    let took = began.elapsed().as_secs_f64();
    let (written, calls) = (scene.object_writes(writes), scene.manager_calls(calls));
    assert_eq!(written, ["update managercredentials/status acme"]);
    assert!(calls.iter().all(|call| !call.is_write()), "{calls:#?}");
    assert!(calls.len() <= 10, "{} calls in {took:.0} s", calls.len());
    record(&format!("outage-{kind}-noticed"), format!("{noticed:.0} s"));
    record(&format!("outage-{kind}-calls"), format!("{} in {took:.0} s", calls.len()));
    record(&format!("outage-{kind}-writes"), written.len());
    record(&format!("outage-{kind}-condition"), reason);
    assert_eq!(scene.reachability("acme").await.breaker, Breaker::Open);
    for connection in scene.connections().list(&kube::api::ListParams::default()).await.unwrap() {
        expect(&connection, "Ready", "True", "Ready").unwrap();
    }
    scene.metric_becomes(r#"digital_messaging_accounts{state="up"}"#, 0.0).await;

    scene.faults.clear();
    scene.annotate::<ManagerCredential>("acme", annotation::RETRY, "now").await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.assert_told_once::<ManagerCredential>("acme", reason).await;
    scene.metric_becomes(r#"digital_messaging_accounts{state="up"}"#, 1.0).await;
    scene.finish().await;
}

/// The process of the manager is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_refuses_connections_costs_one_status_write() {
    let scene = Scene::new().await;
    let manager = scene.start_manager("127.0.0.1:0", |_| {}).await;
    let credential = scene.provision_at(&manager, AuthenticationMethod::Jwt).await;
    let url = manager.url().as_str().trim_end_matches('/');
    scene
        .apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", url, AuthenticationMethod::Jwt),
        ])
        .await;
    scene.ready::<ManagerCredential>("acme").await;

    let failed = r#"digital_messaging_manager_requests_total{operation="watch",class="unavailable"}"#;
    let writes = scene.audit_mark();
    let began = Instant::now();
    manager.stop().await.unwrap();
    let reason = Reason::ManagerUnreachable;
    scene.trouble::<ManagerCredential>("acme", reason, "").await;
    let noticed = began.elapsed().as_secs_f64();
    scene.time_passes(6).await;
    let (took, calls, written) = (
        began.elapsed().as_secs_f64(),
        scene.sample(failed),
        scene.object_writes(writes),
    );
    assert_eq!(written, ["update managercredentials/status acme"]);
    assert!((2.0..=10.0).contains(&calls), "{calls} calls");
    record("outage-refused-connection-noticed", format!("{noticed:.0} s"));
    record("outage-refused-connection-calls", format!("{calls} in {took:.0} s"));
    record("outage-refused-connection-writes", written.len());
    record("outage-refused-connection-condition", reason);
    scene.finish().await;
}

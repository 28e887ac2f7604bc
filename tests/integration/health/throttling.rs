// SPDX-License-Identifier: Apache-2.0

//! A manager that asks for fewer calls gets fewer, and its credential says so; no object does.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::api::{ChannelConnection, ManagerCredential, manager_credential::Breaker};
use http::Method;
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};
use serde_json::json;

use crate::{
    figures::record,
    scene::{Scene, connection, expect, web},
};

fn is_create(call: &Entry) -> bool {
    call.method == Method::POST && call.path == "/v1/connections"
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_told_on_the_credential_and_nowhere_else() {
    const CONNECTIONS: usize = 12;
    const PAUSE: u64 = 3;
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let limit = json!({ "spec": { "rateLimit": { "maxConcurrentRequests": 8 } } });
    scene.patch::<ManagerCredential>("acme", limit).await;
    scene.ready::<ManagerCredential>("acme").await;
    let busy = Fault::Problem(Code::RateLimited, Some(PAUSE));
    scene
        .faults
        .push(Rule::new(busy).method(Method::POST).path("/v1/connections").times(8));
    let writes = scene.audit_mark();
    scene
        .apply_all((0..CONNECTIONS).map(|n| connection(&format!("web-{n}"), "support", &web())))
        .await;
    scene
        .metric_becomes(r#"digital_messaging_accounts{state="throttled"}"#, 1.0)
        .await;
    let told = scene
        .eventually("the credential says so", async || {
            let told = scene.reachability("acme").await;
            told.max_concurrent_requests.map(|_| told).ok_or("it does not")
        })
        .await;
    assert_eq!(told.breaker, Breaker::Closed);
    assert!(
        told.max_concurrent_requests < Some(8) && told.next_attempt_time.is_some(),
        "{told:?}"
    );
    assert!(told.cause.unwrap().starts_with("RateLimited"));
    for n in 0..CONNECTIONS {
        let web: ChannelConnection = scene.ready(&format!("web-{n}")).await;
        assert_eq!(web.status.unwrap().conditions.len(), 2, "it only took longer");
        scene.outputs(&format!("web-{n}")).await;
    }
    let credential: ManagerCredential = scene.credentials().get("acme").await.unwrap();
    expect(&credential, "Ready", "True", "Ready").unwrap();

    let calls: Vec<Entry> = scene.journal.entries().into_iter().filter(is_create).collect();
    let refused: Vec<&Entry> = calls.iter().filter(|call| call.status == Some(429)).collect();
    let last = refused.iter().filter_map(|call| call.answered).max().unwrap();
    let next = calls.iter().map(|call| call.at).filter(|at| *at > last).min().unwrap();
    let waited = next.duration_since(last).as_secs_f64();
    assert!(waited > 2.9, "waited {waited} s, not {PAUSE} s");
    assert_eq!(
        calls.len(),
        CONNECTIONS + refused.len(),
        "nothing was asked twice but what was refused"
    );
    let told = scene.writes_to(&["acme"], writes);
    // Each time that fewer are allowed than ever since it began: 8, 4, 2, 1.
    assert!((1..=3).contains(&told.len()), "{told:?}");
    record(
        "throttling-status-writes",
        format!("{} of {} refused requests", told.len(), refused.len()),
    );
    let pauses = scene.sample("digital_messaging_manager_pauses_total");
    assert!((2.0..=8.0).contains(&pauses), "{pauses} pauses");
    scene.finish().await;
}

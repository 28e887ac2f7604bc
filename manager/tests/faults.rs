// SPDX-License-Identifier: Apache-2.0

//! The misbehaviour that other tests rely on looks to a client as it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::similar_names,
    reason = "this is a test"
)]

mod support;

use std::time::Duration;

use digital_messaging_contract::problem::Code;
use messaging_manager::faults::{Fault, Rule};
use reqwest::Method;
use serde_json::json;
use support::{DEADLINE, Fixture, interface};
use tokio_util::sync::CancellationToken;

const MANAGER: &str = "/v1/manager";

#[tokio::test]
async fn a_dropped_reply_has_been_committed() {
    let fixture = Fixture::start().await;
    fixture.faults.push(Rule::new(Fault::DropReply).method(Method::POST).once());
    let error = fixture
        .client
        .call(Method::POST, "/v1/interfaces")
        .json(&interface())
        .try_send()
        .await
        .unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let list = fixture.client.get("/v1/interfaces").await.expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    assert_eq!((fixture.faults.applied(), fixture.faults.pending()), (1, 0));
}

#[tokio::test]
async fn a_dropped_request_has_not() {
    let fixture = Fixture::start().await;
    fixture.faults.push(Rule::new(Fault::DropRequest).method(Method::POST).once());
    fixture
        .client
        .call(Method::POST, "/v1/interfaces")
        .json(&interface())
        .try_send()
        .await
        .unwrap_err();
    assert_eq!(fixture.client.get("/v1/interfaces").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_truncated_body_breaks_off() {
    let fixture = Fixture::start().await;
    fixture.faults.push(Rule::new(Fault::TruncateBody).once());
    let error = fixture.client.call(Method::GET, MANAGER).try_send().await.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    fixture.client.get(MANAGER).await.expect(200);
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let fixture = Fixture::start().await;
    fixture
        .faults
        .push(Rule::new(Fault::SlowBody(Duration::from_millis(1))).once());
    let reply = fixture.client.get(MANAGER).await.expect(200);
    assert_eq!(reply.body["managerId"], fixture.client.manager_id);
}

#[tokio::test]
async fn answers_in_the_manager_s_place() {
    let fixture = Fixture::start().await;
    fixture
        .faults
        .push(Rule::new(Fault::Problem(Code::RateLimited, Some(7))).path(MANAGER).once());
    fixture
        .faults
        .push(Rule::new(Fault::Problem(Code::Unavailable, None)).path(MANAGER).once());
    fixture.faults.push(Rule::new(Fault::Status(500)).once());
    fixture.faults.push(Rule::new(Fault::Html).once());
    fixture
        .faults
        .push(Rule::new(Fault::Redirect("http://127.0.0.1:1/".to_owned())).once());
    let limited = fixture.client.get(MANAGER).await.expect(429);
    assert_eq!(limited.header("retry-after"), "7");
    limited.problem("rate_limited");
    fixture.client.get(MANAGER).await.problem("unavailable");
    fixture.client.get(MANAGER).await.expect(500);
    assert_eq!(
        fixture.client.get(MANAGER).await.expect(200).header("content-type"),
        "text/html"
    );
    assert_eq!(
        fixture.client.get(MANAGER).await.expect(307).header("location"),
        "http://127.0.0.1:1/"
    );
    fixture.client.get(MANAGER).await.expect(200);
}

#[tokio::test]
async fn an_oversized_body_is_valid_and_too_long() {
    let fixture = Fixture::start().await;
    fixture.faults.push(Rule::new(Fault::OversizedBody(1024 * 1024)).once());
    let url = fixture.client.url.join(MANAGER).unwrap();
    let bytes = fixture.client.http.get(url).send().await.unwrap().bytes().await.unwrap();
    assert!(bytes.len() > 1024 * 1024);
    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
}

#[tokio::test]
async fn what_is_never_answered_ends_when_the_rules_are_cleared() {
    let fixture = Fixture::start().await;
    fixture.faults.push(Rule::new(Fault::NeverAnswer));
    let client = fixture.client.clone();
    let call = tokio::spawn(async move { client.call(Method::GET, MANAGER).try_send().await });
    fixture
        .journal
        .wait_until(DEADLINE, |entries| entries.len() == 1)
        .await
        .unwrap();
    let applied = async {
        while fixture.faults.applied() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, applied).await.unwrap();
    assert!(!call.is_finished());
    fixture.faults.clear();
    call.await.unwrap().unwrap_err();
    fixture.client.get(MANAGER).await.expect(200);
}

#[tokio::test]
async fn a_request_and_a_reply_can_be_held() {
    let fixture = Fixture::start().await;
    let (request, reply) = (CancellationToken::new(), CancellationToken::new());
    fixture
        .faults
        .push(Rule::new(Fault::HoldRequest(request.clone())).method(Method::POST).once());
    fixture
        .faults
        .push(Rule::new(Fault::HoldReply(reply.clone())).method(Method::POST).once());
    for token in [request, reply] {
        let client = fixture.client.clone();
        let call = tokio::spawn(async move { client.post("/v1/interfaces", &interface()).await.expect(201) });
        let is_held = |entries: &[messaging_manager::journal::Entry]| entries.iter().any(|entry| entry.status.is_none());
        fixture.journal.wait_until(DEADLINE, is_held).await.unwrap();
        assert!(!call.is_finished());
        token.cancel();
        call.await.unwrap();
    }
}

#[tokio::test]
async fn rules_apply_to_what_they_name() {
    let fixture = Fixture::start().await;
    fixture.faults.push(
        Rule::new(Fault::Status(500))
            .method(Method::GET)
            .path("/v1/interfaces")
            .path_end("/x")
            .times(2),
    );
    fixture.client.get("/v1/interfaces").await.expect(200);
    fixture.client.get("/v1/interfaces/x").await.expect(500);
    fixture.client.delete("/v1/interfaces/x").await.expect(404);
    fixture.client.get("/v1/interfaces/x").await.expect(500);
    fixture.client.get("/v1/interfaces/x").await.expect(404);
}

#[tokio::test]
async fn the_journal_notes_every_request() {
    let fixture = Fixture::start().await;
    let mark = fixture.journal.len();
    let call = fixture
        .client
        .call(Method::POST, "/v1/interfaces")
        .header("operator-epoch", "test/3");
    call.json(&interface()).send().await.expect(201);
    fixture.client.get("/v1/changes?since=0").await.expect(200);
    let entries = fixture.journal.since(mark);
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.method.as_str(), entry.path.as_str(), entry.status))
        .collect();
    assert_eq!(
        seen,
        [("POST", "/v1/interfaces", Some(201)), ("GET", "/v1/changes", Some(200))]
    );
    assert_eq!(entries[0].operator_epoch.as_deref(), Some("test/3"));
    assert!(entries[0].is_write() && entries[1].is_change_feed());
    assert_eq!(entries[1].query.as_deref(), Some("since=0"));
}

// SPDX-License-Identifier: Apache-2.0

//! What every request must be, and how a refusal looks.
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

use std::num::NonZeroU32;

use digital_messaging_contract::header::PROBLEM_JSON;
use messaging_manager::config::RateLimit;
use reqwest::Method;
use serde_json::json;
use support::{Fixture, interface};

#[tokio::test]
async fn what_is_not_there_is_a_problem_document_too() {
    let fixture = Fixture::start().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/manager"] {
        fixture.client.get(path).await.problem("not_found");
    }
    for (method, path) in [
        (Method::PUT, "/v1/interfaces"),
        (Method::POST, "/v1/manager"),
        (Method::DELETE, "/v1/changes"),
    ] {
        let reply = fixture.client.call(method, path).send().await.expect(405);
        assert!(reply.header("allow").contains("GET"));
        reply.problem("method_not_allowed");
    }
}

#[tokio::test]
async fn a_body_is_a_json_object() {
    let fixture = Fixture::start().await;
    let post = |content_type: &'static str, body: &'static str| {
        fixture
            .client
            .call(Method::POST, "/v1/interfaces")
            .body(body.as_bytes())
            .header("content-type", content_type)
            .send()
    };
    for body in ["", "{", "[]", "\"x\"", "{\"a\":1}x"] {
        post("application/json", body).await.problem("malformed_request");
    }
    for content_type in ["text/plain", "application/xml", ""] {
        post(content_type, "{}").await.problem("unsupported_media_type");
    }
    post("application/json; charset=utf-8", "{}")
        .await
        .problem("validation_failed");
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let fixture = Fixture::with(|config| config.max_body_bytes = 1000).await;
    let mut body = interface();
    fixture.client.post("/v1/interfaces", &body).await.expect(201);
    body["description"] = json!("x".repeat(1000));
    fixture.client.post("/v1/interfaces", &body).await.problem("body_too_large");
    let chunks = futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>("x".repeat(500))));
    let url = fixture.client.url.join("/v1/interfaces").unwrap();
    let response = fixture
        .client
        .http
        .post(url)
        .body(reqwest::Body::wrap_stream(chunks))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
}

#[tokio::test]
async fn query_parameters_are_known_and_within_bounds() {
    let fixture = Fixture::start().await;
    for path in [
        "/v1/interfaces?limit=0",
        "/v1/interfaces?limit=501",
        "/v1/interfaces?limit=x",
        "/v1/interfaces?cursor=%00",
        "/v1/interfaces?typo=1",
        "/v1/changes",
        "/v1/changes?since=-1",
        "/v1/changes?since=0&wait=61",
    ] {
        fixture.client.get(path).await.problem("malformed_request");
    }
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_go_on() {
    let one = NonZeroU32::MIN;
    let fixture = Fixture::with(|config| {
        config.rate_limit = Some(RateLimit {
            requests_per_second: one,
            burst: NonZeroU32::new(2).unwrap(),
        });
    })
    .await;
    let other = fixture
        .other_account(digital_messaging_contract::account::AuthenticationMethod::ApiKey)
        .await;
    let mut limited = None;
    for _ in 0..100 {
        let reply = fixture.client.get("/v1/manager").await;
        if reply.status == 429 {
            limited = Some(reply);
            break;
        }
    }
    let limited = limited.expect("a hundred requests in a row are more than one a second");
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    limited.problem("rate_limited");
    other.get("/v1/manager").await.expect(200);
}

#[tokio::test]
async fn health_needs_no_credentials() {
    let fixture = Fixture::start().await;
    for path in ["livez", "readyz"] {
        let url = fixture.running.url().join(path).unwrap();
        assert_eq!(fixture.client.http.get(url).send().await.unwrap().text().await.unwrap(), "ok");
    }
}

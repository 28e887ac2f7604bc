// SPDX-License-Identifier: Apache-2.0

//! Who may come in, and what a refusal tells.
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

use digital_messaging_contract::account::{Account, AuthenticationMethod};
use jiff::{SignedDuration, Timestamp};
use messaging_manager::{Manager, config::Config};
use reqwest::Method;
use serde_json::json;
use support::{Client, Fixture, interface};

const MANAGER: &str = "/v1/manager";

async fn code(client: &Client) -> String {
    let reply = client.get(MANAGER).await;
    if reply.status == 200 {
        "ok".to_owned()
    } else {
        reply.text("/code")
    }
}

#[tokio::test]
async fn each_method_opens_the_account_it_was_provisioned_for() {
    let fixture = Fixture::start().await;
    let api_key = fixture.other_account(AuthenticationMethod::ApiKey).await;
    for client in [&fixture.client, &api_key] {
        let reply = client.get(MANAGER).await.expect(200);
        let account: Account = reply.parse();
        assert_eq!(account.manager_id, client.manager_id);
        assert_eq!(account.authentication_method, client.method);
        assert_eq!(account.channels.len(), 7);
        reply.header("date");
    }
}

#[tokio::test]
async fn the_other_method_is_refused() {
    let fixture = Fixture::start().await;
    let jwt = &fixture.client;
    let api_key = fixture.other_account(AuthenticationMethod::ApiKey).await;
    let problem = jwt
        .by(AuthenticationMethod::ApiKey)
        .get(MANAGER)
        .await
        .problem("method_not_configured");
    assert!(problem.detail.unwrap().contains("JWT"));
    api_key
        .by(AuthenticationMethod::Jwt)
        .get(MANAGER)
        .await
        .problem("method_not_configured");
}

#[tokio::test]
async fn nothing_is_told_to_who_has_no_key() {
    let fixture = Fixture::start().await;
    let other = fixture.other_account(AuthenticationMethod::ApiKey).await;
    let revoked = fixture.other_account(AuthenticationMethod::ApiKey).await;
    fixture
        .running
        .manager()
        .credentials()
        .revoke(&revoked.manager_id)
        .await
        .unwrap();
    let unknown = Client {
        manager_id: "nobody".to_owned(),
        ..fixture.client.clone()
    };
    let mut answers = Vec::new();
    for client in [&fixture.client, &other, &revoked, &unknown] {
        for method in [AuthenticationMethod::Jwt, AuthenticationMethod::ApiKey] {
            for key in ["wrong", fixture_key_of_another(client, &fixture, &other)] {
                let reply = client.by(method).with_key(&key.into()).get(MANAGER).await.expect(401);
                assert_eq!(reply.header("www-authenticate"), "Bearer, ApiKey");
                answers.push(reply.body);
            }
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["code"], "invalid_credentials");
}

fn fixture_key_of_another<'a>(client: &Client, fixture: &'a Fixture, other: &'a Client) -> &'a str {
    if client.manager_id == other.manager_id {
        fixture.client.key.expose()
    } else {
        other.key.expose()
    }
}

#[tokio::test]
async fn no_or_nonsense_credentials_are_refused() {
    let fixture = Fixture::start().await;
    let url = fixture.running.url().join(MANAGER).unwrap();
    for authorization in ["", "Basic YTpi", "Bearer", "Bearer x.y.z", "ApiKey mk_x"] {
        let mut request = fixture.client.http.get(url.clone());
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{authorization}");
        assert!(response.text().await.unwrap().contains("invalid_credentials"));
    }
}

#[tokio::test]
async fn a_token_is_good_once() {
    let fixture = Fixture::start().await;
    let token = fixture.client.token("GET", MANAGER, b"", Timestamp::now());
    let url = fixture.running.url().join(MANAGER).unwrap();
    let send = || async { fixture.client.http.get(url.clone()).bearer_auth(&token).send().await.unwrap() };
    assert_eq!(send().await.status(), 200);
    let again = send().await;
    assert_eq!(again.status(), 401);
    assert!(again.text().await.unwrap().contains("token_replayed"));
}

#[tokio::test]
async fn a_write_cannot_be_replayed_after_a_restart() {
    let fixture = Fixture::start().await;
    let address = fixture.running.address();
    let body = serde_json::to_vec(&interface()).unwrap();
    let token = fixture.client.token("POST", "/v1/interfaces", &body, Timestamp::now());
    let url = fixture.running.url().join("/v1/interfaces").unwrap();
    let send = || async {
        let request = fixture
            .client
            .http
            .post(url.clone())
            .bearer_auth(&token)
            .header("content-type", "application/json");
        request.body(body.clone()).send().await.unwrap()
    };
    assert_eq!(send().await.status(), 201);
    let database = fixture.database();
    fixture.running.stop().await.unwrap();
    let restarted = Manager::open(Config::new(database))
        .await
        .unwrap()
        .start(address)
        .await
        .unwrap();
    let again = send().await;
    assert_eq!(again.status(), 401);
    assert!(again.text().await.unwrap().contains("token_replayed"));
    restarted.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_is_good_for_its_own_request_only() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let send = |token: String, path: &str, body: &'static str| {
        let url = client.url.join(path).unwrap();
        let request = client
            .http
            .post(url)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body);
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401);
            let text = response.text().await.unwrap();
            assert!(text.contains("token_mismatch"), "{text}");
        }
    };
    let now = Timestamp::now();
    send(client.token("POST", "/v1/interfaces", b"{}", now), "/v1/interfaces", "{ }").await;
    send(client.token("POST", "/v1/connections", b"{}", now), "/v1/interfaces", "{}").await;
    send(
        client.token("POST", "/v1/interfaces", b"{}", now),
        "/v1/interfaces?limit=1",
        "{}",
    )
    .await;
    send(client.token("PATCH", "/v1/interfaces", b"{}", now), "/v1/interfaces", "{}").await;
}

#[tokio::test]
async fn a_skewed_clock_is_told_apart_from_a_wrong_key() {
    let fixture = Fixture::start().await;
    for seconds in [-3600, 3600] {
        let there = Timestamp::now() + SignedDuration::from_secs(seconds);
        let reply = fixture.client.call(Method::GET, MANAGER).at(there).send().await.expect(401);
        reply.header("date");
        reply.problem("clock_skew");
    }
    let soon = Timestamp::now() + SignedDuration::from_secs(30);
    fixture.client.call(Method::GET, MANAGER).at(soon).send().await.expect(200);
}

#[tokio::test]
async fn after_a_rotation_both_keys_are_good_until_the_grace_is_over() {
    let fixture = Fixture::start().await;
    let credentials = fixture.running.manager().credentials();
    for method in [AuthenticationMethod::Jwt, AuthenticationMethod::ApiKey] {
        let old = fixture.other_account(method).await;
        let rotated = credentials.rotate(&old.manager_id, Duration::from_hours(1)).await.unwrap();
        let new = old.with_key(&rotated.manager_key);
        assert_eq!((code(&old).await, code(&new).await), ("ok".to_owned(), "ok".to_owned()));
        let without_grace = credentials.rotate(&old.manager_id, Duration::ZERO).await.unwrap();
        let newest = old.with_key(&without_grace.manager_key);
        for retired in [&old, &new] {
            assert_eq!(code(retired).await, "revoked_credentials");
        }
        assert_eq!(code(&newest).await, "ok");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_as_such() {
    let fixture = Fixture::start().await;
    let credentials = fixture.running.manager().credentials();
    let client = &fixture.client;
    let rotated = credentials.rotate(&client.manager_id, Duration::from_hours(1)).await.unwrap();
    credentials.revoke_previous(&client.manager_id).await.unwrap();
    let new = client.with_key(&rotated.manager_key);
    assert_eq!(
        (code(client).await, code(&new).await),
        ("revoked_credentials".to_owned(), "ok".to_owned())
    );
    credentials.revoke(&client.manager_id).await.unwrap();
    assert_eq!(code(&new).await, "revoked_credentials");
}

#[tokio::test]
async fn a_refused_request_changes_nothing() {
    let fixture = Fixture::start().await;
    fixture
        .client
        .with_key(&"wrong".into())
        .post("/v1/interfaces", &interface())
        .await
        .problem("invalid_credentials");
    assert_eq!(fixture.client.get("/v1/interfaces").await.body["items"], json!([]));
}

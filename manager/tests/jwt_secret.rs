// SPDX-License-Identifier: Apache-2.0

//! The generated JWT secret: told on demand or once only, rotated once for each token, the one before honoured for a while.
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

use digital_messaging_contract::connection::{JwtSecret, RotatedConnection};
use reqwest::Method;
use serde_json::json;
use support::{Fixture, pointers, sms, web_messaging};

#[tokio::test]
async fn a_jwt_secret_is_to_be_had_again_and_rotates() {
    let fixture = Fixture::with(|config| config.jwt_secret_grace = Duration::from_hours(1)).await;
    let interface_id = fixture.client.interface().await;
    let made = fixture
        .client
        .post("/v1/connections", &web_messaging(&interface_id))
        .await
        .expect(201);
    let path = format!("/v1/connections/{}/jwt-secret", made.text("/id"));
    let first = fixture.client.get(&path).await.expect(200);
    assert_eq!(first.text("/jwtSecret"), made.text("/jwtSecret"));
    assert_eq!(first.header("cache-control"), "no-store");
    assert!(first.parse::<JwtSecret>().previous_valid_until.is_none());
    let rotate = format!("{path}/rotate");
    let rotated = fixture.client.post(&rotate, &json!({ "token": "first" })).await.expect(200);
    assert_eq!(rotated.header("cache-control"), "no-store");
    assert_ne!(rotated.text("/jwtSecret"), made.text("/jwtSecret"));
    assert!(rotated.parse::<JwtSecret>().previous_valid_until.unwrap() > jiff::Timestamp::now());
    let now = fixture.client.get(&path).await.expect(200);
    assert_eq!(now.text("/jwtSecret"), rotated.text("/jwtSecret"));
    assert_eq!(now.text("/previousValidUntil"), rotated.text("/previousValidUntil"));
    let connection = fixture.client.get(&format!("/v1/connections/{}", made.text("/id"))).await;
    assert_eq!(connection.revision(), made.revision() + 1);
    assert_eq!(connection.text("/jwtSecretRotation"), "first");

    let without = fixture.client.connection(&sms(&interface_id, "+4915112345678")).await;
    let path = format!("/v1/connections/{without}/jwt-secret");
    fixture.client.get(&path).await.problem("not_found");
    fixture
        .client
        .post(&format!("{path}/rotate"), &json!({ "token": "first" }))
        .await
        .problem("not_found");
}

#[tokio::test]
async fn a_rotation_happens_once_for_each_token() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let made = fixture.client.post("/v1/connections", &web_messaging(&interface_id)).await;
    let path = format!("/v1/connections/{}/jwt-secret/rotate", made.text("/id"));
    let rotate = async |token: &str, revision: u64| {
        let call = fixture.client.call(Method::POST, &path).json(&json!({ "token": token }));
        call.header("if-match", format!("\"{revision}\"")).send().await
    };

    let first = rotate("a", made.revision()).await.expect(200);
    // What the client knows is older than the first call, whose answer it may have lost.
    let again = rotate("a", made.revision()).await.expect(200);
    assert_eq!(again.body, first.body);
    rotate("b", made.revision()).await.problem("revision_mismatch");
    assert_eq!(fixture.client.get("/v1/changes?since=0").await.body["next"], first.revision());

    let second = rotate("b", first.revision()).await.expect(200);
    assert_ne!(second.text("/jwtSecret"), first.text("/jwtSecret"));
    assert_eq!(second.revision(), first.revision() + 1);
}

#[tokio::test]
async fn the_grace_of_the_secret_before_ends() {
    let fixture = Fixture::with(|config| config.jwt_secret_grace = Duration::ZERO).await;
    let interface_id = fixture.client.interface().await;
    let id = fixture.client.connection(&web_messaging(&interface_id)).await;
    let path = format!("/v1/connections/{id}/jwt-secret");
    let rotated = fixture
        .client
        .post(&format!("{path}/rotate"), &json!({ "token": "a" }))
        .await
        .expect(200);
    assert!(rotated.parse::<RotatedConnection>().previous_valid_until.is_none());
    assert!(
        fixture
            .client
            .get(&path)
            .await
            .parse::<JwtSecret>()
            .previous_valid_until
            .is_none()
    );
}

#[tokio::test]
async fn a_rotation_needs_a_token_that_can_be_remembered() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let made = fixture.client.post("/v1/connections", &web_messaging(&interface_id)).await;
    let path = format!("/v1/connections/{}/jwt-secret/rotate", made.text("/id"));
    for wrong in [
        json!({}),
        json!({ "token": "" }),
        json!({ "token": "x".repeat(129) }),
        json!({ "token": "line\nbreak" }),
        json!({ "token": 7 }),
    ] {
        let problem = fixture.client.post(&path, &wrong).await.problem("validation_failed");
        assert_eq!(pointers(&problem), ["/token"], "{wrong}");
    }
    fixture
        .client
        .call(Method::POST, &path)
        .send()
        .await
        .problem("unsupported_media_type");
    assert_eq!(
        fixture
            .client
            .get(&format!("/v1/connections/{}", made.text("/id")))
            .await
            .revision(),
        made.revision()
    );
}

#[tokio::test]
async fn a_manager_that_tells_secrets_once_tells_them_to_who_made_them() {
    let fixture = Fixture::with(|config| config.secrets_told_once = true).await;
    let interface_id = fixture.client.interface().await;
    let made = fixture
        .client
        .post("/v1/connections", &web_messaging(&interface_id))
        .await
        .expect(201);
    assert!(made.text("/jwtSecret").starts_with("whk_"));
    let path = format!("/v1/connections/{}/jwt-secret", made.text("/id"));
    fixture.client.get(&path).await.problem("secret_withheld");
    let rotate = format!("{path}/rotate");
    let rotated = fixture.client.post(&rotate, &json!({ "token": "a" })).await.expect(200);
    assert_eq!(
        fixture.client.post(&rotate, &json!({ "token": "a" })).await.body,
        rotated.body
    );
    fixture.client.get(&path).await.problem("secret_withheld");
}

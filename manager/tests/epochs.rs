// SPDX-License-Identifier: Apache-2.0

//! A former leader cannot overwrite its successor.
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

use reqwest::Method;
use serde_json::json;
use support::{Client, Fixture, Reply, interface};

async fn create(client: &Client, epoch: &str) -> Reply {
    client
        .call(Method::POST, "/v1/interfaces")
        .header("operator-epoch", epoch)
        .json(&interface())
        .send()
        .await
}

#[tokio::test]
async fn a_lower_epoch_is_superseded() {
    let fixture = Fixture::start().await;
    create(&fixture.client, "production/7").await.expect(201);
    create(&fixture.client, "production/7").await.expect(201);
    create(&fixture.client, "production/9").await.expect(201);
    create(&fixture.client, "production/8").await.problem("epoch_superseded");
    create(&fixture.client, "staging/1").await.expect(201);
    let other = fixture
        .other_account(digital_messaging_contract::account::AuthenticationMethod::Jwt)
        .await;
    create(&other, "production/1").await.expect(201);
    for nonsense in ["7", "production", "production/x", "/1"] {
        create(&fixture.client, nonsense).await.problem("malformed_request");
    }
}

#[tokio::test]
async fn every_kind_of_write_is_guarded_and_reads_are_not() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let interface_id = create(client, "production/2").await.expect(201).text("/id");
    let connection_id = client.connection(&support::web_messaging(&interface_id)).await;
    for (method, path) in [
        (Method::POST, "/v1/interfaces".to_owned()),
        (Method::PATCH, format!("/v1/interfaces/{interface_id}")),
        (Method::DELETE, format!("/v1/interfaces/{interface_id}")),
        (Method::POST, "/v1/connections".to_owned()),
        (Method::PATCH, format!("/v1/connections/{connection_id}")),
        (Method::DELETE, format!("/v1/connections/{connection_id}")),
        (Method::POST, format!("/v1/connections/{connection_id}/jwt-secret/rotate")),
    ] {
        let call = client
            .call(method, &path)
            .header("operator-epoch", "production/1")
            .json(&json!({}));
        call.send().await.problem("epoch_superseded");
    }
    client
        .call(Method::GET, "/v1/interfaces")
        .header("operator-epoch", "production/1")
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn an_epoch_counts_even_when_its_write_is_refused() {
    let fixture = Fixture::start().await;
    let refused = fixture
        .client
        .call(Method::POST, "/v1/interfaces")
        .header("operator-epoch", "production/5");
    refused.json(&json!({})).send().await.problem("validation_failed");
    create(&fixture.client, "production/4").await.problem("epoch_superseded");
}

#[tokio::test]
async fn the_records_tell_who_wrote_what() {
    let fixture = Fixture::start().await;
    let id = create(&fixture.client, "production/3").await.expect(201).text("/id");
    fixture.client.delete(&format!("/v1/interfaces/{id}")).await.expect(204);
    let records = fixture
        .running
        .manager()
        .write_records(&fixture.client.manager_id)
        .await
        .unwrap();
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record.method.as_str(),
                record.installation.as_deref(),
                record.epoch,
                record.id.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("POST", Some("production"), Some(3), id.as_str()),
            ("DELETE", None, None, id.as_str())
        ]
    );
}

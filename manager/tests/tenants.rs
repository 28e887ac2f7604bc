// SPDX-License-Identifier: Apache-2.0

//! One Manager ID sees nothing of another.
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

use digital_messaging_contract::account::AuthenticationMethod;
use serde_json::json;
use support::{Fixture, interface, sms, web_messaging};

#[tokio::test]
async fn what_one_account_holds_does_not_exist_for_another() {
    let fixture = Fixture::start().await;
    let (ours, theirs) = (&fixture.client, fixture.other_account(AuthenticationMethod::ApiKey).await);
    let interface_id = ours.interface().await;
    let connection_id = ours.connection(&web_messaging(&interface_id)).await;
    for path in [
        format!("/v1/interfaces/{interface_id}"),
        format!("/v1/connections/{connection_id}"),
    ] {
        theirs.get(&path).await.problem("not_found");
        theirs
            .patch(&path, &json!({ "displayName": "Mine" }))
            .await
            .problem("not_found");
        theirs.delete(&path).await.problem("not_found");
        ours.get(&path).await.expect(200);
    }
    let secret = format!("/v1/connections/{connection_id}/jwt-secret");
    theirs.get(&secret).await.problem("not_found");
    theirs
        .post(&format!("{secret}/rotate"), &json!({ "token": "mine" }))
        .await
        .problem("not_found");
    for path in ["/v1/interfaces", "/v1/connections", "/v1/changes?since=0"] {
        assert_eq!(theirs.get(path).await.expect(200).body["items"], json!([]), "{path}");
    }
    let problem = theirs
        .post("/v1/connections", &web_messaging(&interface_id))
        .await
        .problem("validation_failed");
    assert_eq!(support::pointers(&problem), ["/interfaceId"]);
}

#[tokio::test]
async fn names_are_unique_within_an_account_only() {
    let fixture = Fixture::start().await;
    let (ours, theirs) = (&fixture.client, fixture.other_account(AuthenticationMethod::Jwt).await);
    let mut body = interface();
    body["externalReference"] = json!("installation/DigitalMessagingInterface/shop/bot");
    for client in [ours, &theirs] {
        let id = client.post("/v1/interfaces", &body).await.expect(201).text("/id");
        client.connection(&sms(&id, "+4915112345678")).await;
    }
}

#[tokio::test]
async fn nobody_is_woken_by_the_writes_of_another_account() {
    let fixture = Fixture::start().await;
    let (ours, theirs) = (&fixture.client, fixture.other_account(AuthenticationMethod::Jwt).await);
    ours.interface().await;
    let feed = theirs.get("/v1/changes?since=0&wait=0").await.expect(200);
    assert_eq!(feed.body, json!({ "items": [], "next": 0, "more": false }));
}

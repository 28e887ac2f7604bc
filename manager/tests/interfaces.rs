// SPDX-License-Identifier: Apache-2.0

//! Interfaces: create, read, update, delete, and what is refused.
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

use digital_messaging_contract::interface::Interface;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Fixture, interface, pointers, sms};

#[tokio::test]
async fn an_interface_is_made_read_changed_and_deleted() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let made = client.post("/v1/interfaces", &interface()).await.expect(201);
    let id = made.text("/id");
    assert!(id.starts_with("if_"));
    assert_eq!(
        made.header("location"),
        format!("{}v1/interfaces/{id}", fixture.running.url())
    );
    assert_eq!(made.header("etag"), format!("\"{}\"", made.revision()));
    assert_eq!(
        made.text("/callbackUrl"),
        "https://acme.example/prweb/PRRestService/botAgent/v1/messaging"
    );
    let path = format!("/v1/interfaces/{id}");
    let read = client.get(&path).await.expect(200);
    assert_eq!((&read.body, read.header("etag")), (&made.body, made.header("etag")));
    assert_eq!(made.parse::<Interface>().spec.bot.languages, ["en"], "defaults are filled in");

    let changed = client
        .patch(
            &path,
            &json!({ "baseUrl": "https://other.example/prweb", "description": "Bot" }),
        )
        .await
        .expect(200);
    assert_eq!(
        changed.text("/callbackUrl"),
        "https://other.example/prweb/PRRestService/botAgent/v1/messaging"
    );
    assert_eq!(
        changed.text("/displayName"),
        "Acme self-service",
        "what the patch does not name stays"
    );
    assert!(changed.revision() > made.revision());

    client.delete(&path).await.expect(204);
    client.get(&path).await.problem("not_found");
    client.delete(&path).await.problem("not_found");
    client.patch(&path, &json!({})).await.problem("not_found");
}

#[tokio::test]
async fn null_returns_to_the_default() {
    let fixture = Fixture::start().await;
    let path = format!("/v1/interfaces/{}", fixture.client.interface().await);
    let bot = json!({ "languages": ["de"], "escalation": { "afterNoMatches": 5 }, "systemResponses": { "welcome": "Hallo" } });
    fixture
        .client
        .patch(&path, &json!({ "description": "x", "bot": bot }))
        .await
        .expect(200);
    let part = fixture
        .client
        .patch(&path, &json!({ "bot": { "escalation": null } }))
        .await
        .expect(200);
    assert_eq!(part.body["bot"]["escalation"]["afterNoMatches"], 3);
    assert_eq!(part.body["bot"]["languages"], json!(["de"]));
    let all = fixture
        .client
        .patch(&path, &json!({ "bot": null, "description": null }))
        .await
        .expect(200);
    assert_eq!(all.body["bot"]["languages"], json!(["en"]));
    assert!(all.body.get("description").is_none());
    let required = fixture
        .client
        .patch(&path, &json!({ "displayName": null }))
        .await
        .problem("validation_failed");
    assert_eq!(pointers(&required), ["/displayName"]);
}

#[tokio::test]
async fn a_patch_that_changes_nothing_is_no_write() {
    let fixture = Fixture::start().await;
    let made = fixture.client.post("/v1/interfaces", &interface()).await.expect(201);
    let path = format!("/v1/interfaces/{}", made.text("/id"));
    let same = fixture.client.patch(&path, &interface()).await.expect(200);
    assert_eq!(same.body, made.body);
    let records = fixture
        .running
        .manager()
        .write_records(&fixture.client.manager_id)
        .await
        .unwrap();
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn an_interface_with_connections_stays() {
    let fixture = Fixture::start().await;
    let id = fixture.client.interface().await;
    let connection = fixture.client.connection(&sms(&id, "+4915112345678")).await;
    let path = format!("/v1/interfaces/{id}");
    fixture.client.delete(&path).await.problem("interface_not_empty");
    fixture
        .client
        .delete(&format!("/v1/connections/{connection}"))
        .await
        .expect(204);
    fixture.client.delete(&path).await.expect(204);
}

#[tokio::test]
async fn if_match_guards_updates_and_deletions() {
    let fixture = Fixture::start().await;
    let made = fixture.client.post("/v1/interfaces", &interface()).await.expect(201);
    let path = format!("/v1/interfaces/{}", made.text("/id"));
    let first = made.header("etag").to_owned();
    let call = |method: Method, tag: &str| {
        let call = fixture.client.call(method, &path).header("if-match", tag);
        call.json(&json!({ "description": tag })).send()
    };
    let second = call(Method::PATCH, &first).await.expect(200).header("etag").to_owned();
    for method in [Method::PATCH, Method::DELETE] {
        for stale in [first.as_str(), "\"other\"", "W/\"1\""] {
            call(method.clone(), stale).await.problem("revision_mismatch");
        }
    }
    call(Method::PATCH, "*").await.expect(200);
    let third = fixture.client.get(&path).await.header("etag").to_owned();
    call(Method::DELETE, &format!("{second}, {third}")).await.expect(204);
}

#[tokio::test]
async fn an_external_reference_belongs_to_one_object() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let with_reference = |claimant: &str| {
        let mut body = interface();
        body["externalReference"] = json!("installation/kind/shop/bot");
        body["claimant"] = json!(claimant);
        body
    };
    let id = client
        .post("/v1/interfaces", &with_reference("uid-1"))
        .await
        .expect(201)
        .text("/id");
    let problem = client
        .post("/v1/interfaces", &with_reference("uid-2"))
        .await
        .problem("reference_exists");
    assert_eq!(problem.existing_id.as_deref(), Some(id.as_str()));
    let found = client
        .get("/v1/interfaces?externalReference=installation/kind/shop/bot")
        .await
        .expect(200);
    assert_eq!(found.body["items"][0]["id"], id.as_str());
    assert_eq!(
        client.get("/v1/interfaces?externalReference=other").await.body["items"],
        json!([])
    );

    let path = format!("/v1/interfaces/{id}");
    let taken_over = client.patch(&path, &json!({ "claimant": "uid-2" })).await.expect(200);
    assert_eq!(taken_over.text("/claimant"), "uid-2");
    let released = client
        .patch(&path, &json!({ "externalReference": null, "claimant": null }))
        .await
        .expect(200);
    assert!(released.body.get("externalReference").is_none() && released.body.get("claimant").is_none());
    let second = client
        .post("/v1/interfaces", &with_reference("uid-2"))
        .await
        .expect(201)
        .text("/id");
    let problem = client
        .patch(&path, &json!({ "externalReference": "installation/kind/shop/bot" }))
        .await
        .problem("reference_exists");
    assert_eq!(problem.existing_id, Some(second));
}

#[tokio::test]
async fn what_is_wrong_is_told_by_field() {
    let fixture = Fixture::start().await;
    let long = "x".repeat(2000);
    let command = |name: &str| json!({ "name": name, "triggers": ["hi"], "texts": ["Hello"] });
    let cases: [(&str, Value, &str); 17] = [
        ("displayName", json!(""), "/displayName"),
        ("displayName", json!(long), "/displayName"),
        ("displayName", Value::Null, "/displayName"),
        ("displayName", json!(7), "/displayName"),
        ("templateOperator", json!(""), "/templateOperator"),
        ("baseUrl", json!("acme.example/prweb"), "/baseUrl"),
        ("baseUrl", json!("http://acme.example/prweb"), "/baseUrl"),
        ("baseUrl", json!("https://acme.example/prweb/"), "/baseUrl"),
        ("baseUrl", json!("https://acme.example/prweb?x=1"), "/baseUrl"),
        ("baseUrl", json!("https://user:pass@acme.example/prweb"), "/baseUrl"),
        ("bot", json!({ "languages": [] }), "/bot/languages"),
        ("bot", json!({ "languages": ["en", "not a tag"] }), "/bot/languages/1"),
        (
            "bot",
            json!({ "systemResponses": { "noMatch": long } }),
            "/bot/systemResponses/noMatch",
        ),
        (
            "bot",
            json!({ "responseCommands": [command("a"), command("a")] }),
            "/bot/responseCommands/1/name",
        ),
        (
            "bot",
            json!({ "escalation": { "afterNoMatches": 0 } }),
            "/bot/escalation/afterNoMatches",
        ),
        ("typo", json!("x"), "/typo"),
        ("claimant", json!("uid"), "/claimant"),
    ];
    for (member, value, pointer) in cases {
        let mut body = interface();
        body[member] = value;
        let problem = fixture
            .client
            .post("/v1/interfaces", &body)
            .await
            .problem("validation_failed");
        assert_eq!(pointers(&problem), [pointer], "{body}");
    }
    let both = json!({ "displayName": "", "templateOperator": "", "baseUrl": "https://acme.example" });
    let problem = fixture
        .client
        .post("/v1/interfaces", &both)
        .await
        .problem("validation_failed");
    assert_eq!(
        pointers(&problem),
        ["/displayName", "/templateOperator"],
        "all problems at once"
    );
    assert_eq!(
        fixture.client.get("/v1/interfaces").await.body["items"],
        json!([]),
        "nothing of it was made"
    );
}

#[tokio::test]
async fn http_is_for_sandboxes() {
    let fixture = Fixture::with(|config| config.allow_insecure_urls = true).await;
    let mut body = interface();
    body["baseUrl"] = json!("http://127.0.0.1:8080/prweb");
    fixture.client.post("/v1/interfaces", &body).await.expect(201);
    body["baseUrl"] = json!("ftp://acme.example");
    fixture
        .client
        .post("/v1/interfaces", &body)
        .await
        .problem("validation_failed");
}

#[tokio::test]
async fn an_account_holds_so_many_objects() {
    let fixture = Fixture::with(|config| config.max_objects = 2).await;
    let id = fixture.client.interface().await;
    fixture.client.connection(&sms(&id, "+4915112345678")).await;
    fixture
        .client
        .post("/v1/interfaces", &interface())
        .await
        .problem("quota_exceeded");
    fixture
        .client
        .post("/v1/connections", &sms(&id, "+4915112345679"))
        .await
        .problem("quota_exceeded");
}

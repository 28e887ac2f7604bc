// SPDX-License-Identifier: Apache-2.0

//! Connections: what the manager generates, what never changes, what is refused.
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

use digital_messaging_contract::{
    account::ChannelSupport,
    channel::ChannelType,
    connection::{Connection, ConnectionState},
};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Fixture, client_channel, each_channel, pointers, sms, web_messaging};

#[tokio::test]
async fn each_channel_can_be_connected() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    for body in each_channel(&interface_id) {
        let made = fixture.client.post("/v1/connections", &body).await.expect(201);
        let connection: Connection = made.parse();
        assert!(connection.id.starts_with("cn_"));
        assert_eq!(connection.state, ConnectionState::Active);
        assert_eq!(connection.channel.channel_type().as_str(), body["channel"]["type"]);
        let is_widget = connection.channel.channel_type() == ChannelType::WebMessaging;
        assert_eq!(
            (connection.widget.is_some(), connection.webhook_url.is_none()),
            (is_widget, is_widget)
        );
        assert_eq!(connection.has_jwt_secret, made.body.get("jwtSecret").is_some());
        assert_eq!(connection.has_jwt_secret, connection.channel.has_jwt_secret());
        let read = fixture
            .client
            .get(&format!("/v1/connections/{}", connection.id))
            .await
            .expect(200);
        assert_eq!(read.parse::<Connection>(), connection);
        assert_eq!(read.header("etag"), made.header("etag"));
    }
    assert_eq!(
        fixture.client.get("/v1/connections").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
}

#[tokio::test]
async fn generated_values_are_recognisable_and_under_the_public_url() {
    let fixture = Fixture::with(|config| config.public_url = Some("http://127.0.0.1:1".parse().unwrap())).await;
    let client = support::Client {
        url: "http://127.0.0.1:1".parse().unwrap(),
        ..fixture.client.clone()
    };
    let send = |body: Value, path: &'static str| {
        let token = client.token("POST", path, &serde_json::to_vec(&body).unwrap(), jiff::Timestamp::now());
        let url = format!("http://{}{path}", fixture.running.address());
        client.http.post(url).bearer_auth(token).json(&body).send()
    };
    let interface: Value = send(support::interface(), "/v1/interfaces")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let body = web_messaging(interface["id"].as_str().unwrap());
    let made: Value = send(body, "/v1/connections").await.unwrap().json().await.unwrap();
    assert!(made["jwtSecret"].as_str().unwrap().starts_with("whk_"));
    let widget_id = made["widget"]["id"].as_str().unwrap();
    assert_eq!(widget_id.len(), 36);
    assert_eq!(
        made["widget"]["scriptUrl"],
        format!("http://127.0.0.1:1/widgets/{widget_id}/messaging.js")
    );
    let body = client_channel(interface["id"].as_str().unwrap(), "Kiosk");
    let made: Value = send(body, "/v1/connections").await.unwrap().json().await.unwrap();
    assert_eq!(
        made["webhookUrl"],
        format!("http://127.0.0.1:1/webhooks/{}", made["id"].as_str().unwrap())
    );
}

#[tokio::test]
async fn input_secrets_never_come_back() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let body = sms(&interface_id, "+4915112345678");
    let made = fixture.client.post("/v1/connections", &body).await.expect(201);
    let path = format!("/v1/connections/{}", made.text("/id"));
    let answers = [
        made.body,
        fixture.client.get(&path).await.body,
        fixture.client.get("/v1/connections").await.body,
        fixture.client.get("/v1/changes?since=0").await.body,
        fixture
            .client
            .patch(&path, &json!({ "secrets": { "authToken": "twilio-token-2" } }))
            .await
            .expect(200)
            .body,
        fixture.client.post("/v1/connections", &body).await.body,
    ];
    for answer in answers {
        assert!(!answer.to_string().contains("twilio-token"), "{answer}");
        assert!(answer.get("secrets").is_none());
    }
}

#[tokio::test]
async fn a_natural_key_belongs_to_one_connection() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    for body in each_channel(&interface_id) {
        let id = fixture.client.connection(&body).await;
        let again = fixture.client.post("/v1/connections", &body).await;
        let pointer = match body["channel"]["type"].as_str().unwrap() {
            "webMessaging" => {
                again.expect(201);
                continue;
            }
            "clientChannel" => "/displayName",
            "facebookMessenger" => "/channel/pageId",
            "whatsApp" | "sms" => "/channel/phoneNumber",
            "appleMessages" => "/channel/businessId",
            _ => "/channel/accountHandle",
        };
        let problem = again.problem("natural_key_claimed");
        assert_eq!(
            (problem.existing_id.as_deref(), pointers(&problem)),
            (Some(id.as_str()), vec![pointer])
        );
    }
    let free = fixture.client.connection(&client_channel(&interface_id, "Lobby")).await;
    let rename = fixture
        .client
        .patch(&format!("/v1/connections/{free}"), &json!({ "displayName": "Kiosk" }))
        .await;
    rename.problem("natural_key_claimed");
}

#[tokio::test]
async fn some_things_never_change() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let other_interface = fixture.client.interface().await;
    let id = fixture.client.connection(&sms(&interface_id, "+4915112345678")).await;
    let path = format!("/v1/connections/{id}");
    for (patch, pointer) in [
        (json!({ "interfaceId": other_interface }), "/interfaceId"),
        (
            json!({ "channel": { "phoneNumber": "+4915112345679" } }),
            "/channel/phoneNumber",
        ),
        (
            json!({ "channel": { "type": "whatsApp", "phoneNumber": "+4915112345679" } }),
            "/channel/type",
        ),
        (json!({ "channel": null }), "/channel/type"),
    ] {
        let problem = fixture.client.patch(&path, &patch).await.problem("replace_required");
        assert_eq!(pointers(&problem), [pointer], "{patch}");
    }
    let same = json!({ "interfaceId": interface_id, "channel": { "type": "sms", "phoneNumber": "+4915112345678" } });
    fixture.client.patch(&path, &same).await.expect(200);
}

#[tokio::test]
async fn an_update_keeps_id_and_secrets() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let made = fixture
        .client
        .post("/v1/connections", &web_messaging(&interface_id))
        .await
        .expect(201);
    let path = format!("/v1/connections/{}", made.text("/id"));
    let channel = json!({ "primaryColor": "#ff0000", "allowedDomains": ["acme.example"], "sessionInitialization": "controlled" });
    let changed = fixture
        .client
        .patch(&path, &json!({ "displayName": "Shop", "channel": channel }))
        .await
        .expect(200);
    for kept in ["/id", "/widget/id", "/widget/scriptUrl", "/createdAt"] {
        assert_eq!(changed.text(kept), made.text(kept));
    }
    assert_eq!(changed.body["channel"]["primaryColor"], "#ff0000");
    let back = fixture
        .client
        .patch(&path, &json!({ "channel": { "primaryColor": null } }))
        .await
        .expect(200);
    assert_eq!(back.body["channel"]["primaryColor"], "#0b5cad");
    assert_eq!(back.body["channel"]["allowedDomains"], json!(["acme.example"]));
    assert_eq!(
        fixture.client.get(&format!("{path}/jwt-secret")).await.text("/jwtSecret"),
        made.text("/jwtSecret")
    );
}

#[tokio::test]
async fn a_new_secret_is_a_change_and_the_same_one_is_not() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let made = fixture
        .client
        .post("/v1/connections", &sms(&interface_id, "+4915112345678"))
        .await
        .expect(201);
    let path = format!("/v1/connections/{}", made.text("/id"));
    let patch = |token: &str| json!({ "secrets": { "authToken": token } });
    assert_eq!(
        fixture
            .client
            .patch(&path, &patch("twilio-token"))
            .await
            .expect(200)
            .revision(),
        made.revision()
    );
    assert_eq!(
        fixture.client.patch(&path, &patch("new")).await.expect(200).revision(),
        made.revision() + 1
    );
    let removed = fixture
        .client
        .patch(&path, &json!({ "secrets": { "authToken": null } }))
        .await
        .problem("validation_failed");
    assert_eq!(pointers(&removed), ["/secrets/authToken"]);
}

#[tokio::test]
async fn whats_app_can_move_to_another_provider() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let id = fixture.client.connection(&each_channel(&interface_id)[3]).await;
    let path = format!("/v1/connections/{id}");
    let provider = json!({ "type": "twilio", "accountSid": format!("AC{}", "0".repeat(32)) });
    let problem = fixture
        .client
        .patch(&path, &json!({ "channel": { "provider": provider } }))
        .await
        .problem("validation_failed");
    assert_eq!(pointers(&problem), ["/secrets/authToken"]);
    let patch = json!({ "channel": { "provider": provider }, "secrets": { "authToken": "t" } });
    let moved = fixture.client.patch(&path, &patch).await.expect(200);
    assert_eq!(moved.body["channel"]["provider"], provider);
    assert_eq!(moved.text("/id"), id);
}

#[tokio::test]
async fn what_is_wrong_is_told_by_field() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let channels = each_channel(&interface_id);
    let cases: Vec<(usize, &str, Value, &str)> = vec![
        (0, "/channel/primaryColor", json!("blue"), "/channel/primaryColor"),
        (
            0,
            "/channel/logoUrl",
            json!("http://acme.example/logo.png"),
            "/channel/logoUrl",
        ),
        (
            0,
            "/channel/allowedDomains",
            json!(["https://acme.example"]),
            "/channel/allowedDomains/0",
        ),
        (0, "/channel/allowedCookies", json!(["a b"]), "/channel/allowedCookies/0"),
        (
            0,
            "/channel/headings",
            json!([{ "language": "en", "text": "" }]),
            "/channel/headings/0/text",
        ),
        (
            0,
            "/channel/switching",
            json!({ "connectionIds": ["cn_nobody"] }),
            "/channel/switching/connectionIds/0",
        ),
        (
            0,
            "/channel/sessionInitialization",
            json!("sometimes"),
            "/channel/sessionInitialization",
        ),
        (0, "/channel/typo", json!(1), "/channel/typo"),
        (1, "/channel/webhookUrl", json!("http://acme.example"), "/channel/webhookUrl"),
        (1, "/channel/webhookUrl", json!("nonsense"), "/channel/webhookUrl"),
        (2, "/channel/pageId", json!("acme"), "/channel/pageId"),
        (2, "/secrets/appSecret", Value::Null, "/secrets/appSecret"),
        (2, "/secrets/typo", json!("x"), "/secrets/typo"),
        (3, "/channel/phoneNumber", json!("015112345678"), "/channel/phoneNumber"),
        (
            3,
            "/channel/provider",
            json!({ "type": "twilio", "accountSid": "x" }),
            "/channel/provider/accountSid",
        ),
        (4, "/channel/phoneNumber", json!("+49 151 12345678"), "/channel/phoneNumber"),
        (4, "/channel/twilio/accountSid", json!("SK1"), "/channel/twilio/accountSid"),
        (4, "/channel/twilio", json!({}), "/channel/twilio/accountSid"),
        (4, "/secrets", Value::Null, "/secrets/authToken"),
        (4, "/secrets/authToken", json!(""), "/secrets/authToken"),
        (5, "/channel/businessId", json!(""), "/channel/businessId"),
        (6, "/channel/accountHandle", json!("@acme"), "/channel/accountHandle"),
        (6, "/interfaceId", json!("if_nobody"), "/interfaceId"),
        (6, "/channel/type", Value::Null, "/channel/type"),
        (6, "/channel", Value::Null, "/channel"),
    ];
    for (channel, member, value, pointer) in cases {
        let mut body = channels[channel].clone();
        set(&mut body, member, value);
        let problem = fixture
            .client
            .post("/v1/connections", &body)
            .await
            .problem("validation_failed");
        let found = pointers(&problem);
        assert!(found.contains(&pointer), "{member}: {found:?}");
    }
    assert_eq!(
        fixture.client.get("/v1/connections").await.body["items"],
        json!([]),
        "nothing of it was made"
    );
}

/// Sets a member, making it where it is not.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
}

#[tokio::test]
async fn an_unknown_or_withdrawn_channel_is_unsupported() {
    let fixture = Fixture::with(|config| {
        config
            .channels
            .insert(ChannelType::TwitterDirectMessage, ChannelSupport::Unsupported);
        config
            .channels
            .insert(ChannelType::FacebookMessenger, ChannelSupport::AdoptOnly);
    })
    .await;
    let interface_id = fixture.client.interface().await;
    let channels = each_channel(&interface_id);
    let mut unknown = channels[0].clone();
    unknown["channel"]["type"] = json!("carrierPigeon");
    for body in [&unknown, &channels[2], &channels[6]] {
        let problem = fixture
            .client
            .post("/v1/connections", body)
            .await
            .problem("channel_unsupported");
        assert_eq!(pointers(&problem), ["/channel/type"]);
    }
    let offers = fixture.client.get("/v1/manager").await.body["channels"].clone();
    assert_eq!(offers[2]["support"], "adoptOnly");
    assert_eq!(offers[6]["support"], "unsupported");
}

#[tokio::test]
async fn a_secret_can_be_refused_as_a_provider_would() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let mut body = sms(&interface_id, "+4915112345678");
    body["secrets"]["authToken"] = json!("rejected-by-provider");
    let problem = fixture
        .client
        .post("/v1/connections", &body)
        .await
        .problem("credentials_rejected");
    assert_eq!(pointers(&problem), ["/secrets/authToken"]);
}

#[tokio::test]
async fn connections_switch_to_each_other_and_forget_who_is_gone() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let (a, b) = (
        fixture.client.connection(&web_messaging(&interface_id)).await,
        fixture.client.connection(&web_messaging(&interface_id)).await,
    );
    let path = |id: &str| format!("/v1/connections/{id}");
    let switch_to = |id: &str| json!({ "channel": { "switching": { "connectionIds": [id] } } });
    fixture.client.patch(&path(&a), &switch_to(&b)).await.expect(200);
    let before = fixture.client.patch(&path(&b), &switch_to(&a)).await.expect(200);
    fixture
        .client
        .patch(&path(&a), &switch_to(&a))
        .await
        .problem("validation_failed");
    fixture.client.delete(&path(&a)).await.expect(204);
    let after = fixture.client.get(&path(&b)).await.expect(200);
    assert_eq!(after.body["channel"]["switching"]["connectionIds"], json!([]));
    assert!(after.revision() > before.revision());
}

#[tokio::test]
async fn messenger_may_wait_for_a_person() {
    let fixture = Fixture::with(|config| config.facebook_needs_authorization = true).await;
    let interface_id = fixture.client.interface().await;
    let id = fixture.client.connection(&each_channel(&interface_id)[2]).await;
    let path = format!("/v1/connections/{id}");
    let waiting = fixture.client.get(&path).await;
    assert_eq!(waiting.text("/state"), "pendingAuthorization");
    assert!(waiting.text("/stateMessage").contains("administrator"));
    fixture
        .running
        .manager()
        .authorize(&fixture.client.manager_id, &id)
        .await
        .unwrap();
    let active = fixture.client.get(&path).await;
    assert_eq!(active.text("/state"), "active");
    assert!(active.body.get("stateMessage").is_none());
    assert!(active.revision() > waiting.revision());
}

#[tokio::test]
async fn a_lost_reply_loses_nothing() {
    let fixture = Fixture::start().await;
    let interface_id = fixture.client.interface().await;
    let mut body = web_messaging(&interface_id);
    body["externalReference"] = json!("installation/ChannelConnection/shop/chat");
    fixture
        .faults
        .push(messaging_manager::faults::Rule::new(messaging_manager::faults::Fault::DropReply).once());
    fixture
        .client
        .call(Method::POST, "/v1/connections")
        .json(&body)
        .try_send()
        .await
        .unwrap_err();
    let problem = fixture
        .client
        .post("/v1/connections", &body)
        .await
        .problem("reference_exists");
    let path = format!("/v1/connections/{}", problem.existing_id.unwrap());
    fixture.client.get(&path).await.expect(200);
    fixture
        .client
        .get(&format!("{path}/jwt-secret"))
        .await
        .expect(200)
        .text("/jwtSecret");
}

// SPDX-License-Identifier: Apache-2.0

//! Every wire type reads back what it writes, and its form on the wire is pinned.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

use std::fmt::Debug;

use digital_messaging_contract::{
    account::{Account, AuthenticationMethod},
    change::{Change, Changes, Page},
    channel::{Channel, ChannelType},
    connection::{Connection, ConnectionSpec, CreatedConnection, JwtSecret, JwtSecretRotation, RotatedConnection},
    interface::{Interface, InterfaceSpec},
    problem::{Code, Problem},
    secret::SecretValue,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Reads a value and asserts that writing it gives the same again.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + Debug>(wire: &Value) -> T {
    let read: T = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), *wire);
    read
}

fn interface() -> Value {
    json!({
        "id": "if_1",
        "externalReference": "production/DigitalMessagingInterface/shop/bot",
        "claimant": "uid",
        "displayName": "Bot",
        "templateOperator": "dm-template",
        "baseUrl": "https://acme.example/prweb",
        "bot": {
            "languages": ["en"],
            "systemResponses": { "noMatch": "Sorry?" },
            "responseCommands": [
                { "name": "help", "triggers": ["help"], "texts": ["Hi"], "menu": [{ "label": "Order", "payload": "o" }] },
            ],
            "escalation": { "afterNoMatches": 3 },
        },
        "callbackUrl": "https://acme.example/prweb/PRRestService/botAgent/v1/messaging",
        "revision": 7,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-02T00:00:00Z",
    })
}

fn connection(channel: &Value) -> Value {
    json!({
        "id": "cn_1",
        "interfaceId": "if_1",
        "displayName": "Chat",
        "channel": channel,
        "state": "active",
        "widget": { "id": "8f7f", "scriptUrl": "https://manager.example/widgets/8f7f/messaging.js" },
        "hasJwtSecret": true,
        "revision": 8,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-02T00:00:00Z",
    })
}

fn channels() -> Vec<Value> {
    let sid = "AC00000000000000000000000000000000";
    vec![
        json!({
            "type": "webMessaging",
            "primaryColor": "#0b5cad",
            "headings": [{ "language": "en", "text": "Hi" }],
            "logoUrl": "https://acme.example/logo.png",
            "allowedDomains": ["acme.example"],
            "allowedCookies": ["session"],
            "sessionInitialization": "controlled",
            "switching": { "placement": "header", "connectionIds": ["cn_2"] },
        }),
        json!({ "type": "clientChannel", "webhookUrl": "https://acme.example/hook" }),
        json!({ "type": "facebookMessenger", "pageId": "1" }),
        json!({ "type": "whatsApp", "phoneNumber": "+4915112345678", "provider": { "type": "twilio", "accountSid": sid } }),
        json!({ "type": "sms", "phoneNumber": "+4915112345678", "twilio": { "accountSid": sid } }),
        json!({ "type": "appleMessages", "businessId": "b", "mspId": "m" }),
        json!({ "type": "twitterDirectMessage", "accountHandle": "acme" }),
    ]
}

#[test]
fn interfaces() {
    let read: Interface = round_trip(&interface());
    assert_eq!(read.spec.display_name, "Bot");
    let least = json!({ "displayName": "Bot", "templateOperator": "t", "baseUrl": "https://acme.example" });
    let spec: InterfaceSpec = serde_json::from_value(least.clone()).unwrap();
    assert_eq!(spec.bot.languages, ["en"]);
    assert_eq!(spec.bot.escalation.after_no_matches, 3);
    let mut typo = least;
    typo["baseUri"] = json!("x");
    assert!(
        serde_json::from_value::<InterfaceSpec>(typo).is_err(),
        "a client's typo is refused"
    );
    let mut newer = interface();
    newer["addedLater"] = json!(1);
    assert!(
        serde_json::from_value::<Interface>(newer).is_ok(),
        "what a newer manager says beside is not"
    );
}

#[test]
fn channels_of_every_type() {
    let types: Vec<ChannelType> = channels()
        .iter()
        .map(|wire| round_trip::<Channel>(wire).channel_type())
        .collect();
    assert_eq!(types, ChannelType::ALL);
    for (wire, channel_type) in channels().iter().zip(ChannelType::ALL) {
        assert_eq!(wire["type"], channel_type.as_str());
        assert_eq!(serde_json::to_value(channel_type).unwrap(), channel_type.as_str());
    }
    let cloud = json!({
        "type": "whatsApp", "phoneNumber": "+4915112345678",
        "provider": { "type": "cloudApi", "phoneNumberId": "1", "businessAccountId": "2" },
    });
    assert_eq!(round_trip::<Channel>(&cloud).required_secrets(), ["accessToken", "appSecret"]);
}

#[test]
fn connections() {
    for channel in channels() {
        let wire = connection(&channel);
        round_trip::<Connection>(&wire);
        let mut created = wire.clone();
        created["jwtSecret"] = json!("whk_secret");
        let read: CreatedConnection = round_trip(&created);
        assert_eq!(read.jwt_secret, Some(SecretValue::from("whk_secret")));
        assert!(!format!("{read:?}").contains("whk_secret"));
    }
    let spec = json!({
        "interfaceId": "if_1", "displayName": "SMS", "channel": channels()[4], "secrets": { "authToken": "s3cret" },
    });
    let read: ConnectionSpec = round_trip(&spec);
    assert!(!format!("{read:?}").contains("s3cret"));
}

#[test]
fn pages_and_changes() {
    round_trip::<Page<Interface>>(&json!({ "items": [interface()], "nextCursor": "c", "revision": 9 }));
    round_trip::<Page<Connection>>(&json!({ "items": [], "revision": 9 }));
    let changes: Changes = round_trip(&json!({
        "items": [
            { "kind": "interface", "object": interface() },
            { "kind": "connection", "object": connection(&channels()[0]) },
            { "kind": "deleted", "object": { "resource": "connection", "id": "cn_3", "revision": 9 } },
        ],
        "next": 9,
        "more": false,
    }));
    assert!(matches!(&changes.items[2], Change::Deleted(tombstone) if tombstone.id == "cn_3"));
}

#[test]
fn accounts_and_secrets() {
    let mut document = json!({
        "managerId": "acme", "name": "Acme", "region": "eu-west-1", "apiVersion": "v1", "authenticationMethod": "APIKey",
        "serverTime": "2026-01-01T00:00:00Z", "channels": [{ "type": "sms", "support": "adoptOnly" }],
        "uniqueReferences": true,
    });
    let account: Account = round_trip(&document);
    assert_eq!(account.authentication_method, AuthenticationMethod::ApiKey);
    document.as_object_mut().unwrap().remove("uniqueReferences");
    let of_before: Account = serde_json::from_value(document).unwrap();
    assert!(of_before.unique_references, "what says nothing refuses a second object");
    round_trip::<JwtSecret>(&json!({ "jwtSecret": "whk_x", "previousValidUntil": "2026-01-01T00:00:00Z" }));
    round_trip::<JwtSecret>(&json!({ "jwtSecret": "whk_x" }));
    round_trip::<JwtSecretRotation>(&json!({ "token": "t" }));
    let mut rotated = connection(&channels()[0]);
    rotated["jwtSecretRotation"] = json!("t");
    rotated["jwtSecret"] = json!("whk_secret");
    rotated["previousValidUntil"] = json!("2026-01-01T00:00:00Z");
    let read: RotatedConnection = round_trip(&rotated);
    assert_eq!(read.connection.jwt_secret_rotation.as_deref(), Some("t"));
    assert!(!format!("{read:?}").contains("whk_secret"));
}

#[test]
fn problems() {
    let problem: Problem = round_trip(&json!({
        "type": "urn:digitalmessaging:problem:natural_key_claimed", "title": "Natural key claimed", "status": 409,
        "detail": "taken", "code": "natural_key_claimed", "errors": [{ "pointer": "/channel/pageId", "detail": "taken" }],
        "existingId": "cn_1",
    }));
    assert_eq!(problem.code, Code::NaturalKeyClaimed);
    assert_eq!(problem.code.status(), problem.status);
}

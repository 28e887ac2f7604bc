// SPDX-License-Identifier: Apache-2.0

//! What users may try, and what the API server answers.

use serde_json::{Value, json};

const CREDENTIAL: &str = "ManagerCredential/acme-manager";
const INTERFACE: &str = "DigitalMessagingInterface/acme-support";
const WEB: &str = "ChannelConnection/acme-web";
const CLIENT: &str = "ChannelConnection/acme-mobile-app";
const MESSENGER: &str = "ChannelConnection/acme-messenger";
const WHATSAPP: &str = "ChannelConnection/acme-whatsapp";
const SMS: &str = "ChannelConnection/acme-sms";
const APPLE: &str = "ChannelConnection/acme-apple-messages";
const TWITTER: &str = "ChannelConnection/acme-x";

/// Values to set, by JSON Pointer. Null removes what is there.
pub(super) type Changes = Vec<(&'static str, Value)>;

/// One thing a user may try, and what the API server answers.
pub(super) struct Case {
    /// The object of the examples.
    pub(super) object: &'static str,
    /// Nothing: it is created. Otherwise it exists, with these changes.
    pub(super) existing: Option<Changes>,
    /// What differs from the example or from what exists.
    pub(super) change: Changes,
    /// Part of the message it is refused with, or nothing where it is accepted.
    pub(super) refused: Option<&'static str>,
}

fn create<const N: usize>(object: &'static str, change: [(&'static str, Value); N], refused: &'static str) -> Case {
    Case {
        object,
        existing: None,
        change: change.into(),
        refused: Some(refused),
    }
}

fn create_accepted<const N: usize>(object: &'static str, change: [(&'static str, Value); N]) -> Case {
    Case {
        object,
        existing: None,
        change: change.into(),
        refused: None,
    }
}

fn update<const N: usize>(object: &'static str, change: [(&'static str, Value); N], refused: &'static str) -> Case {
    Case {
        object,
        existing: Some(Vec::new()),
        change: change.into(),
        refused: Some(refused),
    }
}

fn update_accepted<const N: usize>(object: &'static str, change: [(&'static str, Value); N]) -> Case {
    Case {
        object,
        existing: Some(Vec::new()),
        change: change.into(),
        refused: None,
    }
}

fn manager_credentials() -> Vec<Case> {
    let endpoint = "/spec/manager/digitalMessaging/endpoint";
    let region = "/spec/manager/digitalMessaging/region";
    let policy = "/spec/defaults/policy";
    let plain = "endpoint must be a URL without user information, query and fragment";
    let interval = "observeInterval must be from 10s to 1h";
    let host = "the host and port of endpoint cannot be changed";
    let fixed_region = "region cannot be changed, added or removed";
    let mut without_region = update(CREDENTIAL, [(region, json!("eu-west-1"))], fixed_region);
    without_region.existing = Some(vec![(region, Value::Null)]);
    vec![
        create_accepted(CREDENTIAL, []),
        create_accepted(
            CREDENTIAL,
            [(endpoint, json!("http://127.0.0.1:8080/messaging")), (region, Value::Null)],
        ),
        create(
            CREDENTIAL,
            [("/spec/manager", json!({}))],
            "digitalMessaging must be set, with its settings below it",
        ),
        create(
            CREDENTIAL,
            [("/spec/manager", json!({ "pigeonPost": {} }))],
            "digitalMessaging must be set",
        ),
        create(
            CREDENTIAL,
            [(endpoint, json!("ftp://manager.example.com"))],
            "should match '^https?://",
        ),
        create(
            CREDENTIAL,
            [(endpoint, json!("https://user:secret@manager.example.com"))],
            plain,
        ),
        create(
            CREDENTIAL,
            [(endpoint, json!("https://manager.example.com/?tenant=1"))],
            plain,
        ),
        create(CREDENTIAL, [(endpoint, json!("https://manager.example.com/#top"))], plain),
        create(CREDENTIAL, [(endpoint, json!("https://manager.example.com:port"))], plain),
        update(CREDENTIAL, [(endpoint, json!("https://other.example.com"))], host),
        update(CREDENTIAL, [(endpoint, json!("https://manager.example.com:8443"))], host),
        update_accepted(CREDENTIAL, [(endpoint, json!("https://manager.example.com/messaging"))]),
        update(CREDENTIAL, [(region, json!("us-east-1"))], fixed_region),
        update(CREDENTIAL, [(region, Value::Null)], fixed_region),
        without_region,
        create(
            CREDENTIAL,
            [("/spec/authentication/secretRef", Value::Null)],
            "spec.authentication.secretRef: Required value",
        ),
        create(
            CREDENTIAL,
            [("/spec/authentication/method", json!("Basic"))],
            r#"supported values: "JWT", "APIKey""#,
        ),
        create(CREDENTIAL, [("/spec/observeInterval", json!("9s"))], interval),
        create(CREDENTIAL, [("/spec/observeInterval", json!("1h1s"))], interval),
        create(
            CREDENTIAL,
            [("/spec/observeInterval", json!("soon"))],
            "spec.observeInterval in body should match",
        ),
        create_accepted(CREDENTIAL, [("/spec/observeInterval", json!("1m30s"))]),
        create(
            CREDENTIAL,
            [("/spec/rateLimit", json!({ "burst": 10 }))],
            "burst needs requestsPerSecond",
        ),
        create_accepted(
            CREDENTIAL,
            [("/spec/rateLimit", json!({ "requestsPerSecond": 5, "burst": 10 }))],
        ),
        create(
            CREDENTIAL,
            [("/spec/rateLimit/maxConcurrentRequests", json!(257))],
            "should be less than or equal to 256",
        ),
        create(
            CREDENTIAL,
            [(policy, json!({ "management": "Observe", "deletion": "Delete" }))],
            "management: Observe cannot be combined with deletion: Delete",
        ),
        create(
            CREDENTIAL,
            [(policy, json!({ "management": "Observe", "approval": "Required" }))],
            "management: Observe cannot be combined with approval: Required",
        ),
        create_accepted(
            CREDENTIAL,
            [(policy, json!({ "management": "Observe", "deletion": "Orphan" }))],
        ),
    ]
}

fn interfaces() -> Vec<Case> {
    let base_url = "/spec/baseUrl";
    let plain = "baseUrl must be a URL without user information, query and fragment";
    let command = json!({ "name": "help", "triggers": ["help"], "texts": ["Here to help."] });
    vec![
        create_accepted(INTERFACE, []),
        create_accepted(INTERFACE, [("/spec/bot", Value::Null), ("/spec/description", Value::Null)]),
        create_accepted(INTERFACE, [("/spec/bot", json!({ "responseCommands": [] }))]),
        update(
            INTERFACE,
            [("/spec/credentialRef/name", json!("another"))],
            "credentialRef cannot be changed",
        ),
        update_accepted(
            INTERFACE,
            [
                ("/spec/displayName", json!("Acme help")),
                ("/spec/templateOperator", json!("dm-template-2")),
            ],
        ),
        create(
            INTERFACE,
            [("/spec/displayName", json!(""))],
            "should be at least 1 chars long",
        ),
        create(
            INTERFACE,
            [("/spec/templateOperator", Value::Null)],
            "spec.templateOperator: Required value",
        ),
        create(INTERFACE, [(base_url, json!("https://user@acme.example/prweb"))], plain),
        create(INTERFACE, [(base_url, json!("https://acme.example/prweb?env=test"))], plain),
        create(
            INTERFACE,
            [(base_url, json!("https://acme.example/prweb/"))],
            "baseUrl must not end in a slash",
        ),
        create(
            INTERFACE,
            [("/spec/bot/languages", json!(["en", "en"]))],
            "spec.bot.languages[1]: Duplicate value",
        ),
        create(
            INTERFACE,
            [("/spec/bot/languages", json!(["English (US)"]))],
            "spec.bot.languages[0] in body should match",
        ),
        create(
            INTERFACE,
            [("/spec/bot/responseCommands", json!([command, command]))],
            "spec.bot.responseCommands[1]: Duplicate value",
        ),
        create(
            INTERFACE,
            [("/spec/bot/escalation/afterNoMatches", json!(0))],
            "should be greater than or equal to 1",
        ),
        create(
            INTERFACE,
            [("/spec/adoption", json!({ "by": "NaturalKey" }))],
            "an interface can be adopted by: ID only: it has no natural key",
        ),
        create(INTERFACE, [("/spec/adoption", json!({ "by": "ID" }))], "by: ID needs id"),
        create(
            INTERFACE,
            [("/spec/adoption", json!({ "by": "NaturalKey", "id": "if_1" }))],
            "so id has no meaning: remove id",
        ),
        create_accepted(
            INTERFACE,
            [("/spec/adoption", json!({ "by": "ID", "id": "if_1", "mode": "Override" }))],
        ),
        create(
            INTERFACE,
            [("/spec/policy", json!({ "management": "Observe", "deletion": "Delete" }))],
            "management: Observe cannot be combined with deletion: Delete",
        ),
        create(
            INTERFACE,
            [("/spec/policy", json!({ "management": "Observe", "approval": "Required" }))],
            "management: Observe cannot be combined with approval: Required",
        ),
    ]
}

fn connections() -> Vec<Case> {
    let long_name = |length| json!("a".repeat(length));
    let exactly_one = "exactly one of appleMessages, clientChannel, facebookMessenger, sms, twitterDirectMessage, webMessaging, whatsApp must be set";
    let to_itself = "a connection cannot switch to itself";
    vec![
        update(
            WEB,
            [("/spec/interfaceRef/name", json!("another"))],
            "interfaceRef cannot be changed",
        ),
        create(WEB, [("/spec/channel", json!({}))], exactly_one),
        create(WEB, [("/spec/channel", json!({ "carrierPigeon": {} }))], exactly_one),
        create(
            WEB,
            [(
                "/spec/channel/clientChannel",
                json!({ "webhookUrl": "https://chat.acme.example" }),
            )],
            exactly_one,
        ),
        update(
            WEB,
            [(
                "/spec/channel",
                json!({ "clientChannel": { "webhookUrl": "https://chat.acme.example" } }),
            )],
            "which member is set cannot be changed",
        ),
        update_accepted(WEB, [("/spec/channel/webMessaging", json!({}))]),
        create(WEB, [("/spec/adoption", json!({ "by": "ID" }))], "by: ID needs id"),
        create(
            WEB,
            [("/spec/adoption", json!({ "by": "NaturalKey" }))],
            "webMessaging can be adopted by: ID only",
        ),
        create(
            SMS,
            [("/spec/adoption", json!({ "by": "NaturalKey", "id": "con_1" }))],
            "so id has no meaning: remove id",
        ),
        create_accepted(SMS, [("/spec/adoption", json!({ "by": "NaturalKey" }))]),
        create_accepted(CLIENT, [("/spec/adoption", json!({ "by": "NaturalKey" }))]),
        create(
            SMS,
            [("/spec/policy", json!({ "management": "Observe", "deletion": "Delete" }))],
            "management: Observe cannot be combined with deletion: Delete",
        ),
        create(
            SMS,
            [("/spec/policy", json!({ "management": "Observe", "approval": "Required" }))],
            "management: Observe cannot be combined with approval: Required",
        ),
        create(CREDENTIAL, [("/metadata/name", long_name(247))], "at most 246 characters"),
        create_accepted(CREDENTIAL, [("/metadata/name", long_name(246))]),
        create_accepted(SMS, [("/metadata/name", long_name(242))]),
        create(
            SMS,
            [("/metadata/name", long_name(101)), ("/spec/displayName", Value::Null)],
            "set spec.displayName",
        ),
        create(SMS, [("/metadata/name", long_name(243))], "set spec.outputs.secret.name"),
        create(
            SMS,
            [("/spec/outputs", json!({ "secret": { "name": "Upper Case" } }))],
            "spec.outputs.secret.name in body should match",
        ),
    ]
    .into_iter()
    .chain(web_messaging(to_itself))
    .chain(other_channels())
    .collect()
}

fn web_messaging(to_itself: &'static str) -> Vec<Case> {
    let switching = "/spec/channel/webMessaging/switching";
    let heading = json!({ "language": "en", "text": "Hello" });
    vec![
        create_accepted(WEB, []),
        create(
            WEB,
            [(
                "/spec/channel/webMessaging/switching/connections",
                json!([{ "name": "acme-web" }]),
            )],
            to_itself,
        ),
        create(
            WEB,
            [(switching, json!({ "connections": [{ "name": "a" }, { "name": "a" }] }))],
            "connections[1]: Duplicate value",
        ),
        create(
            WEB,
            [("/spec/channel/webMessaging/switching/placement", json!("Footer"))],
            r#"supported values: "Menu", "Header""#,
        ),
        create(
            WEB,
            [("/spec/channel/webMessaging/primaryColor", json!("blue"))],
            "primaryColor in body should match",
        ),
        create(
            WEB,
            [("/spec/channel/webMessaging/headings", json!([heading, heading]))],
            "headings[1]: Duplicate value",
        ),
        create(
            WEB,
            [("/spec/channel/webMessaging/allowedDomains", json!(["https://a.example"]))],
            "allowedDomains[0] in body should match",
        ),
        create(
            WEB,
            [("/spec/channel/webMessaging/allowedCookies", json!(["a", "a"]))],
            "allowedCookies[1]: Duplicate value",
        ),
        create(
            WEB,
            [(
                "/spec/channel/webMessaging/logoUrl",
                json!("https://user@www.acme.example/logo.svg"),
            )],
            "logoUrl must be a URL without user information, query and fragment",
        ),
    ]
}

fn other_channels() -> Vec<Case> {
    let one_provider = "exactly one of twilio and cloudApi must be set";
    let twilio = json!({ "accountSid": "AC00000000000000000000000000000000" });
    vec![
        create_accepted(CLIENT, []),
        create(
            CLIENT,
            [(
                "/spec/channel/clientChannel/webhookUrl",
                json!("https://chat.acme.example/?key=1"),
            )],
            "webhookUrl must be a URL without user information, query and fragment",
        ),
        create_accepted(MESSENGER, []),
        create(
            MESSENGER,
            [("/spec/channel/facebookMessenger/pageId", json!("acme"))],
            "pageId in body should match",
        ),
        create(
            MESSENGER,
            [("/spec/channel/facebookMessenger/secretRef", Value::Null)],
            "secretRef: Required value",
        ),
        create_accepted(WHATSAPP, []),
        create_accepted(
            WHATSAPP,
            [
                ("/spec/channel/whatsApp/cloudApi", Value::Null),
                ("/spec/channel/whatsApp/twilio", twilio.clone()),
            ],
        ),
        create(WHATSAPP, [("/spec/channel/whatsApp/twilio", twilio)], one_provider),
        create(WHATSAPP, [("/spec/channel/whatsApp/cloudApi", Value::Null)], one_provider),
        create_accepted(SMS, []),
        create(
            SMS,
            [("/spec/channel/sms/phoneNumber", json!("0301234567"))],
            "phoneNumber in body should match",
        ),
        create(
            SMS,
            [("/spec/channel/sms/twilio/accountSid", json!("MG00"))],
            "accountSid in body should match",
        ),
        create_accepted(APPLE, []),
        create(
            APPLE,
            [("/spec/channel/appleMessages/businessId", json!(""))],
            "businessId in body should be at least 1 chars long",
        ),
        create_accepted(TWITTER, []),
        create(
            TWITTER,
            [("/spec/channel/twitterDirectMessage/accountHandle", json!("@acme"))],
            "accountHandle in body should match",
        ),
    ]
}

/// All cases.
pub(super) fn all_cases() -> Vec<Case> {
    [manager_credentials(), interfaces(), connections()]
        .into_iter()
        .flatten()
        .collect()
}

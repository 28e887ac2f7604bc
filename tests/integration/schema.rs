//! The API server refuses what makes no sense, with a message that says what to do about it.
//!
//! Everything here is asked of a real API server: the objects of `examples/full`, changed in one respect each.

use std::{collections::BTreeMap, path::Path};

use digital_messaging_operator::{
    api::{
        ChannelConnection, ChannelConnectionStatus, ChannelType, Condition, ConditionStatus, ConditionType,
        DigitalMessagingInterface, DigitalMessagingInterfaceStatus, Drift, LastApplied, ManagerCredential,
        ManagerCredentialStatus, Plan, PlannedChange, connection, interface, manager_credential,
    },
    generate,
};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Error, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use sandbox::Manifests;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

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
type Changes = Vec<(&'static str, Value)>;

/// One thing a user may try, and what the API server answers.
struct Case {
    /// The object of the examples.
    object: &'static str,
    /// Nothing: it is created. Otherwise it exists, with these changes.
    existing: Option<Changes>,
    /// What differs from the example or from what exists.
    change: Changes,
    /// Part of the message it is refused with, or nothing where it is accepted.
    refused: Option<&'static str>,
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
            r#"spec.bot.responseCommands[1]: Duplicate value: {"name":"help"}"#,
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

fn all_cases() -> Vec<Case> {
    [manager_credentials(), interfaces(), connections()]
        .into_iter()
        .flatten()
        .collect()
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The objects of the full example, by kind and name.
fn examples() -> BTreeMap<String, Value> {
    let manifests = Manifests::read(&repository("examples/full")).unwrap();
    let key = |object: &DynamicObject| format!("{}/{}", object.types.as_ref().unwrap().kind, object.name_any());
    manifests
        .objects()
        .iter()
        .map(|object| (key(object), serde_json::to_value(object).unwrap()))
        .collect()
}

/// A client and a namespace of a cluster that has the definitions.
async fn cluster() -> (Client, String) {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    Manifests::read(&repository("crds")).unwrap().apply(&client).await.unwrap();
    (client, control_plane.create_namespace("schema").await.unwrap())
}

fn api(client: &Client, namespace: &str, object: &Value) -> Api<DynamicObject> {
    let resource = match object["kind"].as_str().unwrap() {
        "ManagerCredential" => ApiResource::erase::<ManagerCredential>(&()),
        "DigitalMessagingInterface" => ApiResource::erase::<DigitalMessagingInterface>(&()),
        _ => ApiResource::erase::<ChannelConnection>(&()),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn apply_changes(object: &mut Value, changes: &Changes) {
    for (pointer, value) in changes {
        let (parents, last) = pointer.rsplit_once('/').unwrap();
        let mut target = &mut *object;
        for parent in parents.split('/').skip(1) {
            target = target
                .as_object_mut()
                .unwrap()
                .entry(parent)
                .or_insert_with(|| Value::Object(Map::new()));
        }
        let members = target.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(last);
        } else {
            members.insert(last.to_owned(), value.clone());
        }
    }
}

fn typed(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).unwrap()
}

/// What the API server says to a case: nothing, or why not.
async fn answer(client: &Client, namespace: &str, mut object: Value, case: &Case) -> Option<String> {
    let api = api(client, namespace, &object);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let outcome = match &case.existing {
        None => {
            apply_changes(&mut object, &case.change);
            api.create(&dry_run, &typed(&object)).await
        }
        Some(existing) => {
            apply_changes(&mut object, existing);
            object["metadata"] = json!({ "generateName": "case-" });
            let held = api.create(&PostParams::default(), &typed(&object)).await.unwrap();
            object = serde_json::to_value(&held).unwrap();
            apply_changes(&mut object, &case.change);
            api.replace(&held.name_any(), &dry_run, &typed(&object)).await
        }
    };
    match outcome {
        Ok(_) => None,
        Err(Error::Api(status)) if status.code == 422 => Some(status.message),
        Err(error) => panic!("neither accepted nor invalid: {error}"),
    }
}

#[tokio::test]
async fn the_api_server_refuses_what_makes_no_sense_and_says_what_to_do() {
    let (client, namespace) = cluster().await;
    let examples = examples();
    let mut wrong = Vec::new();
    for case in all_cases() {
        let object = examples
            .get(case.object)
            .unwrap_or_else(|| panic!("no {} in examples/full", case.object))
            .clone();
        let said = answer(&client, &namespace, object, &case).await;
        let as_expected = match (&said, case.refused) {
            (None, None) => true,
            (Some(said), Some(expected)) => said.contains(expected),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!(
                "{} {:?}\n  expected {:?}\n  got {said:?}",
                case.object, case.change, case.refused
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All rules of a schema and of what is in it.
fn rules(schema: &JSONSchemaProps) -> Vec<String> {
    let own = schema
        .x_kubernetes_validations
        .iter()
        .flatten()
        .filter_map(|rule| rule.message.clone());
    let items = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(&**items),
        _ => None,
    };
    let members = schema
        .properties
        .iter()
        .flat_map(|properties| properties.values())
        .chain(items);
    own.chain(members.flat_map(rules)).collect()
}

#[test]
fn no_rule_goes_untested() {
    let cases = all_cases();
    for definition in generate::definitions() {
        let kind = &definition.spec.names.kind;
        let version = definition.spec.versions.first().unwrap();
        let schema = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
            .unwrap();
        for message in rules(schema) {
            let is_tested = cases.iter().any(|case| {
                case.object.starts_with(&format!("{kind}/")) && case.refused.is_some_and(|expected| message.contains(expected))
            });
            assert!(is_tested, "{kind}: no case shows {message:?}");
        }
    }
}

#[tokio::test]
async fn every_example_is_accepted() {
    let (client, _) = cluster().await;
    for folder in ["full", "minimal", "api-key", "adoption"] {
        let namespace = sandbox::shared().await.create_namespace(folder).await.unwrap();
        let manifests = Manifests::read(&repository("examples").join(folder))
            .unwrap()
            .in_namespace(&namespace);
        manifests.apply(&client).await.unwrap();
    }
}

#[tokio::test]
async fn objects_can_be_selected_by_what_they_refer_to_and_by_channel() {
    let (client, namespace) = cluster().await;
    Manifests::read(&repository("examples/full"))
        .unwrap()
        .in_namespace(&namespace)
        .apply(&client)
        .await
        .unwrap();
    let connections: Api<ChannelConnection> = Api::namespaced(client.clone(), &namespace);
    let mut sms = connections.get("acme-sms").await.unwrap();
    sms.status = Some(ChannelConnectionStatus {
        channel_type: Some(ChannelType::Sms),
        ..ChannelConnectionStatus::default()
    });
    connections
        .replace_status("acme-sms", &PostParams::default(), &sms)
        .await
        .unwrap();

    let selected = |selector: &'static str| ListParams::default().fields(selector);
    let by_interface = connections
        .list(&selected("spec.interfaceRef.name=acme-support"))
        .await
        .unwrap();
    assert_eq!(by_interface.items.len(), 7);
    let by_type = connections.list(&selected("status.type=sms")).await.unwrap();
    assert_eq!(
        by_type.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["acme-sms"]
    );
    let interfaces: Api<DigitalMessagingInterface> = Api::namespaced(client.clone(), &namespace);
    assert_eq!(
        interfaces
            .list(&selected("spec.credentialRef.name=acme-manager"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        interfaces
            .list(&selected("spec.credentialRef.name=another"))
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    let credentials: Api<ManagerCredential> = Api::namespaced(client, &namespace);
    assert_eq!(
        credentials
            .list(&selected("spec.authentication.secretRef.name=acme-manager"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

/// Writes a status and checks that the API server keeps all of it.
async fn assert_kept<K>(client: &Client, namespace: &str, name: &str, status: impl Serialize)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let status = serde_json::to_value(status).unwrap();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    object["status"] = status.clone();
    let object: K = serde_json::from_value(object).unwrap();
    api.replace_status(name, &PostParams::default(), &object).await.unwrap();
    let kept = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    assert_eq!(kept["status"], status);
}

fn all_conditions() -> Vec<Condition> {
    use ConditionType::{Authenticated, Drifted, Ready, Reconciling, Stalled, Synced};
    let condition = |type_| Condition {
        type_,
        status: ConditionStatus::True,
        reason: "AsDeclared".to_owned(),
        message: "It is as declared".to_owned(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: Some(1),
    };
    [Ready, Synced, Authenticated, Drifted, Reconciling, Stalled]
        .map(condition)
        .into()
}

fn plan() -> Plan {
    let change = PlannedChange {
        field: "/displayName".to_owned(),
        from: Some("A".to_owned()),
        to: None,
        destructive: true,
    };
    Plan {
        hash: "0123abcd".to_owned(),
        changes: vec![change],
        truncated: Some(1),
    }
}

fn drift() -> Drift {
    Drift {
        fields: vec!["/displayName".to_owned()],
        since: Time(Timestamp::UNIX_EPOCH),
    }
}

fn last_applied() -> LastApplied {
    LastApplied {
        hash: "0123abcd".to_owned(),
        fields: vec!["/displayName".to_owned()],
    }
}

fn text() -> String {
    "text".to_owned()
}

#[tokio::test]
async fn a_status_with_everything_in_it_is_kept() {
    let (client, namespace) = cluster().await;
    Manifests::read(&repository("examples/full"))
        .unwrap()
        .in_namespace(&namespace)
        .apply(&client)
        .await
        .unwrap();

    let status = ManagerCredentialStatus {
        manager_id: Some(text()),
        account: Some(text()),
        identity: Some(manager_credential::Identity {
            name: text(),
            region: text(),
            api_version: text(),
        }),
        active_key: Some(manager_credential::ActiveKey {
            fingerprint: text(),
            secret_resource_version: text(),
        }),
        channels: ChannelType::ALL
            .map(|channel_type| manager_credential::OfferedChannel {
                channel_type,
                support: manager_credential::ChannelSupport::AdoptOnly,
            })
            .into(),
        reachability: Some(manager_credential::Reachability {
            breaker: manager_credential::Breaker::HalfOpen,
            max_concurrent_requests: Some(1),
            next_attempt_time: Some(Time(Timestamp::UNIX_EPOCH)),
            cause: Some(text()),
        }),
        last_handled_retry: Some(text()),
        conditions: all_conditions(),
    };
    assert_kept::<ManagerCredential>(&client, &namespace, "acme-manager", status).await;

    let status = DigitalMessagingInterfaceStatus {
        id: Some(text()),
        account: Some(text()),
        callback_url: Some(text()),
        connections: Some(interface::ConnectionCounts { desired: 2, ready: 1 }),
        plan: Some(plan()),
        drift: Some(drift()),
        last_applied: Some(last_applied()),
        last_handled_retry: Some(text()),
        conditions: all_conditions(),
    };
    assert_kept::<DigitalMessagingInterface>(&client, &namespace, "acme-support", status).await;

    let status = ChannelConnectionStatus {
        id: Some(text()),
        account: Some(text()),
        channel_type: Some(ChannelType::WebMessaging),
        state: Some(connection::ConnectionState::PendingAuthorization),
        webhook_url: Some(text()),
        widget: Some(connection::Widget {
            id: text(),
            script_url: text(),
        }),
        outputs: Some(connection::OutputsStatus {
            secret_name: text(),
            content_hash: text(),
        }),
        sent_secrets: Some(connection::SentSecrets {
            secret_uid: text(),
            resource_version: text(),
            key_id: text(),
            hmac: text(),
        }),
        plan: Some(plan()),
        drift: Some(drift()),
        last_applied: Some(last_applied()),
        last_handled_retry: Some(text()),
        last_handled_rotation: Some(text()),
        conditions: all_conditions(),
    };
    assert_kept::<ChannelConnection>(&client, &namespace, "acme-web", status).await;
}

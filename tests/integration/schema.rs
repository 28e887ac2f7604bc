// SPDX-License-Identifier: Apache-2.0

//! The API server refuses what makes no sense, with a message that says what to do about it.
//!
//! Everything here is asked of a real API server: the objects of `examples/full`, changed in one respect each.

mod cases;
mod status;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use digital_messaging_operator::{
    api::{ChannelConnection, ChannelConnectionStatus, ChannelType, DigitalMessagingInterface, ManagerCredential},
    generate,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use kube::{
    Api, Client, Error, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use sandbox::Manifests;
use serde_json::{Map, Value, json};

use cases::{Case, Changes, all_cases};

fn repository(path: &str) -> PathBuf {
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

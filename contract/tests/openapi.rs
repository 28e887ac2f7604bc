// SPDX-License-Identifier: Apache-2.0

//! `contract/openapi.yaml` is what the code says, and says it well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test"
)]

use std::{collections::BTreeSet, fs, path::Path};

use digital_messaging_contract::{header::PROBLEM_JSON, openapi};
use serde_json::{Map, Value};

fn document() -> Value {
    serde_json::to_value(openapi::document().unwrap()).unwrap()
}

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (format!("{method} {path}"), operation.as_object().unwrap()))
        })
        .collect()
}

/// Visits every object of the document with its place.
fn visit(value: &Value, place: &str, look: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            look(place, members);
            for (name, member) in members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "example" | "examples"))
            {
                visit(member, &format!("{place}/{name}"), look);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{place}/{index}"), look);
            }
        }
        _ => {}
    }
}

fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

#[test]
fn the_file_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.yaml");
    let held = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        held == openapi::to_yaml().unwrap(),
        "contract/openapi.yaml differs from the code. Run: cargo run -p digital-messaging-contract > contract/openapi.yaml"
    );
}

#[test]
fn it_is_openapi_3_1_with_everything_the_manager_serves() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let names: BTreeSet<_> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "get /v1/manager",
        "get /v1/interfaces",
        "post /v1/interfaces",
        "get /v1/interfaces/{id}",
        "patch /v1/interfaces/{id}",
        "delete /v1/interfaces/{id}",
        "get /v1/connections",
        "post /v1/connections",
        "get /v1/connections/{id}",
        "patch /v1/connections/{id}",
        "delete /v1/connections/{id}",
        "get /v1/connections/{id}/jwt-secret",
        "post /v1/connections/{id}/jwt-secret/rotate",
        "get /v1/changes",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn every_operation_says_what_it_is() {
    let document = document();
    let tags: Vec<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{name}: its operationId is used twice"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(tags.contains(&tag.as_str().unwrap()), "{name}: {tag} is not declared");
        }
        let declared: Vec<&str> = operation
            .get("parameters")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|parameter| resolve(&document, parameter["$ref"].as_str().unwrap()).unwrap())
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_path: Vec<&str> = name.split(['{', '}']).skip(1).step_by(2).collect();
        assert_eq!(declared, in_path, "{name}");
    }
}

#[test]
fn every_operation_can_succeed_and_fail() {
    let document = document();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        assert_eq!(responses.keys().filter(|status| status.starts_with('2')).count(), 1, "{name}");
        for status in ["400", "401", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{name} has no {status}");
        }
        let expects = |condition: bool, status: &str| {
            assert_eq!(responses.contains_key(status), condition, "{name} and {status}");
        };
        let has_body = operation.contains_key("requestBody");
        expects(name.contains("{id}"), "404");
        expects(!name.starts_with("get"), "412");
        // A manager may tell a secret once only.
        expects(!name.starts_with("get") || name.ends_with("/jwt-secret"), "403");
        expects(has_body, "413");
        expects(has_body, "415");
        expects(has_body, "422");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            let problem = resolve(&document, response["$ref"].as_str().unwrap()).unwrap();
            let content = &problem["content"][PROBLEM_JSON];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{name} {status}");
            assert_eq!(content["example"]["status"].to_string(), *status, "{name} {status}");
        }
        if operation["responses"]
            .get("200")
            .is_some_and(|answer| answer.get("headers").is_some())
        {
            assert!(operation["responses"]["200"]["headers"].get("ETag").is_some(), "{name}");
        }
    }
    for name in ["RateLimited", "Unavailable"] {
        assert!(
            document["components"]["responses"][name]["headers"]
                .get("Retry-After")
                .is_some()
        );
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    visit(&document, "#", &mut |place, members| {
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            assert!(resolve(&document, reference).is_some(), "{place}: {reference} leads nowhere");
            used.insert(reference.to_owned());
        }
    });
    for (kind, components) in document["components"].as_object().unwrap() {
        if kind == "securitySchemes" {
            continue;
        }
        for name in components.as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "{reference} is not used");
        }
    }
}

#[test]
fn every_schema_and_every_property_is_described_by_its_wire_name() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name} has no description");
        visit(schema, name, &mut |place, members| {
            let properties = members.get("properties").and_then(Value::as_object);
            for (property, schema) in properties.into_iter().flatten() {
                assert!(schema["description"].is_string(), "{place}/{property} has no description");
                assert!(!property.contains('_'), "{place}/{property} is not the name on the wire");
            }
            for text in ["description", "title"]
                .into_iter()
                .filter_map(|name| members.get(name)?.as_str())
            {
                assert!(
                    !text.contains("[`") && !text.contains("::"),
                    "{place}: {text} is written for Rust"
                );
            }
        });
    }
}

#[test]
fn no_schema_forbids_what_another_part_of_it_demands() {
    let document = document();
    visit(&document, "#", &mut |place, members| {
        for part in members.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let part = part
                .get("$ref")
                .map_or(part, |reference| resolve(&document, reference.as_str().unwrap()).unwrap());
            assert_ne!(part["additionalProperties"], false, "{place}");
        }
    });
}

#[test]
fn secrets_go_in_and_come_out_only_where_they_should() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["ConnectionSpec"]["properties"]["secrets"]["writeOnly"], true);
    let mut with_secrets = BTreeSet::new();
    for (name, schema) in schemas.as_object().unwrap() {
        visit(schema, name, &mut |_, members| {
            if members
                .get("$ref")
                .is_some_and(|reference| reference == "#/components/schemas/SecretValue")
            {
                with_secrets.insert(name.as_str());
            }
        });
    }
    assert_eq!(
        with_secrets,
        [
            "ConnectionPatch",
            "ConnectionSpec",
            "CreatedConnection",
            "JwtSecret",
            "RotatedConnection"
        ]
        .into()
    );
}

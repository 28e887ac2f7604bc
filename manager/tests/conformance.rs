// SPDX-License-Identifier: Apache-2.0

//! What the manager takes and says fits the OpenAPI description of the contract, in every operation.
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

use std::{cell::RefCell, collections::BTreeSet};

use digital_messaging_contract::{header::MERGE_PATCH_JSON, openapi};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Client, Fixture, Reply, each_channel, interface, web_messaging};

/// Sends requests and holds each, and its answer, against the description.
struct Conforming<'a> {
    client: &'a Client,
    document: Value,
    /// Operations and statuses that were seen.
    seen: RefCell<BTreeSet<String>>,
}

impl Conforming<'_> {
    async fn send(&self, method: &str, template: &str, path: &str, body: Option<&Value>) -> Reply {
        let mut call = self.client.call(method.to_uppercase().parse::<Method>().unwrap(), path);
        let operation = self.document["paths"][template][method].clone();
        let name = operation["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{method} {template} is not described"));
        if let Some(body) = body {
            call = call.json(body);
        }
        let reply = call.send().await;
        let media_type = if method == "patch" {
            MERGE_PATCH_JSON
        } else {
            "application/json"
        };
        if let (Some(body), true) = (body, reply.status < 300) {
            let schema = &operation["requestBody"]["content"][media_type]["schema"];
            self.validate(schema, body, &format!("request of {name}"));
        }
        let status = reply.status.to_string();
        let mut response = operation["responses"][&status].clone();
        assert!(
            response.is_object(),
            "{name} answers {status}, which is not described: {}",
            reply.body
        );
        if let Some(reference) = response["$ref"].as_str() {
            response = self.document.pointer(reference.strip_prefix('#').unwrap()).unwrap().clone();
        }
        for header in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
            assert!(reply.headers.contains_key(header), "{name} {status} has no {header}");
        }
        if let Some(content) = response["content"].as_object() {
            let content = &content[reply.header("content-type")];
            self.validate(&content["schema"], &reply.body, &format!("{status} of {name}"));
        } else {
            assert_eq!(reply.body, Value::Null, "{name} {status}");
        }
        self.seen.borrow_mut().insert(format!("{name} {status}"));
        reply
    }

    fn validate(&self, schema: &Value, instance: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(instance)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {instance}");
    }
}

#[tokio::test]
async fn every_operation_fits_its_description() {
    let fixture = Fixture::start().await;
    let document = serde_json::to_value(openapi::document().unwrap()).unwrap();
    let api = Conforming {
        client: &fixture.client,
        document,
        seen: RefCell::default(),
    };
    let (interfaces, one_interface) = ("/v1/interfaces", "/v1/interfaces/{id}");
    let (connections, one_connection) = ("/v1/connections", "/v1/connections/{id}");

    api.send("get", "/v1/manager", "/v1/manager", None).await.expect(200);
    let mut full = interface();
    full["externalReference"] = json!("production/kind/shop/bot");
    full["claimant"] = json!("uid");
    full["bot"] = json!({
        "responseCommands": [{ "name": "a", "triggers": ["b"], "texts": ["c"], "menu": [{ "label": "d" }] }],
        "systemResponses": { "welcome": "Hello" },
    });
    let interface_id = api
        .send("post", interfaces, interfaces, Some(&full))
        .await
        .expect(201)
        .text("/id");
    api.send("post", interfaces, interfaces, Some(&full)).await.expect(409);
    api.send("post", interfaces, interfaces, Some(&json!({ "displayName": "" })))
        .await
        .expect(422);
    let path = format!("{interfaces}/{interface_id}");
    api.send("get", one_interface, &path, None).await.expect(200);
    api.send(
        "patch",
        one_interface,
        &path,
        Some(&json!({ "bot": null, "description": "x" })),
    )
    .await
    .expect(200);
    for channel in each_channel(&interface_id) {
        let made = api.send("post", connections, connections, Some(&channel)).await.expect(201);
        let path = format!("{connections}/{}", made.text("/id"));
        api.send("get", one_connection, &path, None).await.expect(200);
        api.send("patch", one_connection, &path, Some(&json!({ "displayName": "New" })))
            .await
            .expect(200);
    }
    api.send("delete", one_interface, &path, None).await.expect(409);
    let widget = web_messaging(&interface_id);
    let id = api
        .send("post", connections, connections, Some(&widget))
        .await
        .expect(201)
        .text("/id");
    let path = format!("{connections}/{id}");
    let secret = "/v1/connections/{id}/jwt-secret";
    api.send("get", secret, &format!("{path}/jwt-secret"), None).await.expect(200);
    api.send(
        "post",
        &format!("{secret}/rotate"),
        &format!("{path}/jwt-secret/rotate"),
        Some(&json!({ "token": "first" })),
    )
    .await
    .expect(200);
    api.send("delete", one_connection, &path, None).await.expect(204);
    for (method, template) in [("get", one_connection), ("patch", one_connection), ("delete", one_connection)] {
        api.send(method, template, &path, (method == "patch").then(|| json!({})).as_ref())
            .await
            .expect(404);
    }
    api.send("get", interfaces, "/v1/interfaces?limit=1", None).await.expect(200);
    api.send("get", connections, "/v1/connections?limit=3", None)
        .await
        .expect(200);
    api.send("get", connections, "/v1/connections?limit=0", None)
        .await
        .expect(400);
    api.send("get", "/v1/changes", "/v1/changes?since=0", None).await.expect(200);
    api.send("get", "/v1/changes", "/v1/changes?since=1000000", None)
        .await
        .expect(410);
    let lonely = api
        .send("post", interfaces, interfaces, Some(&interface()))
        .await
        .expect(201)
        .text("/id");
    api.send("delete", one_interface, &format!("{interfaces}/{lonely}"), None)
        .await
        .expect(204);

    let described: BTreeSet<String> = api.document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let seen = api.seen.borrow();
    let succeeded: BTreeSet<String> = seen
        .iter()
        .filter_map(|seen| seen.split_once(" 2").map(|(name, _)| name.to_owned()))
        .collect();
    assert_eq!(succeeded, described, "every operation was tried with success");
}

#[tokio::test]
async fn a_refusal_at_the_door_fits_too() {
    let fixture = Fixture::start().await;
    let document = serde_json::to_value(openapi::document().unwrap()).unwrap();
    let stranger = fixture.client.with_key(&"wrong".into());
    let api = Conforming {
        client: &stranger,
        document,
        seen: RefCell::default(),
    };
    api.send("get", "/v1/manager", "/v1/manager", None).await.expect(401);
    api.send("post", "/v1/interfaces", "/v1/interfaces", Some(&interface()))
        .await
        .expect(401);
}

#[tokio::test]
#[should_panic(expected = "inventedByTheTest")]
async fn a_deviation_is_found() {
    let fixture = Fixture::start().await;
    let mut document = serde_json::to_value(openapi::document().unwrap()).unwrap();
    document["components"]["schemas"]["Account"]["required"] = json!(["inventedByTheTest"]);
    let api = Conforming {
        client: &fixture.client,
        document,
        seen: RefCell::default(),
    };
    api.send("get", "/v1/manager", "/v1/manager", None).await;
}

// SPDX-License-Identifier: Apache-2.0

//! The log says who asked for what and how it went, and never a secret.
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

use serde_json::{Value, json};
use support::{
    Client, each_channel,
    process::{Process, credentials, issued},
};

#[tokio::test]
async fn the_log_has_every_request_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut secrets = Vec::new();
    let mut ids = Vec::new();
    let process = Process::start(folder.path(), "127.0.0.1:0", &["--log", "trace"]);
    for method in ["JWT", "APIKey"] {
        let issued = issued(&credentials(folder.path(), "create", &["--method", method, "-o", "json"]).unwrap());
        let client = Client::new(process.url(), issued);
        secrets.push(client.key.expose().to_owned());
        let interface_id = client.interface().await;
        for (index, mut body) in each_channel(&interface_id).into_iter().enumerate() {
            if let Some(inputs) = body.get_mut("secrets").and_then(Value::as_object_mut) {
                for (name, secret) in inputs {
                    let value = format!("input-secret-{index}-{name}");
                    *secret = json!(value);
                    secrets.push(value);
                }
            }
            let made = client.post("/v1/connections", &body).await.expect(201);
            secrets.extend(made.body["jwtSecret"].as_str().map(str::to_owned));
            ids.push((client.manager_id.clone(), made.text("/id")));
            // Refusals, too.
            client.post("/v1/connections", &body).await;
            body["secrets"]["typo"] = json!(format!("input-secret-typo-{index}"));
            client.post("/v1/connections", &body).await.problem("validation_failed");
        }
        let (_, id) = ids.last().unwrap();
        client
            .get(&format!("/v1/connections/{id}?token=query-secret"))
            .await
            .expect(200);
        client.with_key(&"mk_wrong".into()).get("/v1/manager").await.expect(401);
    }
    secrets.push("query-secret".to_owned());
    let log = process.log();
    for needle in secrets
        .iter()
        .map(String::as_str)
        .chain(["mk_", "whk_", "input-secret", "Bearer ey", "ApiKey "])
    {
        // The statements that sqlx traces have placeholders.
        let line = log.lines().find(|line| line.contains(needle));
        assert!(line.is_none(), "{needle} in {line:?}");
    }
    let requests: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["message"] == "request")
        .collect();
    let read = requests.iter().find(|line| line["path"] == "/v1/connections/{id}").unwrap();
    assert_eq!((&read["method"], &read["status"]), (&json!("GET"), &json!(200)));
    assert!(read["manager_id"].as_str().unwrap().starts_with("mgr-"));
    assert!(read["duration_ms"].is_u64());
    assert_eq!(requests.len(), 2 * (1 + 7 * 3 + 2));
    let refused = requests.iter().find(|line| line["status"] == 401).unwrap();
    assert!(
        refused.get("manager_id").is_none_or(Value::is_null),
        "who did not prove it is nobody"
    );
}

// SPDX-License-Identifier: Apache-2.0

//! A standby is ready to take over at any moment, and nothing else.

use digital_messaging_operator::api::ChannelConnection;
use serde_json::json;

use super::{Pair, QUICK};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_alive_calls_no_manager_and_writes_nothing() {
    let pair = Pair::start(QUICK).await;
    let patch = json!({ "spec": { "displayName": "Another name" } });
    pair.scene.patch::<ChannelConnection>("c-0", patch).await;
    pair.scene.ready::<ChannelConnection>("c-0").await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/readyz", "/livez"] {
        let answer = client
            .get(format!("{}{path}", pair.second.operator.url()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let metrics = pair.second.operator.metrics().await.unwrap();
    for expected in [
        "leader_election_master_status 0",
        "digital_messaging_sessions 0",
        "rest_client_requests_total{code=\"200\",method=\"GET\"",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(expected), "no {expected} in {metrics}");
    }
    for unexpected in [
        "digital_messaging_manager_requests_total{",
        "digital_messaging_kubernetes_writes_total{",
        "controller_runtime_reconcile_total{",
    ] {
        assert!(!metrics.contains(unexpected), "{unexpected} in {metrics}");
    }
    let user = pair.scene.operator_user();
    let mut writes = pair.scene.control_plane().audit_log().writes_by(&user, pair.since).unwrap();
    writes.retain(|write| write.user_agent.ends_with("(second)"));
    assert_eq!(writes, []);
    pair.end().await;
}

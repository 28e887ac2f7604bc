// SPDX-License-Identifier: Apache-2.0

//! What a standby knows may be old when it takes over: its watches may have died without a word.

use digital_messaging_operator::api::ChannelConnection;
use serde_json::json;

use super::{CONNECTIONS, Pair, QUICK};

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_works_from_what_is_declared_then_and_not_from_what_it_saw_last() {
    let pair = Pair::start(QUICK).await;
    let rename = async |name: &str, to: &str| {
        let patch = json!({ "spec": { "displayName": to } });
        pair.scene.patch::<ChannelConnection>(name, patch).await;
        pair.scene.ready::<ChannelConnection>(name).await;
    };
    // Something on the way has forgotten the connections of the standby, and tells nobody.
    pair.second.kubernetes.silence_present_connections();
    for name in CONNECTIONS {
        rename(name, "Declared meanwhile").await;
    }

    let calls = pair.scene.journal.len();
    pair.first.operator.process().kill().unwrap();
    pair.second.wait_until_it_leads().await;
    rename("c-0", "Declared later").await;
    let writes: Vec<_> = pair
        .scene
        .manager_calls(calls)
        .into_iter()
        .filter(messaging_manager::journal::Entry::is_write)
        .collect();
    assert_eq!(writes.len(), 1, "it wrote what was declared before: {writes:?}");
    for held in pair.account().connections().await.unwrap() {
        assert!(held.display_name.starts_with("Declared"), "{held:?}");
    }
    pair.end().await;
}

// SPDX-License-Identifier: Apache-2.0

//! What was acknowledged is there after `kill -9`.
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

use std::sync::{Arc, Mutex};

use digital_messaging_contract::{change::Page, interface::Interface};
use reqwest::Method;
use serde_json::json;
use support::{
    Client, DEADLINE, interface,
    process::{Process, credentials, issued},
};
use tokio::{sync::watch, time::timeout};

/// Writes that are acknowledged before the kill.
const ACKNOWLEDGED: usize = 15;

#[tokio::test]
async fn an_acknowledged_write_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let issued = issued(&credentials(folder.path(), "create", &["-o", "json"]).unwrap());
    let mut process = Process::start(folder.path(), "127.0.0.1:0", &[]);
    let listen = process.address.to_string();
    let client = Client::new(process.url(), issued);
    let acknowledged = Arc::new(Mutex::new(Vec::<Interface>::new()));

    for round in 1..=3 {
        let (count, mut counted) = watch::channel(0);
        let writers: Vec<_> = (0..3)
            .map(|_| tokio::spawn(write(client.clone(), Arc::clone(&acknowledged), count.clone())))
            .collect();
        timeout(DEADLINE, counted.wait_for(|count| *count >= ACKNOWLEDGED))
            .await
            .unwrap()
            .unwrap();
        process.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        process = Process::start(folder.path(), &listen, &[]);
        let found = list(&client).await;
        let acknowledged = acknowledged.lock().unwrap().clone();
        assert!(acknowledged.len() >= round * ACKNOWLEDGED);
        for interface in &acknowledged {
            assert!(found.contains(interface), "round {round}: {} is lost", interface.id);
        }
        // What was committed but not acknowledged is there as well: at most one a writer and round.
        assert!(found.len() <= acknowledged.len() + 3 * round);
        let revisions: std::collections::BTreeSet<_> = found.iter().map(|interface| interface.revision).collect();
        assert_eq!(revisions.len(), found.len(), "no revision was given twice");
    }
}

/// Makes and changes interfaces until the manager is gone, and keeps what it acknowledged.
async fn write(client: Client, acknowledged: Arc<Mutex<Vec<Interface>>>, count: watch::Sender<usize>) {
    loop {
        let Ok(made) = client
            .call(Method::POST, "/v1/interfaces")
            .json(&interface())
            .try_send()
            .await
        else {
            return;
        };
        let made: Interface = made.expect(201).parse();
        let path = format!("/v1/interfaces/{}", made.id);
        let change = client
            .call(Method::PATCH, &path)
            .json(&json!({ "description": "changed" }))
            .try_send()
            .await;
        let Ok(changed) = change else { return };
        acknowledged.lock().unwrap().push(changed.expect(200).parse());
        count.send_modify(|count| *count += 1);
    }
}

async fn list(client: &Client) -> Vec<Interface> {
    let page: Page<Interface> = client.get("/v1/interfaces").await.expect(200).parse();
    assert!(page.next_cursor.is_none());
    page.items
}

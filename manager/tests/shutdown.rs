// SPDX-License-Identifier: Apache-2.0

//! A manager that is told to stop finishes what it has begun, and nothing else.
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

use messaging_manager::{
    Manager,
    config::Config,
    faults::{Fault, Rule},
};
use reqwest::Method;
use serde_json::json;
use support::{
    Client, DEADLINE, Fixture, interface,
    process::{Process, credentials, issued},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_long_poll_ends_and_a_request_in_flight_finishes() {
    let fixture = Fixture::start().await;
    let (address, database) = (fixture.running.address(), fixture.database());
    let release = CancellationToken::new();
    fixture
        .faults
        .push(Rule::new(Fault::HoldRequest(release.clone())).method(Method::POST));
    let (poller, writer) = (fixture.client.clone(), fixture.client.clone());
    let poll = tokio::spawn(async move { poller.get("/v1/changes?since=0&wait=60").await });
    let write = tokio::spawn(async move { writer.post("/v1/interfaces", &interface()).await });
    fixture
        .journal
        .wait_until(DEADLINE, |entries| entries.len() == 2)
        .await
        .unwrap();
    let stop = tokio::spawn(fixture.running.stop());

    let poll = timeout(DEADLINE, poll).await.unwrap().unwrap().expect(200);
    assert_eq!(poll.body, json!({ "items": [], "next": 0, "more": false }));
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(DEADLINE, refused).await.expect("no new connection is taken");
    assert!(!write.is_finished() && !stop.is_finished());

    release.cancel();
    let made = timeout(DEADLINE, write).await.unwrap().unwrap().expect(201);
    timeout(DEADLINE, stop).await.unwrap().unwrap().unwrap();

    let again = Manager::open(Config::new(database))
        .await
        .unwrap()
        .start(address)
        .await
        .unwrap();
    let path = format!("/v1/interfaces/{}", made.text("/id"));
    fixture.client.get(&path).await.expect(200);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_shutdown() {
    let fixture = Fixture::with(|config| config.shutdown_grace = std::time::Duration::from_millis(100)).await;
    fixture.faults.push(Rule::new(Fault::NeverAnswer));
    let client = fixture.client.clone();
    let call = tokio::spawn(async move { client.call(Method::GET, "/v1/manager").try_send().await });
    fixture
        .journal
        .wait_until(DEADLINE, |entries| entries.len() == 1)
        .await
        .unwrap();
    timeout(DEADLINE, fixture.running.stop()).await.unwrap().unwrap();
    call.abort();
}

#[tokio::test]
async fn the_process_ends_well_on_sigterm_and_sigint() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let issued = issued(&credentials(folder.path(), "create", &["-o", "json"]).unwrap());
        let mut process = Process::start(folder.path(), "127.0.0.1:0", &[]);
        let client = Client::new(process.url(), issued);
        client.get("/v1/manager").await.expect(200);
        let poller = client.clone();
        let poll = tokio::spawn(async move { poller.get("/v1/changes?since=0&wait=60").await });
        process.signal(signal);
        assert!(process.wait().success());
        // It was in flight and got its answer, or it came too late; it never hangs.
        drop(timeout(DEADLINE, poll).await.unwrap());
        assert!(process.log().contains("stopped"));
    }
}

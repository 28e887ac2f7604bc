// SPDX-License-Identifier: Apache-2.0

//! List and watch: whoever walks the lists once and then follows the feed holds what the manager holds.
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

use std::{collections::BTreeMap, time::Duration};

use digital_messaging_contract::{
    account::AuthenticationMethod,
    change::{Change, Changes, Page},
    connection::Connection,
    interface::Interface,
};
use messaging_manager::{config::Retention, journal::Entry};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use support::{Client, DEADLINE, Fixture, Reply, interface, web_messaging};

async fn feed(client: &Client, since: u64) -> Changes {
    client.get(&format!("/v1/changes?since={since}")).await.expect(200).parse()
}

#[tokio::test]
async fn the_feed_has_the_latest_state_of_each_object_in_order() {
    let fixture = Fixture::start().await;
    let client = &fixture.client;
    let interface_id = client.interface().await;
    let connection_id = client.connection(&web_messaging(&interface_id)).await;
    let gone = client.interface().await;
    client.delete(&format!("/v1/interfaces/{gone}")).await.expect(204);
    client
        .patch(&format!("/v1/interfaces/{interface_id}"), &json!({ "description": "new" }))
        .await
        .expect(200);
    let all = feed(client, 0).await;
    let seen: Vec<_> = all
        .items
        .iter()
        .map(|change| match change {
            Change::Interface(interface) => ("interface", interface.id.clone(), interface.revision),
            Change::Connection(connection) => ("connection", connection.id.clone(), connection.revision),
            Change::Deleted(tombstone) => ("deleted", tombstone.id.clone(), tombstone.revision),
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("connection", connection_id, 2),
            ("deleted", gone, 4),
            ("interface", interface_id, 5)
        ]
    );
    assert_eq!((all.next, all.more), (5, false));
    assert_eq!(
        feed(client, 5).await,
        Changes {
            items: Vec::new(),
            next: 5,
            more: false
        }
    );
    client.get("/v1/changes?since=6").await.problem("revision_compacted");
}

#[tokio::test]
async fn a_big_delta_comes_in_pages() {
    let fixture = Fixture::start().await;
    for _ in 0..5 {
        fixture.client.interface().await;
    }
    let mut since = 0;
    let mut sizes = Vec::new();
    loop {
        let page: Changes = fixture
            .client
            .get(&format!("/v1/changes?since={since}&limit=2&wait=60"))
            .await
            .expect(200)
            .parse();
        sizes.push((page.items.len(), page.next, page.more));
        since = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [(2, 2, true), (2, 4, true), (1, 5, false)]);
}

#[tokio::test]
async fn a_write_wakes_those_who_wait() {
    let fixture = Fixture::start().await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let client = fixture.client.clone();
            tokio::spawn(async move { client.get("/v1/changes?since=0&wait=60").await.expect(200).parse::<Changes>() })
        })
        .collect();
    fixture
        .journal
        .wait_until(DEADLINE, |entries| entries.len() == 3)
        .await
        .unwrap();
    assert!(waiting.iter().all(|call| !call.is_finished()));
    let id = fixture.client.interface().await;
    for call in waiting {
        let woken = tokio::time::timeout(Duration::from_secs(20), call)
            .await
            .expect("long before the wait is over")
            .unwrap();
        assert!(matches!(woken.items.as_slice(), [Change::Interface(interface)] if interface.id == id));
        assert_eq!(woken.next, 1);
    }
}

#[tokio::test]
async fn a_wait_ends_with_nothing_new() {
    let fixture = Fixture::start().await;
    fixture.client.interface().await;
    let reply = fixture.client.get("/v1/changes?since=1&wait=1").await.expect(200);
    assert_eq!(reply.body, json!({ "items": [], "next": 1, "more": false }));
}

#[tokio::test]
async fn a_compacted_revision_means_list_again() {
    let fixture = Fixture::with(|config| {
        config.retention = Retention {
            revisions: 2,
            age: Duration::from_hours(1),
        }
    })
    .await;
    let client = &fixture.client;
    let doomed = client.interface().await;
    let kept = client.interface().await;
    client.delete(&format!("/v1/interfaces/{doomed}")).await.expect(204);
    feed(client, 0).await;
    for _ in 0..3 {
        let id = client.interface().await;
        client.delete(&format!("/v1/interfaces/{id}")).await.expect(204);
    }
    client.get("/v1/changes?since=2").await.problem("revision_compacted");
    let list: Page<Interface> = client.get("/v1/interfaces").await.expect(200).parse();
    assert_eq!(list.items.iter().map(|interface| &interface.id).collect::<Vec<_>>(), [&kept]);
    assert!(feed(client, list.revision).await.items.is_empty());
}

#[tokio::test]
async fn one_who_waits_learns_that_its_revision_was_compacted() {
    let fixture = Fixture::with(|config| {
        config.retention = Retention {
            revisions: 100,
            age: Duration::ZERO,
        }
    })
    .await;
    let id = fixture.client.interface().await;
    let client = fixture.client.clone();
    let waiting = tokio::spawn(async move { client.get("/v1/changes?since=1&wait=60").await });
    fixture
        .journal
        .wait_until(DEADLINE, |entries| entries.iter().any(Entry::is_change_feed))
        .await
        .unwrap();
    fixture.client.delete(&format!("/v1/interfaces/{id}")).await.expect(204);
    waiting.await.unwrap().problem("revision_compacted");
}

#[tokio::test]
async fn pages_are_in_order_and_complete() {
    let fixture = Fixture::start().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(fixture.client.interface().await);
    }
    made.sort();
    let mut walked = Vec::new();
    let mut path = "/v1/interfaces?limit=3".to_owned();
    loop {
        let page: Page<Interface> = fixture.client.get(&path).await.expect(200).parse();
        assert_eq!(page.revision, 7);
        walked.extend(page.items.into_iter().map(|interface| interface.id));
        match page.next_cursor {
            Some(cursor) => path = format!("/v1/interfaces?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(walked, made);
}

/// One step of a history: what happens to the account, or how far the observer gets.
#[derive(Clone, Debug)]
enum Step {
    MakeInterface,
    MakeConnection(usize),
    Change(usize),
    Delete(usize),
    Observe,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::MakeInterface),
        3 => any::<usize>().prop_map(Step::MakeConnection),
        2 => any::<usize>().prop_map(Step::Change),
        2 => any::<usize>().prop_map(Step::Delete),
        4 => Just(Step::Observe),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Follows an account as the contract says: walk both lists, then the feed from the revision of the first page.
struct Observer {
    client: Client,
    mirror: BTreeMap<String, u64>,
    since: Option<u64>,
    /// Lists that are still to be walked: path and cursor.
    to_walk: Vec<(&'static str, Option<String>)>,
}

impl Observer {
    fn new(client: Client) -> Self {
        let to_walk = vec![("/v1/connections", None), ("/v1/interfaces", None)];
        Self {
            client,
            mirror: BTreeMap::new(),
            since: None,
            to_walk,
        }
    }

    /// One call. Returns whether it has seen everything there is.
    async fn observe(&mut self) -> bool {
        if let Some((path, cursor)) = self.to_walk.pop() {
            let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: Page<Value> = self.client.get(&format!("{path}?limit=2{cursor}")).await.expect(200).parse();
            self.since.get_or_insert(page.revision);
            for item in &page.items {
                self.hold(item["id"].as_str().unwrap(), item["revision"].as_u64().unwrap());
            }
            self.to_walk.extend(page.next_cursor.map(|cursor| (path, Some(cursor))));
            return false;
        }
        let path = format!("/v1/changes?since={}&limit=2", self.since.unwrap());
        let changes: Changes = self.client.get(&path).await.expect(200).parse();
        for change in &changes.items {
            match change {
                Change::Interface(interface) => self.hold(&interface.id, interface.revision),
                Change::Connection(connection) => self.hold(&connection.id, connection.revision),
                Change::Deleted(tombstone) => drop(self.mirror.remove(&tombstone.id)),
            }
        }
        self.since = Some(changes.next);
        !changes.more
    }

    fn hold(&mut self, id: &str, revision: u64) {
        let held = self.mirror.entry(id.to_owned()).or_insert(revision);
        *held = revision.max(*held);
    }
}

async fn take(
    step: &Step,
    client: &Client,
    observer: &mut Observer,
    interfaces: &mut Vec<String>,
    connections: &mut Vec<String>,
) {
    let pick = |from: &[String], number: usize| from.get(number % from.len().max(1)).cloned();
    match step {
        Step::MakeInterface => interfaces.push(client.interface().await),
        Step::MakeConnection(number) => {
            if let Some(interface_id) = pick(interfaces, *number) {
                connections.push(client.connection(&web_messaging(&interface_id)).await);
            }
        }
        Step::Change(number) => {
            if let Some(id) = pick(connections, *number) {
                let patch = json!({ "displayName": format!("Name {number}") });
                client.patch(&format!("/v1/connections/{id}"), &patch).await.expect(200);
            }
        }
        Step::Delete(number) => {
            if let Some(id) = pick(connections, *number) {
                client.delete(&format!("/v1/connections/{id}")).await.expect(204);
                connections.retain(|other| *other != id);
            }
        }
        Step::Observe => drop(observer.observe().await),
    }
}

#[test]
fn list_and_watch_converges_whatever_happens_in_between() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fixture = runtime.block_on(Fixture::start());
    let config = ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |history| {
        runtime.block_on(async {
            let client = fixture.other_account(AuthenticationMethod::ApiKey).await;
            let mut observer = Observer::new(client.clone());
            let (mut interfaces, mut connections) = (Vec::new(), Vec::new());
            for step in &history {
                take(step, &client, &mut observer, &mut interfaces, &mut connections).await;
            }
            while !observer.observe().await {}
            let mut held = BTreeMap::new();
            let list = |reply: Reply| reply.expect(200);
            let page: Page<Interface> = list(client.get("/v1/interfaces").await).parse();
            held.extend(page.items.into_iter().map(|interface| (interface.id, interface.revision)));
            let page: Page<Connection> = list(client.get("/v1/connections").await).parse();
            held.extend(page.items.into_iter().map(|connection| (connection.id, connection.revision)));
            prop_assert_eq!(observer.mirror, held);
            Ok(())
        })
    });
    outcome.unwrap();
    runtime.block_on(fixture.running.stop()).unwrap();
}

#[tokio::test]
async fn a_walk_during_writes_misses_nothing() {
    let fixture = Fixture::start().await;
    let client = fixture.client.clone();
    let writes = tokio::spawn(async move {
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.push(client.post("/v1/interfaces", &interface()).await.expect(201).text("/id"));
        }
        ids
    });
    let mut observer = Observer::new(fixture.client.clone());
    while !writes.is_finished() {
        observer.observe().await;
    }
    while !observer.observe().await {}
    let mut written = writes.await.unwrap();
    written.sort();
    assert_eq!(observer.mirror.into_keys().collect::<Vec<_>>(), written);
}

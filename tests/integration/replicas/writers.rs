// SPDX-License-Identifier: Apache-2.0

//! Who wrote when, by the records of those who were written to.

use std::collections::BTreeMap;

use digital_messaging_operator::api::ChannelConnection;
use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt, api::ListParams};
use messaging_manager::journal::Entry;
use sandbox::Request;

use super::{CONNECTIONS, Pair};

impl Pair {
    /// What the two processes wrote to Kubernetes and the API server took, by its record: each with its author, in order of
    /// arrival.
    pub(super) fn kubernetes_writes(&self) -> Vec<(&'static str, Request)> {
        let mut writes: Vec<_> = self
            .scene
            .operator_writes(self.since)
            .into_iter()
            .filter(|write| (200..300).contains(&write.code))
            .map(|write| (self.author(&write), write))
            .collect();
        writes.sort_by_key(|(_, write)| write.received);
        writes
    }

    fn author(&self, request: &Request) -> &'static str {
        let by = |name: &str| request.user_agent.ends_with(&format!(" ({name})"));
        [self.first.name, self.second.name]
            .into_iter()
            .find(|name| by(name))
            .unwrap_or_else(|| panic!("whose is this? {request:?}"))
    }

    /// The writes to the manager with this epoch, whatever became of them.
    pub(super) fn manager_writes_in(&self, epoch: Timestamp) -> Vec<Entry> {
        let ending = format!("/{}", epoch.as_second());
        let mut calls = self.scene.journal.entries();
        calls.retain(|call| call.operator_epoch.as_ref().is_some_and(|epoch| epoch.ends_with(&ending)));
        calls
    }

    /// The time between the last write of one term that the manager took, and the beginning of the next term.
    pub(super) async fn silence_between(&self, term: Timestamp, next_term: Timestamp) -> SignedDuration {
        let epoch = u64::try_from(term.as_second()).unwrap();
        let records = self
            .scene
            .manager
            .manager()
            .write_records(&self.credential.manager_id)
            .await
            .unwrap();
        let last = records
            .iter()
            .filter(|record| record.epoch == Some(epoch))
            .map(|record| record.written_at)
            .max();
        next_term.duration_since(last.expect("the term has written"))
    }
}

/// Fails unless the writes to Kubernetes are of these authors, one after the other, none before all of the one before have
/// ended.
pub(super) fn assert_one_at_a_time(pair: &Pair, authors: &[&str]) {
    let writes = pair.kubernetes_writes();
    let terms: Vec<&[(&str, Request)]> = writes.chunk_by(|(one, _), (two, _)| one == two).collect();
    let seen: Vec<_> = terms.iter().map(|term| term[0].0).collect();
    assert_eq!(seen, authors, "who wrote to Kubernetes, one after the other");
    for pair in terms.windows(2) {
        let ended = pair[0].iter().map(|(_, write)| write.answered).max();
        let (_, next) = &pair[1][0];
        assert!(ended <= Some(next.received), "{:?} overlaps {next:?}", pair[0].last());
    }
}

/// Fails unless the manager's writes have epochs that never go back, so many of them.
pub(super) async fn assert_epochs_only_grow(pair: &Pair, terms: usize) {
    let records = pair
        .scene
        .manager
        .manager()
        .write_records(&pair.credential.manager_id)
        .await
        .unwrap();
    let mut epochs: Vec<_> = records
        .iter()
        .map(|record| record.epoch.expect("all writes have one"))
        .collect();
    assert!(epochs.is_sorted(), "{epochs:?}");
    epochs.dedup();
    assert_eq!(epochs.len(), terms, "terms that wrote to the manager: {epochs:?}");
}

/// Fails unless the manager holds each connection once, as its spec says, and was not asked to change it more often than
/// the spec was.
pub(super) async fn assert_nothing_is_lost_or_made_twice(pair: &Pair, changes: &BTreeMap<String, usize>) {
    let declared = pair.scene.connections().list(&ListParams::default()).await.unwrap().items;
    let held = pair.account().connections().await.unwrap();
    assert_eq!(held.len(), CONNECTIONS.len(), "{held:#?}");
    let records = pair
        .scene
        .manager
        .manager()
        .write_records(&pair.credential.manager_id)
        .await
        .unwrap();
    for declared in declared {
        let name = declared.name_any();
        let id = id(&declared);
        let held = held.iter().find(|held| held.id == id).expect("the one in status");
        assert_eq!(Some(&held.display_name), declared.spec.display_name.as_ref(), "{name}");
        let by = |method: &str| {
            records
                .iter()
                .filter(|record| record.id == id && record.method == method)
                .count()
        };
        assert_eq!(by("POST"), 1, "{name}");
        assert!(
            by("PATCH") <= changes[&name],
            "{name} was changed {} times for {} changes of its spec",
            by("PATCH"),
            changes[&name]
        );
    }
}

fn id(connection: &ChannelConnection) -> &str {
    connection.status.as_ref().and_then(|status| status.id.as_deref()).unwrap()
}

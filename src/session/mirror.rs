// SPDX-License-Identifier: Apache-2.0

//! The observed mirror: what one account holds, as far as it has been seen. Pure data.
//!
//! Observation is not instant, and meanwhile we write. Two rules keep the mirror from going back in time: an object is only
//! replaced by a newer revision of itself, and a walk sweeps or restores nothing that was written or deleted since it began.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::manager::{
    observed::{ObservedChange, ObservedConnection, ObservedInterface, ObservedObject},
    settings::NaturalKey,
    values::RemoteId,
};

/// By what an interested resource knows a remote object that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The object.
    pub id: RemoteId,
    /// References it carries or carried.
    pub references: Vec<String>,
    /// Natural keys it has or had.
    pub natural_keys: Vec<NaturalKey>,
    /// The interface that it is assigned to, for a connection.
    pub interface: Option<RemoteId>,
}

/// What a look at the account changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Objects that appeared, changed or went.
    pub touched: Vec<Touch>,
    /// How many of them went without us.
    pub vanished: usize,
}

/// What one account holds.
#[derive(Debug, Default)]
pub struct Mirror {
    objects: HashMap<RemoteId, Entry>,
    /// More than one only at managers that do not refuse a second object with the same reference.
    by_reference: HashMap<String, BTreeSet<RemoteId>>,
    by_natural_key: HashMap<NaturalKey, RemoteId>,
    /// Objects that we deleted, and during which walk: a walk that began before may still list them.
    deleted: HashMap<RemoteId, u64>,
    /// Objects that we have asked the manager to delete: they go with us, whatever comes of the answer.
    leaving: HashSet<RemoteId>,
    walk: u64,
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    object: ObservedObject,
    /// Only what is newer replaces it.
    revision: u64,
    /// The last walk that saw the object, or during or before which we wrote it: an older entry is swept.
    walk: u64,
}

impl Mirror {
    /// Whether the account has been seen as a whole.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many objects are claimed by somebody else than this installation.
    pub fn claimed_elsewhere(&self, installation: &str) -> usize {
        let is_ours = |reference: &str| reference.strip_prefix(installation).is_some_and(|rest| rest.starts_with('/'));
        let claims = self.objects.values().map(|entry| entry.object.claim());
        let elsewhere =
            claims.filter(|claim| claim.claimant.is_some() && claim.reference.as_deref().is_some_and(|it| !is_ours(it)));
        elsewhere.count()
    }

    /// The interface that carries a reference; of several always the same one.
    pub fn interface_by_reference(&self, reference: &str) -> Option<Arc<ObservedInterface>> {
        self.by_reference.get(reference)?.iter().find_map(|id| self.interface(id))
    }

    /// The interface with an ID.
    pub fn interface(&self, id: &RemoteId) -> Option<Arc<ObservedInterface>> {
        match &self.objects.get(id)?.object {
            ObservedObject::Interface(interface) => Some(interface.clone()),
            ObservedObject::Connection(_) => None,
        }
    }

    /// The connection that carries a reference; of several always the same one.
    pub fn connection_by_reference(&self, reference: &str) -> Option<Arc<ObservedConnection>> {
        self.by_reference.get(reference)?.iter().find_map(|id| self.connection(id))
    }

    /// The connection with an ID.
    pub fn connection(&self, id: &RemoteId) -> Option<Arc<ObservedConnection>> {
        match &self.objects.get(id)?.object {
            ObservedObject::Connection(connection) => Some(connection.clone()),
            ObservedObject::Interface(_) => None,
        }
    }

    /// The connection with a natural key.
    pub fn connection_by_natural_key(&self, key: &NaturalKey) -> Option<Arc<ObservedConnection>> {
        self.connection(self.by_natural_key.get(key)?)
    }

    /// The manager has gone back in time, as one does that is restored from a backup: what it says now counts, although it
    /// is older than what it said before. To be called before the walk that says it is taken.
    pub fn rewind(&mut self) {
        for entry in self.objects.values_mut().filter(|entry| entry.walk < self.walk) {
            entry.revision = 0;
        }
    }

    /// To be called before a walk begins.
    pub fn begin_walk(&mut self) {
        self.walk = self.walk.saturating_add(1);
    }

    /// Takes the result of a complete walk.
    pub fn finish_walk(&mut self, objects: Vec<ObservedObject>) -> Seen {
        let mut seen = Seen::default();
        let walk = self.walk;
        for object in objects {
            if self.deleted.get(object.id()).is_some_and(|deleted| *deleted >= walk) {
                continue;
            }
            let id = object.id().clone();
            self.take(object, walk, &mut seen.touched);
            if let Some(entry) = self.objects.get_mut(&id) {
                entry.walk = entry.walk.max(walk);
            }
        }
        let swept: Vec<RemoteId> = self
            .objects
            .iter()
            .filter(|(_, entry)| entry.walk < walk)
            .map(|(id, _)| id.clone())
            .collect();
        for id in swept {
            seen.vanished = seen.vanished.saturating_add(usize::from(!self.leaving.contains(&id)));
            seen.touched.extend(self.remove(&id));
        }
        self.deleted.retain(|_, deleted| *deleted >= walk);
        self.complete = true;
        seen
    }

    /// Takes changes from the feed.
    pub fn take_changes(&mut self, changes: Vec<ObservedChange>) -> Seen {
        let mut seen = Seen::default();
        for change in changes {
            match change {
                ObservedChange::Present(object) => {
                    if !self.deleted.contains_key(object.id()) {
                        self.take(object, self.walk, &mut seen.touched);
                    }
                }
                ObservedChange::Gone(id) => {
                    // The end of our own deletion: what comes after it is news.
                    self.deleted.remove(&id);
                    let goes_with_us = self.leaving.contains(&id);
                    if let Some(touch) = self.remove(&id) {
                        seen.touched.push(touch);
                        seen.vanished = seen.vanished.saturating_add(usize::from(!goes_with_us));
                    }
                }
            }
        }
        seen
    }

    /// Takes an object as our own write or a look by ID left it.
    pub fn write_through(&mut self, object: ObservedObject) -> Vec<Touch> {
        let mut touched = Vec::new();
        self.deleted.remove(object.id());
        // What is written to is to stay.
        self.leaving.remove(object.id());
        self.take(object, self.walk, &mut touched);
        touched
    }

    /// The manager is about to be asked to delete an object. What it tells of that may come before its answer.
    pub fn expect_gone(&mut self, id: &RemoteId) {
        if self.objects.contains_key(id) {
            self.leaving.insert(id.clone());
        }
    }

    /// The manager refused to delete an object: it stays.
    pub fn expect_to_stay(&mut self, id: &RemoteId) {
        self.leaving.remove(id);
    }

    /// Forgets an object that we deleted, or that a look by ID did not find.
    pub fn forget(&mut self, id: &RemoteId) -> Option<Touch> {
        self.deleted.insert(id.clone(), self.walk);
        self.remove(id)
    }

    fn take(&mut self, object: ObservedObject, walk: u64, touched: &mut Vec<Touch>) {
        let id = object.id().clone();
        if self.objects.get(&id).is_some_and(|entry| entry.revision >= object.revision()) {
            return;
        }
        let is_leaving = self.leaving.contains(&id);
        let before = self.remove(&id);
        if is_leaving {
            self.leaving.insert(id.clone());
        }
        let mut touch = touch(&object);
        if let Some(reference) = object.claim().reference.clone() {
            self.by_reference.entry(reference).or_default().insert(id.clone());
        }
        for key in &touch.natural_keys {
            self.by_natural_key.insert(key.clone(), id.clone());
        }
        if let Some(before) = before {
            touch.references.extend(
                before
                    .references
                    .into_iter()
                    .filter(|it| object.claim().reference.as_ref() != Some(it)),
            );
            let fresh: Vec<_> = before
                .natural_keys
                .into_iter()
                .filter(|it| !touch.natural_keys.contains(it))
                .collect();
            touch.natural_keys.extend(fresh);
        }
        let revision = object.revision();
        self.objects.insert(id, Entry { object, revision, walk });
        touched.push(touch);
    }

    fn remove(&mut self, id: &RemoteId) -> Option<Touch> {
        let entry = self.objects.remove(id)?;
        self.leaving.remove(id);
        let touch = touch(&entry.object);
        for reference in &touch.references {
            if let Some(holders) = self.by_reference.get_mut(reference) {
                holders.remove(id);
                if holders.is_empty() {
                    self.by_reference.remove(reference);
                }
            }
        }
        for key in &touch.natural_keys {
            if self.by_natural_key.get(key) == Some(id) {
                self.by_natural_key.remove(key);
            }
        }
        Some(touch)
    }
}

fn touch(object: &ObservedObject) -> Touch {
    let (natural_key, interface) = match object {
        ObservedObject::Connection(connection) => (connection.natural_key(), Some(connection.interface_id.clone())),
        ObservedObject::Interface(_) => (None, None),
    };
    Touch {
        id: object.id().clone(),
        references: object.claim().reference.iter().cloned().collect(),
        natural_keys: natural_key.into_iter().collect(),
        interface,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::{
        observed::Claim,
        settings::InterfaceSettings,
        values::{Insecure, WebUrl},
    };

    fn object(id: &str, reference: Option<&str>, revision: u64) -> ObservedObject {
        ObservedObject::Interface(Arc::new(ObservedInterface {
            id: id.parse().unwrap(),
            claim: Claim {
                reference: reference.map(str::to_owned),
                claimant: None,
            },
            settings: InterfaceSettings {
                display_name: "x".to_owned(),
                description: None,
                template_operator: "t".to_owned(),
                base_url: WebUrl::parse("https://acme.example", Insecure::Refused).unwrap(),
                bot: None,
            },
            callback_url: String::new(),
            revision,
        }))
    }

    fn id(id: &str) -> RemoteId {
        id.parse().unwrap()
    }

    fn mirror(objects: Vec<ObservedObject>) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.begin_walk();
        mirror.finish_walk(objects);
        mirror
    }

    #[test]
    fn nothing_is_complete_before_the_first_walk() {
        let mut mirror = Mirror::default();
        mirror.begin_walk();
        assert!(!mirror.is_complete());
        mirror.finish_walk(vec![]);
        assert!(mirror.is_complete());
    }

    #[test]
    fn a_walk_sweeps_what_it_did_not_see() {
        let mut mirror = mirror(vec![object("a", Some("ra"), 1), object("b", Some("rb"), 1)]);
        mirror.begin_walk();
        let seen = mirror.finish_walk(vec![object("a", Some("ra"), 1)]);
        assert_eq!((seen.vanished, seen.touched.len()), (1, 1));
        assert_eq!(seen.touched[0].references, ["rb"]);
        assert!(mirror.interface_by_reference("rb").is_none() && mirror.interface_by_reference("ra").is_some());
    }

    #[test]
    fn what_we_asked_to_delete_is_not_missed_before_the_answer_is_there() {
        let mut mirror = mirror(vec![
            object("a", Some("ra"), 1),
            object("b", Some("rb"), 1),
            object("c", None, 1),
        ]);
        mirror.expect_gone(&id("a"));
        mirror.expect_gone(&id("b"));
        let seen = mirror.take_changes(vec![ObservedChange::Gone(id("a")), ObservedChange::Gone(id("c"))]);
        assert_eq!((seen.vanished, seen.touched.len()), (1, 2));
        mirror.expect_to_stay(&id("b"));
        mirror.begin_walk();
        let seen = mirror.finish_walk(vec![]);
        assert_eq!((seen.vanished, seen.touched.len()), (1, 1));
    }

    #[test]
    fn of_two_objects_with_one_reference_it_is_always_the_same_until_that_goes() {
        let mut mirror = mirror(vec![object("b", Some("r"), 2), object("a", Some("r"), 3)]);
        let held = |mirror: &Mirror| mirror.interface_by_reference("r").map(|it| it.id.to_string());
        assert_eq!(held(&mirror).as_deref(), Some("a"));
        mirror.write_through(object("b", Some("r"), 9));
        assert_eq!(held(&mirror).as_deref(), Some("a"));
        mirror.forget(&id("a"));
        assert_eq!(held(&mirror).as_deref(), Some("b"));
    }

    #[test]
    fn what_we_wrote_during_a_walk_survives_it() {
        let mut mirror = mirror(vec![object("a", None, 1)]);
        mirror.begin_walk();
        mirror.write_through(object("new", Some("rn"), 5));
        mirror.write_through(object("a", Some("ra"), 6));
        let seen = mirror.finish_walk(vec![object("a", None, 1)]);
        assert_eq!(seen, Seen::default());
        assert!(mirror.interface_by_reference("rn").is_some() && mirror.interface_by_reference("ra").is_some());
        mirror.begin_walk();
        assert_eq!(mirror.finish_walk(vec![]).vanished, 2, "the next walk sweeps it");
    }

    #[test]
    fn what_we_deleted_during_a_walk_is_not_restored_by_it() {
        let mut mirror = mirror(vec![object("a", None, 1)]);
        mirror.begin_walk();
        mirror.forget(&id("a"));
        let seen = mirror.finish_walk(vec![object("a", None, 1)]);
        assert_eq!(seen, Seen::default());
        assert!(mirror.interface(&id("a")).is_none());
    }

    #[test]
    fn our_own_deletion_does_not_count_as_vanished() {
        let mut mirror = mirror(vec![object("a", None, 1)]);
        mirror.forget(&id("a"));
        assert_eq!(mirror.take_changes(vec![ObservedChange::Gone(id("a"))]), Seen::default());
    }

    #[test]
    fn after_a_restore_at_the_manager_an_older_revision_counts_but_not_over_what_was_written_since() {
        let mut mirror = mirror(vec![object("a", Some("new"), 9), object("b", None, 9)]);
        mirror.begin_walk();
        mirror.write_through(object("b", Some("written"), 10));
        mirror.rewind();
        mirror.finish_walk(vec![object("a", Some("old"), 3), object("b", None, 4)]);
        assert!(mirror.interface_by_reference("old").is_some() && mirror.interface_by_reference("new").is_none());
        assert!(mirror.interface_by_reference("written").is_some());
    }

    #[test]
    fn an_older_revision_changes_nothing_and_a_newer_one_tells_both_references() {
        let mut mirror = mirror(vec![object("a", Some("old"), 3)]);
        assert_eq!(
            mirror.take_changes(vec![ObservedChange::Present(object("a", None, 2))]),
            Seen::default()
        );
        let seen = mirror.take_changes(vec![ObservedChange::Present(object("a", Some("new"), 4))]);
        assert_eq!(seen.touched[0].references, ["new", "old"]);
        assert!(mirror.interface_by_reference("old").is_none());
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The mailbox: requests to one account, served fairly.
//!
//! Namespaces take turns, and within one it is first come, first served. So with `n` namespaces waiting, a request that is
//! `k`-th in its own namespace is served after at most `n·k` others, whatever the others do.
//!
//! An object waits for the answer to its request before it makes another, so that is a bound for objects, too: while an object
//! of a namespace with `m` objects waits, none of the others there is served twice, and it is served after at most `n·m` others.
//! What the manager did not take for now goes first in its lane again, at most `r` times; with that the bounds are `(r+1)`
//! times as many.

use std::collections::{HashMap, VecDeque};

/// Requests that wait for their turn.
#[derive(Debug)]
pub struct Mailbox<T> {
    lanes: HashMap<String, VecDeque<T>>,
    /// Namespaces with requests, the next one first.
    turns: VecDeque<String>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Adds a request at the end of its namespace's lane.
    pub fn push(&mut self, namespace: &str, request: T) {
        self.lane(namespace).push_back(request);
    }

    /// Puts a request back that was served in vain: it goes first in its lane.
    pub fn put_back(&mut self, namespace: &str, request: T) {
        self.lane(namespace).push_front(request);
    }

    fn lane(&mut self, namespace: &str) -> &mut VecDeque<T> {
        if !self.lanes.contains_key(namespace) {
            self.turns.push_back(namespace.to_owned());
        }
        self.lanes.entry(namespace.to_owned()).or_default()
    }

    /// Takes the request whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let namespace = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&namespace)?;
        let request = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        request
    }

    /// Takes all requests, for when none can be served.
    pub fn drain(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_flood_in_one_namespace_does_not_hold_up_another() {
        let mut mailbox = Mailbox::default();
        for n in 0..1000 {
            mailbox.push("flood", n);
        }
        mailbox.push("quiet", 4711);
        assert_eq!([mailbox.pop(), mailbox.pop()], [Some(0), Some(4711)]);
    }

    #[test]
    fn what_is_put_back_goes_first_in_its_lane() {
        let mut mailbox = Mailbox::default();
        mailbox.push("a", 1);
        mailbox.push("a", 2);
        let first = mailbox.pop().unwrap();
        mailbox.put_back("a", first);
        assert_eq!(mailbox.drain(), [1, 2]);
        assert!(mailbox.is_empty());
    }

    proptest! {
        /// The bound of the module's documentation, under any interleaving of arrivals and service.
        #[test]
        fn every_request_is_served_within_its_bound(steps in prop::collection::vec(prop::option::of(0..5_u8), 1..300)) {
            let mut mailbox = Mailbox::default();
            let mut served = 0_usize;
            let mut position: HashMap<u8, usize> = HashMap::new();
            let check = |mailbox: &mut Mailbox<(u8, usize)>, served: &mut usize, position: &mut HashMap<u8, usize>| {
                if let Some((lane, deadline)) = mailbox.pop() {
                    *served += 1;
                    *position.get_mut(&lane).unwrap() -= 1;
                    assert!(*served <= deadline, "served as number {served}, bound {deadline}");
                }
            };
            for step in steps {
                if let Some(lane) = step {
                    let ahead = position.entry(lane).or_default();
                    *ahead += 1;
                    mailbox.push(&lane.to_string(), (lane, served + 5 * *ahead));
                } else {
                    check(&mut mailbox, &mut served, &mut position);
                }
            }
            while !mailbox.is_empty() {
                check(&mut mailbox, &mut served, &mut position);
            }
        }

        /// The bound for objects: those that ask again as soon as they are answered take nothing from the others, though some
        /// of the answers are refusals.
        #[test]
        fn every_object_is_served_within_its_bound_however_often_others_ask(
            refused in prop::collection::vec(any::<bool>(), 400),
            arrivals in prop::collection::vec((0..NAMESPACES, 0..OBJECTS), 1..200),
        ) {
            let mut mailbox = Mailbox::default();
            // By object that waits: how many were served when it asked, and how often it was refused since.
            let mut waiting: HashMap<(usize, usize), (usize, usize)> = HashMap::new();
            let (mut arrivals, mut again) = (arrivals.into_iter(), Vec::new());
            for (served, is_refused) in refused.into_iter().enumerate() {
                for object in arrivals.next().into_iter().chain(again.drain(..)) {
                    waiting.entry(object).or_insert_with(|| {
                        mailbox.push(&object.0.to_string(), object);
                        (served, 0)
                    });
                }
                let Some(object) = mailbox.pop() else { break };
                let (asked, refusals) = waiting.get_mut(&object).unwrap();
                let bound = NAMESPACES * OBJECTS * (REFUSALS + 1);
                prop_assert!(served - *asked <= bound, "served after {} others, bound {bound}", served - *asked);
                if is_refused && *refusals < REFUSALS {
                    *refusals += 1;
                    mailbox.put_back(&object.0.to_string(), object);
                } else {
                    waiting.remove(&object);
                    again.push(object);
                }
            }
        }
    }

    const NAMESPACES: usize = 3;
    const OBJECTS: usize = 4;
    const REFUSALS: usize = 2;
}

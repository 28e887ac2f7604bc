// SPDX-License-Identifier: Apache-2.0

//! The reference graph: who must wake when what changes. Pure data.
//!
//! An edge goes from an object to each object it refers to, and exists before its target does: order of apply is free.
//! Down an edge, a dependant wakes only when the *projection* of its target changes, which is a hash of what dependants read
//! of it; what is read of a credential reaches down to connections. Up an edge, a target wakes when the [`Summary`] of a
//! dependant changes; the sums are kept here, so a target with thousands of dependants need not look at them. And when an
//! object goes, whoever cares about the same remote object wakes: nobody may hold that any more.

use std::collections::{BTreeSet, HashMap};

use crate::{
    api::Deletion,
    manager::{settings::NaturalKey, values::RemoteId},
};

use super::node::{Kind, Node};

/// What the graph keeps of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Objects it refers to.
    pub needs: BTreeSet<Node>,
    /// Hash of what its dependants read of it.
    pub projection: u64,
    /// What the objects it refers to read of it.
    pub summary: Summary,
    /// Remote objects it cares about although they do not carry its reference.
    pub interests: BTreeSet<Interest>,
    /// Whether its status shows a plan that waits for approval.
    pub plan_waits: bool,
}

/// What an object's targets read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What it says about its own deletion; `None`: inherited.
    pub deletion: Option<Deletion>,
    /// Whether it carries our finalizer.
    pub finalizer: bool,
    /// Whether it reports to be ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// The sum of the summaries of the dependants of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dependants {
    /// All.
    pub total: usize,
    /// Ready ones.
    pub ready: usize,
    /// Those that ask for deletion at the manager themselves.
    pub want_deletion: usize,
    /// Those that inherit what happens on deletion.
    pub inherit_deletion: usize,
    /// Those with our finalizer.
    pub finalizers: usize,
}

/// A remote object that an object cares about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interest {
    /// By ID.
    Id(RemoteId),
    /// By natural key.
    NaturalKey(NaturalKey),
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph {
    facts: HashMap<Node, Facts>,
    dependants: HashMap<Node, BTreeSet<Node>>,
    sums: HashMap<(Node, Kind), Dependants>,
    interested: HashMap<Interest, BTreeSet<Node>>,
    plans_waiting: HashMap<Kind, usize>,
}

impl Graph {
    /// Takes an object as it is now, and returns who must wake because of it: not the object itself.
    pub fn put(&mut self, node: &Node, facts: Facts) -> BTreeSet<Node> {
        let before = self.facts.remove(node);
        let mut woken = BTreeSet::new();
        if before.as_ref().map(|before| before.projection) != Some(facts.projection) {
            woken.extend(self.readers(node));
        }
        if before.as_ref().map(|before| (&before.summary, &before.needs)) != Some((&facts.summary, &facts.needs)) {
            woken.extend(before.iter().flat_map(|before| before.needs.iter().cloned()));
            woken.extend(facts.needs.iter().cloned());
        }
        if let Some(before) = before {
            self.unlink(node, &before);
        }
        for target in &facts.needs {
            self.dependants.entry(target.clone()).or_default().insert(node.clone());
            self.sums.entry((target.clone(), node.kind)).or_default().add(facts.summary);
        }
        for interest in &facts.interests {
            self.interested.entry(interest.clone()).or_default().insert(node.clone());
        }
        if facts.plan_waits {
            *self.plans_waiting.entry(node.kind).or_default() += 1;
        }
        self.facts.insert(node.clone(), facts);
        woken.remove(node);
        woken
    }

    /// Forgets an object, and returns who must wake because of it.
    pub fn remove(&mut self, node: &Node) -> BTreeSet<Node> {
        let mut woken = self.readers(node);
        if let Some(before) = self.facts.remove(node) {
            self.unlink(node, &before);
            woken.extend(before.interests.iter().flat_map(|interest| self.interested(interest)));
            woken.extend(before.needs);
        }
        woken
    }

    /// How many objects of a kind show a plan that waits for approval.
    pub fn plans_waiting(&self, kind: Kind) -> usize {
        self.plans_waiting.get(&kind).copied().unwrap_or_default()
    }

    /// What is known of an object.
    pub fn facts(&self, node: &Node) -> Option<&Facts> {
        self.facts.get(node)
    }

    /// Whether an object is there.
    pub fn contains(&self, node: &Node) -> bool {
        self.facts.contains_key(node)
    }

    /// The objects that refer to `node`.
    pub fn dependants(&self, node: &Node) -> impl Iterator<Item = Node> {
        self.dependants.get(node).cloned().unwrap_or_default().into_iter()
    }

    /// The objects that read the projection of `node`. Policy defaults and protection of a credential reach down to connections.
    fn readers(&self, node: &Node) -> BTreeSet<Node> {
        match node.kind {
            Kind::Credential => self.all_dependants(node),
            _ => self.dependants(node).collect(),
        }
    }

    /// The objects that refer to `node`, directly or over others.
    pub fn all_dependants(&self, node: &Node) -> BTreeSet<Node> {
        let mut found = BTreeSet::new();
        let mut next = vec![node.clone()];
        while let Some(node) = next.pop() {
            next.extend(self.dependants(&node).filter(|dependant| found.insert(dependant.clone())));
        }
        found
    }

    /// The sum over the dependants of `kind`.
    pub fn sum(&self, node: &Node, kind: Kind) -> Dependants {
        self.sums.get(&(node.clone(), kind)).copied().unwrap_or_default()
    }

    /// Who cares about a remote object.
    pub fn interested(&self, interest: &Interest) -> impl Iterator<Item = Node> {
        self.interested.get(interest).cloned().unwrap_or_default().into_iter()
    }

    fn unlink(&mut self, node: &Node, facts: &Facts) {
        if let Some(waiting) = self.plans_waiting.get_mut(&node.kind).filter(|_| facts.plan_waits) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.plans_waiting.remove(&node.kind);
            }
        }
        for target in &facts.needs {
            remove_from(&mut self.dependants, target, node);
            if let Some(sum) = self.sums.get_mut(&(target.clone(), node.kind)) {
                sum.subtract(facts.summary);
                if *sum == Dependants::default() {
                    self.sums.remove(&(target.clone(), node.kind));
                }
            }
        }
        for interest in &facts.interests {
            remove_from(&mut self.interested, interest, node);
        }
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<Node>>, key: &K, node: &Node) {
    if let Some(nodes) = index.get_mut(key) {
        nodes.remove(node);
        if nodes.is_empty() {
            index.remove(key);
        }
    }
}

impl Dependants {
    fn add(&mut self, summary: Summary) {
        self.total = self.total.saturating_add(1);
        for (counter, counts) in self.counters(summary) {
            *counter = counter.saturating_add(usize::from(counts));
        }
    }

    fn subtract(&mut self, summary: Summary) {
        self.total = self.total.saturating_sub(1);
        for (counter, counts) in self.counters(summary) {
            *counter = counter.saturating_sub(usize::from(counts));
        }
    }

    fn counters(&mut self, summary: Summary) -> [(&mut usize, bool); 4] {
        [
            (&mut self.ready, summary.ready),
            (&mut self.want_deletion, summary.deletion == Some(Deletion::Delete)),
            (&mut self.inherit_deletion, summary.deletion.is_none()),
            (&mut self.finalizers, summary.finalizer),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: Kind, name: &str) -> Node {
        Node::new(kind, "shop", name)
    }

    fn facts(needs: &[&Node], projection: u64) -> Facts {
        Facts {
            needs: needs.iter().map(|&it| it.clone()).collect(),
            projection,
            ..Facts::default()
        }
    }

    fn set(nodes: &[&Node]) -> BTreeSet<Node> {
        nodes.iter().map(|&it| it.clone()).collect()
    }

    #[test]
    fn an_edge_exists_before_its_target() {
        let (mut graph, interface, connection) = (Graph::default(), node(Kind::Interface, "i"), node(Kind::Connection, "c"));
        assert_eq!(graph.put(&connection, facts(&[&interface], 0)), set(&[&interface]));
        assert_eq!(graph.put(&interface, facts(&[], 1)), set(&[&connection]));
    }

    #[test]
    fn a_dependant_wakes_only_when_the_projection_changes() {
        let (mut graph, interface, connection) = (Graph::default(), node(Kind::Interface, "i"), node(Kind::Connection, "c"));
        graph.put(&interface, facts(&[], 1));
        graph.put(&connection, facts(&[&interface], 0));
        assert_eq!(graph.put(&interface, facts(&[], 1)), set(&[]));
        assert_eq!(graph.put(&interface, facts(&[], 2)), set(&[&connection]));
        assert_eq!(graph.remove(&interface), set(&[&connection]));
    }

    #[test]
    fn who_cares_about_the_same_remote_object_wakes_when_its_holder_goes() {
        let (mut graph, holder, heir) = (
            Graph::default(),
            node(Kind::Connection, "holder"),
            node(Kind::Connection, "heir"),
        );
        let caring = || Facts {
            interests: BTreeSet::from([Interest::Id("cn_1".parse().unwrap())]),
            ..Facts::default()
        };
        assert_eq!(graph.put(&holder, caring()), set(&[]));
        assert_eq!(graph.put(&heir, caring()), set(&[]));
        assert_eq!(graph.remove(&holder), set(&[&heir]));
    }

    #[test]
    fn connections_read_the_credential_of_their_interface() {
        let (mut graph, credential) = (Graph::default(), node(Kind::Credential, "k"));
        let (interface, connection) = (node(Kind::Interface, "i"), node(Kind::Connection, "c"));
        graph.put(&interface, facts(&[&credential], 0));
        graph.put(&connection, facts(&[&interface], 0));
        assert_eq!(graph.put(&credential, facts(&[], 1)), set(&[&interface, &connection]));
        assert_eq!(graph.put(&credential, facts(&[], 1)), set(&[]));
    }

    #[test]
    fn a_target_wakes_when_a_summary_changes_and_knows_the_sums() {
        let (mut graph, interface, connection) = (Graph::default(), node(Kind::Interface, "i"), node(Kind::Connection, "c"));
        let with = |ready, deletion| Facts {
            summary: Summary {
                deletion,
                ready,
                ..Summary::default()
            },
            ..facts(&[&interface], 0)
        };
        assert_eq!(graph.put(&connection, with(false, None)), set(&[&interface]));
        assert_eq!(graph.put(&connection, with(false, None)), set(&[]));
        assert_eq!(graph.put(&connection, with(true, Some(Deletion::Delete))), set(&[&interface]));
        let sum = graph.sum(&interface, Kind::Connection);
        assert_eq!((sum.total, sum.ready, sum.want_deletion, sum.inherit_deletion), (1, 1, 1, 0));
        assert_eq!(graph.remove(&connection), set(&[&interface]));
        assert_eq!(graph.sum(&interface, Kind::Connection), Dependants::default());
    }

    #[test]
    fn a_changed_reference_wakes_the_old_and_the_new_target() {
        let (mut graph, a, b, c) = (
            Graph::default(),
            node(Kind::Secret, "a"),
            node(Kind::Secret, "b"),
            node(Kind::Credential, "c"),
        );
        graph.put(&c, facts(&[&a], 0));
        assert_eq!(graph.put(&c, facts(&[&b], 0)), set(&[&a, &b]));
        assert_eq!(graph.put(&a, facts(&[], 1)), set(&[]));
    }

    #[test]
    fn two_connections_that_switch_to_each_other_are_no_endless_loop() {
        let (mut graph, a, b) = (Graph::default(), node(Kind::Connection, "a"), node(Kind::Connection, "b"));
        graph.put(&a, facts(&[&b], 1));
        graph.put(&b, facts(&[&a], 1));
        assert_eq!(graph.all_dependants(&a), set(&[&a, &b]));
        assert_eq!(graph.put(&a, facts(&[&b], 2)), set(&[&b]));
        assert_eq!(graph.put(&b, facts(&[&a], 1)), set(&[]));
    }

    #[test]
    fn interests_come_and_go_with_the_object() {
        let (mut graph, c) = (Graph::default(), node(Kind::Connection, "c"));
        let interest = Interest::Id("cn_1".parse().unwrap());
        graph.put(
            &c,
            Facts {
                interests: BTreeSet::from([interest.clone()]),
                ..Facts::default()
            },
        );
        assert!(graph.interested(&interest).eq([c.clone()]));
        graph.remove(&c);
        assert_eq!(graph.interested(&interest).count(), 0);
    }
}

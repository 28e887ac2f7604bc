// SPDX-License-Identifier: Apache-2.0

//! The reference graph knows the same, and wakes the same, in whatever order it heard of things.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    graph::{Facts, Graph, Interest, Summary},
    node::{Kind, Node},
};
use crate::api::Deletion;

fn node() -> impl Strategy<Value = Node> {
    let kinds = select(vec![
        Kind::Credential,
        Kind::Interface,
        Kind::Connection,
        Kind::Secret,
        Kind::Output,
    ]);
    (kinds, select(vec!["shop", "bank"]), select(vec!["a", "b", "c"]))
        .prop_map(|(kind, namespace, name)| Node::new(kind, namespace, name))
}

/// Any name that the API server takes, of a kind that managers remember.
fn named() -> impl Strategy<Value = Node> {
    let kinds = select(vec![Kind::Interface, Kind::Connection]);
    (kinds, "[a-z]{1,2}(-[a-z])?", "[a-z]{1,2}([-.][a-z])?")
        .prop_map(|(kind, namespace, name)| Node::new(kind, &namespace, &name))
}

fn facts() -> impl Strategy<Value = Facts> {
    let summary = (
        option::of(select(vec![Deletion::Delete, Deletion::Orphan])),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(deletion, finalizer, ready, deleting)| Summary {
            deletion,
            finalizer,
            ready,
            deleting,
        });
    let interest = select(vec!["cn_1", "cn_2"]).prop_map(|id| Interest::Id(id.parse().unwrap()));
    (vec(node(), 0..4), 0..3_u64, summary, vec(interest, 0..2), any::<bool>()).prop_map(
        |(needs, projection, summary, interests, plan_waits)| Facts {
            needs: needs.into_iter().collect(),
            projection,
            summary,
            interests: interests.into_iter().collect(),
            plan_waits,
        },
    )
}

/// An event of a watch: an object as it is now, or its end.
type Event = (Node, Option<Facts>);

fn events() -> impl Strategy<Value = Vec<Event>> {
    vec((node(), option::weighted(0.8, facts())), 0..40)
}

fn play(events: &[Event]) -> Graph {
    let mut graph = Graph::default();
    for (node, facts) in events {
        apply(&mut graph, node, facts.clone());
    }
    graph
}

fn apply(graph: &mut Graph, node: &Node, facts: Option<Facts>) -> BTreeSet<Node> {
    match facts {
        Some(facts) => graph.put(node, facts),
        None => graph.remove(node),
    }
}

/// What there is in the end.
fn last(events: &[Event]) -> BTreeMap<Node, Facts> {
    let mut last = BTreeMap::new();
    for (node, facts) in events {
        match facts {
            Some(facts) => drop(last.insert(node.clone(), facts.clone())),
            None => drop(last.remove(node)),
        }
    }
    last
}

/// All nodes that there can be.
fn all() -> Vec<Node> {
    let kinds = [
        Kind::Credential,
        Kind::Interface,
        Kind::Connection,
        Kind::Secret,
        Kind::Output,
    ];
    let names = ["a", "b", "c"];
    let of = |kind| names.map(|name| ["shop", "bank"].map(|namespace| Node::new(kind, namespace, name)));
    kinds.into_iter().flat_map(of).flatten().collect()
}

/// Everything that the graph can be asked.
fn knowledge(graph: &Graph) -> String {
    let mut known = String::new();
    for node in all() {
        let dependants: Vec<_> = graph.dependants(&node).collect();
        let sums = [Kind::Credential, Kind::Interface, Kind::Connection].map(|kind| graph.sum(&node, kind));
        let _ = writeln!(
            known,
            "{node} {} {dependants:?} {sums:?} {:?}",
            graph.contains(&node),
            graph.all_dependants(&node)
        );
    }
    for id in ["cn_1", "cn_2"] {
        let interest = Interest::Id(id.parse().unwrap());
        let _ = writeln!(known, "{id} {:?}", graph.interested(&interest).collect::<Vec<_>>());
    }
    known
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(512)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_known_depends_on_what_there_is_and_not_on_how_it_came_to_be(events in events(), seed in any::<u64>()) {
        let mut fresh: Vec<Event> = last(&events).into_iter().map(|(node, facts)| (node, Some(facts))).collect();
        // Any order of first events does.
        fresh.sort_by_key(|(node, _)| {
            let mut hasher = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&(seed, node), &mut hasher);
            std::hash::Hasher::finish(&hasher)
        });
        let (lived, fresh) = (play(&events), play(&fresh));
        prop_assert_eq!(knowledge(&lived), knowledge(&fresh));
    }

    #[test]
    fn what_wakes_depends_on_what_there_is_and_not_on_how_it_came_to_be(events in events(), next in node(), facts in option::of(facts())) {
        let fresh: Vec<Event> = last(&events).into_iter().rev().map(|(node, facts)| (node, Some(facts))).collect();
        let (mut lived, mut fresh) = (play(&events), play(&fresh));
        prop_assert_eq!(apply(&mut lived, &next, facts.clone()), apply(&mut fresh, &next, facts));
    }

    #[test]
    fn nobody_who_reads_something_sleeps_through_its_change(events in events(), next in node(), new in facts()) {
        let before = last(&events);
        let mut graph = play(&events);
        let readers: BTreeSet<Node> = graph.dependants(&next).filter(|node| *node != next).collect();
        let woken = graph.put(&next, new.clone());
        let old = before.get(&next);
        if old.map(|old| old.projection) != Some(new.projection) {
            prop_assert!(woken.is_superset(&readers), "{woken:?} lacks some of {readers:?}");
        }
        if old.map(|old| old.summary) != Some(new.summary) {
            let mut targets = new.needs.clone();
            targets.remove(&next);
            prop_assert!(woken.is_superset(&targets));
        }
        prop_assert!(!woken.contains(&next), "whoever changed is woken by the event itself");
        prop_assert_eq!(graph.put(&next, new), BTreeSet::new(), "the same again is no news");
    }

    #[test]
    fn a_reference_names_one_object_and_leads_back_to_it(
        one in named(),
        other in named(),
        installation in "[a-z0-9-]{1,8}",
    ) {
        let reference = one.reference(&installation);
        prop_assert_eq!(Node::of_reference(&installation, reference.as_str()), Some(one.clone()));
        prop_assert_eq!(reference == other.reference(&installation), one == other);
        let longer = format!("{installation}-x");
        prop_assert_eq!(Node::of_reference(&longer, reference.as_str()), None);
        prop_assert_eq!(Node::of_reference(&installation, one.reference(&longer).as_str()), None);
    }

    #[test]
    fn nothing_is_left_when_everything_is_gone(events in events()) {
        let mut graph = play(&events);
        for node in all() {
            graph.remove(&node);
        }
        prop_assert_eq!(knowledge(&graph), knowledge(&Graph::default()));
        let is_empty = format!("{graph:?}") == format!("{:?}", Graph::default());
        prop_assert!(is_empty, "{graph:?}");
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Which objects have work due, and since when: what says that something is stuck. Pure but for the lock.
//!
//! An object has work due from the moment it is woken until a reconcile of it has come to an end. That is one that leaves
//! nothing to do, or trouble that only a person can end. One that failed and is tried again by itself, or that waits for a
//! manager to be reachable, has not come to an end. All of it is forgotten with the process.
//!
//! What has work due and is not under way waits in a queue, one for each kind; the metrics of these queues are taken here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::node::{Kind, Node};
use crate::telemetry::metrics::{Metrics, Queue};

/// What a reconcile has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To an end.
    End,
    /// To none: done again by itself, at this time at the latest.
    Later(Instant),
}

/// Work that is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    since: Instant,
    stage: Stage,
    /// When it was woken once more while a reconcile was under way.
    again: Option<Instant>,
    /// Whether it was reported to be stale.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Woken and not begun, or under way, since then.
    Busy(Instant),
    /// Waits for its next try.
    Waiting(Instant),
}

impl Due {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            stage: Stage::Busy(now),
            again: None,
            told: false,
        }
    }

    /// Since when it could be worked on, and is not finished.
    fn busy_since(&self, now: Instant) -> Option<Instant> {
        match self.stage {
            Stage::Busy(since) => Some(since),
            Stage::Waiting(until) => (until <= now).then_some(until),
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    due: HashMap<Node, Due>,
    /// Reconciles under way.
    running: HashMap<Node, Instant>,
    finished: Option<Instant>,
}

/// What is due.
#[derive(Default)]
pub struct Progress {
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
}

impl Progress {
    /// Nothing is due yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            inner: Mutex::default(),
            metrics,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object is woken.
    pub fn woken(&self, node: &Node, now: Instant) {
        let mut inner = self.inner();
        let is_running = inner.running.contains_key(node);
        let is_added = match inner.due.get_mut(node) {
            None => {
                inner.due.insert(node.clone(), Due::new(now));
                true
            }
            Some(due) if is_running => due.again.replace(due.again.unwrap_or(now)).is_none(),
            Some(due) => {
                let waited = matches!(due.stage, Stage::Waiting(_));
                if waited {
                    due.stage = Stage::Busy(now);
                }
                waited
            }
        };
        if is_added {
            self.metrics.queue_added(node.kind.plural());
        }
    }

    /// A reconcile begins.
    pub fn begun(&self, node: &Node, now: Instant) {
        let mut inner = self.inner();
        inner.running.insert(node.clone(), now);
        let before = inner.due.get(node).map(|due| due.stage);
        let due = inner.due.entry(node.clone()).or_insert_with(|| Due::new(now));
        due.again = None;
        if let Stage::Waiting(_) = due.stage {
            due.stage = Stage::Busy(now);
        }
        let name = node.kind.plural();
        if !matches!(before, Some(Stage::Busy(_))) {
            // Nobody woke it: its own time has come.
            self.metrics.queue_added(name);
        }
        if let Some(Stage::Busy(since) | Stage::Waiting(since)) = before {
            self.metrics.queue_left(name, now.saturating_duration_since(since));
        }
    }

    /// A reconcile has come to something.
    pub fn finished(&self, node: &Node, outcome: Outcome, now: Instant) {
        let mut inner = self.inner();
        inner.finished = Some(now);
        let name = node.kind.plural();
        if let Some(began) = inner.running.remove(node) {
            self.metrics.queue_worked(name, now.saturating_duration_since(began));
        }
        if let Outcome::Later(_) = outcome {
            self.metrics.queue_retried(name);
        }
        let Some(due) = inner.due.get_mut(node) else { return };
        match (outcome, due.again.take()) {
            (Outcome::End, None) => drop(inner.due.remove(node)),
            (Outcome::End, Some(again)) => *due = Due::new(again),
            (Outcome::Later(_), Some(again)) => due.stage = Stage::Busy(again),
            (Outcome::Later(until), None) => due.stage = Stage::Waiting(until),
        }
    }

    /// An object is gone, or nothing is done for it any more.
    pub fn forget(&self, node: &Node) {
        let mut inner = self.inner();
        inner.running.remove(node);
        inner.due.remove(node);
    }

    /// How the queue of a kind is.
    pub fn queue(&self, kind: Kind, now: Instant) -> Queue {
        let inner = self.inner();
        let waiting = inner
            .due
            .iter()
            .filter(|(node, due)| node.kind == kind && !inner.running.contains_key(*node) && due.busy_since(now).is_some());
        let depth = waiting.count();
        let running = inner.running.iter().filter(|(node, _)| node.kind == kind);
        let ages = running.map(|(_, began)| now.saturating_duration_since(*began));
        ages.fold(
            Queue {
                depth,
                ..Queue::default()
            },
            |queue, age| Queue {
                depth,
                active: queue.active.saturating_add(1),
                unfinished: queue.unfinished.saturating_add(age),
                longest: queue.longest.max(age),
            },
        )
    }

    /// How many objects of a kind have had work due for longer than `limit`.
    pub fn stale(&self, kind: Kind, limit: Duration, now: Instant) -> usize {
        let inner = self.inner();
        let stale = inner
            .due
            .iter()
            .filter(|(node, due)| node.kind == kind && is_over(due.since, limit, now));
        stale.count()
    }

    /// Those of them that were not named before, and since when they have work due; at most so many.
    pub fn newly_stale(&self, limit: Duration, most: usize, now: Instant) -> Vec<(Node, Duration)> {
        let mut inner = self.inner();
        let fresh = inner
            .due
            .iter_mut()
            .filter(|(_, due)| !due.told && is_over(due.since, limit, now));
        fresh
            .take(most)
            .map(|(node, due)| {
                due.told = true;
                (node.clone(), now.saturating_duration_since(due.since))
            })
            .collect()
    }

    /// Whether there is something to do, for longer than `limit`, and nothing at all was finished for as long. What waits
    /// for its next try is not to be done now.
    pub fn is_wedged(&self, limit: Duration, now: Instant) -> bool {
        let inner = self.inner();
        let works = inner.finished.is_some_and(|finished| !is_over(finished, limit, now));
        !works
            && inner
                .due
                .values()
                .filter_map(|due| due.busy_since(now))
                .any(|since| is_over(since, limit, now))
    }
}

fn is_over(since: Instant, limit: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(15);

    struct Story {
        progress: Progress,
        start: Instant,
    }

    impl Story {
        fn new() -> Self {
            Self {
                progress: Progress::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, minutes: u64) -> Instant {
            self.start + Duration::from_mins(minutes)
        }

        fn woken(&self, name: &str, at: u64) -> &Self {
            self.progress.woken(&node(name), self.at(at));
            self
        }

        fn begun(&self, name: &str, at: u64) -> &Self {
            self.progress.begun(&node(name), self.at(at));
            self
        }

        fn ended(&self, name: &str, at: u64) -> &Self {
            self.progress.finished(&node(name), Outcome::End, self.at(at));
            self
        }

        fn later(&self, name: &str, at: u64, until: u64) -> &Self {
            let outcome = Outcome::Later(self.at(until));
            self.progress.finished(&node(name), outcome, self.at(at));
            self
        }

        fn stale(&self, at: u64) -> usize {
            self.progress.stale(Kind::Connection, LIMIT, self.at(at))
        }

        fn is_wedged(&self, at: u64) -> bool {
            self.progress.is_wedged(LIMIT, self.at(at))
        }
    }

    fn node(name: &str) -> Node {
        Node::new(Kind::Connection, "shop", name)
    }

    #[test]
    fn nothing_due_is_neither_stale_nor_wedged() {
        let story = Story::new();
        assert!(story.stale(1000) == 0 && !story.is_wedged(1000));
        story.woken("a", 0).begun("a", 0).ended("a", 1);
        assert!(story.stale(1000) == 0 && !story.is_wedged(1000));
    }

    #[test]
    fn what_fails_again_and_again_is_stale_since_it_was_woken_first() {
        let story = Story::new();
        story
            .woken("a", 0)
            .begun("a", 0)
            .later("a", 1, 5)
            .begun("a", 5)
            .later("a", 6, 30);
        assert_eq!((story.stale(15), story.stale(16)), (0, 1));
        story.begun("a", 30);
        assert_eq!(story.stale(31), 1, "trying is not ending");
        story.ended("a", 32);
        assert_eq!(story.stale(60), 0);
    }

    #[test]
    fn a_wake_during_a_reconcile_is_due_from_then_on() {
        let story = Story::new();
        story.woken("a", 0).begun("a", 0).woken("a", 10).woken("a", 12).ended("a", 14);
        assert_eq!((story.stale(25), story.stale(26)), (0, 1));
        story.begun("a", 26).ended("a", 27);
        assert_eq!(story.stale(60), 0);
    }

    #[test]
    fn each_stale_object_is_named_once_and_a_few_at_a_time() {
        let story = Story::new();
        story.woken("a", 0).woken("b", 0).woken("c", 0);
        let named = |at| story.progress.newly_stale(LIMIT, 2, story.at(at)).len();
        assert_eq!([named(15), named(16), named(16), named(17)], [0, 2, 1, 0]);
        story.begun("a", 18).ended("a", 18).woken("a", 19);
        assert_eq!([named(34), named(35)], [0, 1], "another time is named anew");
    }

    #[test]
    fn what_hangs_is_no_wedge_while_others_finish() {
        let story = Story::new();
        story.woken("hangs", 0).begun("hangs", 0).begun("b", 10).ended("b", 10);
        assert!(!story.is_wedged(25) && story.is_wedged(26));
        story.begun("b", 27).ended("b", 27);
        assert!(!story.is_wedged(28));
    }

    #[test]
    fn what_waits_for_its_next_try_is_no_wedge_until_that_is_overdue() {
        let story = Story::new();
        story.woken("a", 0).begun("a", 0).later("a", 1, 100);
        assert!(story.stale(90) == 1 && !story.is_wedged(90));
        assert!(!story.is_wedged(115) && story.is_wedged(116));
        story.woken("a", 117);
        assert!(!story.is_wedged(132) && story.is_wedged(133));
    }

    /// Samples of the queue of connections, by the name of the metric.
    fn samples(story: &Story) -> [String; 4] {
        let text = story.progress.metrics.encode().unwrap();
        [
            "adds_total",
            "retries_total",
            "queue_duration_seconds_sum",
            "work_duration_seconds_sum",
        ]
        .map(|name| {
            let start = format!("workqueue_{name}{{name=\"channelconnections\"}} ");
            let sample = text.lines().find_map(|line| line.strip_prefix(&start));
            sample.unwrap_or("none").to_owned()
        })
    }

    #[test]
    fn a_queue_counts_what_is_added_to_it_once() {
        let story = Story::new();
        let depth = |at| story.progress.queue(Kind::Connection, story.at(at)).depth;
        story.woken("a", 0).woken("a", 1).woken("b", 1);
        assert_eq!(depth(1), 2, "what is woken twice waits once");
        story.begun("a", 2);
        assert_eq!((depth(2), samples(&story)[0].as_str()), (1, "2"));
        story.woken("a", 3).woken("a", 4);
        assert_eq!(depth(4), 1, "what is under way does not wait");
        story.ended("a", 5);
        assert_eq!(
            (depth(5), samples(&story)[0].as_str()),
            (2, "3"),
            "it is to be done once more"
        );
        assert_eq!(samples(&story)[2], "120.0", "the wait of a");
        story.begun("a", 6);
        assert_eq!(samples(&story)[2], "300.0", "that of a from when it was woken again");
        let other = story.progress.queue(Kind::Interface, story.at(6));
        assert_eq!((other.depth, other.active), (0, 0));
    }

    #[test]
    fn a_retry_is_added_when_its_time_has_come() {
        let story = Story::new();
        let depth = |at| story.progress.queue(Kind::Connection, story.at(at)).depth;
        story.woken("a", 0).begun("a", 0).later("a", 3, 10);
        assert_eq!(
            (depth(9), depth(10)),
            (0, 1),
            "what waits for its next try is not in the queue"
        );
        assert_eq!(samples(&story), ["1", "1", "0.0", "180.0"]);
        story.begun("a", 11);
        assert_eq!(samples(&story), ["2", "1", "60.0", "180.0"]);
        story.ended("a", 12).begun("a", 20);
        assert_eq!(
            samples(&story),
            ["3", "1", "60.0", "240.0"],
            "looked at again by itself: it waited for nobody"
        );
    }

    #[test]
    fn what_is_under_way_counts_with_its_age() {
        let story = Story::new();
        story.woken("a", 0).begun("a", 0).woken("b", 1).begun("b", 1);
        let queue = story.progress.queue(Kind::Connection, story.at(3));
        assert_eq!(
            (queue.depth, queue.active, queue.unfinished.as_secs(), queue.longest.as_secs()),
            (0, 2, 300, 180)
        );
        story.ended("a", 4).ended("b", 4);
        let queue = story.progress.queue(Kind::Connection, story.at(5));
        assert_eq!(
            (queue.active, queue.unfinished, queue.longest),
            (0, Duration::ZERO, Duration::ZERO)
        );
    }

    #[test]
    fn what_is_gone_is_not_due() {
        let story = Story::new();
        story.woken("a", 0).begun("a", 0);
        story.progress.forget(&node("a"));
        story.ended("a", 1);
        assert!(story.stale(100) == 0 && !story.is_wedged(100));
    }
}

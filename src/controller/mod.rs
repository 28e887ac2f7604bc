// SPDX-License-Identifier: Apache-2.0

//! The controllers: one folder a kind, one file a step.
//!
//! A wake-up leads to a reconcile, and a reconcile reads as a list of steps: dereference, validate, plan, apply, publish,
//! status. What stops it on the way is [`trouble`], which the error class alone maps to a [`reason`] and to when it is
//! tried again. Dependants hear of their credential through [`accounts`].

pub mod accounts;
pub mod approval;
pub mod census;
pub mod cleanup;
pub mod connection;
pub mod creation;
pub mod credential;
pub mod drift;
pub mod holding;
pub mod interface;
pub mod invalid;
pub mod made;
pub mod parent;
#[cfg(test)]
mod properties;
pub mod reason;
pub mod release;
pub mod report;
pub mod retry;
pub mod staleness;
pub mod trouble;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource, ResourceExt,
    runtime::{
        applier,
        controller::{self, Action},
        reflector::{ObjectRef, Store},
    },
};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    api::CorrectedDrift,
    desired::{
        Mirror,
        facts::Watched,
        node::{Kind, Node},
        progress::Outcome,
    },
    kubernetes::{client::Kubernetes, events::Events, installation::Installation, secrets::SecretReader},
    manager::{transport::Transport, values::RemoteId},
    session::{Requester, health},
    telemetry::{
        metrics::{Metrics, ReconcileResult},
        traces::TARGET,
    },
};
use accounts::Accounts;
use trouble::Trouble;

/// Everything a reconciler may use.
pub struct Context {
    /// What Kubernetes holds.
    pub mirror: Arc<Mirror>,
    /// Who holds which account.
    pub accounts: Arc<Accounts>,
    /// Writes to Kubernetes.
    pub kubernetes: Kubernetes,
    /// Values of Secrets.
    pub secrets: SecretReader,
    /// Events.
    pub events: Events,
    /// This installation.
    pub installation: Installation,
    /// HTTP to managers.
    pub transport: Transport,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What is remembered of an object between two reconciles, and may be lost.
    pub memory: Memory,
}

/// When an object is reconciled next without being woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Not at all.
    Wait,
    /// In a while, in case a wake-up was missed: costs nothing when nothing has changed.
    Recheck,
    /// Soon, with growing waits: what it was based on has changed.
    Stale,
    /// With growing waits: the other side failed.
    BackOff,
    /// When the other side can be reached again, which wakes it; in a while also without.
    Blocked,
    /// After this time: there is work to do then.
    After(Duration),
    /// After this time, for something that can wait so long: nothing else is left to do.
    Settled(Duration),
}

/// What is remembered of objects between two reconciles. All of it may be lost.
pub struct Memory {
    recheck: Duration,
    attempts: Mutex<HashMap<Node, u32>>,
    /// How often in a row a reconcile found that what it was based on had changed.
    stale: Mutex<HashMap<Node, u32>>,
    /// Attempts to make something whose outcome is not known.
    pub creations: creation::Attempts,
    /// Objects that were told to be not ready before anything else was, and have not become ready since.
    unready: Mutex<HashSet<Node>>,
    /// When the counts of an interface were last written.
    pub counted: Mutex<HashMap<Node, Instant>>,
    refused: Mutex<HashMap<Node, Refused>>,
    /// Drift that was put right, until a status that tells of it is written.
    corrections: Mutex<HashMap<Node, CorrectedDrift>>,
    /// What may be let go when its resource is deleted.
    held: Mutex<HashMap<Node, release::Held>>,
    /// What was deleted at the manager for an object: it need not be looked for.
    deleted: Mutex<HashMap<Node, RemoteId>>,
    /// Credentials, by UID, of which it was told that others use their account, too.
    shared: Mutex<HashMap<Node, String>>,
    /// The last `retry` of a credential that was acted on, by UID.
    retried: Mutex<HashMap<Node, (String, String)>>,
    /// Objects, by UID, whose namespace is being deleted: it takes nothing new any more, and never will again.
    closed: Mutex<HashMap<Node, String>>,
}

/// Credentials that a manager refused.
struct Refused {
    access: String,
    trouble: Trouble,
    at: Instant,
}

impl Memory {
    /// Nothing is remembered yet. `recheck`: see [`Next::Recheck`]; `settles`: see [`creation::Attempts::new`].
    pub fn new(recheck: Duration, settles: Duration) -> Self {
        Self {
            recheck,
            attempts: Mutex::default(),
            stale: Mutex::default(),
            creations: creation::Attempts::new(settles),
            unready: Mutex::default(),
            counted: Mutex::default(),
            refused: Mutex::default(),
            corrections: Mutex::default(),
            held: Mutex::default(),
            deleted: Mutex::default(),
            shared: Mutex::default(),
            retried: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// Remembers that a manager refused the credentials with this fingerprint.
    pub fn refuse(&self, credential: &Node, access: &str, trouble: &Trouble) {
        let refused = Refused {
            access: access.to_owned(),
            trouble: trouble.clone(),
            at: Instant::now(),
        };
        self.refused().insert(credential.clone(), refused);
    }

    /// Why these very credentials were refused not long ago: they are tried again when it is time, not whenever something wakes.
    pub fn refusal(&self, credential: &Node, access: &str) -> Option<Trouble> {
        let refused = self.refused();
        let last = refused.get(credential)?;
        (last.access == access && last.at.elapsed() < self.recheck).then(|| last.trouble.clone())
    }

    /// Has credentials tried again that were refused.
    pub fn forgive(&self, credential: &Node) {
        self.refused().remove(credential);
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<Node, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a reconcile that found that what it was based on had changed. How often in a row that was so.
    fn count_stale(&self, node: &Node) -> u32 {
        let mut stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        let count = stale.entry(node.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// A reconcile found what it was based on unchanged.
    fn forget_stale(&self, node: &Node) {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    /// How long to wait before an object is reconciled again; none: until it is woken.
    fn wait(&self, node: &Node, next: Next) -> Option<Duration> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Next::Stale | Next::BackOff => {
                let attempt = attempts.entry(node.clone()).or_default();
                *attempt = attempt.saturating_add(1);
                let wait = health::wait(*attempt, None);
                Some(if next == Next::Stale { wait / 20 } else { wait })
            }
            Next::Wait => {
                attempts.remove(node);
                None
            }
            Next::Recheck | Next::Blocked => {
                attempts.remove(node);
                Some(health::spread(self.recheck))
            }
            Next::After(wait) | Next::Settled(wait) => Some(wait),
        }
    }

    /// How long to wait before a mere count of dependants is written once more; none if it may be now, which is remembered.
    pub fn pause_of_count(&self, node: &Node, pause: Duration) -> Option<Duration> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let since = counted.get(node).map_or(pause, Instant::elapsed);
        if since < pause {
            return Some(pause.saturating_sub(since));
        }
        counted.insert(node.clone(), Instant::now());
        None
    }

    /// Whether an object becomes ready for the first time, as far as this process has seen it. `before` and `after`: what its
    /// status said of that, and says now.
    fn is_ready_at_last(&self, node: &Node, before: Option<bool>, after: Option<bool>) -> bool {
        let mut unready = self.unready.lock().unwrap_or_else(PoisonError::into_inner);
        match (before, after) {
            (None, Some(true)) => true,
            (Some(false), Some(true)) => unready.remove(node),
            (None, Some(false)) => {
                unready.insert(node.clone());
                false
            }
            _ => false,
        }
    }

    /// Remembers that an object at the manager was deleted for its resource.
    pub fn note_deleted(&self, node: &Node, id: &RemoteId) {
        self.deleted().insert(node.clone(), id.clone());
    }

    /// Whether an object at the manager is known to have been deleted for its resource.
    pub fn has_deleted(&self, node: &Node, id: &RemoteId) -> bool {
        self.deleted().get(node) == Some(id)
    }

    fn deleted(&self) -> MutexGuard<'_, HashMap<Node, RemoteId>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is told for the first time that others use the account of a credential, which is remembered.
    pub fn is_news_that_shared(&self, subject: &Subject) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.insert(subject.node.clone(), subject.uid.clone()).as_ref() != Some(&subject.uid)
    }

    /// Whether a `retry` is acted on for the first time, which is remembered.
    pub fn is_first(&self, subject: &Subject, retry: &str) -> bool {
        let seen = (subject.uid.clone(), retry.to_owned());
        let mut retried = self.retried.lock().unwrap_or_else(PoisonError::into_inner);
        retried.insert(subject.node.clone(), seen.clone()) != Some(seen)
    }

    fn corrections(&self) -> MutexGuard<'_, HashMap<Node, CorrectedDrift>> {
        self.corrections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that the namespace of an object takes nothing new any more.
    pub fn close(&self, subject: &Subject) {
        self.closed().insert(subject.node.clone(), subject.uid.clone());
    }

    /// Whether the namespace of an object has been seen to take nothing new.
    pub fn is_closed(&self, subject: &Subject) -> bool {
        self.closed().get(&subject.node).is_some_and(|uid| *uid == subject.uid)
    }

    fn closed(&self) -> MutexGuard<'_, HashMap<Node, String>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Node, release::Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, node: &Node) {
        self.closed().remove(node);
        self.deleted().remove(node);
        self.corrections().remove(node);
        self.unready.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.forget_stale(node);
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.retried.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.forgive(node);
    }
}

impl Context {
    /// Says when an object is reconciled again, and takes down whether it has come to an end.
    fn schedule(&self, node: &Node, next: Next) -> Action {
        let (wait, now) = (self.memory.wait(node, next), Instant::now());
        let outcome = match (next, wait) {
            (Next::Stale | Next::BackOff | Next::Blocked | Next::After(_), Some(wait)) => Outcome::Later(now + wait),
            _ => Outcome::End,
        };
        self.mirror.progress.finished(node, outcome, now);
        wait.map_or_else(Action::await_change, Action::requeue)
    }

    /// Forgets an object that is gone.
    fn forget(&self, node: &Node) {
        release::let_go(self, node);
        self.memory.forget(node);
        if node.kind == Kind::Credential {
            self.accounts.release(node);
        }
    }
}

/// The object of a reconcile, by name.
pub struct Subject {
    /// Kind, namespace, name.
    pub node: Node,
    /// UID: tells two objects of a name apart.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
}

impl Subject {
    /// The subject for an object.
    pub fn of(kind: Kind, object: &impl Resource<DynamicType = ()>) -> Self {
        Self {
            node: crate::desired::facts::node(kind, object),
            uid: object.uid().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or_default(),
        }
    }

    /// As a session knows it.
    pub fn requester(&self) -> Requester {
        requester(&self.node)
    }
}

fn requester(node: &Node) -> Requester {
    Requester {
        kind: node.kind.as_str(),
        namespace: node.namespace.to_string(),
        name: node.name.to_string(),
    }
}

/// The reference of an object in an event.
pub fn object_reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

#[derive(Debug, Error)]
#[error("never")]
struct Never;

/// Runs one controller until `stop`; then finishes what is under way. The stream yields after each reconcile.
pub fn run<K, F>(
    kind: Kind,
    store: Store<K>,
    woken: mpsc::UnboundedReceiver<ObjectRef<K>>,
    stop: CancellationToken,
    context: Arc<Context>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Copy + Send + Sync + 'static,
    on_panic: impl AsyncFn(Arc<K>, Arc<Context>) + Copy + Send + Sync + 'static,
) -> impl Stream<Item = ()>
where
    K: Watched,
    K::DynamicType: Hash + Eq,
    F: Future<Output = Next> + Send + 'static,
{
    let queue = tokio_stream_of(woken)
        .map(Ok::<_, Infallible>)
        .take_until(async move { stop.cancelled().await });
    let gone = context.clone();
    let reconciler = move |object: Arc<K>, context: Arc<Context>| {
        Box::pin(async move {
            let node = crate::desired::facts::node(kind, &*object);
            let began = Instant::now();
            context.mirror.progress.begun(&node, began);
            if context
                .mirror
                .is_outdated(&node, object.meta().resource_version.as_deref().unwrap_or_default())
            {
                return Ok(context.schedule(&node, Next::Wait));
            }
            // A task of its own: reconciles use all cores, and a panic is one object's failure.
            let span = tracing::trace_span!(
                target: TARGET,
                "reconcile",
                otel.name = format!("reconcile {}", kind.plural()),
                k8s.namespace.name = &*node.namespace,
                object = &*node.name,
                result = tracing::field::Empty,
            );
            let reconciling = reconcile(object.clone(), context.clone()).instrument(span.clone());
            let next = match tokio::spawn(reconciling).await {
                Ok(next) => next,
                Err(error) => {
                    context.metrics.panicked(kind.plural());
                    tracing::error!(object = %node, %error, "the reconciler failed");
                    on_panic(object, context.clone()).await;
                    Next::BackOff
                }
            };
            let result = match next {
                Next::Wait | Next::Recheck => ReconcileResult::Success,
                Next::After(_) | Next::Settled(_) | Next::Blocked | Next::Stale => ReconcileResult::Requeue,
                Next::BackOff => ReconcileResult::Error,
            };
            span.record("result", result.label());
            context.metrics.reconciled(kind.plural(), result, began.elapsed());
            tracing::debug!(object = %node, ?next, "reconciled");
            Ok::<_, Never>(context.schedule(&node, next))
        })
    };
    // Concurrency is bounded where it costs: by the session's budget towards a manager, by the client towards Kubernetes.
    // A bound here would let one manager that hangs hold up the objects of all others.
    applier(
        reconciler,
        |_, _: &Never, _| Action::await_change(),
        context,
        store,
        queue,
        controller::Config::default(),
    )
    .map(move |result| {
        if let Err(controller::Error::ObjectNotFound(object)) = result {
            let node = Node::new(kind, &object.namespace.unwrap_or_default(), &object.name);
            gone.mirror.progress.forget(&node);
            if !gone.mirror.exists(&node) {
                gone.forget(&node);
            }
        }
    })
}

fn tokio_stream_of<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

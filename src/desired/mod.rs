// SPDX-License-Identifier: Apache-2.0

//! The desired mirror: what Kubernetes holds of our kinds, and the reference graph over it.
//!
//! One watch a kind (and namespace) feeds a store *and* the [`graph`] through one [`pump`], which is the only place that
//! sees deletes. What comes out are wake-ups: names of objects to reconcile. Reconcilers look objects up in the stores and
//! use the graph only for who depends on whom.

pub mod facts;
pub mod graph;
pub mod node;
pub mod progress;
#[cfg(test)]
mod properties;
pub mod pump;
pub mod unreadable;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::{mpsc, watch};

use crate::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, has_finalizer},
    manager::values::RemoteId,
    telemetry::metrics::Metrics,
};
use graph::{Dependants, Facts, Graph, Interest};
use node::{Kind, Node};
use progress::Progress;
use pump::Scope;
use unreadable::Unreadable;

/// Metadata of a Secret.
pub type SecretMeta = PartialObjectMeta<Secret>;

/// The desired mirror.
pub struct Mirror {
    /// `ManagerCredential`s.
    pub credentials: Store<ManagerCredential>,
    /// `DigitalMessagingInterface`s.
    pub interfaces: Store<DigitalMessagingInterface>,
    /// `ChannelConnection`s.
    pub connections: Store<ChannelConnection>,
    /// Secrets that opted in.
    pub secrets: Store<SecretMeta>,
    /// Secrets with outputs.
    pub outputs: Store<SecretMeta>,
    /// Which objects have work due.
    pub progress: Progress,
    /// Objects that cannot be read, and wait to be told so.
    pub unreadable: Unreadable,
    scope: Scope,
    graph: RwLock<Graph>,
    wakers: Wakers,
    /// Whether wake-ups are wanted: a standby only keeps its stores warm.
    waking: AtomicBool,
    /// Our last write, by object.
    written: Mutex<HashMap<Node, Written>>,
    /// Objects that we are writing right now, and the version that the watch has shown meanwhile: whether that is news is known
    /// once the write has told which version it leaves.
    writing: Mutex<HashMap<Node, Option<String>>>,
    /// By kind: the last of the clients by which everything was read; see [`pump::Source`].
    read: watch::Sender<HashMap<Kind, u64>>,
}

struct Written {
    write: OwnWrite,
    /// Whether the watch has shown the version it left.
    shown: bool,
    at: Instant,
}

/// So long a write of ours is remembered of an object that the watch does not show: that of a new one may be late.
const UNSEEN: Duration = Duration::from_mins(5);

/// A write of ours to an object that is watched.
#[derive(Clone, Debug)]
pub struct OwnWrite {
    /// The version it was made over.
    pub over: String,
    /// The version it left.
    pub left: String,
    /// Whether the object is to be woken when the watch shows that version.
    pub wake: bool,
}

/// Holds back wake-ups of an object, see [`Mirror::hold_news`].
pub struct HeldNews<'a> {
    mirror: &'a Mirror,
    node: Node,
}

impl Drop for HeldNews<'_> {
    fn drop(&mut self) {
        let seen = self.mirror.writing().remove(&self.node).flatten();
        if seen.is_some() && !self.mirror.is_no_news(&self.node, seen.as_deref()) {
            self.mirror.wake([&self.node]);
        }
    }
}

/// Where wake-ups go, by kind. Unbounded, because a pump must not wait for a reconciler; an applier merges repeats.
#[derive(Clone)]
pub struct Wakers {
    /// To the controller of `ManagerCredential`.
    pub credentials: mpsc::UnboundedSender<ObjectRef<ManagerCredential>>,
    /// To the controller of `DigitalMessagingInterface`.
    pub interfaces: mpsc::UnboundedSender<ObjectRef<DigitalMessagingInterface>>,
    /// To the controller of `ChannelConnection`.
    pub connections: mpsc::UnboundedSender<ObjectRef<ChannelConnection>>,
}

impl Wakers {
    /// Wakes the reconciler of an object.
    fn wake(&self, node: &Node) {
        // A controller that is gone ends the process elsewhere.
        match node.kind {
            Kind::Credential => drop(self.credentials.send(ObjectRef::new(&node.name).within(&node.namespace))),
            Kind::Interface => drop(self.interfaces.send(ObjectRef::new(&node.name).within(&node.namespace))),
            Kind::Connection => drop(self.connections.send(ObjectRef::new(&node.name).within(&node.namespace))),
            Kind::Secret | Kind::Output => {}
        }
    }
}

/// Stores that the mirror reads; their writers belong to the pumps.
pub struct Stores {
    /// `ManagerCredential`s.
    pub credentials: Store<ManagerCredential>,
    /// `DigitalMessagingInterface`s.
    pub interfaces: Store<DigitalMessagingInterface>,
    /// `ChannelConnection`s.
    pub connections: Store<ChannelConnection>,
    /// Secrets that opted in.
    pub secrets: Store<SecretMeta>,
    /// Secrets with outputs.
    pub outputs: Store<SecretMeta>,
}

impl Mirror {
    /// A mirror over these stores, which are of these namespaces.
    pub fn new(scope: Scope, stores: Stores, wakers: Wakers, metrics: Arc<Metrics>) -> Self {
        let Stores {
            credentials,
            interfaces,
            connections,
            secrets,
            outputs,
        } = stores;
        Self {
            credentials,
            interfaces,
            connections,
            secrets,
            outputs,
            progress: Progress::new(metrics),
            unreadable: Unreadable::default(),
            scope,
            graph: RwLock::default(),
            wakers,
            waking: AtomicBool::new(false),
            written: Mutex::default(),
            writing: Mutex::default(),
            read: watch::Sender::default(),
        }
    }

    /// Waits until all stores are complete. No reconciler may run before, or it would take for missing what is not read yet.
    pub async fn ready(&self) -> bool {
        let ready = futures::future::join5(
            self.credentials.wait_until_ready(),
            self.interfaces.wait_until_ready(),
            self.connections.wait_until_ready(),
            self.secrets.wait_until_ready(),
            self.outputs.wait_until_ready(),
        )
        .await;
        ready.0.is_ok() && ready.1.is_ok() && ready.2.is_ok() && ready.3.is_ok() && ready.4.is_ok()
    }

    /// Has everything read anew with another client, and waits until that is done.
    pub async fn read_anew(&self, sources: &watch::Sender<pump::Source>, client: Client) {
        let mut asked = 0;
        sources.send_modify(|(round, source)| {
            *round = round.wrapping_add(1);
            asked = *round;
            *source = client;
        });
        let kinds = [
            Kind::Credential,
            Kind::Interface,
            Kind::Connection,
            Kind::Secret,
            Kind::Output,
        ];
        let done = |read: &HashMap<Kind, u64>| kinds.iter().all(|kind| read.get(kind) == Some(&asked));
        // It fails only if the sender is gone, which is ours.
        let _ = self.read.subscribe().wait_for(done).await;
    }

    fn has_read(&self, kind: Kind, round: u64) {
        self.read.send_modify(|read| {
            read.insert(kind, round);
        });
    }

    /// A `ManagerCredential`.
    pub fn credential(&self, node: &Node) -> Option<Arc<ManagerCredential>> {
        self.credentials.get(&ObjectRef::new(&node.name).within(&node.namespace))
    }

    /// A `DigitalMessagingInterface`.
    pub fn interface(&self, node: &Node) -> Option<Arc<DigitalMessagingInterface>> {
        self.interfaces.get(&ObjectRef::new(&node.name).within(&node.namespace))
    }

    /// A `ChannelConnection`.
    pub fn connection(&self, node: &Node) -> Option<Arc<ChannelConnection>> {
        self.connections.get(&ObjectRef::new(&node.name).within(&node.namespace))
    }

    /// Metadata of a Secret that opted in.
    pub fn secret(&self, node: &Node) -> Option<Arc<SecretMeta>> {
        self.secrets.get(&ObjectRef::new(&node.name).within(&node.namespace))
    }

    /// Metadata of a Secret with outputs.
    pub fn output(&self, node: &Node) -> Option<Arc<SecretMeta>> {
        self.outputs.get(&ObjectRef::new(&node.name).within(&node.namespace))
    }

    /// Whether an object exists, of whatever kind.
    pub fn exists(&self, node: &Node) -> bool {
        self.graph(|graph| graph.contains(node))
    }

    /// Tells how many objects of a kind show a plan that waits for approval, unless another replica leads and tells. What is
    /// told later is never older.
    pub fn tell_plans_waiting(&self, kind: Kind, tell: impl FnOnce(usize)) {
        if self.waking.load(Ordering::Acquire) {
            self.graph(|graph| tell(graph.plans_waiting(kind)));
        }
    }

    /// Whether this is an interface that is being deleted.
    pub fn is_ending_interface(&self, node: &Node) -> bool {
        node.kind == Kind::Interface
            && self
                .interface(node)
                .is_some_and(|interface| interface.metadata.deletion_timestamp.is_some())
    }

    /// The objects that refer to `node`.
    pub fn dependants(&self, node: &Node) -> BTreeSet<Node> {
        self.graph(|graph| graph.dependants(node).collect())
    }

    /// The objects that refer to `node`, directly or over others.
    pub fn all_dependants(&self, node: &Node) -> BTreeSet<Node> {
        self.graph(|graph| graph.all_dependants(node))
    }

    /// The sum over the dependants of `kind`.
    pub fn sum(&self, node: &Node, kind: Kind) -> Dependants {
        self.graph(|graph| graph.sum(node, kind))
    }

    /// Who cares about a remote object by its ID or natural key.
    pub fn interested(&self, interest: &Interest) -> BTreeSet<Node> {
        self.graph(|graph| graph.interested(interest).collect())
    }

    /// All that may be the parent of something in a namespace.
    fn parents_in(&self, namespace: &str) -> Vec<Node> {
        let (credentials, interfaces) = (self.credentials.state(), self.interfaces.state());
        let credentials = credentials.iter().map(|it| facts::node(Kind::Credential, &**it));
        let interfaces = interfaces.iter().map(|it| facts::node(Kind::Interface, &**it));
        let parents = credentials.chain(interfaces);
        parents.filter(|node| &*node.namespace == namespace).collect()
    }

    /// Whether objects of a namespace are seen.
    pub fn watches(&self, namespace: &str) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Namespaces(names) => names.contains(namespace),
        }
    }

    /// The remote IDs that the statuses of these objects remember.
    pub fn remembered(&self, nodes: &BTreeSet<Node>) -> Vec<RemoteId> {
        nodes
            .iter()
            .filter_map(|node| match node.kind {
                Kind::Interface => self.interface(node)?.status.as_ref()?.id.clone(),
                Kind::Connection => self.connection(node)?.status.as_ref()?.id.clone(),
                _ => None,
            })
            .filter_map(|id| id.parse().ok())
            .collect()
    }

    /// Wakes objects.
    pub fn wake<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        if self.waking.load(Ordering::Acquire) {
            let now = Instant::now();
            for node in nodes {
                if !matches!(node.kind, Kind::Secret | Kind::Output) {
                    self.progress.woken(node, now);
                }
                self.wakers.wake(node);
            }
        }
    }

    /// Forgets writes to objects that are gone: their answers may have come after their end.
    pub fn sweep(&self) {
        self.written()
            .retain(|node, written| written.at.elapsed() < UNSEEN || self.exists(node));
    }

    /// From now on wake-ups are passed on. All objects are woken once.
    pub fn start_waking(&self) {
        self.waking.store(true, Ordering::Release);
        let credentials = self
            .credentials
            .state()
            .into_iter()
            .map(|it| facts::node(Kind::Credential, &*it));
        let interfaces = self
            .interfaces
            .state()
            .into_iter()
            .map(|it| facts::node(Kind::Interface, &*it));
        let connections = self
            .connections
            .state()
            .into_iter()
            .map(|it| facts::node(Kind::Connection, &*it));
        let all: Vec<Node> = credentials.chain(interfaces).chain(connections).collect();
        self.wake(&all);
    }

    /// Holds back wake-ups of an object until the guard is dropped: the event of a write may be here before its answer, and
    /// only the answer tells it from news. Not for two writes to one object at a time.
    pub fn hold_news(&self, node: Node) -> HeldNews<'_> {
        self.writing().insert(node.clone(), None);
        HeldNews { mirror: self, node }
    }

    /// Remembers a write of ours: what the watch still shows may be older, and the event that it leads to is not news.
    pub fn wrote(&self, node: Node, write: OwnWrite) {
        // A write that changed nothing leaves no event.
        if write.over != write.left {
            let at = Instant::now();
            self.written().insert(node, Written { write, shown: false, at });
        }
    }

    /// Remembers that we let an object go that was only waiting for us: what the watch may still show of it is history. The
    /// answer to such a write has the version that it was made over.
    pub fn let_go(&self, node: &Node, over: String) {
        let write = OwnWrite {
            over,
            left: String::new(),
            wake: false,
        };
        self.written().insert(
            node.clone(),
            Written {
                write,
                shown: false,
                at: Instant::now(),
            },
        );
        // The watch may have been faster, and nothing would clear it then.
        if !self.exists(node) {
            self.written().remove(node);
        }
    }

    /// Our last write to an object, and whether the watch has shown it.
    pub fn own_write(&self, node: &Node) -> Option<(OwnWrite, bool)> {
        self.written().get(node).map(|written| (written.write.clone(), written.shown))
    }

    /// Whether `resource_version` is what we wrote over already: a reconcile from it would only meet a conflict.
    /// The object is woken when the watch has caught up.
    pub fn is_outdated(&self, node: &Node, resource_version: &str) -> bool {
        let mut written = self.written();
        let Some(Written { write, shown, .. }) = written.get_mut(node).filter(|it| it.write.over == resource_version) else {
            return false;
        };
        write.wake = true;
        // It may have caught up since the version was looked up, and then its event woke nobody.
        if *shown {
            self.wake([node]);
        }
        true
    }

    /// Whether an event is that of our own last write, and nobody waits for it.
    fn is_no_news(&self, node: &Node, resource_version: Option<&str>) -> bool {
        match self.written().get_mut(node) {
            Some(Written { write, shown, .. }) if Some(write.left.as_str()) == resource_version => {
                *shown = true;
                !write.wake
            }
            _ => false,
        }
    }

    fn written(&self) -> MutexGuard<'_, HashMap<Node, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<Node, Option<String>>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn graph<T>(&self, look: impl FnOnce(&Graph) -> T) -> T {
        look(&self.graph.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes an object into the graph and wakes whom it concerns.
    fn put(&self, node: &Node, facts: Facts, resource_version: Option<&str>) {
        let let_go = self.unreadable.forget(node);
        let woken = self.graph.write().unwrap_or_else(PoisonError::into_inner).put(node, facts);
        let held = self
            .writing()
            .get_mut(node)
            .map(|held| *held = resource_version.map(str::to_owned));
        if held.is_none() && !self.is_no_news(node, resource_version) {
            self.wake([node]);
        }
        self.wake(&woken);
        self.wake_parents(node, let_go);
    }

    /// An object cannot be read. It is in the graph all the same: what it holds at the manager is still held, and who depends on
    /// it still does. What it refers to is only known if it could be read before.
    fn put_unreadable(&self, node: &Node, invalid: InvalidObject) {
        let is_kept = has_finalizer(&invalid.metadata);
        let let_go = self.unreadable.put(node.clone(), invalid);
        let woken = {
            let mut graph = self.graph.write().unwrap_or_else(PoisonError::into_inner);
            let mut facts = graph.facts(node).cloned().unwrap_or_default();
            facts.summary.finalizer = is_kept;
            graph.put(node, facts)
        };
        self.wake(&woken);
        self.wake(&self.dependants(node));
        self.wake_parents(node, let_go);
    }

    /// Whoever was kept in case that an object that could not be read needed it.
    fn wake_parents(&self, node: &Node, let_go: bool) {
        if let_go {
            self.wake(&self.parents_in(&node.namespace));
        }
    }

    /// Takes an object out of the graph and wakes whom it concerns.
    fn remove(&self, node: &Node) {
        let woken = self.graph.write().unwrap_or_else(PoisonError::into_inner).remove(node);
        self.written().remove(node);
        self.wake_parents(node, self.unreadable.forget(node));
        // The reconciler of an object that is gone is not run, but whoever keeps something for it hears.
        self.wake([node]);
        self.wake(&woken);
    }
}

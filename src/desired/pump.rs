// SPDX-License-Identifier: Apache-2.0

//! The pump: one watch a kind and namespace, into one store and the graph.
//!
//! A store swaps its whole content when a watch starts over, so several watches cannot share a writer as they are. The pump
//! therefore passes on only `Apply` and `Delete`, but for one first complete set: what a restarted watch no longer lists is
//! deleted then, whichever of the watches it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{Stream, StreamExt, stream::SelectAll};
use kube::{
    Api, Client, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    Mirror, SecretMeta,
    facts::{Watched, node},
    node::{Kind, Node},
};
use crate::{
    api::{annotation, label},
    telemetry::metrics::Metrics,
};

/// Which namespaces to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Cluster,
    /// Only these.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// The APIs to watch: one for all namespaces, or one for each.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => vec![Api::all(client.clone())],
            Self::Namespaces(names) => names.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
        }
    }
}

/// The client that watches use, and how often there was another one before it: with each, watches start over.
pub type Source = (u64, Client);

/// An object, or what is left of one that does not parse.
type Guarded<K> = Result<K, Box<InvalidObject>>;

/// Pumps one of our kinds. Ends only if the mirror does.
pub async fn pump_resource<K>(
    kind: Kind,
    scope: &Scope,
    sources: watch::Receiver<Source>,
    writer: Writer<K>,
    mirror: Arc<Mirror>,
    metrics: Arc<Metrics>,
) where
    K: Watched + kube::Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let watches = |client: &Client| {
        let apis = scope.apis::<DeserializeGuard<K>>(client).into_iter();
        let streams = apis.map(|api| {
            let events = watcher(api, watcher::Config::default()).modify(trim).default_backoff();
            events
                .map(|event| event.map(|event| map_event(event, |guard: DeserializeGuard<K>| guard.0.map_err(Box::new))))
                .boxed()
        });
        streams.collect()
    };
    Pump::new(kind, writer, mirror, metrics).run(sources, watches).await;
}

/// Pumps metadata of Secrets with a label.
pub async fn pump_secrets(
    kind: Kind,
    scope: &Scope,
    sources: watch::Receiver<Source>,
    writer: Writer<SecretMeta>,
    mirror: Arc<Mirror>,
    metrics: Arc<Metrics>,
) {
    let name = if kind == Kind::Output {
        label::OUTPUTS
    } else {
        label::CREDENTIALS
    };
    let config = watcher::Config::default().labels(&format!("{name}={}", label::TRUE));
    let watches = |client: &Client| {
        let apis = scope.apis::<SecretMeta>(client).into_iter();
        let streams = apis.map(|api| {
            let events = watcher(api, config.clone()).modify(trim).default_backoff();
            events.map(|event| event.map(|event| map_event(event, Ok))).boxed()
        });
        streams.collect()
    };
    Pump::new(kind, writer, mirror, metrics).run(sources, watches).await;
}

fn map_event<A, B>(event: Event<A>, map: impl Fn(A) -> B) -> Event<B> {
    match event {
        Event::Apply(object) => Event::Apply(map(object)),
        Event::Delete(object) => Event::Delete(map(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(map(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// Drops what nobody here reads, before it is stored.
fn trim<K: kube::Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| annotation::ALL.contains(&name.as_str()));
    }
}

/// What one watch has listed so far since it started over.
type Staged<K> = BTreeMap<Node, K>;

struct Pump<K: Watched> {
    kind: Kind,
    writer: Writer<K>,
    mirror: Arc<Mirror>,
    metrics: Arc<Metrics>,
    /// By watch: what it has listed since it started over; nothing between lists.
    staged: Vec<Option<Staged<K>>>,
    /// By watch: what it has listed since it started over and cannot be read. It is there all the same.
    unreadable: Vec<BTreeSet<Node>>,
    /// By watch: what it is known to hold.
    known: Vec<BTreeSet<Node>>,
    /// Watches that have not been complete once.
    incomplete: BTreeSet<usize>,
    /// Watches that have not been complete once with the present client.
    unread: BTreeSet<usize>,
    /// See [`Source`].
    round: u64,
    /// Objects of the first complete set, until all watches are complete.
    first: Staged<K>,
}

impl<K: Watched> Pump<K> {
    fn new(kind: Kind, writer: Writer<K>, mirror: Arc<Mirror>, metrics: Arc<Metrics>) -> Self {
        Self {
            kind,
            writer,
            mirror,
            metrics,
            staged: Vec::new(),
            unreadable: Vec::new(),
            known: Vec::new(),
            incomplete: BTreeSet::new(),
            unread: BTreeSet::new(),
            round: 0,
            first: BTreeMap::new(),
        }
    }

    async fn run<S>(mut self, mut sources: watch::Receiver<Source>, watches: impl Fn(&Client) -> Vec<S>)
    where
        S: Stream<Item = Result<Event<Guarded<K>>, watcher::Error>> + Send + Unpin + 'static,
    {
        loop {
            let (round, client) = sources.borrow_and_update().clone();
            let mut events = self.begin(round, watches(&client));
            loop {
                tokio::select! {
                    Some((watch, event)) = events.next() => match event {
                        Ok(event) => {
                            self.take(watch, event);
                            if matches!(self.kind, Kind::Interface | Kind::Connection) {
                                let tell = |count| self.metrics.set_plans_waiting(self.kind.as_str(), count);
                                self.mirror.tell_plans_waiting(self.kind, tell);
                            }
                        }
                        Err(error) => {
                            self.metrics.watch_error(self.kind.plural());
                            tracing::warn!(resource = self.kind.plural(), %error, "a watch failed; it starts again");
                        }
                    },
                    Ok(()) = sources.changed() => break,
                    else => return,
                }
            }
        }
    }

    fn begin<S>(&mut self, round: u64, streams: Vec<S>) -> SelectAll<impl Stream<Item = (usize, S::Item)> + use<S, K>>
    where
        S: Stream + Send + Unpin,
    {
        self.round = round;
        self.unread = (0..streams.len()).collect();
        if self.known.is_empty() {
            self.incomplete.clone_from(&self.unread);
            self.known = vec![BTreeSet::new(); streams.len()];
        }
        self.staged = streams.iter().map(|_| None).collect();
        self.unreadable = vec![BTreeSet::new(); streams.len()];
        let numbered = streams.into_iter().enumerate();
        numbered
            .map(|(watch, stream)| stream.map(move |event| (watch, event)))
            .collect()
    }

    fn take(&mut self, watch: usize, event: Event<Guarded<K>>) {
        match event {
            Event::Apply(Ok(object)) => self.apply(watch, object),
            Event::Delete(Ok(object)) => self.delete(watch, &node(self.kind, &object)),
            Event::Apply(Err(invalid)) | Event::InitApply(Err(invalid)) => self.invalid(watch, *invalid),
            Event::Delete(Err(invalid)) => self.delete(watch, &self.node_of(&invalid)),
            Event::Init => self.stage(watch, Some(BTreeMap::new())),
            Event::InitApply(Ok(object)) => {
                let node = node(self.kind, &object);
                if let Some(Some(staged)) = self.staged.get_mut(watch) {
                    staged.insert(node, object);
                }
            }
            Event::InitDone => self.complete(watch),
        }
    }

    fn stage(&mut self, watch: usize, staged: Option<Staged<K>>) {
        if let Some(unreadable) = self.unreadable.get_mut(watch) {
            unreadable.clear();
        }
        if let Some(slot) = self.staged.get_mut(watch) {
            *slot = staged;
        }
    }

    /// A watch has listed all there is.
    fn complete(&mut self, watch: usize) {
        let Some(staged) = self.staged.get_mut(watch).and_then(Option::take) else {
            return;
        };
        let unreadable = self.unreadable.get_mut(watch).map(std::mem::take).unwrap_or_default();
        let listed: BTreeSet<Node> = staged.keys().cloned().chain(unreadable).collect();
        let known = self.known.get(watch).cloned().unwrap_or_default();
        for gone in known.difference(&listed) {
            self.delete(watch, gone);
        }
        if self.incomplete.remove(&watch) {
            self.first.extend(staged);
            if let Some(known) = self.known.get_mut(watch) {
                *known = listed;
            }
            if self.incomplete.is_empty() {
                self.fill();
            }
        } else {
            for object in staged.into_values() {
                self.apply(watch, object);
            }
        }
        self.unread.remove(&watch);
        if self.unread.is_empty() {
            self.mirror.has_read(self.kind, self.round);
        }
    }

    /// All watches are complete for the first time: so is the store now. The graph is first, because nobody waits for it.
    fn fill(&mut self) {
        let first = std::mem::take(&mut self.first);
        self.writer.apply_watcher_event(&Event::Init);
        for (node, object) in first {
            self.mirror
                .put(&node, object.facts(&node), object.resource_version().as_deref());
            self.writer.apply_watcher_event(&Event::InitApply(object));
        }
        self.writer.apply_watcher_event(&Event::InitDone);
    }

    fn apply(&mut self, watch: usize, object: K) {
        let node = node(self.kind, &object);
        if self.incomplete.is_empty() {
            let facts = object.facts(&node);
            let resource_version = object.resource_version();
            self.writer.apply_watcher_event(&Event::Apply(object));
            self.mirror.put(&node, facts, resource_version.as_deref());
        } else {
            // Another watch is not complete yet; what this one sees meanwhile belongs to the first set.
            self.first.insert(node.clone(), object);
        }
        if let Some(known) = self.known.get_mut(watch) {
            known.insert(node);
        }
    }

    fn delete(&mut self, watch: usize, node: &Node) {
        if let Some(known) = self.known.get_mut(watch) {
            known.remove(node);
        }
        self.first.remove(node);
        self.take_from_store(node);
        self.mirror.remove(node);
    }

    fn take_from_store(&mut self, node: &Node) {
        let stored = self
            .writer
            .as_reader()
            .get(&ObjectRef::new(&node.name).within(&node.namespace));
        if let Some(object) = stored {
            self.writer.apply_watcher_event(&Event::Delete(Arc::unwrap_or_clone(object)));
        }
    }

    /// An object that does not parse leaves the store, or its old spec would be reconciled for ever.
    fn invalid(&mut self, watch: usize, invalid: InvalidObject) {
        let node = self.node_of(&invalid);
        self.first.remove(&node);
        if let Some(known) = self.known.get_mut(watch) {
            known.insert(node.clone());
        }
        if let Some(unreadable) = self.unreadable.get_mut(watch) {
            unreadable.insert(node.clone());
        }
        self.take_from_store(&node);
        self.mirror.put_unreadable(&node, invalid);
    }

    fn node_of(&self, invalid: &InvalidObject) -> Node {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        Node::new(self.kind, &name(&invalid.metadata.namespace), &name(&invalid.metadata.name))
    }
}

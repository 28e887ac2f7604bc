// SPDX-License-Identifier: Apache-2.0

//! Which credential holds which manager account, and what its dependants are to think of it.
//!
//! One session an account. Of several credentials with the same Manager ID the one that authenticated first keeps it for
//! as long as it exists; the others wait, and are woken when it goes. Dependants read the verdict on their credential here
//! and not from its status: it is there sooner, and costs no write.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::task::TaskTracker;

use crate::{
    api::{ConditionType, HasConditions, ManagerCredential, ManagerCredentialStatus, manager_credential as api},
    desired::{
        Mirror, facts,
        graph::Interest,
        node::{Kind, Node},
    },
    kubernetes::made_secret,
    manager::{
        Manager,
        connect::AccountKey,
        observed::Identity,
        values::{Insecure, RemoteId, WebUrl},
    },
    session::{Listener, Permit, Requester, Session, Settings, mirror::Touch},
    telemetry::metrics::Metrics,
};

use super::{holding::is_known_missing, reason::Reason};

/// What dependants are to think of their credential.
#[derive(Clone)]
pub enum Verdict {
    /// Not known yet: say nothing.
    Unknown,
    /// There is an account to work with.
    Ready(Arc<Session>),
    /// There is none, because of this.
    NotReady(Reason, String),
}

impl Verdict {
    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown) => false,
            (Self::Ready(one), Self::Ready(two)) => !Arc::ptr_eq(one, two),
            (Self::NotReady(one, text), Self::NotReady(two, other)) => one != two || text != other,
            _ => true,
        }
    }
}

/// What a credential proved to open.
#[derive(Clone)]
pub struct Proven {
    /// Fingerprint of everything that was used to prove it: key, method, endpoint, TLS.
    pub access: String,
    /// Version of the Secret it was read from.
    pub secret_version: String,
    /// The account, as the manager says it.
    pub identity: Identity,
    /// The session.
    pub session: Arc<Session>,
    /// Whether to prove it anew at the next reconcile; see [`Accounts::take_doubt`].
    doubted: bool,
}

/// Credentials that were just seen to work.
pub struct Opened {
    /// See [`Proven::access`].
    pub access: String,
    /// See [`Proven::secret_version`].
    pub secret_version: String,
    /// See [`Proven::identity`].
    pub identity: Identity,
    /// The adapter that opened the account.
    pub manager: Arc<dyn Manager>,
}

/// Why a credential does not get an account.
#[derive(Debug, PartialEq, Eq)]
pub enum InUse {
    /// Another one holds it.
    Held,
    /// Another one held it before this process began, and may open it again; at the latest after this time it is free.
    Reserved(Duration),
}

#[derive(Default)]
struct Inner {
    holders: HashMap<AccountKey, Holder>,
    proven: HashMap<Node, Proven>,
    verdicts: HashMap<Node, Verdict>,
    waiting: HashMap<AccountKey, BTreeSet<Node>>,
    /// Credentials that will open no account before something about them changes.
    hopeless: HashSet<Node>,
    /// Since when accounts that nobody holds are kept free for who held them before.
    reserved: HashMap<AccountKey, Instant>,
}

impl Inner {
    /// Who waits for an account that is kept free for somebody.
    fn wait_for_a_former_holder(&self) -> BTreeSet<Node> {
        let waiting = self.reserved.keys().filter_map(|account| self.waiting.get(account));
        waiting.flatten().cloned().collect()
    }
}

struct Holder {
    node: Node,
    uid: String,
}

/// All accounts.
pub struct Accounts {
    inner: Mutex<Inner>,
    mirror: Arc<Mirror>,
    installation: String,
    permit: Permit,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    /// See [`Settings::recheck`].
    pub recheck: Duration,
    /// Sessions talk back through this; set once, right after creation.
    listener: OnceLock<Arc<Wake>>,
}

impl Accounts {
    /// No account yet.
    pub fn new(
        mirror: Arc<Mirror>,
        installation: String,
        permit: Permit,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        recheck: Duration,
    ) -> Arc<Self> {
        let accounts = Arc::new(Self {
            inner: Mutex::default(),
            mirror,
            installation,
            permit,
            metrics,
            tasks,
            recheck,
            listener: OnceLock::new(),
        });
        // Weak, or accounts and sessions would keep each other alive.
        let _ = accounts.listener.set(Arc::new(Wake(Arc::downgrade(&accounts))));
        accounts
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to think of a credential.
    pub fn verdict(&self, credential: &Node) -> Verdict {
        self.inner().verdicts.get(credential).cloned().unwrap_or(Verdict::Unknown)
    }

    /// Takes a verdict on a credential, and wakes its dependants if it is news. `may_recover`: whether one that is not ready may
    /// become so without being changed.
    pub fn judge(&self, credential: &Node, verdict: Verdict, may_recover: bool) {
        let differs = self.verdict(credential).differs(&verdict);
        let is_hopeless = matches!(verdict, Verdict::NotReady(..)) && !may_recover;
        let (before, waiting) = {
            let mut inner = self.inner();
            let turned = if is_hopeless {
                inner.hopeless.insert(credential.clone())
            } else {
                inner.hopeless.remove(credential);
                false
            };
            // It may be for this one that they wait.
            let waiting = if turned {
                inner.wait_for_a_former_holder()
            } else {
                BTreeSet::new()
            };
            (inner.verdicts.insert(credential.clone(), verdict), waiting)
        };
        // Outside the lock: it may be the last handle of a session.
        drop(before);
        self.mirror.wake(waiting.iter().filter(|node| *node != credential));
        if differs {
            self.mirror.wake(&self.mirror.all_dependants(credential));
        }
    }

    /// What a credential proved to open, if it did.
    pub fn proven(&self, credential: &Node) -> Option<Proven> {
        self.inner().proven.get(credential).cloned()
    }

    /// Has the credentials proven anew at the next reconcile, and the manager asked what it offers; what is open serves on.
    pub fn distrust(&self, credential: &Node) {
        if let Some(proven) = self.inner().proven.get_mut(credential) {
            proven.doubted = true;
        }
    }

    /// Whether the credentials are to be proven anew. Only the first who asks is told so: one doubt is one try.
    pub fn take_doubt(&self, credential: &Node) -> bool {
        let mut inner = self.inner();
        let proven = inner.proven.get_mut(credential);
        proven.is_some_and(|proven| std::mem::take(&mut proven.doubted))
    }

    /// Takes an account for a credential that authenticated, with the adapter that did. `held_before`: whether its status says
    /// that it held this account already.
    ///
    /// # Errors
    /// [`InUse`] if another credential holds it, or held it before a restart and may still open it.
    pub fn claim(
        &self,
        credential: &Node,
        uid: &str,
        account: &AccountKey,
        held_before: bool,
        opened: Opened,
        settings: Settings,
    ) -> Result<Proven, InUse> {
        let former = if held_before {
            Vec::new()
        } else {
            self.former_holders(credential, account)
        };
        let (present, displaced) = {
            let mut inner = self.inner();
            let holder = inner.holders.get(account);
            let is_holder = holder.is_some_and(|holder| holder.node == *credential && holder.uid == uid);
            if !is_holder && holder.is_some_and(|holder| self.is_alive(holder)) {
                inner.waiting.entry(account.clone()).or_default().insert(credential.clone());
                return Err(InUse::Held);
            }
            if !is_holder && former.iter().any(|node| !inner.hopeless.contains(node)) {
                let since = inner.reserved.entry(account.clone()).or_insert_with(Instant::now).elapsed();
                if let Some(left) = self.recheck.checked_sub(since).filter(|left| !left.is_zero()) {
                    inner.waiting.entry(account.clone()).or_default().insert(credential.clone());
                    return Err(InUse::Reserved(left));
                }
            }
            inner.reserved.remove(account);
            // One that could not be read for a while must not find its session as it left it.
            let holder = inner.holders.get(account).map(|holder| holder.node.clone());
            let displaced = holder
                .filter(|node| node != credential)
                .and_then(|node| inner.proven.remove(&node));
            inner.holders.insert(
                account.clone(),
                Holder {
                    node: credential.clone(),
                    uid: uid.to_owned(),
                },
            );
            let proven = inner.proven.get(credential).map(|proven| proven.session.clone());
            (proven.filter(|session| session.account() == account), displaced)
        };
        drop(displaced);
        let Opened {
            access,
            secret_version,
            identity,
            manager,
        } = opened;
        // Outside the lock: sessions talk back.
        let session = if let Some(session) = present {
            session.configure(settings);
            session.use_manager(manager);
            session
        } else {
            let listener = self.listener.get().cloned().unwrap_or_default();
            let (permit, metrics) = (self.permit.clone(), self.metrics.clone());
            Session::open(account.clone(), manager, settings, listener, permit, metrics, &self.tasks)
        };
        let proven = Proven {
            access,
            secret_version,
            identity,
            session,
            doubted: false,
        };
        let (before, sessions) = {
            let mut inner = self.inner();
            (inner.proven.insert(credential.clone(), proven.clone()), inner.proven.len())
        };
        self.metrics.set_sessions(sessions);
        if before.is_some_and(|before| before.identity.channels != proven.identity.channels) {
            self.mirror.wake(&self.mirror.all_dependants(credential));
        }
        Ok(proven)
    }

    /// Other credentials that held an account before this process began, as far as their statuses say and the proven keys that
    /// the operator kept for them. Somebody with many rights may have forged both: therefore this is good for a while only, and
    /// not for one that has been seen to open nothing.
    fn former_holders(&self, claimant: &Node, account: &AccountKey) -> Vec<Node> {
        let held_it = |other: &ManagerCredential, node: &Node| {
            let api::Manager::DigitalMessaging(manager) = &other.spec.manager;
            let status = other.status.as_ref();
            let endpoint = WebUrl::parse(&manager.endpoint, Insecure::Allowed).ok();
            let manager_id = status.and_then(|status| status.manager_id.as_deref());
            let named = endpoint.zip(manager_id).map(|(endpoint, id)| AccountKey::new(&endpoint, id));
            let key = self.mirror.output(&facts::proven_key_node(node));
            named.as_ref() == Some(account)
                && !lost_its_account(status)
                && key.is_some_and(|key| made_secret::is_owned(&key.metadata, node.reference(&self.installation).as_str()))
        };
        let others = self.mirror.credentials.state();
        let nodes = others.iter().map(|other| (other, facts::node(Kind::Credential, &**other)));
        let former = nodes.filter(|(other, node)| node != claimant && held_it(other, node));
        former.map(|(_, node)| node).collect()
    }

    /// Releases what a former credential of the same name holds: it is gone, and this one has proved nothing yet.
    pub fn release_former(&self, credential: &Node, uid: &str) {
        let former = self
            .inner()
            .holders
            .values()
            .any(|holder| holder.node == *credential && holder.uid != uid);
        if former {
            self.release(credential);
        }
    }

    fn is_alive(&self, holder: &Holder) -> bool {
        match self.mirror.credential(&holder.node) {
            Some(credential) => credential.metadata.uid.as_deref() == Some(&holder.uid),
            // It is there, and cannot be read.
            None => self.mirror.exists(&holder.node),
        }
    }

    /// Forgets a credential that is gone, closes its session, and wakes who waits for its account.
    pub fn release(&self, credential: &Node) {
        let (waiting, proven) = {
            let mut inner = self.inner();
            let proven = inner.proven.remove(credential);
            inner.verdicts.remove(credential);
            inner.hopeless.remove(credential);
            let released: Vec<AccountKey> = inner
                .holders
                .iter()
                .filter(|(_, holder)| holder.node == *credential)
                .map(|(account, _)| account.clone())
                .collect();
            let mut waiting = inner.wait_for_a_former_holder();
            for account in released {
                inner.holders.remove(&account);
                waiting.extend(inner.waiting.remove(&account).unwrap_or_default());
            }
            self.metrics.set_sessions(inner.proven.len());
            (waiting, proven)
        };
        // The session closes with its last handle; outside the lock, because its tasks may want it.
        drop(proven);
        self.mirror.wake(&waiting);
    }

    /// Closes all sessions, for the end of the process.
    pub fn close(&self) {
        let closed = std::mem::take(&mut *self.inner());
        drop(closed);
    }

    fn holder_of(&self, account: &AccountKey) -> Option<Node> {
        self.inner().holders.get(account).map(|holder| holder.node.clone())
    }
}

/// Whether a status says that another credential uses the account.
pub fn lost_its_account(status: Option<&ManagerCredentialStatus>) -> bool {
    status
        .and_then(|status| status.condition(ConditionType::Synced))
        .is_some_and(|synced| synced.reason == Reason::ManagerIDInUse.as_str())
}

/// What sessions tell becomes wake-ups.
#[derive(Default)]
struct Wake(std::sync::Weak<Accounts>);

impl Wake {
    fn credential(&self, account: &AccountKey) -> Option<(Arc<Accounts>, Node)> {
        let accounts = self.0.upgrade()?;
        let holder = accounts.holder_of(account)?;
        Some((accounts, holder))
    }
}

impl Listener for Wake {
    fn touched(&self, account: &AccountKey, touches: &[Touch]) {
        let Some((accounts, holder)) = self.credential(account) else {
            return;
        };
        let mut woken = BTreeSet::new();
        for touch in touches {
            let marked = touch
                .references
                .iter()
                .filter_map(|reference| Node::of_reference(&accounts.installation, reference));
            // Who writes at this manager can write any mark; it wakes nobody in another namespace.
            woken.extend(marked.filter(|node| node.namespace == holder.namespace));
            woken.extend(accounts.mirror.interested(&Interest::Id(touch.id.clone())));
            for key in &touch.natural_keys {
                woken.extend(accounts.mirror.interested(&Interest::NaturalKey(key.clone())));
            }
            // An interface can be deleted once nothing is assigned to it any more.
            if let Some(interface) = &touch.interface {
                let interested = accounts.mirror.interested(&Interest::Id(interface.clone()));
                woken.extend(
                    interested
                        .into_iter()
                        .filter(|node| accounts.mirror.is_ending_interface(node)),
                );
            }
        }
        // An interface that appears is what its connections wait for.
        let waiting: Vec<Node> = woken
            .iter()
            .filter(|node| node.kind == Kind::Interface)
            .flat_map(|node| accounts.mirror.dependants(node))
            .collect();
        woken.extend(waiting);
        accounts.mirror.wake(&woken);
    }

    fn health_changed(&self, account: &AccountKey) {
        if let Some((accounts, holder)) = self.credential(account) {
            accounts.mirror.wake([&holder]);
            // Before the first look dependants wait in silence; now there is something to say.
            let incomplete = accounts
                .proven(&holder)
                .is_none_or(|proven| !proven.session.mirror().is_complete());
            if incomplete {
                accounts.mirror.wake(&accounts.mirror.all_dependants(&holder));
            }
        }
    }

    fn synced(&self, account: &AccountKey) {
        if let Some((accounts, holder)) = self.credential(account) {
            accounts.mirror.wake([&holder]);
            accounts.mirror.wake(&accounts.mirror.all_dependants(&holder));
        }
    }

    fn identified(&self, account: &AccountKey, identity: Identity) {
        let Some((accounts, holder)) = self.credential(account) else {
            return;
        };
        if accounts.proven(&holder).is_some_and(|proven| proven.identity != identity) {
            accounts.distrust(&holder);
            accounts.mirror.wake([&holder]);
        }
    }

    fn resumed(&self, _account: &AccountKey, requesters: &HashSet<Requester>) {
        let Some(accounts) = self.0.upgrade() else { return };
        for requester in requesters {
            let kind = if requester.kind == Kind::Interface.as_str() {
                Kind::Interface
            } else {
                Kind::Connection
            };
            accounts
                .mirror
                .wake([&Node::new(kind, &requester.namespace, &requester.name)]);
        }
    }

    fn remembered(&self, account: &AccountKey) -> Vec<RemoteId> {
        let Some((accounts, holder)) = self.credential(account) else {
            return Vec::new();
        };
        let mut dependants = accounts.mirror.all_dependants(&holder);
        // What is known to be missing is not missed once more, nor what may have been deleted with its resource.
        dependants.retain(|node| match node.kind {
            Kind::Interface => accounts
                .mirror
                .interface(node)
                .is_some_and(|it| it.metadata.deletion_timestamp.is_none() && !is_known_missing(it.status.as_ref())),
            Kind::Connection => accounts
                .mirror
                .connection(node)
                .is_some_and(|it| it.metadata.deletion_timestamp.is_none() && !is_known_missing(it.status.as_ref())),
            _ => false,
        });
        accounts.mirror.remembered(&dependants)
    }
}

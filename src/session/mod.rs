// SPDX-License-Identifier: Apache-2.0

//! A session: all traffic to one manager account.
//!
//! Two tasks share what is known of the account. [`observe`] keeps the observed [`mirror`] up to date and finds out whether
//! the account is reachable ([`health`]). [`serve`] takes requests from the [`mailbox`], as many at a time as the [`budget`]
//! allows, and writes what comes of them through to the mirror before anyone hears of it.
//!
//! Requests run here and not in the reconciler that made them: a reconciler that is dropped never cuts a write in half.
//!
//! Knows the port and nothing of Kubernetes; whoever opens a session listens to it through [`Listener`].

pub mod budget;
pub mod health;
pub mod mailbox;
pub mod mirror;
mod observe;
mod serve;
mod walks;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use thiserror::Error as ThisError;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    manager::{
        Manager,
        capabilities::Capabilities,
        connect::AccountKey,
        error::Error,
        observed::{Cursor, Identity, ObservedInterface},
        values::RemoteId,
        write::{ConnectionOutcome, ConnectionWrite, Fence, InterfaceWrite},
    },
    telemetry::{
        load::{AccountLoad, AccountState},
        metrics::Metrics,
    },
};
use budget::{Limits, Throttle};
use health::{Health, Trial};
use mirror::{Mirror, Touch};
use walks::Walks;

/// Who makes a request, as far as a session needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requester {
    /// Kind of the resource.
    pub kind: &'static str,
    /// Its namespace: those take turns.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Whoever opened a session hears what happens in it. Called from the session's tasks: must not block.
pub trait Listener: Send + Sync + 'static {
    /// Remote objects changed.
    fn touched(&self, account: &AccountKey, touches: &[Touch]);
    /// Reachability changed, or writes were frozen.
    fn health_changed(&self, account: &AccountKey);
    /// The account has been seen as a whole for the first time.
    fn synced(&self, account: &AccountKey);
    /// The manager was asked again who the account is, and what it offers it.
    fn identified(&self, account: &AccountKey, identity: Identity);
    /// Calls are possible again for these, which were turned away.
    fn resumed(&self, account: &AccountKey, requesters: &HashSet<Requester>);
    /// The remote IDs that resources remember of this account: what a first look is compared with.
    fn remembered(&self, account: &AccountKey) -> Vec<RemoteId>;
}

/// The right to write, asked for before each write.
pub type Permit = Arc<dyn Fn() -> Option<Fence> + Send + Sync>;

/// Settings of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits of the budget.
    pub limits: Limits,
    /// Upper bound between two looks at the account.
    pub observe_interval: Duration,
    /// How often credentials that were refused are tried again without any change, and how often the manager is asked again
    /// what it offers.
    pub recheck: Duration,
    /// Whether the manager refuses a second object with the same reference, as it said itself.
    pub unique_references: bool,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, ThisError)]
pub enum Failure {
    /// The manager refused it, or gave no usable answer.
    #[error(transparent)]
    Manager(Error),
    /// Not tried, because the account cannot be reached for now. The requester is told when it can ([`Listener::resumed`]).
    #[error("not tried: {0}")]
    Down(Error),
    /// Not tried, because what was seen at the manager is suspicious.
    #[error("writes are frozen: too much of the account vanished at once")]
    Frozen,
    /// Not tried again, because the manager refuses the writes of this process's term: another one of the same installation
    /// has begun a later one.
    #[error("superseded: {0}")]
    Superseded(Error),
    /// Not tried, because this process does not lead (any more), or ends.
    #[error("this process is not the leader")]
    NotLeading,
}

/// How much of an account vanished between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// Objects that vanished.
    pub vanished: usize,
    /// Objects there were.
    pub of: usize,
}

/// How much less than declared an account is called, because the manager asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The fewest calls allowed at the same time since it began to ask.
    pub least: u32,
    /// No call before this: the end of the pause it asked for when that came to be so few.
    pub until: Timestamp,
}

/// One manager account. Closes when the last handle is dropped; what is under way then is finished.
pub struct Session {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<serve::Envelope>,
    stop_observing: CancellationToken,
}

struct Shared {
    account: AccountKey,
    capabilities: Capabilities,
    manager: RwLock<Arc<dyn Manager>>,
    mirror: RwLock<Mirror>,
    state: Mutex<State>,
    /// Wakes the observer before its time.
    look_now: Notify,
    walks: watch::Sender<Walks>,
    listener: Arc<dyn Listener>,
    permit: Permit,
    metrics: Arc<Metrics>,
    load: AccountLoad,
}

struct State {
    settings: Settings,
    health: Health,
    /// The health that the listener was told of last: failures of one outage do not change it.
    told: Health,
    /// How much less than declared the account is called.
    throttled: Option<Throttled>,
    /// Who asked to be let through once although the account is not reachable.
    urgent: HashSet<Requester>,
    /// How calls are tried again after they found the account down.
    trial: Trial,
    frozen: Option<Vanished>,
    /// What the manager said when it refused a write because a later term has written.
    superseded: Option<Error>,
    /// How far the account has been seen, by looks and by the answers to writes.
    newest: Option<Cursor>,
    /// Who was turned away and waits to be told that calls are possible again.
    turned_away: HashSet<Requester>,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manager has told of this state of the account.
    fn reached(&self, cursor: Cursor) {
        let newest = &mut self.state().newest;
        if newest.as_ref().is_none_or(|newest| newest.is_before(&cursor)) {
            *newest = Some(cursor);
        }
    }

    fn manager(&self) -> Arc<dyn Manager> {
        self.manager.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn mirror(&self) -> RwLockReadGuard<'_, Mirror> {
        self.mirror.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn mirror_mut(&self) -> std::sync::RwLockWriteGuard<'_, Mirror> {
        self.mirror.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes how much less than declared the account is called, and tells who wants to know when that turns.
    fn set_throttle(&self, throttle: Option<Throttle>, now: Instant) {
        let turned = {
            let mut state = self.state();
            let turned = state.throttled.map(|it| it.least) != throttle.map(|it| it.least);
            if turned {
                state.throttled = throttle.map(|throttle| Throttled {
                    least: throttle.least,
                    until: health::timestamp(throttle.until.saturating_duration_since(now)),
                });
            }
            turned
        };
        if turned {
            self.show_state();
            self.listener.health_changed(&self.account);
        }
    }

    /// Shows in the metrics how the account is.
    fn show_state(&self) {
        let state = {
            let state = self.state();
            match (&state.health, state.throttled) {
                (Health::Starting, _) => AccountState::Starting,
                (Health::Up, None) => AccountState::Up,
                (Health::Up, Some(_)) => AccountState::Throttled,
                (Health::Down { .. }, _) => AccountState::Down,
                (Health::Refused { .. }, _) => AccountState::Refused,
            }
        };
        self.load.set(|load| load.state = state);
    }

    /// Lets one of those that were turned away try, or all if nobody was. When to look again; none: now or never.
    fn offer_trial(&self, now: Instant) -> Option<Instant> {
        let tried = {
            let mut state = self.state();
            if let Some(until) = state.trial.waits_until(now) {
                return Some(until);
            }
            let tried = state.turned_away.iter().next().cloned();
            if let Some(tried) = &tried {
                state.turned_away.remove(tried);
            }
            tried
        };
        if let Some(tried) = tried {
            self.listener.resumed(&self.account, &HashSet::from([tried]));
        } else {
            self.state().trial.pause();
            self.set_health(Health::Up);
        }
        None
    }

    /// Takes a new health, and tells those who want to know.
    fn set_health(&self, health: Health) {
        let (changed, resumed) = {
            let mut state = self.state();
            let changed = state.told.differs(&health);
            let resumed = if health.permits_calls() {
                state.urgent.clear();
                std::mem::take(&mut state.turned_away)
            } else {
                HashSet::new()
            };
            if state.health.permits_calls() && !health.permits_calls() {
                self.metrics.breaker_opened();
            }
            if changed {
                state.told = health.clone();
            }
            state.health = health;
            (changed, resumed)
        };
        self.show_state();
        if changed {
            self.listener.health_changed(&self.account);
        }
        if !resumed.is_empty() {
            self.listener.resumed(&self.account, &resumed);
        }
    }
}

impl Session {
    /// Opens a session with an adapter whose credentials are known to work. Its tasks run in `tasks`.
    pub fn open(
        account: AccountKey,
        manager: Arc<dyn Manager>,
        settings: Settings,
        listener: Arc<dyn Listener>,
        permit: Permit,
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            account,
            capabilities: manager.capabilities().clone(),
            manager: RwLock::new(manager),
            mirror: RwLock::default(),
            state: Mutex::new(State {
                settings,
                health: Health::Starting,
                told: Health::Starting,
                throttled: None,
                urgent: HashSet::new(),
                trial: Trial::default(),
                frozen: None,
                superseded: None,
                newest: None,
                turned_away: HashSet::new(),
            }),
            look_now: Notify::new(),
            walks: watch::Sender::default(),
            listener,
            permit,
            load: AccountLoad::new(metrics.clone()),
            metrics,
        });
        let (requests, mailbox) = mpsc::unbounded_channel();
        let stop_observing = CancellationToken::new();
        tasks.spawn(serve::run(shared.clone(), mailbox));
        let observing = stop_observing.clone();
        let observed = shared.clone();
        tasks.spawn(async move {
            observing.run_until_cancelled(observe::run(&observed)).await;
        });
        Arc::new(Self {
            shared,
            requests,
            stop_observing,
        })
    }

    /// The account.
    pub fn account(&self) -> &AccountKey {
        &self.shared.account
    }

    /// What its kind of manager can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Whether a second object with the same reference is refused.
    pub fn has_unique_references(&self) -> bool {
        self.shared.state().settings.unique_references
    }

    /// What the account holds. Hold it only for a look.
    pub fn mirror(&self) -> RwLockReadGuard<'_, Mirror> {
        self.shared.mirror()
    }

    /// Whether it can be reached: as it turned last, so that the attempts of one outage make no difference.
    pub fn health(&self) -> Health {
        self.shared.state().told.clone()
    }

    /// How much less than declared it is called, because the manager asked for it: as it turned last.
    pub fn throttled(&self) -> Option<Throttled> {
        self.shared.state().throttled
    }

    /// Whether writes are frozen, and why.
    pub fn frozen(&self) -> Option<Vanished> {
        self.shared.state().frozen
    }

    /// What the manager said if it refuses the writes of this process's term.
    pub fn superseded(&self) -> Option<Error> {
        self.shared.state().superseded.clone()
    }

    /// Lets writes go on after a freeze, or after they were refused for their term: someone has looked and says it is all
    /// right.
    pub fn unfreeze(&self) {
        let held_back = {
            let mut state = self.shared.state();
            let frozen = state.frozen.take().is_some();
            state.superseded.take().is_some() || frozen
        };
        if held_back {
            self.shared.listener.synced(&self.shared.account);
        }
    }

    /// Looks at the account now instead of at the next attempt.
    pub fn look_now(&self) {
        self.shared.look_now.notify_one();
    }

    /// Tries now, once, although the account may not be reachable: looks at it, and lets one call of `requester` through.
    pub fn retry(&self, requester: Option<Requester>) {
        {
            let mut state = self.shared.state();
            state.trial.hurry(Instant::now());
            if !state.health.permits_calls() {
                state.urgent.extend(requester);
            }
        }
        self.look_now();
    }

    /// Takes an adapter with other credentials for the same account, known to work.
    pub fn use_manager(&self, manager: Arc<dyn Manager>) {
        *self.shared.manager.write().unwrap_or_else(PoisonError::into_inner) = manager;
        self.shared.state().trial = Trial::default();
        self.shared.set_health(Health::Up);
        self.look_now();
    }

    /// Takes other settings.
    pub fn configure(&self, settings: Settings) {
        self.shared.state().settings = settings;
    }

    /// Creates, updates or claims an interface.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ensure_interface(&self, requester: Requester, write: InterfaceWrite) -> Result<Arc<ObservedInterface>, Failure> {
        self.ask(requester, |reply| serve::Request::EnsureInterface(Box::new(write), reply))
            .await
    }

    /// Deletes an interface.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn retire_interface(&self, requester: Requester, id: RemoteId) -> Result<(), Failure> {
        self.ask(requester, |reply| serve::Request::RetireInterface(id, reply)).await
    }

    /// Changes one connection.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn write_connection(
        &self,
        requester: Requester,
        interface: RemoteId,
        write: ConnectionWrite,
    ) -> Result<ConnectionOutcome, Failure> {
        self.ask(requester, |reply| {
            serve::Request::WriteConnection(interface, Box::new(write), reply)
        })
        .await
    }

    /// The secret that the manager generated for a connection.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn generated_secret(&self, requester: Requester, id: RemoteId) -> Result<SecretString, Failure> {
        self.ask(requester, |reply| serve::Request::GeneratedSecret(id, reply)).await
    }

    /// Looks whether an interface is really gone. If it is there after all, the mirror knows it afterwards.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn interface_is_gone(&self, requester: Requester, id: RemoteId) -> Result<bool, Failure> {
        self.ask(requester, |reply| serve::Request::LookForInterface(id, reply)).await
    }

    /// Looks whether a connection is really gone. If it is there after all, the mirror knows it afterwards.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn connection_is_gone(&self, requester: Requester, id: RemoteId) -> Result<bool, Failure> {
        self.ask(requester, |reply| serve::Request::LookForConnection(id, reply))
            .await
    }

    /// Has the account looked at as a whole by a walk that begins from now on, and waits until the mirror shows what there
    /// was. All who wait share one walk.
    ///
    /// # Errors
    /// If the account cannot be reached; the requester is told when it can.
    pub async fn look_afresh(&self, requester: Requester) -> Result<(), Failure> {
        {
            let mut state = self.shared.state();
            if let Health::Down { cause, .. } | Health::Refused { cause } = state.health.clone() {
                state.turned_away.insert(requester);
                return Err(Failure::Down(cause));
            }
        }
        let mut walks = self.shared.walks.subscribe();
        let mut number = 0;
        self.shared.walks.send_modify(|walks| number = walks.want());
        self.look_now();
        // The sender lives as long as this session.
        let outcome = walks.wait_for(|walks| walks.outcome(number).is_some()).await;
        let outcome = outcome.ok().and_then(|walks| walks.outcome(number));
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(cause)) => {
                self.shared.state().turned_away.insert(requester);
                Err(Failure::Down(cause))
            }
            None => Err(Failure::NotLeading),
        }
    }

    async fn ask<T>(&self, requester: Requester, request: impl FnOnce(serve::Reply<T>) -> serve::Request) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let envelope = serve::Envelope {
            requester,
            request: request(reply),
            refusals: 0,
            began: None,
            span: tracing::Span::current(),
        };
        self.requests.send(envelope).map_err(|_| Failure::NotLeading)?;
        answer.await.unwrap_or(Err(Failure::NotLeading))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop_observing.cancel();
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Carries out requests: takes them from the mailbox as the budget allows, and writes the outcome through to the mirror.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{Instrument, Span};

use super::{
    Failure, Requester, Shared,
    budget::Budget,
    health::{Failures, Health, Trial},
    mailbox::Mailbox,
};
use crate::{
    manager::{
        Manager,
        error::{ClaimedBy, Class, Error, Outage},
        observed::{Cursor, ObservedInterface, ObservedObject},
        values::RemoteId,
        write::{ConnectionOutcome, ConnectionWrite, Fence, InterfaceWrite},
    },
    telemetry::traces::TARGET,
};

/// How often a request is tried again by itself after a 429, before its requester hears of it.
const MAX_REFUSALS: u32 = 5;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// A request and who made it.
pub(super) struct Envelope {
    pub(super) requester: Requester,
    pub(super) request: Request,
    pub(super) refusals: u32,
    /// When it was taken out of the mailbox last.
    pub(super) began: Option<Instant>,
    /// What it is asked for in.
    pub(super) span: Span,
}

/// What can be asked for.
pub(super) enum Request {
    EnsureInterface(Box<InterfaceWrite>, Reply<Arc<ObservedInterface>>),
    RetireInterface(RemoteId, Reply<()>),
    WriteConnection(RemoteId, Box<ConnectionWrite>, Reply<ConnectionOutcome>),
    GeneratedSecret(RemoteId, Reply<SecretString>),
    LookForInterface(RemoteId, Reply<bool>),
    LookForConnection(RemoteId, Reply<bool>),
}

/// What the manager answered.
enum Answer {
    Interface(Arc<ObservedInterface>),
    Retired,
    Connection(ConnectionOutcome),
    Secret(SecretString),
}

impl Request {
    /// Whether it changes something at the manager.
    fn is_write(&self) -> bool {
        matches!(
            self,
            Self::EnsureInterface(..) | Self::RetireInterface(..) | Self::WriteConnection(..)
        )
    }

    /// Label of metrics.
    fn operation(&self) -> &'static str {
        match self {
            Self::EnsureInterface(write, _) => match **write {
                InterfaceWrite::Create { .. } => "create_interface",
                InterfaceWrite::Update { .. } => "update_interface",
            },
            Self::RetireInterface(..) => "delete_interface",
            Self::WriteConnection(_, write, _) => match **write {
                ConnectionWrite::Create { .. } => "create_connection",
                ConnectionWrite::Update { .. } => "update_connection",
                ConnectionWrite::Delete { .. } => "delete_connection",
                ConnectionWrite::RotateSecret { .. } => "rotate_secret",
            },
            Self::GeneratedSecret(..) => "get_secret",
            Self::LookForInterface(..) => "get_interface",
            Self::LookForConnection(..) => "get_connection",
        }
    }

    async fn carry_out(&self, manager: &dyn Manager, fence: &Fence) -> Result<Answer, Error> {
        match self {
            Self::EnsureInterface(write, _) => manager.ensure_interface(write, fence).await.map(Answer::Interface),
            Self::RetireInterface(id, _) => manager.retire_interface(id, fence).await.map(|()| Answer::Retired),
            Self::WriteConnection(interface, write, _) => {
                let outcomes = manager.apply(interface, std::slice::from_ref(&**write), fence).await;
                let lost = || {
                    Err(Error::new(
                        Class::Unavailable(Outage::UnexpectedResponse),
                        "the adapter reported no outcome",
                    ))
                };
                outcomes.into_iter().next().unwrap_or_else(lost).map(Answer::Connection)
            }
            Self::GeneratedSecret(id, _) => manager.generated_secret(id).await.map(Answer::Secret),
            Self::LookForInterface(id, _) => manager.interface(id).await.map(Answer::Interface),
            Self::LookForConnection(id, _) => {
                let observed = manager.connection(id).await?;
                Ok(Answer::Connection(ConnectionOutcome::Present { observed, secret: None }))
            }
        }
    }

    /// What it has the manager delete.
    fn deletes(&self) -> Option<&RemoteId> {
        match self {
            Self::RetireInterface(id, _) => Some(id),
            Self::WriteConnection(_, write, _) => match &**write {
                ConnectionWrite::Delete { id } => Some(id),
                _ => None,
            },
            _ => None,
        }
    }

    fn fail(self, failure: Failure) {
        // A requester that is gone does not want to know.
        match self {
            Self::EnsureInterface(_, reply) => drop(reply.send(Err(failure))),
            Self::RetireInterface(_, reply) => drop(reply.send(Err(failure))),
            Self::WriteConnection(_, _, reply) => drop(reply.send(Err(failure))),
            Self::GeneratedSecret(_, reply) => drop(reply.send(Err(failure))),
            Self::LookForInterface(_, reply) | Self::LookForConnection(_, reply) => drop(reply.send(Err(failure))),
        }
    }
}

type Done = (Envelope, Result<Answer, Error>);

pub(super) async fn run(shared: Arc<Shared>, mut incoming: mpsc::UnboundedReceiver<Envelope>) {
    let mut mailbox = Mailbox::default();
    let mut budget = Budget::new(shared.state().settings.limits);
    let mut failures = Failures::default();
    let mut under_way: JoinSet<Done> = JoinSet::new();
    let mut open = true;
    while open || !under_way.is_empty() || !mailbox.is_empty() {
        budget.limit(shared.state().settings.limits);
        let mut resume = None;
        while !mailbox.is_empty() {
            match budget.start(under_way.len(), Instant::now()) {
                Ok(()) => {
                    if let Some(envelope) = mailbox.pop() {
                        start(&shared, envelope, &mut under_way);
                    }
                }
                Err(later) => {
                    resume = later;
                    break;
                }
            }
        }
        let now = Instant::now();
        shared.set_throttle(budget.throttle(now), now);
        shared.load.set(|load| {
            load.under_way = under_way.len();
            load.allowed = budget.concurrent();
            load.waiting = mailbox.len();
        });
        // Only the end of a throttle wakes this loop for nothing else; it is not waited for once the session closes.
        let calm = budget.calm_at().filter(|_| open);
        tokio::select! {
            received = incoming.recv(), if open => match received {
                Some(envelope) => {
                    let namespace = envelope.requester.namespace.clone();
                    mailbox.push(&namespace, envelope);
                }
                None => open = false,
            },
            Some(done) = under_way.join_next(), if !under_way.is_empty() => match done {
                Ok((envelope, outcome)) => finish(&shared, envelope, outcome, &mut mailbox, &mut budget, &mut failures),
                // The reply was dropped with the task: its requester has been told.
                Err(error) => tracing::error!(account = %shared.account, %error, "a request to the manager ended abnormally"),
            },
            () = sleep_until(resume.unwrap_or_else(Instant::now)), if resume.is_some() => {}
            () = sleep_until(calm.unwrap_or_else(Instant::now)), if calm.is_some() => {}
            // Closed, and the last requests were turned away: nothing is left to wait for.
            else => {}
        }
    }
}

fn start(shared: &Arc<Shared>, mut envelope: Envelope, under_way: &mut JoinSet<Done>) {
    let Some(fence) = (shared.permit)() else {
        return envelope.request.fail(Failure::NotLeading);
    };
    let refusal = {
        let mut state = shared.state();
        let is_write = envelope.request.is_write();
        let is_frozen = state.frozen.is_some() && is_write;
        let superseded = state.superseded.clone().filter(|_| is_write);
        let is_down = matches!(state.health, Health::Down { .. });
        let is_urgent = !is_frozen && superseded.is_none() && state.urgent.remove(&envelope.requester);
        let is_trial = !is_frozen && superseded.is_none() && is_down && state.trial.start(Instant::now());
        match &state.health {
            _ if is_frozen => Some(Failure::Frozen),
            _ if superseded.is_some() => superseded.map(Failure::Superseded),
            _ if is_trial || is_urgent => None,
            Health::Down { cause, .. } | Health::Refused { cause } => {
                let failure = Failure::Down(cause.clone());
                state.turned_away.insert(envelope.requester.clone());
                Some(failure)
            }
            _ => None,
        }
    };
    if let Some(failure) = refusal {
        return envelope.request.fail(failure);
    }
    if let Some(id) = envelope.request.deletes() {
        shared.mirror_mut().expect_gone(id);
    }
    let shared = shared.clone();
    let began = Instant::now();
    envelope.began = Some(began);
    under_way.spawn(async move {
        let manager = shared.manager();
        let operation = envelope.request.operation();
        let span = tracing::trace_span!(
            target: TARGET,
            parent: &envelope.span,
            "manager_call",
            otel.name = operation,
            otel.kind = "client",
            class = tracing::field::Empty,
        );
        let call = envelope.request.carry_out(manager.as_ref(), &fence);
        let outcome = call.instrument(span.clone()).await;
        span.record("class", outcome.as_ref().err().map_or("ok", |error| error.class.label()));
        shared
            .metrics
            .manager_call(operation, outcome.as_ref().err().map(|error| &error.class), began.elapsed());
        if let Err(error) = &outcome {
            learn(&shared, manager.as_ref(), &envelope.request, error).await;
        }
        (envelope, outcome)
    });
}

fn finish(
    shared: &Shared,
    mut envelope: Envelope,
    outcome: Result<Answer, Error>,
    mailbox: &mut Mailbox<Envelope>,
    budget: &mut Budget,
    failures: &mut Failures,
) {
    let is_outage = matches!(
        &outcome,
        Err(Error {
            class: Class::Unavailable(_),
            ..
        })
    );
    let is_down = failures.count(&envelope.requester, is_outage);
    let (permits_calls, is_pending) = {
        let state = shared.state();
        (state.health.permits_calls(), state.trial.is_pending())
    };
    match &outcome {
        Err(error) if is_outage && (is_pending || (is_down && permits_calls)) => {
            let health = shared.state().trial.failed(error.clone(), Instant::now());
            shared.set_health(health);
            // The observer may be waiting in a call that hangs as well.
            shared.look_now.notify_one();
        }
        _ if is_outage => {}
        _ => {
            shared.state().trial = Trial::default();
            let is_refused = matches!(
                &outcome,
                Err(Error {
                    class: Class::Unauthenticated(_),
                    ..
                })
            );
            if is_pending && !is_refused {
                shared.set_health(Health::Up);
            }
        }
    }
    match outcome {
        Ok(answer) => {
            budget.succeeded();
            succeed(shared, envelope.request, answer);
        }
        Err(Error {
            class: Class::RateLimited { retry_after },
            ..
        }) if envelope.refusals < MAX_REFUSALS => {
            let now = Instant::now();
            if budget.refused(retry_after, envelope.began.unwrap_or(now), now) {
                shared.metrics.paused();
            }
            envelope.refusals = envelope.refusals.saturating_add(1);
            let namespace = envelope.requester.namespace.clone();
            mailbox.put_back(&namespace, envelope);
        }
        Err(error) => {
            // Of an outage it is not known what came of the request.
            if let Some(id) = envelope.request.deletes().filter(|_| !is_outage) {
                shared.mirror_mut().expect_to_stay(id);
            }
            if error.class == Class::Superseded {
                supersede(shared, &error);
                envelope.request.fail(Failure::Superseded(error));
                return;
            }
            let is_refused = matches!(error.class, Class::Unauthenticated(_));
            if is_refused {
                let health = shared.state().health.after_failure(error.clone(), Instant::now());
                shared.set_health(health);
            }
            // Not the trouble of who asked: it waits with all others until calls are possible again.
            let waits = {
                let mut state = shared.state();
                let waits = (is_refused || is_outage) && !state.health.permits_calls();
                if waits {
                    state.turned_away.insert(envelope.requester.clone());
                }
                waits
            };
            if waits {
                envelope.request.fail(Failure::Down(error));
            } else {
                refuse(shared, envelope.request, error);
            }
        }
    }
}

/// No other write of this term will be taken either, so none is tried.
fn supersede(shared: &Shared, error: &Error) {
    let is_news = shared.state().superseded.replace(error.clone()).is_none();
    if is_news {
        tracing::error!(account = %shared.account, %error, "the manager refuses the writes of this process's term");
        shared.listener.health_changed(&shared.account);
    }
}

fn succeed(shared: &Shared, request: Request, answer: Answer) {
    match (request, answer) {
        (Request::EnsureInterface(_, reply), Answer::Interface(observed)) => {
            write_through(shared, ObservedObject::Interface(observed.clone()));
            drop(reply.send(Ok(observed)));
        }
        (Request::RetireInterface(id, reply), Answer::Retired) => {
            forget(shared, &id);
            drop(reply.send(Ok(())));
        }
        (Request::WriteConnection(_, write, reply), Answer::Connection(outcome)) => {
            match (&outcome, &*write) {
                (ConnectionOutcome::Present { observed, .. } | ConnectionOutcome::Rotated { observed, .. }, _) => {
                    write_through(shared, ObservedObject::Connection(observed.clone()));
                }
                (ConnectionOutcome::Gone, ConnectionWrite::Delete { id }) => forget(shared, id),
                _ => {}
            }
            drop(reply.send(Ok(outcome)));
        }
        (Request::GeneratedSecret(_, reply), Answer::Secret(secret)) => drop(reply.send(Ok(secret))),
        (Request::LookForInterface(_, reply), Answer::Interface(observed)) => {
            write_through(shared, ObservedObject::Interface(observed));
            drop(reply.send(Ok(false)));
        }
        (Request::LookForConnection(_, reply), Answer::Connection(ConnectionOutcome::Present { observed, .. })) => {
            write_through(shared, ObservedObject::Connection(observed));
            drop(reply.send(Ok(false)));
        }
        (request, _) => request.fail(Failure::Manager(Error::new(
            Class::Unavailable(Outage::UnexpectedResponse),
            "the adapter answered another question",
        ))),
    }
}

fn refuse(shared: &Shared, request: Request, error: Error) {
    match (request, &error.class) {
        (Request::LookForInterface(id, reply) | Request::LookForConnection(id, reply), Class::NotFound) => {
            forget(shared, &id);
            drop(reply.send(Ok(true)));
        }
        (request, _) => request.fail(Failure::Manager(error)),
    }
}

/// After a lost answer or a change by someone else: learns what is there, so that the next plan starts from it.
async fn learn(shared: &Shared, manager: &dyn Manager, request: &Request, error: &Error) {
    let changed = matches!(error.class, Class::Stale | Class::NotFound);
    let id = match (&error.class, request) {
        (
            Class::AlreadyClaimed {
                holder: Some(holder),
                by: ClaimedBy::Reference,
            },
            _,
        ) => holder,
        (_, Request::WriteConnection(_, write, _)) if changed => match &**write {
            ConnectionWrite::Update { observed, .. } | ConnectionWrite::RotateSecret { observed, .. } => &observed.id,
            _ => return,
        },
        (_, Request::EnsureInterface(write, _)) if changed => match &**write {
            InterfaceWrite::Update { observed, .. } => &observed.id,
            InterfaceWrite::Create { .. } => return,
        },
        _ => return,
    };
    let found = if matches!(request, Request::EnsureInterface(..)) {
        manager.interface(id).await.map(ObservedObject::Interface)
    } else {
        manager.connection(id).await.map(ObservedObject::Connection)
    };
    match found {
        Ok(object) => write_through(shared, object),
        Err(Error {
            class: Class::NotFound, ..
        }) => forget(shared, id),
        // The change feed will tell.
        Err(error) => tracing::debug!(account = %shared.account, %error, "cannot look at an object that changed"),
    }
}

fn write_through(shared: &Shared, object: ObservedObject) {
    shared.reached(Cursor::of(&object));
    let touched = shared.mirror_mut().write_through(object);
    shared.listener.touched(&shared.account, &touched);
}

fn forget(shared: &Shared, id: &RemoteId) {
    let touched = shared.mirror_mut().forget(id);
    if let Some(touched) = touched {
        shared.listener.touched(&shared.account, std::slice::from_ref(&touched));
    }
}

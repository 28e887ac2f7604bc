// SPDX-License-Identifier: Apache-2.0

//! Keeps the observed mirror up to date, and is the one that finds out that an account is reachable again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Shared, Vanished,
    health::{self, Health},
    mirror::Seen,
    walks::Walks,
};
use crate::manager::{
    error::{Class, Error},
    observed::{Cursor, Observation},
};

/// Least time between two looks: a burst of changes is one look, and a manager that never waits is not called without end.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
/// The same after a look that saw nothing although it should have waited.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// Objects that may vanish between two looks without suspicion, whatever the size of the account.
const HARMLESS_LOSS: usize = 5;

/// So many looks in a row may be answered with 429 before the account counts as down.
const PATIENCE: u32 = 3;

pub(super) async fn run(shared: &Shared) {
    let mut cursor: Option<Cursor> = None;
    let mut refusals = 0_u32;
    let mut identify = Instant::now() + health::spread(shared.state().settings.recheck);
    loop {
        if shared.walks.borrow().is_wanted() {
            // Who comes at about the same time shares the walk.
            sleep(LEAST_PAUSE).await;
            cursor = None;
        }
        let began = Instant::now();
        let (interval, is_down) = {
            let state = shared.state();
            (state.settings.observe_interval, !state.health.permits_calls())
        };
        // A call that is to find out whether calls are possible must not wait for changes first.
        let wait = if is_down { Duration::ZERO } else { interval };
        let pause = match look(shared, cursor.as_ref(), wait).await {
            Ok(None) => LEAST_PAUSE,
            Ok(Some(Look { next, .. })) if shared.state().trial.is_pending() => {
                cursor = next;
                let until = shared.offer_trial(Instant::now());
                until.map_or(IDLE_PAUSE, |until| {
                    until.saturating_duration_since(Instant::now()).min(interval)
                })
            }
            Ok(Some(Look { next, quiet })) => {
                shared.set_health(Health::Up);
                refusals = 0;
                cursor = next;
                match (&cursor, quiet) {
                    (None, _) if !shared.capabilities.change_feed => health::spread(interval),
                    (Some(_), true) => IDLE_PAUSE.saturating_sub(began.elapsed()).max(LEAST_PAUSE),
                    _ => LEAST_PAUSE,
                }
            }
            Err(error) if matches!(error.class, Class::RateLimited { .. }) && refusals < PATIENCE => {
                refusals = refusals.saturating_add(1);
                health::wait(refusals, health::retry_after(&error))
            }
            Err(error) => {
                tracing::warn!(account = %shared.account, class = error.class.label(), %error, "cannot observe the account");
                let cause = error.clone();
                let health = shared.state().health.after_failure(error, Instant::now());
                let pause = match &health {
                    Health::Down { next, .. } => next.saturating_duration_since(Instant::now()),
                    _ => health::spread(shared.state().settings.recheck),
                };
                shared.set_health(health);
                shared.walks.send_modify(|walks| walks.fail(cause));
                pause
            }
        };
        if Instant::now() >= identify && shared.state().health.permits_calls() {
            ask_identity(shared).await;
            identify = Instant::now() + health::spread(shared.state().settings.recheck);
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.look_now.notified() => {}
        }
    }
}

/// Asks who the account is and what the manager offers it: the change feed tells of neither. If that fails, a look tells.
async fn ask_identity(shared: &Shared) {
    let began = Instant::now();
    let probed = shared.manager().probe().await;
    shared
        .metrics
        .manager_call("probe", probed.as_ref().err().map(|error| &error.class), began.elapsed());
    if let Ok(identity) = probed {
        shared.listener.identified(&shared.account, identity);
    }
}

/// What an answer gave.
struct Look {
    next: Option<Cursor>,
    /// Nothing was seen.
    quiet: bool,
}

/// `None` if someone did not want to wait for the answer: that says nothing about the account.
async fn look(shared: &Shared, cursor: Option<&Cursor>, wait: Duration) -> Result<Option<Look>, Error> {
    // Whatever is asked from now on has to know that much.
    let known = shared.state().newest.clone();
    if cursor.is_none() {
        shared.mirror_mut().begin_walk();
        shared.walks.send_modify(Walks::begin);
    }
    let manager = shared.manager();
    let operation = if cursor.is_none() { "walk" } else { "watch" };
    let began = Instant::now();
    let observed = tokio::select! {
        observed = manager.observe(cursor, wait) => observed,
        // Someone wants to know now: a call that only waits is given up. What it would have told is told by the next one.
        () = shared.look_now.notified(), if cursor.is_some() => {
            return Ok(None);
        }
    };
    shared
        .metrics
        .manager_call(operation, observed.as_ref().err().map(|error| &error.class), began.elapsed());
    match observed? {
        Observation::Snapshot { objects, next } => {
            let first = !shared.mirror().is_complete();
            let is_behind = next.as_ref().is_some_and(|next| reaches(shared, known.as_ref(), next));
            let (before, seen, after) = {
                let mut mirror = shared.mirror_mut();
                if is_behind {
                    tracing::warn!(account = %shared.account, "the manager is behind what it told before: restored from a backup?");
                    mirror.rewind();
                }
                let before = mirror.len();
                let seen = mirror.finish_walk(objects);
                (before, seen, mirror.len())
            };
            tracing::info!(account = %shared.account, objects = after, "walked the account");
            if first {
                suspect_first_look(shared);
                shared.set_health(Health::Up);
                shared.listener.synced(&shared.account);
            } else {
                suspect(shared, seen.vanished, before);
            }
            shared.listener.touched(&shared.account, &seen.touched);
            shared.walks.send_modify(Walks::finish);
            Ok(Some(Look { next, quiet: false }))
        }
        Observation::Delta { changes, next, more } => {
            // A manager that was restored to where the feed was read last has nothing to tell, and has lost what was written since.
            if !more && known.as_ref().is_some_and(|known| next.is_before(known)) {
                tracing::info!(account = %shared.account, "the change feed ends before the last write; walking the account again");
                return Ok(Some(Look {
                    next: None,
                    quiet: false,
                }));
            }
            shared.reached(next.clone());
            let (before, seen) = {
                let mut mirror = shared.mirror_mut();
                (mirror.len(), mirror.take_changes(changes))
            };
            let quiet = seen == Seen::default();
            suspect(shared, seen.vanished, before);
            shared.listener.touched(&shared.account, &seen.touched);
            Ok(Some(Look { next: Some(next), quiet }))
        }
        Observation::Expired => {
            tracing::info!(account = %shared.account, "the change feed does not reach back far enough; walking the account again");
            Ok(Some(Look {
                next: None,
                quiet: false,
            }))
        }
    }
}

/// Remembers how far a walk has seen the account. Whether that is less than what was known before.
fn reaches(shared: &Shared, known: Option<&Cursor>, next: &Cursor) -> bool {
    let is_behind = known.is_some_and(|known| next.is_before(known));
    if is_behind {
        shared.state().newest = Some(next.clone());
    } else {
        shared.reached(next.clone());
    }
    is_behind
}

/// A first look has no look before it; what resources remember stands in for that.
fn suspect_first_look(shared: &Shared) {
    let remembered = shared.listener.remembered(&shared.account);
    let missing = {
        let mirror = shared.mirror();
        remembered
            .iter()
            .filter(|id| mirror.interface(id).is_none() && mirror.connection(id).is_none())
            .count()
    };
    suspect(shared, missing, remembered.len());
}

/// Freezes writes if more than a person would delete in one go is gone: rather the wrong account, a restored backup or a bug.
fn suspect(shared: &Shared, vanished: usize, of: usize) {
    if vanished > HARMLESS_LOSS.max(of / 10) {
        tracing::error!(account = %shared.account, vanished, of, "too much of the account vanished at once; writes are frozen");
        shared.state().frozen = Some(Vanished { vanished, of });
        shared.listener.health_changed(&shared.account);
    }
}

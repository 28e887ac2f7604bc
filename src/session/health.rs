// SPDX-License-Identifier: Apache-2.0

//! Whether an account can be reached, and when it is tried again. Pure.

use std::{collections::HashSet, time::Duration};

use jiff::Timestamp;
use rand::Rng;
use tokio::time::Instant;

use super::Requester;
use crate::manager::error::{Class, Error, Outage};

/// First wait after a failure.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to reach a manager that is down.
pub const MAX_WAIT: Duration = Duration::from_mins(5);
/// Objects whose calls must fail, with no success in between, before all others are held back. One that fails alone says
/// something about itself, not about the account.
const FAILURES: usize = 3;

/// Whether an account can be reached.
#[derive(Clone, Debug)]
pub enum Health {
    /// Not known yet.
    Starting,
    /// Calls succeed.
    Up,
    /// The breaker is open: no call but the next attempt.
    Down {
        /// What went wrong.
        cause: Error,
        /// Attempts so far.
        attempt: u32,
        /// When to try again.
        next: Instant,
        /// The same, for people.
        next_time: Timestamp,
    },
    /// The manager answers, and refuses the credentials: only a change helps.
    Refused {
        /// What it said.
        cause: Error,
    },
}

impl Health {
    /// Whether calls may be made.
    pub fn permits_calls(&self) -> bool {
        matches!(self, Self::Starting | Self::Up)
    }

    /// The health after an observation failed.
    #[must_use]
    pub fn after_failure(&self, cause: Error, now: Instant) -> Self {
        if !cause.class.is_transient() {
            return Self::Refused { cause };
        }
        let attempt = match self {
            Self::Down { attempt, .. } => attempt.saturating_add(1),
            _ => 1,
        };
        Self::down(cause, attempt, now)
    }

    /// The health after so many attempts in vain.
    #[must_use]
    pub fn down(cause: Error, attempt: u32, now: Instant) -> Self {
        let wait = wait(attempt, retry_after(&cause));
        Self::Down {
            cause,
            attempt,
            next: now + wait,
            next_time: timestamp(wait),
        }
    }

    /// Whether people would call it another health: a repeated failure of the same kind is not, unless the manager asks
    /// for a longer wait than there ever is without its asking.
    pub fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Starting, Self::Starting) | (Self::Up, Self::Up) => false,
            (Self::Down { cause: a, .. }, Self::Down { cause: b, .. }) => {
                std::mem::discriminant(&a.class) != std::mem::discriminant(&b.class)
                    || retry_after(b).is_some_and(|asked| asked > MAX_WAIT)
            }
            (Self::Refused { cause: a }, Self::Refused { cause: b }) => {
                std::mem::discriminant(&a.class) != std::mem::discriminant(&b.class)
            }
            _ => true,
        }
    }
}

/// Who failed since a call succeeded last.
#[derive(Debug, Default)]
pub struct Failures(HashSet<Requester>);

impl Failures {
    /// Counts the outcome of a call. True if the calls of so many failed that the account counts as down.
    pub fn count(&mut self, requester: &Requester, failed: bool) -> bool {
        if !failed {
            self.0.clear();
        } else if self.0.len() < FAILURES {
            self.0.insert(requester.clone());
        }
        self.0.len() >= FAILURES
    }
}

/// How an account that calls found to be down is tried again: with one call at a time, ever more slowly. That it can be
/// observed proves nothing then; a manager that reads and cannot write would be called without end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial {
    attempts: u32,
    /// No call before this. None: calls did not find the account down.
    next: Option<Instant>,
    under_way: bool,
}

impl Trial {
    /// Whether a call found the account down and none has succeeded since.
    pub fn is_pending(&self) -> bool {
        self.next.is_some()
    }

    /// Until when no call is tried.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Takes the one call that may be tried now, if it is time.
    pub fn start(&mut self, now: Instant) -> bool {
        let starts = !self.under_way && self.is_pending() && self.waits_until(now).is_none();
        self.under_way |= starts;
        starts
    }

    /// Nobody has a call to try: the next one that comes is tried whenever it comes, but how often it was tried is remembered.
    pub fn pause(&mut self) {
        self.next = None;
        self.under_way = false;
    }

    /// Someone asked to try now: the next one that comes is tried.
    pub fn hurry(&mut self, now: Instant) {
        self.next = self.next.map(|next| next.min(now));
    }

    /// A call failed: the health to report until the next one.
    pub fn failed(&mut self, cause: Error, now: Instant) -> Health {
        // Calls that were under way together count once.
        if self.next.is_none() || self.under_way {
            self.attempts = self.attempts.saturating_add(1);
        }
        self.under_way = false;
        let health = Health::down(cause, self.attempts, now);
        if let Health::Down { next, .. } = &health {
            self.next = Some(*next);
        }
        health
    }
}

/// How long to wait before attempt `attempt + 1`: doubles from a second to five minutes, spread by a tenth, and never less than the manager asked for.
pub fn wait(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(9)).min(MAX_WAIT);
    spread(doubled).max(retry_after.unwrap_or_default())
}

/// The time after a wait that begins now, for people.
pub fn timestamp(wait: Duration) -> Timestamp {
    Timestamp::now()
        .saturating_add(jiff::SignedDuration::try_from(wait).unwrap_or_default())
        .unwrap_or(Timestamp::MAX)
}

/// A duration up to a tenth longer, so that many do not come back at the same time.
pub fn spread(duration: Duration) -> Duration {
    duration.saturating_add(duration.mul_f64(rand::rng().random_range(0.0..0.1)))
}

/// What the manager asked for.
pub fn retry_after(error: &Error) -> Option<Duration> {
    match error.class {
        Class::RateLimited { retry_after } | Class::Unavailable(Outage::ServerError { retry_after }) => retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage() -> Error {
        Error::new(Class::Unavailable(Outage::Unreachable), "gone")
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_honour_the_manager() {
        for (attempt, least) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)] {
            let waited = wait(attempt, None);
            let least = Duration::from_secs(least);
            assert!(waited >= least && waited <= least.mul_f64(1.1), "{attempt}: {waited:?}");
        }
        assert_eq!(wait(1, Some(Duration::from_hours(1))), Duration::from_hours(1));
    }

    #[test]
    fn repeated_failures_are_one_outage() {
        let now = Instant::now();
        let first = Health::Up.after_failure(outage(), now);
        let second = first.after_failure(outage(), now);
        assert!(first.differs(&Health::Up) && !first.differs(&second) && second.differs(&Health::Up));
        assert!(matches!(second, Health::Down { attempt: 2, .. }));
        assert!(!second.permits_calls());
    }

    #[test]
    fn an_hour_of_outage_costs_fewer_attempts_than_an_hour_of_health() {
        let (start, mut now) = (Instant::now(), Instant::now());
        let mut attempts = 0;
        let mut health = Health::Up;
        while now < start + Duration::from_hours(1) {
            attempts += 1;
            health = health.after_failure(outage(), now);
            let Health::Down { next, .. } = health else {
                panic!("{health:?}")
            };
            now = next;
        }
        // Nine that double from a second to four minutes, and then one each five minutes. Health costs one a minute.
        assert!((18..=21).contains(&attempts), "{attempts} attempts");
    }

    #[test]
    fn refused_credentials_are_not_an_outage() {
        let refused = Error::new(Class::Forbidden, "no");
        assert!(matches!(
            Health::Up.after_failure(refused, Instant::now()),
            Health::Refused { .. }
        ));
    }

    #[test]
    fn a_trial_is_one_call_at_a_time_ever_more_slowly() {
        let now = Instant::now();
        let mut trial = Trial::default();
        assert!(!trial.is_pending() && !trial.start(now));
        let _ = trial.failed(outage(), now);
        let _ = trial.failed(outage(), now);
        assert!(trial.waits_until(now + Duration::from_millis(999)).is_some());
        let later = now + Duration::from_millis(1200);
        assert!(
            trial.start(later) && !trial.start(later),
            "those that fail together count once, and one is tried"
        );
        let _ = trial.failed(outage(), later);
        assert!(trial.waits_until(later + Duration::from_millis(1999)).is_some());
        assert!(trial.start(later + Duration::from_millis(2300)));
    }

    #[test]
    fn a_longer_wait_than_ever_is_told_because_the_manager_asked_for_it() {
        let asks = |seconds: u64| {
            let retry_after = Some(Duration::from_secs(seconds));
            let cause = Error::new(Class::Unavailable(Outage::ServerError { retry_after }), "maintenance");
            Health::Up.after_failure(cause, Instant::now())
        };
        assert!(!asks(20).differs(&asks(30)) && asks(20).differs(&asks(3600)));
    }

    fn requester(name: &str) -> Requester {
        Requester {
            kind: "ChannelConnection",
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn three_objects_that_fail_in_a_row_open_the_breaker() {
        let (mut failures, objects) = (Failures::default(), ["a", "b", "c"].map(requester));
        assert!(!failures.count(&objects[0], true) && !failures.count(&objects[1], true) && !failures.count(&objects[2], false));
        assert!(!failures.count(&objects[0], true) && !failures.count(&objects[1], true) && failures.count(&objects[2], true));
    }

    #[test]
    fn one_object_that_fails_alone_never_does() {
        let mut failures = Failures::default();
        assert!((0..100).all(|_| !failures.count(&requester("a"), true)));
    }
}

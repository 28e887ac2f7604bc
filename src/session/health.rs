//! Whether an account can be reached, and when it is tried again. Pure.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use tokio::time::Instant;

use crate::manager::error::{Class, Error, Outage};

/// First wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to reach a manager that is down.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// Calls in a row that must fail before all others are held back.
const FAILURES: u32 = 3;

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
        let next_time = Timestamp::now()
            .saturating_add(jiff::SignedDuration::try_from(wait).unwrap_or_default())
            .unwrap_or(Timestamp::MAX);
        Self::Down {
            cause,
            attempt,
            next: now + wait,
            next_time,
        }
    }

    /// Whether people would call it another health: a repeated failure of the same kind is not.
    pub fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Starting, Self::Starting) | (Self::Up, Self::Up) => false,
            (Self::Down { cause: a, .. }, Self::Down { cause: b, .. })
            | (Self::Refused { cause: a }, Self::Refused { cause: b }) => {
                std::mem::discriminant(&a.class) != std::mem::discriminant(&b.class)
            }
            _ => true,
        }
    }
}

/// Failures of ordinary calls in a row.
#[derive(Debug, Default)]
pub struct Failures(u32);

impl Failures {
    /// Counts the outcome of a call. True if so many failed in a row that the account counts as down.
    pub fn count(&mut self, failed: bool) -> bool {
        self.0 = if failed { self.0.saturating_add(1) } else { 0 };
        self.0 >= FAILURES
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
    fn three_failures_in_a_row_open_the_breaker() {
        let mut failures = Failures::default();
        assert!(!failures.count(true) && !failures.count(true) && !failures.count(false));
        assert!(!failures.count(true) && !failures.count(true) && failures.count(true));
    }
}

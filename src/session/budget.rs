//! The budget: how many calls one account may have under way, and when the next may start. Pure but for the rate limiter.
//!
//! Concurrency follows the manager: halved when it says that it is too much, one more after each round of successes.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use tokio::time::Instant;

/// Limits that a credential sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second; none: no limit but the manager's own.
    pub requests_per_second: Option<NonZeroU32>,
    /// Calls at once after a pause; default: as many as a second has.
    pub burst: Option<NonZeroU32>,
    /// Calls under way at the same time.
    pub max_concurrent: NonZeroU32,
}

/// First pause after a 429 that does not say how long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// How many calls may be under way, and when the next may start.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    limiter: Option<DefaultDirectRateLimiter>,
    concurrent: u32,
    successes: u32,
    refusals: u32,
    paused_until: Option<Instant>,
}

impl Budget {
    /// A full budget.
    pub fn new(limits: Limits) -> Self {
        let limiter = limits.requests_per_second.map(|rate| {
            let quota = Quota::per_second(rate).allow_burst(limits.burst.unwrap_or(rate));
            RateLimiter::direct(quota)
        });
        Self {
            limits,
            limiter,
            concurrent: limits.max_concurrent.get(),
            successes: 0,
            refusals: 0,
            paused_until: None,
        }
    }

    /// Takes new limits; starts over if they differ.
    pub fn limit(&mut self, limits: Limits) {
        if self.limits != limits {
            *self = Self::new(limits);
        }
    }

    /// Calls allowed at the same time for now.
    pub fn concurrent(&self) -> u32 {
        self.concurrent
    }

    /// Until when nothing may start.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Takes a call out of the budget.
    ///
    /// # Errors
    /// When to ask again; `None`: when a call under way has ended.
    pub fn start(&mut self, under_way: usize, now: Instant) -> Result<(), Option<Instant>> {
        if under_way >= usize::try_from(self.concurrent).unwrap_or(usize::MAX) {
            return Err(None);
        }
        if let Some(until) = self.paused_until {
            if now < until {
                return Err(Some(until));
            }
            self.paused_until = None;
        }
        if let Some(limiter) = &self.limiter
            && let Err(not_until) = limiter.check()
        {
            return Err(Some(now + not_until.wait_time_from(limiter.clock().now())));
        }
        Ok(())
    }

    /// The manager took a call.
    pub fn succeeded(&mut self) {
        self.refusals = 0;
        self.successes = self.successes.saturating_add(1);
        if self.successes >= self.concurrent {
            self.successes = 0;
            self.concurrent = self.concurrent.saturating_add(1).min(self.limits.max_concurrent.get());
        }
    }

    /// The manager said that it is too much.
    pub fn refused(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.successes = 0;
        self.concurrent = (self.concurrent / 2).max(1);
        let pause = retry_after
            .unwrap_or_else(|| FIRST_PAUSE.saturating_mul(1 << self.refusals.min(6)))
            .min(MAX_PAUSE.max(retry_after.unwrap_or_default()));
        self.refusals = self.refusals.saturating_add(1);
        self.paused_until = Some(self.paused_until.unwrap_or(now).max(now + pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: Option<u32>, concurrent: u32) -> Limits {
        Limits {
            requests_per_second: rate.and_then(NonZeroU32::new),
            burst: NonZeroU32::new(1),
            max_concurrent: NonZeroU32::new(concurrent).unwrap(),
        }
    }

    #[test]
    fn concurrency_is_bounded() {
        let mut budget = Budget::new(limits(None, 2));
        let now = Instant::now();
        assert_eq!(budget.start(1, now), Ok(()));
        assert_eq!(budget.start(2, now), Err(None));
    }

    #[test]
    fn a_refusal_halves_and_pauses_as_told_and_success_recovers() {
        let mut budget = Budget::new(limits(None, 8));
        let now = Instant::now();
        budget.refused(Some(Duration::from_secs(7)), now);
        assert_eq!(budget.concurrent(), 4);
        assert_eq!(budget.start(0, now), Err(Some(now + Duration::from_secs(7))));
        assert_eq!(budget.start(0, now + Duration::from_secs(7)), Ok(()));
        for _ in 0..100 {
            budget.succeeded();
        }
        assert_eq!(budget.concurrent(), 8);
    }

    #[test]
    fn pauses_grow_without_a_word_from_the_manager_up_to_a_minute() {
        let mut budget = Budget::new(limits(None, 8));
        let now = Instant::now();
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            budget.paused_until = None;
            budget.refused(None, now);
            assert_eq!(budget.paused_until(), Some(now + Duration::from_secs(expected)));
        }
    }

    #[test]
    fn a_rate_is_kept() {
        let mut budget = Budget::new(limits(Some(1), 8));
        let now = Instant::now();
        assert_eq!(budget.start(0, now), Ok(()));
        assert!(matches!(budget.start(0, now), Err(Some(later)) if later > now));
    }
}

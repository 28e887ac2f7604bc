// SPDX-License-Identifier: Apache-2.0

//! The budget: how many calls one account may have under way, and when the next may start. Pure but for the rate limiter.
//!
//! Concurrency follows the manager: halved when it says that it is too much, one more after each round of successes. Calls
//! that were under way together count as one refusal. After a while without any the budget is full again.

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
/// So long after the last pause without another refusal the manager counts as unburdened.
const CALM: Duration = Duration::from_mins(1);

/// How much less than declared an account is called, because the manager asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// The fewest calls allowed at the same time since it began to ask.
    pub least: u32,
    /// No call before this: the end of the pause it asked for when that came to be so few.
    pub until: Instant,
    /// When its last word is forgotten.
    calm: Instant,
}

/// How many calls may be under way, and when the next may start.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    limiter: Option<DefaultDirectRateLimiter>,
    concurrent: u32,
    successes: u32,
    refusals: u32,
    paused_until: Option<Instant>,
    throttle: Option<Throttle>,
    /// When concurrency was halved last.
    halved: Option<Instant>,
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
            throttle: None,
            halved: None,
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

    /// The manager said to a call that began at `began` that it is too much. Whether that is news: calls that were under way
    /// together are refused together.
    pub fn refused(&mut self, retry_after: Option<Duration>, began: Instant, now: Instant) -> bool {
        let is_first_of_its_round = self.halved.is_none_or(|halved| began >= halved);
        if is_first_of_its_round {
            self.halved = Some(now);
            self.successes = 0;
            self.concurrent = (self.concurrent / 2).max(1);
            self.refusals = self.refusals.saturating_add(1);
        }
        let pause = retry_after.unwrap_or_else(|| {
            let doublings = self.refusals.saturating_sub(1).min(6);
            FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE)
        });
        let until = self.paused_until.unwrap_or(now).max(now + pause);
        self.paused_until = Some(until);
        let calm = until + CALM;
        self.throttle = Some(match self.throttle {
            Some(before) if before.least <= self.concurrent => Throttle { calm, ..before },
            _ => Throttle {
                least: self.concurrent,
                until,
                calm,
            },
        });
        is_first_of_its_round
    }

    /// How much less than declared may be called; none if as much as declared. Forgets what the manager asked for long ago.
    pub fn throttle(&mut self, now: Instant) -> Option<Throttle> {
        if self.throttle.is_some_and(|throttle| now >= throttle.calm) {
            self.throttle = None;
            self.concurrent = self.limits.max_concurrent.get();
        }
        self.throttle
    }

    /// When [`Budget::throttle`] may change without any call.
    pub fn calm_at(&self) -> Option<Instant> {
        self.throttle.map(|throttle| throttle.calm)
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
        budget.refused(Some(Duration::from_secs(7)), now, now);
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
            budget.refused(None, now, now);
            assert_eq!(budget.paused_until(), Some(now + Duration::from_secs(expected)));
        }
    }

    #[test]
    fn calls_that_were_under_way_together_are_refused_once() {
        let mut budget = Budget::new(limits(None, 8));
        let (began, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let news = (0..8)
            .filter(|_| budget.refused(Some(Duration::from_secs(2)), began, later))
            .count();
        assert_eq!(news, 1);
        assert_eq!(budget.concurrent(), 4);
        assert_eq!(budget.paused_until(), Some(later + Duration::from_secs(2)));
        budget.refused(None, later, later);
        assert_eq!(budget.concurrent(), 2, "the next round counts anew");
    }

    #[test]
    fn a_throttle_is_the_least_there_was_and_ends_after_a_calm_minute() {
        let mut budget = Budget::new(limits(None, 8));
        let now = Instant::now();
        assert_eq!(budget.throttle(now), None);
        budget.refused(Some(Duration::from_secs(2)), now, now);
        let first = budget.throttle(now).unwrap();
        assert_eq!((first.least, first.until), (4, now + Duration::from_secs(2)));
        for _ in 0..20 {
            budget.succeeded();
        }
        let later = now + Duration::from_secs(10);
        budget.refused(Some(Duration::from_secs(2)), later, later);
        assert_eq!((budget.concurrent(), budget.throttle(later).unwrap().least), (3, 3));
        budget.succeeded();
        assert!(budget.throttle(later + Duration::from_secs(61)).is_some());
        assert_eq!(budget.throttle(later + Duration::from_secs(62)), None);
        assert_eq!((budget.concurrent(), budget.calm_at()), (8, None));
    }

    #[test]
    fn a_rate_is_kept() {
        let mut budget = Budget::new(limits(Some(1), 8));
        let now = Instant::now();
        assert_eq!(budget.start(0, now), Ok(()));
        assert!(matches!(budget.start(0, now), Err(Some(later)) if later > now));
    }
}

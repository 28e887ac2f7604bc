// SPDX-License-Identifier: Apache-2.0

//! The right to write.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::manager::write::Fence;

/// Whether this process may write.
///
/// The right ends by the clock and not by a message: a process that was stopped and goes on has lost it before it does
/// anything else. The clock is the monotonic one, which nobody sets.
#[derive(Debug)]
pub struct Leadership {
    installation: String,
    term: Mutex<Option<Term>>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: u64,
    until: Instant,
}

impl Leadership {
    /// Not leading yet.
    pub fn new(installation: String) -> Self {
        Self {
            installation,
            term: Mutex::new(None),
        }
    }

    /// The right to write, if it is there.
    pub fn permit(&self) -> Option<Fence> {
        let term = self.term_at(Instant::now())?;
        Some(Fence {
            installation: self.installation.clone(),
            epoch: term.epoch,
        })
    }

    /// Whether this process leads.
    pub fn is_leading(&self) -> bool {
        self.term_at(Instant::now()).is_some()
    }

    /// When the right that is there at `now` ends unless it is extended before.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.term_at(now).map(|term| term.until)
    }

    pub(super) fn begin(&self, epoch: u64, until: Instant) {
        *self.locked() = Some(Term { epoch, until });
    }

    /// What has lapsed at `now` stays lapsed: writes were refused in between, and nobody would make up for them.
    pub(super) fn extend(&self, until: Instant, now: Instant) {
        if let Some(term) = self.locked().as_mut().filter(|term| now < term.until) {
            term.until = until;
        }
    }

    pub(super) fn end(&self) {
        *self.locked() = None;
    }

    fn term_at(&self, now: Instant) -> Option<Term> {
        (*self.locked()).filter(|term| now < term.until)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Term>> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_right_ends_by_the_clock_and_does_not_come_back() {
        let leadership = Leadership::new("acme".to_owned());
        assert!(leadership.permit().is_none(), "nobody leads from the start");
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        leadership.begin(7, after(100));
        let fence = leadership.permit().unwrap();
        assert_eq!((fence.installation.as_str(), fence.epoch), ("acme", 7));
        leadership.extend(after(200), after(99));
        assert_eq!(leadership.until(after(199)), Some(after(200)));
        assert_eq!(leadership.until(after(200)), None);
        leadership.extend(after(300), after(200));
        assert_eq!(leadership.until(after(200)), None, "the answer came too late");
        leadership.end();
        assert!(!leadership.is_leading());
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Looks at the whole account on demand, for who must know what is there now and not what was there a while ago.
//!
//! Walks are numbered. Whoever asks needs one that begins later than the question; all who ask between two walks share the
//! next one, so however many wait, there is never more than one walk at a time. Pure.

use crate::manager::error::Error;

/// The walks of an account.
#[derive(Clone, Debug, Default)]
pub(super) struct Walks {
    /// The last one that began.
    begun: u64,
    /// The last one that was complete.
    finished: u64,
    /// The last one that somebody waits for.
    wanted: u64,
    /// The last one that failed, and why.
    failed: Option<(u64, Error)>,
}

impl Walks {
    /// Asks for a walk that begins from now on. Returns its number.
    pub(super) fn want(&mut self) -> u64 {
        self.wanted = self.begun.saturating_add(1);
        self.wanted
    }

    /// Whether somebody waits for one.
    pub(super) fn is_wanted(&self) -> bool {
        self.outcome(self.wanted).is_none()
    }

    /// What came of a walk, or of a later one.
    pub(super) fn outcome(&self, number: u64) -> Option<Result<(), Error>> {
        if self.finished >= number {
            return Some(Ok(()));
        }
        let failed = self.failed.as_ref().filter(|(failed, _)| *failed >= number);
        failed.map(|(_, error)| Err(error.clone()))
    }

    /// A walk begins.
    pub(super) fn begin(&mut self) {
        self.begun = self.begun.saturating_add(1);
    }

    /// It is complete.
    pub(super) fn finish(&mut self) {
        self.finished = self.begun;
    }

    /// It failed for good: who waits is told.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed = Some((self.begun, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::error::{Class, Outage};

    #[test]
    fn a_walk_that_is_under_way_does_not_count_for_who_asks_meanwhile() {
        let mut walks = Walks::default();
        walks.begin();
        let asked = walks.want();
        walks.finish();
        assert!(walks.is_wanted() && walks.outcome(asked).is_none());
        walks.begin();
        walks.finish();
        assert!(!walks.is_wanted() && matches!(walks.outcome(asked), Some(Ok(()))));
    }

    #[test]
    fn those_who_ask_between_two_walks_share_the_next() {
        let mut walks = Walks::default();
        assert!(!walks.is_wanted());
        assert_eq!(walks.want(), walks.want());
    }

    #[test]
    fn a_failure_is_told_once_and_does_not_stick() {
        let mut walks = Walks::default();
        let first = walks.want();
        walks.begin();
        walks.fail(Error::new(Class::Unavailable(Outage::Timeout), "late"));
        assert!(matches!(walks.outcome(first), Some(Err(_))) && !walks.is_wanted());
        let second = walks.want();
        assert!(walks.outcome(second).is_none() && walks.is_wanted());
    }
}

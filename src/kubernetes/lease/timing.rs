// SPDX-License-Identifier: Apache-2.0

//! The three durations of leader election, which only make sense together.

use std::time::Duration;

use thiserror::Error;

/// Shortest lease: the Lease counts in whole seconds, and a standby looks several times in one.
const SHORTEST: Duration = Duration::from_secs(4);
/// Longest lease, and the longest that another holder's is believed to be.
pub(super) const LONGEST: Duration = Duration::from_mins(5);
/// Least time between the end of the right to write and the end of the lease.
const LEAST_MARGIN: Duration = Duration::from_secs(1);
/// Shortest pause between two requests.
const SHORTEST_PERIOD: Duration = Duration::from_millis(200);

/// How long a lease lasts, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After this time without renewal others may take the lease.
    pub duration: Duration,
    /// After this time without renewal the holder stops writing. What it has begun ends in the time that is left.
    pub renew_deadline: Duration,
    /// The holder renews so often. A standby looks twice as often, so that it is late by half of this at most.
    pub retry_period: Duration,
}

/// Why durations do not make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// Out of bounds.
    #[error("--lease-duration must be from {SHORTEST:?} to {LONGEST:?}, in whole seconds; it is {0:?}")]
    Duration(Duration),
    /// Writes would go on until the lease can be taken.
    #[error(
        "--lease-renew-deadline must be at least {LEAST_MARGIN:?} less than --lease-duration ({duration:?}): writes that are \
         under way need that time to end; it is {renew_deadline:?}"
    )]
    RenewDeadline {
        /// The lease's duration.
        duration: Duration,
        /// The deadline.
        renew_deadline: Duration,
    },
    /// One renewal that fails would cost the lease.
    #[error(
        "--lease-retry-period must be from {SHORTEST_PERIOD:?} to half of --lease-renew-deadline ({renew_deadline:?}): a renewal \
         that fails once must not cost the lease; it is {retry_period:?}"
    )]
    RetryPeriod {
        /// The deadline.
        renew_deadline: Duration,
        /// The period.
        retry_period: Duration,
    },
}

impl Timing {
    /// Checks that these durations make sense together.
    ///
    /// # Errors
    /// See [`TimingError`].
    pub fn new(duration: Duration, renew_deadline: Duration, retry_period: Duration) -> Result<Self, TimingError> {
        if duration < SHORTEST || duration > LONGEST || duration.subsec_nanos() != 0 {
            return Err(TimingError::Duration(duration));
        }
        if renew_deadline.saturating_add(LEAST_MARGIN) > duration {
            return Err(TimingError::RenewDeadline {
                duration,
                renew_deadline,
            });
        }
        if retry_period < SHORTEST_PERIOD || retry_period.saturating_mul(2) > renew_deadline {
            return Err(TimingError::RetryPeriod {
                renew_deadline,
                retry_period,
            });
        }
        Ok(Self {
            duration,
            renew_deadline,
            retry_period,
        })
    }

    /// Time for one request about the lease: two that hang fit before the deadline.
    pub(super) fn attempt(self) -> Duration {
        self.renew_deadline / 2
    }

    /// How often a standby looks.
    pub(super) fn look(self) -> Duration {
        self.retry_period / 2
    }
}

impl Default for Timing {
    /// What leader election in Kubernetes commonly uses.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(duration: u64, renew_deadline: u64, retry_period: u64) -> Result<Timing, TimingError> {
        let millis = Duration::from_millis;
        Timing::new(millis(duration), millis(renew_deadline), millis(retry_period))
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(timing(15_000, 10_000, 2_000), Ok(Timing::default()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (given, expected) in [
            (timing(3_000, 2_000, 500), "--lease-duration must be from 4s to 300s"),
            (timing(301_000, 10_000, 2_000), "--lease-duration"),
            (timing(4_500, 3_000, 500), "whole seconds"),
            (
                timing(15_000, 14_500, 2_000),
                "--lease-renew-deadline must be at least 1s less",
            ),
            (
                timing(15_000, 10_000, 5_001),
                "--lease-retry-period must be from 200ms to half",
            ),
            (timing(15_000, 10_000, 100), "--lease-retry-period"),
        ] {
            let message = given.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}

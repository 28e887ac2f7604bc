// SPDX-License-Identifier: Apache-2.0

//! What a candidate makes of the lease as it reads it. Pure.
//!
//! The clocks of other machines are not believed: whether a holder is alive is told by whether its record changes within
//! the lease's duration of the candidate's own clock. What others wrote is only believed within bounds, so that a Lease
//! that was edited by hand, or made by something else, neither stops the election for good nor lets a term go back.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

use super::timing::{LONGEST, Timing};

/// Whom the lease belongs to, for one who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody, or the candidate itself.
    Free,
    /// Another one, at least until then.
    Held {
        /// When it can be taken if it is not renewed before.
        until: Instant,
    },
}

/// What a candidate has seen of the lease.
#[derive(Debug, Default)]
pub(super) struct Observed {
    holder: Option<Holder>,
    /// The latest beginning of a term that was ever seen.
    latest: Option<Timestamp>,
}

#[derive(Debug)]
struct Holder {
    record: LeaseSpec,
    /// When the record was first seen as it is.
    since: Instant,
    /// How long it is good for from then.
    duration: Duration,
}

impl Observed {
    /// Looks at the lease, or at its absence, at `now`.
    pub(super) fn look(&mut self, spec: Option<&LeaseSpec>, identity: &str, timing: Timing, now: Instant) -> Standing {
        let Some(spec) = spec else {
            // Somebody has deleted it. Its holder makes it again if it is alive.
            return self.standing(now);
        };
        if let Some(acquired) = &spec.acquire_time {
            self.latest = self.latest.max(Some(acquired.0));
        }
        if holder(spec).is_none_or(|holder| holder == identity) {
            self.holder = None;
            return Standing::Free;
        }
        if self.holder.as_ref().is_none_or(|holder| holder.record != *spec) {
            self.holder = Some(Holder {
                record: spec.clone(),
                since: now,
                duration: duration(spec, timing),
            });
        }
        self.standing(now)
    }

    /// When the lease can be taken if nothing changes.
    pub(super) fn until(&self) -> Option<Instant> {
        self.holder.as_ref().map(|holder| holder.since + holder.duration)
    }

    fn standing(&self, now: Instant) -> Standing {
        match self.until() {
            Some(until) if now <= until => Standing::Held { until },
            _ => Standing::Free,
        }
    }

    /// When a term that begins now begins, as far as others are told: a second after any before it at least, whatever the
    /// clocks of this and other machines say. Its second is the epoch by which a manager refuses former terms.
    pub(super) fn next_term(&self, clock: Timestamp) -> Timestamp {
        let second = SignedDuration::from_secs(1);
        let after = self.latest.map(|latest| latest.checked_add(second).unwrap_or(Timestamp::MAX));
        after.map_or(clock, |after| after.max(clock))
    }
}

/// Who holds the lease.
pub(super) fn holder(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long the lease lasts: the holder may have been started with another duration than we, but not with any.
fn duration(spec: &LeaseSpec, timing: Timing) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds
        .map(Duration::from_secs)
        .filter(|duration| (Duration::from_secs(1)..=LONGEST).contains(duration))
        .unwrap_or(timing.duration)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn held_by(holder: &str, renewed: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            acquire_time: Some(MicroTime(time("2026-01-01T00:00:00Z"))),
            renew_time: Some(MicroTime(time(renewed))),
            lease_transitions: Some(1),
            ..LeaseSpec::default()
        }
    }

    struct Candidate {
        observed: Observed,
        start: Instant,
    }

    impl Candidate {
        fn new() -> Self {
            Self {
                observed: Observed::default(),
                start: Instant::now(),
            }
        }

        /// When the lease can be taken, in seconds from the start; `None`: now.
        fn sees(&mut self, after: f64, spec: Option<&LeaseSpec>) -> Option<f64> {
            let now = self.start + Duration::from_secs_f64(after);
            match self.observed.look(spec, "me", Timing::default(), now) {
                Standing::Free => None,
                Standing::Held { until } => Some((until - self.start).as_secs_f64()),
            }
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_free() {
        let empty = LeaseSpec::default();
        let released = LeaseSpec {
            holder_identity: Some(String::new()),
            ..held_by("", "2026-01-01T00:00:00Z")
        };
        let own = held_by("me", "2026-01-01T00:00:00Z");
        for spec in [None, Some(&empty), Some(&released), Some(&own)] {
            assert_eq!(Candidate::new().sees(0.0, spec), None, "{spec:?}");
        }
    }

    #[test]
    fn a_holder_is_alive_as_long_as_its_record_changes_whatever_its_clock_says() {
        for renewals in [
            ["2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"],
            ["1999-01-01T00:00:00Z", "1999-01-01T00:00:02Z"],
            ["2999-01-01T00:00:00Z", "2999-01-01T00:00:02Z"],
            // The holder's clock was put back.
            ["2026-01-01T01:00:00Z", "2026-01-01T00:00:00Z"],
        ] {
            let mut candidate = Candidate::new();
            let [first, second] = renewals.map(|renewed| held_by("other", renewed));
            assert_eq!(candidate.sees(0.0, Some(&first)), Some(15.0), "{renewals:?}");
            assert_eq!(candidate.sees(14.0, Some(&second)), Some(29.0), "{renewals:?}");
            assert_eq!(candidate.sees(29.0, Some(&second)), Some(29.0), "{renewals:?}");
            assert_eq!(candidate.sees(29.1, Some(&second)), None, "{renewals:?}");
        }
    }

    #[test]
    fn a_lease_that_was_deleted_is_still_its_holders_for_a_while() {
        let mut candidate = Candidate::new();
        let record = held_by("other", "2026-01-01T00:00:00Z");
        candidate.sees(0.0, Some(&record));
        assert_eq!(candidate.sees(3.0, None), Some(15.0));
        assert_eq!(candidate.sees(15.1, None), None);
    }

    #[test]
    fn a_duration_is_believed_within_bounds() {
        for (seconds, expected) in [
            (Some(60), 60.0),
            (None, 15.0),
            (Some(0), 15.0),
            (Some(-1), 15.0),
            (Some(i32::MAX), 15.0),
        ] {
            let record = LeaseSpec {
                lease_duration_seconds: seconds,
                ..held_by("other", "2026-01-01T00:00:00Z")
            };
            assert_eq!(Candidate::new().sees(0.0, Some(&record)), Some(expected), "{seconds:?}");
        }
        assert!(LONGEST > DURATION);
    }

    #[test]
    fn a_term_never_begins_before_one_that_was_seen() {
        let mut candidate = Candidate::new();
        let clock = time("2026-06-01T12:00:00Z");
        assert_eq!(candidate.observed.next_term(clock), clock, "the first term");
        candidate.sees(0.0, Some(&held_by("other", "2026-01-01T00:00:00Z")));
        assert_eq!(candidate.observed.next_term(clock), clock, "later than the last");

        let ahead = LeaseSpec {
            acquire_time: Some(MicroTime(time("2030-01-01T00:00:00Z"))),
            ..held_by("other", "2026-01-01T00:00:00Z")
        };
        candidate.sees(1.0, Some(&ahead));
        // Whatever becomes of the Lease afterwards.
        for spec in [None, Some(&LeaseSpec::default())] {
            candidate.sees(2.0, spec);
            assert_eq!(
                candidate.observed.next_term(clock),
                time("2030-01-01T00:00:01Z"),
                "our clock is behind"
            );
        }
        let end_of_time = LeaseSpec {
            acquire_time: Some(MicroTime(Timestamp::MAX)),
            ..LeaseSpec::default()
        };
        candidate.sees(3.0, Some(&end_of_time));
        assert_eq!(candidate.observed.next_term(clock), Timestamp::MAX);
    }
}

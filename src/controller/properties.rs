// SPDX-License-Identifier: Apache-2.0

//! What conditions owe to whoever reads them, after whatever series of reconciles.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    holding::readiness_after,
    reason::{Gravity, Reason},
    report::{Readiness, set_conditions, set_suspended},
    trouble::Trouble,
};
use crate::api::{ChannelConnectionStatus, Condition, ConditionStatus, ConditionType, HasConditions};

/// How a reconcile of a connection ends.
#[derive(Clone, Debug)]
enum Outcome {
    Done,
    /// It serves, but something is not as declared.
    Serves(Reason),
    NotReady(Reason),
    /// It is as declared, and does not serve all the same.
    Held(Reason),
    /// It was stopped on the way.
    Stopped(Reason),
    Suspended,
}

fn trouble() -> impl Strategy<Value = Reason> {
    let fine = [
        Reason::Ready,
        Reason::Synced,
        Reason::Authenticated,
        Reason::Suspended,
        Reason::DriftCorrected,
    ];
    select(
        Reason::ALL
            .iter()
            .copied()
            .filter(|reason| !fine.contains(reason))
            .collect::<Vec<_>>(),
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Done),
        2 => trouble().prop_map(Outcome::Serves),
        2 => trouble().prop_map(Outcome::NotReady),
        1 => select(vec![Reason::AwaitingAuthorization, Reason::ChannelFailed]).prop_map(Outcome::Held),
        4 => trouble().prop_map(Outcome::Stopped),
        1 => Just(Outcome::Suspended),
    ]
}

/// Outcomes, each with whether the spec was changed before it.
fn history() -> impl Strategy<Value = Vec<(Outcome, bool)>> {
    vec((outcome(), any::<bool>()), 1..12)
}

fn take(status: &mut ChannelConnectionStatus, outcome: &Outcome, generation: i64) {
    match outcome {
        Outcome::Done => set_conditions(status, generation, Readiness::Ready, None),
        Outcome::Serves(reason) => set_conditions(status, generation, Readiness::Ready, Some(&Trouble::new(*reason, "text"))),
        Outcome::NotReady(reason) => {
            let readiness = Readiness::NotReady(*reason, "text".to_owned());
            set_conditions(status, generation, readiness, Some(&Trouble::new(*reason, "text")));
        }
        Outcome::Held(reason) => set_conditions(status, generation, Readiness::NotReady(*reason, "text".to_owned()), None),
        Outcome::Stopped(reason) => {
            let trouble = Trouble::new(*reason, "text");
            set_conditions(status, generation, readiness_after(&trouble), Some(&trouble));
        }
        Outcome::Suspended => set_suspended(status, generation),
    }
}

/// What tools that follow kstatus make of it: Argo CD, Flux, `kubectl wait` and others build on it.
#[derive(Debug, PartialEq, Eq)]
enum Kstatus {
    Current,
    InProgress,
    Failed,
}

fn kstatus(status: &ChannelConnectionStatus) -> Kstatus {
    let is = |kind, expected| status.condition(kind).is_some_and(|it: &Condition| it.status == expected);
    if is(ConditionType::Stalled, ConditionStatus::True) {
        Kstatus::Failed
    } else if is(ConditionType::Reconciling, ConditionStatus::True)
        || is(ConditionType::Ready, ConditionStatus::False)
        || is(ConditionType::Ready, ConditionStatus::Unknown)
    {
        Kstatus::InProgress
    } else {
        Kstatus::Current
    }
}

fn times(status: &ChannelConnectionStatus) -> Vec<(ConditionType, ConditionStatus, Time)> {
    let conditions = status.conditions().iter();
    conditions
        .map(|it| (it.type_, it.status, it.last_transition_time.clone()))
        .collect()
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(512)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn conditions_never_contradict_each_other(history in history()) {
        let (mut status, mut generation) = (ChannelConnectionStatus::default(), 1);
        for (outcome, changed) in &history {
            generation += i64::from(*changed);
            let before = status.clone();
            take(&mut status, outcome, generation);
            prop_assert_eq!(status.observed_generation, Some(generation));
            let holds = |kind| status.condition(kind).is_some_and(|it| it.status == ConditionStatus::True);
            let is_there = |kind| status.condition(kind).is_some();

            prop_assert!(!(is_there(ConditionType::Reconciling) && is_there(ConditionType::Stalled) && *changed && !matches!(outcome, Outcome::Suspended)));
            prop_assert!(!(holds(ConditionType::Reconciling) && holds(ConditionType::Stalled)));
            prop_assert!(!is_there(ConditionType::Stalled) || holds(ConditionType::Stalled), "abnormal, and absent otherwise");
            if !matches!(outcome, Outcome::Suspended) {
                prop_assert!(!is_there(ConditionType::Reconciling) || holds(ConditionType::Reconciling), "abnormal, and absent otherwise");
                let synced = status.condition(ConditionType::Synced).unwrap();
                prop_assert_eq!(synced.status == ConditionStatus::True, matches!(outcome, Outcome::Done | Outcome::Held(_)));
                prop_assert_eq!(synced.observed_generation, Some(generation));
                // One cause, told by all.
                let cause = match outcome {
                    Outcome::Held(_) => status.condition(ConditionType::Ready).unwrap(),
                    _ => synced,
                };
                for kind in [ConditionType::Reconciling, ConditionType::Stalled] {
                    if let Some(abnormal) = status.condition(kind) {
                        prop_assert_eq!((&abnormal.reason, &abnormal.message), (&cause.reason, &cause.message));
                    }
                }
            }
            for one in status.conditions() {
                let same = status.conditions().iter().filter(|other| other.type_ == one.type_);
                prop_assert_eq!(same.count(), 1);
                let earlier = before.condition(one.type_).and_then(|it| it.observed_generation);
                prop_assert!(one.observed_generation >= earlier && one.observed_generation <= Some(generation), "never of a version before");
            }
        }
    }

    #[test]
    fn the_time_of_a_transition_is_that_of_the_last_change_of_status(history in history()) {
        let (mut status, mut generation) = (ChannelConnectionStatus::default(), 1);
        for (outcome, changed) in &history {
            generation += i64::from(*changed);
            let before = times(&status);
            take(&mut status, outcome, generation);
            for (kind, now, at) in times(&status) {
                if let Some((_, then, since)) = before.iter().find(|(other, ..)| *other == kind) {
                    prop_assert_eq!(*since == at, *then == now, "{} {:?} → {:?}", kind, then, now);
                }
            }
            let once = status.clone();
            take(&mut status, outcome, generation);
            prop_assert_eq!(&once, &status, "the same again is no news");
        }
    }

    #[test]
    fn what_must_not_be_relied_on_is_never_ready(history in history(), last in trouble()) {
        let mut status = ChannelConnectionStatus::default();
        for (outcome, _) in &history {
            take(&mut status, outcome, 1);
        }
        let served = status.condition(ConditionType::Ready).is_some_and(|it| it.status == ConditionStatus::True);
        take(&mut status, &Outcome::Stopped(last), 2);
        let ready = status.condition(ConditionType::Ready).unwrap();
        let serves = ready.status == ConditionStatus::True;
        if matches!(
            last,
            Reason::RemoteMissing | Reason::ClaimLost | Reason::AccountChanged | Reason::NothingToObserve
        ) {
            prop_assert!(!serves, "{last}");
            prop_assert_eq!(ready.reason.as_str(), last.as_str());
        } else {
            prop_assert_eq!(serves, served, "what serves goes on serving, whatever stopped the reconcile");
        }
    }

    #[test]
    fn tools_see_what_people_see(history in history(), last in outcome()) {
        let mut status = ChannelConnectionStatus::default();
        for (outcome, _) in &history {
            take(&mut status, outcome, 1);
        }
        let before = kstatus(&status);
        take(&mut status, &last, 2);
        let serves = status.condition(ConditionType::Ready).is_some_and(|it| it.status == ConditionStatus::True);
        let expected = match &last {
            Outcome::Done => Kstatus::Current,
            Outcome::Serves(reason) | Outcome::NotReady(reason) | Outcome::Held(reason) | Outcome::Stopped(reason) => match reason.gravity() {
                Gravity::Stalled => Kstatus::Failed,
                Gravity::Fine if serves => Kstatus::Current,
                Gravity::Fine | Gravity::Waiting => Kstatus::InProgress,
            },
            // Nothing is under way; what was wrong stays wrong.
            Outcome::Suspended => match before {
                Kstatus::Failed => Kstatus::Failed,
                _ if serves || status.condition(ConditionType::Ready).is_none() => Kstatus::Current,
                _ => Kstatus::InProgress,
            },
        };
        prop_assert_eq!(kstatus(&status), expected, "{:?}", status.conditions());
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Every state that the operator can give an object, made by its own code.

use digital_messaging_operator::{
    api::{
        ChannelConnectionStatus, DigitalMessagingInterfaceStatus, GROUP, HasConditions, ManagerCredentialStatus, Plan, VERSION,
    },
    controller::{
        reason::Reason,
        report::{Readiness, set_conditions, set_suspended},
        trouble::Trouble,
    },
};
use serde::Serialize;
use serde_json::{Value, json};

/// What the conditions say in these tests.
pub const MESSAGE: &str = "what a person has to know";
/// The hash of the plan that waits.
pub const HASH: &str = "6f1c8a";
/// What a new object is given by the schema; a test on a real API server sees it, too.
const NOT_LOOKED_AT: i64 = -1;
const GENERATION: i64 = 3;

/// What came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The object is new.
    Nothing,
    /// It is as declared and serves.
    Done,
    /// It was, and its spec has been changed since.
    DoneBefore,
    /// It serves, but something is not as declared.
    Serves(Reason),
    /// It does not serve, because something is not as declared.
    NotReady(Reason),
    /// It is as declared and does not serve all the same.
    Held(Reason),
    /// It served when it was suspended.
    SuspendedServing,
    /// It did not.
    SuspendedNotReady(Reason),
    /// It is being deleted, and this is in the way.
    Going(Reason),
}

/// Why an object that is declared well does not serve.
const HOLDING: &[Reason] = &[Reason::AwaitingAuthorization, Reason::ChannelFailed];
/// Reasons of objects that are as they should be, and of events alone.
const NO_TROUBLE: &[Reason] = &[
    Reason::Ready,
    Reason::Synced,
    Reason::Authenticated,
    Reason::Suspended,
    Reason::DriftCorrected,
    Reason::SecretRotated,
    Reason::OutputsMoved,
    Reason::AccountShared,
    Reason::ReconcileOverdue,
];

/// An object and how it came to its state.
#[derive(Debug)]
pub struct State {
    /// `ManagerCredential` and so on.
    pub kind: &'static str,
    /// What came last.
    pub last: Last,
    /// The object as tools see it.
    pub object: Value,
}

/// Every state of every kind.
pub fn all() -> Vec<State> {
    let mut states = Vec::new();
    for kind in ["ManagerCredential", "DigitalMessagingInterface", "ChannelConnection"] {
        states.extend([Last::Nothing, Last::Done, Last::DoneBefore, Last::SuspendedServing].map(|last| state(kind, last)));
        let reasons = Reason::ALL.iter().filter(|reason| reason.kinds().contains(&kind));
        for reason in reasons.copied().filter(|reason| !NO_TROUBLE.contains(reason)) {
            states.extend(lasts(reason).into_iter().map(|last| state(kind, last)));
        }
    }
    states
}

fn lasts(reason: Reason) -> Vec<Last> {
    match reason {
        reason if HOLDING.contains(&reason) => vec![Last::Held(reason), Last::SuspendedNotReady(reason)],
        // Only what exists and serves can differ.
        Reason::Differs => vec![Last::Serves(reason)],
        Reason::DependantsRemain | Reason::AwaitingApproval => {
            vec![Last::Serves(reason), Last::NotReady(reason), Last::Going(reason)]
        }
        Reason::InvalidCredentials | Reason::ManagerUnreachable => {
            vec![Last::Serves(reason), Last::NotReady(reason), Last::SuspendedNotReady(reason)]
        }
        reason => vec![Last::Serves(reason), Last::NotReady(reason)],
    }
}

/// A state of a kind.
pub fn state(kind: &'static str, last: Last) -> State {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind,
        "metadata": { "name": "example", "namespace": "shop", "uid": "0", "generation": GENERATION },
        "spec": { "suspend": false },
        "status": match kind {
            "ManagerCredential" => status::<ManagerCredentialStatus>(last),
            "DigitalMessagingInterface" => status::<DigitalMessagingInterfaceStatus>(last),
            _ => status::<ChannelConnectionStatus>(last),
        },
    });
    match last {
        Last::Going(_) => object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into(),
        Last::SuspendedServing | Last::SuspendedNotReady(_) => object["spec"]["suspend"] = true.into(),
        _ => {}
    }
    State { kind, last, object }
}

fn status<S: HasConditions + Default + Serialize>(last: Last) -> Value {
    let mut status = S::default();
    let trouble = |reason: Reason| Trouble {
        plan: (reason == Reason::AwaitingApproval).then(|| {
            Box::new(Plan {
                hash: HASH.to_owned(),
                changes: Vec::new(),
                truncated: None,
            })
        }),
        ..Trouble::new(reason, MESSAGE)
    };
    let not_ready = |reason| Readiness::NotReady(reason, MESSAGE.to_owned());
    let mut troubled = |generation, readiness, reason| {
        let trouble = trouble(reason);
        status.set_plan(trouble.plan.as_deref().cloned());
        set_conditions(&mut status, generation, readiness, Some(&trouble));
    };
    match last {
        Last::Nothing => status.set_observed_generation(NOT_LOOKED_AT),
        Last::Done => set_conditions(&mut status, GENERATION, Readiness::Ready, None),
        Last::DoneBefore => set_conditions(&mut status, GENERATION - 1, Readiness::Ready, None),
        Last::Serves(reason) => troubled(GENERATION, Readiness::Ready, reason),
        Last::NotReady(reason) | Last::Going(reason) => troubled(GENERATION, not_ready(reason), reason),
        Last::Held(reason) => set_conditions(&mut status, GENERATION, not_ready(reason), None),
        Last::SuspendedServing => {
            set_conditions(&mut status, GENERATION - 1, Readiness::Ready, None);
            set_suspended(&mut status, GENERATION);
        }
        Last::SuspendedNotReady(reason) => {
            troubled(GENERATION - 1, not_ready(reason), reason);
            set_suspended(&mut status, GENERATION);
        }
    }
    serde_json::to_value(status).unwrap()
}

// SPDX-License-Identifier: Apache-2.0

//! The health that Argo CD shows for every state.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use digital_messaging_operator::controller::reason::Reason;
use sandbox::{
    packaging::{ARGOCD_APPLICATION_SETTINGS, ARGOCD_SETTINGS},
    program::project,
};
use serde_json::json;

use crate::{
    settings::Settings,
    states::{self, Last, MESSAGE, State},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Healthy,
    Progressing,
    Suspended,
    Degraded,
}

/// What an object is that is held up for this reason. Every reason is here by name, so that a new one does not compile
/// without somebody having thought of it.
fn held_up(reason: Reason) -> Option<Health> {
    use Health::{Degraded, Healthy, Progressing, Suspended};
    match reason {
        // Nothing is held up for these; some are in events only.
        Reason::Ready
        | Reason::Synced
        | Reason::Authenticated
        | Reason::Suspended
        | Reason::DriftCorrected
        | Reason::SecretRotated
        | Reason::OutputsMoved
        | Reason::AccountShared
        | Reason::ReconcileOverdue => None,

        // `management: Observe` wants nothing but to know.
        Reason::Differs => Some(Healthy),

        // A person's consent.
        Reason::AwaitingApproval | Reason::AwaitingAuthorization => Some(Suspended),

        // Goes on by itself when something else has come or gone.
        Reason::SecretNotFound
        | Reason::SecretNotLabelled
        | Reason::SecretKeyMissing
        | Reason::CredentialNotFound
        | Reason::CredentialNotReady
        | Reason::InterfaceNotFound
        | Reason::InterfaceNotReady
        | Reason::SwitchTargetPending
        | Reason::CreationUnsettled
        | Reason::AdoptionTargetNotFound
        | Reason::DependantsRemain
        | Reason::NothingToObserve
        | Reason::ManagerIDInUse
        // Outages, and what comes near.
        | Reason::ManagerUnavailable
        | Reason::ManagerUnreachable
        | Reason::ManagerTimeout
        | Reason::TLSFailed
        | Reason::UnexpectedResponse
        | Reason::RateLimited
        | Reason::KubernetesUnavailable
        | Reason::NeverSettles => Some(Progressing),

        // Somebody has to put it right.
        Reason::InvalidSpec
        | Reason::Unparsable
        | Reason::InsecureEndpoint
        | Reason::HostNotAllowed
        | Reason::InvalidCredentials
        | Reason::CredentialsRevoked
        | Reason::MethodNotConfigured
        | Reason::ClockSkew
        | Reason::AuthenticationRefused
        | Reason::Forbidden
        | Reason::AccountChanged
        | Reason::RegionMismatch
        | Reason::Superseded
        | Reason::ObservationSuspicious
        | Reason::RemoteMissing
        | Reason::ClaimLost
        | Reason::AlreadyClaimed
        | Reason::AdoptionMismatch
        | Reason::AdoptionRequired
        | Reason::ReplaceRequired
        | Reason::ChannelUnsupported
        | Reason::Rejected
        | Reason::ChannelCredentialsRejected
        | Reason::ChannelFailed
        | Reason::QuotaExceeded
        | Reason::InterfaceNotEmpty
        | Reason::OutputConflict
        | Reason::OutputsIncomplete
        | Reason::RotationRefused
        | Reason::InternalError => Some(Degraded),
    }
}

/// The health of a state, and what its message must have in it.
fn expected(last: Last) -> (Health, Vec<String>) {
    let told = |reason: Reason| format!("{reason}: {MESSAGE}");
    match last {
        Last::Nothing | Last::DoneBefore => (Health::Progressing, vec!["has not looked at this version yet".to_owned()]),
        Last::Done => (Health::Healthy, vec![]),
        Last::Serves(reason) | Last::NotReady(reason) | Last::Held(reason) => (
            held_up(reason).unwrap_or_else(|| panic!("{reason} holds up")),
            vec![told(reason)],
        ),
        Last::SuspendedServing => (Health::Suspended, vec!["Suspended: spec.suspend is set".to_owned()]),
        Last::SuspendedNotReady(reason) => (
            Health::Suspended,
            vec![
                "Suspended: spec.suspend is set".to_owned(),
                format!("not ready: {}", told(reason)),
            ],
        ),
        // Argo CD's own judgement of all that has a time of deletion.
        Last::Going(_) => (Health::Progressing, vec!["Pending deletion".to_owned()]),
    }
}

#[test]
fn every_reason_is_a_state_or_holds_nothing_up() {
    let states = states::all();
    for reason in Reason::ALL.iter().copied() {
        let states = states.iter().filter(|state| match state.last {
            Last::Serves(of) | Last::NotReady(of) | Last::Held(of) => of == reason,
            _ => false,
        });
        let kinds: std::collections::BTreeSet<&str> = states.map(|state| state.kind).collect();
        let expected = match held_up(reason) {
            None => 0,
            Some(_) => reason.kinds().len(),
        };
        assert_eq!(kinds.len(), expected, "{reason}: {kinds:?}");
    }
}

#[test]
#[ignore = "needs Argo CD: make test-argocd"]
fn argo_cd_shows_the_health_of_every_state() {
    let settings = Settings::new();
    let states = one_kind_for_each(states::all());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // Each takes some tenths of a second, most of which is the start of the program.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(state) = states.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = look(&settings, state) {
                        wrong.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), states.len(), wrong.join("\n"));
}

/// The script is the same for all kinds, so that each state is looked at with one of them, in turn.
fn one_kind_for_each(states: Vec<State>) -> Vec<State> {
    let mut kinds: BTreeMap<String, Vec<State>> = BTreeMap::new();
    for state in states {
        kinds.entry(format!("{:?}", state.last)).or_default().push(state);
    }
    let turns = kinds.into_values().enumerate();
    turns
        .map(|(turn, mut states)| states.swap_remove(turn % states.len()))
        .collect()
}

#[test]
fn the_script_is_the_same_for_all_kinds() {
    let text = std::fs::read_to_string(project().join(ARGOCD_SETTINGS)).unwrap();
    let settings: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let data = settings["data"].as_object().unwrap();
    let scripts: Vec<_> = data
        .iter()
        .filter(|(key, _)| key.starts_with("resource.customizations.health."))
        .collect();
    assert_eq!(scripts.len(), 3);
    assert!(scripts.iter().all(|(_, script)| *script == scripts[0].1));
}

#[test]
#[ignore = "needs Argo CD: make test-argocd"]
fn an_application_is_healthy_only_by_what_was_seen_after_its_sync() {
    let settings = Settings::of(ARGOCD_APPLICATION_SETTINGS);
    let synced = json!({ "finishedAt": "2026-01-01T00:00:10Z", "phase": "Succeeded" });
    for (status, expected) in [
        (json!({}), "Progressing"),
        (
            json!({ "health": { "status": "Healthy" }, "reconciledAt": "2026-01-01T00:00:05Z" }),
            "Progressing",
        ),
        (
            json!({ "health": { "status": "Healthy" }, "reconciledAt": "2026-01-01T00:00:05Z", "operationState": { "phase": "Running" } }),
            "Progressing",
        ),
        (
            json!({ "health": { "status": "Healthy" }, "reconciledAt": "2026-01-01T00:00:09Z", "operationState": synced }),
            "Progressing",
        ),
        (
            json!({ "health": { "status": "Healthy" }, "reconciledAt": "2026-01-01T00:00:10Z", "operationState": synced }),
            "Healthy",
        ),
        (
            json!({ "health": { "status": "Degraded" }, "reconciledAt": "2026-01-01T00:01:00Z", "operationState": synced }),
            "Degraded",
        ),
        (
            json!({ "health": { "status": "Healthy" }, "sync": { "status": "OutOfSync" }, "reconciledAt": "2026-01-01T00:00:05Z" }),
            "Progressing",
        ),
        (
            json!({ "health": { "status": "Healthy" }, "sync": { "status": "Synced" }, "reconciledAt": "2026-01-01T00:00:05Z" }),
            "Healthy",
        ),
    ] {
        let application = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": "one" }, "status": status });
        let said = settings.say("health", &application, &[]);
        assert!(said.contains(&format!("STATUS: {expected}\n")), "{status}: {said}");
    }
}

fn look(settings: &Settings, state: &State) -> Result<(), String> {
    let said = settings.say("health", &state.object, &[]);
    let field = |name: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let (health, parts) = expected(state.last);
    let (status, message) = (field("STATUS:"), field("MESSAGE:"));
    if status == format!("{health:?}") && parts.iter().all(|part| message.contains(part)) {
        return Ok(());
    }
    Err(format!(
        "{} {:?} is {status}: {message:?} instead of {health:?} with {parts:?}",
        state.kind, state.last
    ))
}

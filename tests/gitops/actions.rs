// SPDX-License-Identifier: Apache-2.0

//! The buttons that Argo CD offers, and what each changes.

use serde_json::Value;

use crate::{
    settings::{Settings, text},
    states::{HASH, Last, State, state},
};
use digital_messaging_operator::controller::reason::Reason;

const KINDS: &[&str] = &["ManagerCredential", "DigitalMessagingInterface", "ChannelConnection"];

/// The actions that can be taken, by name.
fn offered(settings: &Settings, object: &Value) -> Vec<String> {
    let said = settings.say("list-actions", object, &[]);
    let rows = said.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == "false").map(|row| row[0].to_owned()).collect()
}

/// The lines that an action takes away and adds.
fn changed(settings: &Settings, object: &Value, action: &str) -> Vec<String> {
    let said = settings.say("run-action", object, &[action]);
    let lines = said.lines().filter(|line| line.starts_with(['<', '>']));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
#[ignore = "needs Argo CD: make test-argocd"]
fn each_state_offers_what_makes_sense() {
    let settings = Settings::new();
    for kind in KINDS {
        let offered = |last| offered(&settings, &state(kind, last).object);
        assert_eq!(offered(Last::Nothing), ["retry", "suspend"], "{kind}");
        assert_eq!(offered(Last::Done), ["retry", "suspend"], "{kind}");
        assert_eq!(offered(Last::SuspendedServing), ["resume", "retry"], "{kind}");
    }
    for kind in &KINDS[1..] {
        let waiting = state(kind, Last::Serves(Reason::AwaitingApproval));
        assert_eq!(offered(&settings, &waiting.object), ["approve", "retry", "suspend"], "{kind}");
    }
}

#[test]
#[ignore = "needs Argo CD: make test-argocd"]
fn each_action_changes_its_field_and_no_other() {
    let settings = Settings::new();
    for kind in KINDS {
        let done = state(kind, Last::Done).object;
        assert_eq!(changed(&settings, &done, "suspend"), ["< suspend: false", "> suspend: true"]);
        let suspended = state(kind, Last::SuspendedServing).object;
        assert_eq!(
            changed(&settings, &suspended, "resume"),
            ["< suspend: true", "> suspend: false"]
        );
        let retried = changed(&settings, &done, "retry");
        let [annotations, token] = &retried[..] else {
            panic!("{retried:?}")
        };
        assert_eq!(annotations, "> annotations:");
        assert!(token.starts_with("> digitalmessaging.io/retry: \"2"), "{token}");
    }
    for kind in &KINDS[1..] {
        let waiting = state(kind, Last::NotReady(Reason::AwaitingApproval)).object;
        assert_eq!(
            changed(&settings, &waiting, "approve"),
            ["> annotations:".to_owned(), format!("> digitalmessaging.io/approve: {HASH}")]
        );
    }
}

#[test]
#[ignore = "needs Argo CD: make test-argocd"]
fn what_waits_for_nothing_cannot_be_approved() {
    let settings = Settings::new();
    let State { object, .. } = state("ChannelConnection", Last::Done);
    let output = settings.resource_overrides("run-action", &object, &["approve"]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("there is no plan in the status"), "{said}");
}

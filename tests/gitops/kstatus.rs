// SPDX-License-Identifier: Apache-2.0

//! What the real kstatus makes of every state: Flux waits by it, and others do.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use digital_messaging_operator::controller::reason::{Gravity, Reason};
use sandbox::{Manifests, program};
use serde_json::Value;

use crate::states::{self, Last, MESSAGE};

/// What kstatus says of each object, with its message.
fn compute<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Vec<(String, String)> {
    let mut child = Command::new(program::kstatus().unwrap())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It answers one by one, and less than a pipe holds.
    for object in objects {
        writeln!(stdin, "{object}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let verdicts = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let text = |verdict: &Value, member: &str| verdict[member].as_str().unwrap().to_owned();
    verdicts
        .map(|verdict| {
            let verdict = verdict.unwrap();
            (text(&verdict, "status"), text(&verdict, "message"))
        })
        .collect()
}

fn expected(last: Last) -> &'static str {
    let of = |reason: Reason| match reason.gravity() {
        Gravity::Fine => "Current",
        Gravity::Waiting => "InProgress",
        Gravity::Stalled => "Failed",
    };
    match last {
        // Nothing is under way, and what was there goes on.
        Last::Done | Last::SuspendedServing => "Current",
        Last::Nothing | Last::DoneBefore => "InProgress",
        Last::Serves(reason) | Last::NotReady(reason) | Last::Held(reason) | Last::SuspendedNotReady(reason) => of(reason),
        Last::Going(_) => "Terminating",
    }
}

#[test]
fn every_state_is_to_kstatus_what_it_is_to_people() {
    let states = states::all();
    assert!(states.len() > 150, "{} states", states.len());
    let verdicts = compute(states.iter().map(|state| &state.object));
    assert_eq!(states.len(), verdicts.len());
    let mut wrong = Vec::new();
    for (state, (verdict, message)) in states.iter().zip(verdicts) {
        let expected = expected(state.last);
        if verdict != expected {
            wrong.push(format!("{} {:?} is {verdict} instead of {expected}", state.kind, state.last));
        }
        if verdict == "Failed" && message != MESSAGE {
            wrong.push(format!("{} {:?} says {message:?}", state.kind, state.last));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_nobody_has_looked_at_is_not_done() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    Manifests::read(&program::project().join("crds"))
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    let namespace = control_plane.create_namespace("nobody").await.unwrap();
    let example = Manifests::read(&program::project().join("examples/minimal")).unwrap();
    let applied = example.in_namespace(&namespace).apply(&client).await.unwrap();
    let objects: Vec<Value> = applied
        .iter()
        .map(|object| serde_json::to_value(object).unwrap())
        .filter(|object| object["apiVersion"] == "digitalmessaging.io/v1alpha1")
        .collect();
    assert_eq!(objects.len(), 3);
    for (object, (verdict, message)) in objects.iter().zip(compute(&objects)) {
        assert_eq!(object["status"]["observedGeneration"], -1, "{object}");
        assert_eq!(verdict, "InProgress", "{object}: {message}");
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The demo, as `make demo ARGS=--exit` runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

use std::process::Command;

#[test]
fn it_makes_every_example_ready_shows_what_came_of_it_and_masks_secrets() {
    let ended = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["demo", "--exit"])
        .output()
        .unwrap();

    let report = String::from_utf8(ended.stdout).unwrap();
    let progress = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{progress}\n{report}");
    let line = |words: &[&str]| report.lines().any(|line| words.iter().all(|word| line.contains(word)));
    for namespace in ["minimal", "full", "api-key", "adoption"] {
        assert!(
            line(&[namespace, "ManagerCredential", "Authenticated=True", "Ready=True"]),
            "{report}"
        );
        assert!(
            line(&[namespace, "ChannelConnection", "Synced=True", "Ready=True"]),
            "{report}"
        );
        assert!(
            line(&["Held by the manager at http://127.0.0.1:", &format!("namespace {namespace}")]),
            "{report}"
        );
    }
    assert!(
        line(&["webMessaging", "active", "/ChannelConnection/full/acme-web"]),
        "{report}"
    );
    assert!(line(&["full/acme-web-widget", "scriptUrl", "http://127.0.0.1:"]), "{report}");
    let secrets: Vec<_> = report.lines().filter(|line| line.contains("jwtSecret")).collect();
    assert!(!secrets.is_empty());
    assert!(secrets.iter().all(|line| line.contains(" ******** ")), "{secrets:?}");
    assert!(!report.contains("Not Ready"));
}

// SPDX-License-Identifier: Apache-2.0

//! `messaging-manager credentials …` beside a manager that serves the same file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::similar_names,
    reason = "this is a test"
)]

mod support;

use digital_messaging_contract::account::AuthenticationMethod;
use serde_json::Value;
use support::{
    Client,
    process::{Process, credentials, issued},
};

#[tokio::test]
async fn credentials_are_made_rotated_and_revoked_while_the_manager_serves() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, arguments: &[&str]| credentials(folder.path(), name, arguments);
    let process = Process::start(
        folder.path(),
        "127.0.0.1:0",
        &["--region", "eu-west-1", "--channel", "sms=unsupported"],
    );

    let made = run(
        "create",
        &["--manager-id", "acme", "--name", "Acme", "--method", "APIKey", "-o", "json"],
    )
    .unwrap();
    let old = Client::new(process.url(), issued(&made));
    assert_eq!((old.manager_id.as_str(), old.method), ("acme", AuthenticationMethod::ApiKey));
    assert!(old.key.expose().starts_with("mk_") && old.key.expose().len() == 46);
    let account = old.get("/v1/manager").await.expect(200);
    assert_eq!(
        (account.text("/name"), account.text("/region")),
        ("Acme".to_owned(), "eu-west-1".to_owned())
    );
    assert_eq!(account.body["channels"][4]["support"], "unsupported");

    let rotated = run("rotate", &["--manager-id", "acme", "--grace", "1h", "-o", "json"]).unwrap();
    let new = Client::new(process.url(), issued(&rotated));
    old.get("/v1/manager").await.expect(200);
    new.get("/v1/manager").await.expect(200);
    let list: Value = serde_json::from_str(&run("list", &["-o", "json"]).unwrap()).unwrap();
    assert_eq!((&list[0]["managerId"], &list[0]["validKeys"]), (&"acme".into(), &2.into()));
    assert!(!list.to_string().contains("mk_"), "a list shows no key");

    run("revoke", &["--manager-id", "acme", "--previous"]).unwrap();
    old.get("/v1/manager").await.problem("revoked_credentials");
    new.get("/v1/manager").await.expect(200);
    run("revoke", &["--manager-id", "acme"]).unwrap();
    new.get("/v1/manager").await.problem("revoked_credentials");
}

#[test]
fn what_cannot_be_done_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, arguments: &[&str]| credentials(folder.path(), name, arguments);
    let text = run("create", &["--manager-id", "acme"]).unwrap();
    assert!(text.contains("Manager ID:  acme\nManager Key: mk_") && text.contains("Method:      JWT"));
    assert!(
        run("create", &["--manager-id", "acme"])
            .unwrap_err()
            .contains("exists already")
    );
    assert!(run("create", &["--manager-id", "a b"]).unwrap_err().contains("letters"));
    assert!(
        run("rotate", &["--manager-id", "nobody"])
            .unwrap_err()
            .contains("no Manager ID nobody")
    );
    assert!(
        run("revoke", &["--manager-id", "nobody"])
            .unwrap_err()
            .contains("no Manager ID nobody")
    );
    assert!(run("list", &[]).unwrap().contains("acme"));
}

#[cfg(unix)]
#[test]
fn the_database_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    credentials(folder.path(), "create", &[]).unwrap();
    let _process = Process::start(folder.path(), "127.0.0.1:0", &[]);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("manager.sqlite") {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
    }
}

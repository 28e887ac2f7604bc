// SPDX-License-Identifier: Apache-2.0

//! The reference manager as a process, and the examples made to run against it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

use digital_messaging_contract::account::AuthenticationMethod;
use kube::ResourceExt;
use sandbox::{Example, ReferenceManager, Run, program};
use serde_json::json;

#[tokio::test]
async fn it_keeps_its_address_and_what_it_holds_when_it_is_killed_and_restarted() {
    let run = Run::new().unwrap();
    let manager = ReferenceManager::start(&run).await.unwrap();
    let account = manager
        .account(&manager.create_credential(AuthenticationMethod::Jwt).unwrap())
        .unwrap();
    let spec = json!({ "displayName": "Kept", "templateOperator": "dm-template", "baseUrl": "https://acme.example/prweb" });
    let made = account
        .create_interface(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap();

    manager.process().kill().unwrap();
    assert!(account.interfaces().await.is_err());
    manager.restart().await.unwrap();

    assert_eq!(account.interfaces().await.unwrap(), [made]);
}

#[tokio::test]
async fn it_serves_both_methods_and_a_revoked_key_no_longer() {
    let run = Run::new().unwrap();
    let manager = ReferenceManager::start(&run).await.unwrap();
    for method in [AuthenticationMethod::Jwt, AuthenticationMethod::ApiKey] {
        let credential = manager.create_credential(method).unwrap();
        let account = manager.account(&credential).unwrap();
        assert_eq!(account.identity().await.unwrap().manager_id, credential.manager_id);
        assert!(account.connections().await.unwrap().is_empty());

        let rotated = manager.rotate_credential(&credential.manager_id, "24h").unwrap();
        manager.account(&rotated).unwrap().identity().await.unwrap();
        account.identity().await.unwrap();

        manager.revoke_credential(&credential.manager_id).unwrap();
        let refused = account.identity().await.unwrap_err();
        assert_eq!(refused.downcast_ref::<sandbox::Refusal>().unwrap().status, 401);
    }
}

#[tokio::test]
async fn every_example_gets_an_account_and_what_it_adopts() {
    let run = Run::new().unwrap();
    let manager = ReferenceManager::start(&run).await.unwrap();
    for folder in ["minimal", "full", "api-key", "adoption"] {
        let path = program::project().join("examples").join(folder);

        let example = Example::prepare(&path, "anywhere", &manager).await.unwrap();

        let text = serde_json::to_string(example.manifests.objects()).unwrap();
        assert!(text.contains(manager.url()), "{folder}");
        for placeholder in ["replace-with-your-manager", "replace-with-the", "manager.example.com"] {
            assert!(!text.contains(placeholder), "{folder} still has {placeholder}");
        }
        let [account] = example.accounts.as_slice() else {
            panic!("{folder} has one ManagerCredential")
        };
        let adopted = if folder == "adoption" { (1, 2) } else { (0, 0) };
        let made = (
            account.interfaces().await.unwrap().len(),
            account.connections().await.unwrap().len(),
        );
        assert_eq!(made, adopted, "{folder}");
        assert!(
            example
                .manifests
                .objects()
                .iter()
                .all(|object| object.namespace().as_deref() == Some("anywhere"))
        );
    }
}

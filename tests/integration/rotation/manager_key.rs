// SPDX-License-Identifier: Apache-2.0

//! Keys of a manager: a good one takes over, a bad one is named and the proven one serves on, whatever happens meanwhile.

use std::time::Duration;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, ManagerCredential},
    controller::reason::Reason,
};
use kube::api::DeleteParams;
use sandbox::Credential;

use super::active_key;
use crate::scene::{Scene, assert_serves, connection, expect, interface, manager_credential, manager_secret, web};

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_was_rotated_in_serves_on_after_a_restart_without_the_secret() {
    let mut scene = Scene::new().await;
    let first = scene.provision(AuthenticationMethod::Jwt).await;
    let credential = manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt);
    scene
        .apply_all([manager_secret("acme", &first), credential, interface("support", "acme")])
        .await;
    let before: ManagerCredential = scene.ready("acme").await;

    let keys = scene.manager.manager().credentials();
    let second = keys.rotate(&first.manager_id, Duration::from_hours(1)).await.unwrap();
    scene.secret_value(second.manager_key.expose());
    let second = Credential {
        manager_key: second.manager_key,
        ..first
    };
    scene.apply(manager_secret("acme", &second)).await;
    scene.active_key_is_not(&active_key(&before)).await;
    keys.revoke_previous(&second.manager_id).await.unwrap();

    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "SecretNotFound")
        .await;
    scene.restart_operator().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene
        .condition::<ManagerCredential>("acme", "Authenticated", "True", "Authenticated")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_is_named_beside_the_one_that_serves_on_also_after_a_restart_until_the_good_one_is_back() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let proven = active_key(&scene.credentials().get("acme").await.unwrap());
    let wrong = Credential {
        manager_key: scene.new_secret_value().into(),
        ..account.credential().clone()
    };
    let calls = scene.journal.len();
    scene.apply(manager_secret("acme", &wrong)).await;
    let told = named(&scene, &proven).await;
    assert_eq!(refused_calls(&scene, calls), 1, "the bad key is tried once");

    scene.restart_operator().await;
    scene.wait_until_leading().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    assert_eq!(named(&scene, &proven).await, told);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(refused_calls(&scene, calls), 2, "and once by the next process");

    // Without the Secret there is nothing to name.
    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    let gone: ManagerCredential = scene.trouble("acme", Reason::SecretNotFound, "there is no Secret acme").await;
    assert_serves(&gone);
    let authenticated = expect(&gone, "Authenticated", "True", "Authenticated").unwrap();
    assert!(
        authenticated.message.contains(&proven) && !authenticated.message.contains("refused key"),
        "{authenticated}"
    );

    scene.apply(manager_secret("acme", account.credential())).await;
    let back: ManagerCredential = scene.ready("acme").await;
    assert_eq!(active_key(&back), proven);
    assert_eq!(expect(&back, "Authenticated", "True", "Authenticated").unwrap().message, "");
    assert_eq!(refused_calls(&scene, calls), 2);
    scene.finish().await;
}

/// Waits until `Authenticated` names the key that serves and another one that was refused, and returns what it says.
async fn named(scene: &Scene, proven: &str) -> String {
    let acme: ManagerCredential = scene.trouble("acme", Reason::InvalidCredentials, "managerKey").await;
    assert_serves(&acme);
    assert_eq!(active_key(&acme), proven);
    let authenticated = expect(&acme, "Authenticated", "True", "Authenticated").unwrap();
    let (active, refused) = authenticated
        .message
        .split_once("serves on; what is given now does not work: InvalidCredentials: ")
        .unwrap_or_else(|| panic!("{authenticated}"));
    assert!(active.contains(proven), "{authenticated}");
    let (_, refused) = refused.split_once("fingerprint of the refused key: ").unwrap();
    assert!(!refused.starts_with(proven) && refused.len() > 10, "{authenticated}");
    authenticated.message
}

fn refused_calls(scene: &Scene, since: usize) -> usize {
    let calls = scene.manager_calls(since);
    calls.iter().filter(|call| call.status == Some(401)).count()
}

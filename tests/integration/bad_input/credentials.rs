// SPDX-License-Identifier: Apache-2.0

//! Credentials that the manager does not accept.

use std::time::Duration;

use digital_messaging_contract::{account::AuthenticationMethod, problem::Code};
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation},
    controller::reason::Reason,
};
use messaging_manager::faults::{Fault, Rule};
use sandbox::Credential;
use serde_json::json;

use crate::scene::{
    Scene, assert_not_ready, assert_serves, connection, expect, interface, manager_credential, manager_secret, web,
};

/// The credentials after a rotation that leaves the old key no grace.
async fn rotated(scene: &Scene, credential: &Credential) -> Credential {
    let issued = scene
        .manager
        .manager()
        .credentials()
        .rotate(&credential.manager_id, Duration::ZERO)
        .await
        .unwrap();
    scene.secret_value(issued.manager_key.expose());
    Credential {
        manager_key: issued.manager_key,
        ..credential.clone()
    }
}

async fn revoke(scene: &Scene, credential: &Credential) {
    scene
        .manager
        .manager()
        .credentials()
        .revoke(&credential.manager_id)
        .await
        .unwrap();
}

/// Waits until `acme` is refused for this reason, after one call, and is not tried again.
async fn refused(scene: &Scene, reason: Reason, hint: &str) {
    let acme: ManagerCredential = scene.trouble("acme", reason, hint).await;
    assert_not_ready(&acme, reason);
    expect(&acme, "Authenticated", "False", reason.as_str()).unwrap();
    assert_eq!(scene.journal.len(), 1, "{:?}", scene.journal.entries());
    assert_eq!(scene.meanwhile().await, []);
}

async fn accepted(scene: &Scene, after: Reason) {
    let acme: ManagerCredential = scene.ready("acme").await;
    expect(&acme, "Authenticated", "True", "Authenticated").unwrap();
    scene.assert_told_once::<ManagerCredential>("acme", after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_tried_once_and_the_right_one_as_soon_as_it_is_there() {
    let scene = Scene::new().await;
    let right = scene.provision(AuthenticationMethod::Jwt).await;
    let wrong = Credential {
        manager_key: scene.new_secret_value().into(),
        ..right.clone()
    };
    scene.apply_credential(&wrong, AuthenticationMethod::Jwt).await;
    refused(&scene, Reason::InvalidCredentials, "managerKey").await;

    scene.apply(manager_secret("acme", &right)).await;
    accepted(&scene, Reason::InvalidCredentials).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_put_in_later_does_not_end_what_the_proven_one_serves() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let wrong = Credential {
        manager_key: scene.new_secret_value().into(),
        ..account.credential().clone()
    };
    scene.apply(manager_secret("acme", &wrong)).await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::InvalidCredentials, "managerKey").await;
    assert_serves(&acme);
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;

    scene.apply(manager_secret("acme", account.credential())).await;
    accepted(&scene, Reason::InvalidCredentials).await;
    scene.outputs("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_where_an_api_key_is_provisioned_is_told_the_method_to_set() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::ApiKey).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    refused(&scene, Reason::MethodNotConfigured, "method: APIKey").await;

    let method = json!({ "spec": { "authentication": { "method": "APIKey" } } });
    scene.patch::<ManagerCredential>("acme", method).await;
    accepted(&scene, Reason::MethodNotConfigured).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_where_jwt_is_provisioned_is_told_the_method_to_set() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&credential, AuthenticationMethod::ApiKey).await;
    refused(&scene, Reason::MethodNotConfigured, "method: JWT").await;

    let method = json!({ "spec": { "authentication": { "method": "JWT" } } });
    scene.patch::<ManagerCredential>("acme", method).await;
    accepted(&scene, Reason::MethodNotConfigured).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_tenant_is_as_wrong_as_any() {
    let scene = Scene::new().await;
    let (ours, theirs) = (
        scene.provision(AuthenticationMethod::Jwt).await,
        scene.provision(AuthenticationMethod::Jwt).await,
    );
    let mixed = Credential {
        manager_key: theirs.manager_key.clone(),
        ..ours.clone()
    };
    scene.apply_credential(&mixed, AuthenticationMethod::Jwt).await;
    refused(&scene, Reason::InvalidCredentials, "managerKey").await;
    let acme = scene.credentials().get("acme").await.unwrap();
    let text = serde_json::to_string(&acme).unwrap();
    assert!(!text.contains(&theirs.manager_id), "nothing is told of the other tenant");

    scene.apply(manager_secret("acme", &ours)).await;
    accepted(&scene, Reason::InvalidCredentials).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_asks_for_a_new_one() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    revoke(&scene, &credential).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    refused(&scene, Reason::CredentialsRevoked, "managerKey").await;

    let renewed = rotated(&scene, &credential).await;
    scene.apply(manager_secret("acme", &renewed)).await;
    accepted(&scene, Reason::CredentialsRevoked).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_while_in_use_is_the_trouble_of_the_credential_and_of_what_needs_the_manager() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;

    revoke(&scene, account.credential()).await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::CredentialsRevoked, "managerKey").await;
    assert_not_ready(&acme, Reason::CredentialsRevoked);
    expect(&acme, "Authenticated", "False", "CredentialsRevoked").unwrap();
    scene.apply(connection("late", "support", &web())).await;
    let late: ChannelConnection = scene.trouble("late", Reason::CredentialNotReady, "CredentialsRevoked").await;
    assert_not_ready(&late, Reason::CredentialNotReady);
    assert_eq!(scene.meanwhile().await, []);
    scene.ready::<ChannelConnection>("web").await;
    scene.ready::<DigitalMessagingInterface>("support").await;

    let renewed = rotated(&scene, account.credential()).await;
    scene.apply(manager_secret("acme", &renewed)).await;
    accepted(&scene, Reason::CredentialsRevoked).await;
    scene.ready::<ChannelConnection>("late").await;
    scene.outputs("late").await;
    scene
        .assert_told_once::<ChannelConnection>("late", Reason::CredentialNotReady)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_to_authenticate_waits_for_the_credential() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let refusal = Fault::Problem(Code::InvalidCredentials, None);
    scene.faults.push(Rule::new(refusal.clone()).path("/v1/connections"));
    scene.faults.push(Rule::new(refusal).path("/v1/changes"));
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.trouble("web", Reason::CredentialNotReady, "InvalidCredentials").await;
    assert_not_ready(&web, Reason::CredentialNotReady);
    scene
        .trouble::<ManagerCredential>("acme", Reason::InvalidCredentials, "managerKey")
        .await;
    assert_eq!(scene.meanwhile().await, []);

    scene.faults.clear();
    scene.annotate::<ManagerCredential>("acme", annotation::RETRY, "1").await;
    accepted(&scene, Reason::InvalidCredentials).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene
        .assert_told_once::<ChannelConnection>("web", Reason::CredentialNotReady)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_manager_id_put_into_the_secret_later_creates_nothing_there() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let other = scene.provision(AuthenticationMethod::Jwt).await;
    let mark = scene.journal.len();
    scene.apply(manager_secret("acme", &other)).await;
    let acme: ManagerCredential = scene
        .trouble("acme", Reason::AccountChanged, &account.credential().manager_id)
        .await;
    assert_serves(&acme);
    assert_eq!(
        acme.status.unwrap().manager_id.as_ref(),
        Some(&account.credential().manager_id)
    );
    scene.ready::<DigitalMessagingInterface>("support").await;
    assert_eq!(scene.meanwhile().await, []);
    assert!(
        scene
            .journal
            .since(mark)
            .iter()
            .all(messaging_manager::journal::Entry::is_change_feed)
    );
    assert!(scene.account(&other).interfaces().await.unwrap().is_empty());

    scene.apply(manager_secret("acme", account.credential())).await;
    accepted(&scene, Reason::AccountChanged).await;
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skewed_clock_is_named_as_such() {
    let scene = Scene::new().await;
    // Operator and manager share the clock of this machine, so the manager has to say it.
    scene.faults.push(Rule::new(Fault::Problem(Code::ClockSkew, None)));
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    refused(&scene, Reason::ClockSkew, "clock").await;

    scene.faults.clear();
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "the clock is right now")
        .await;
    accepted(&scene, Reason::ClockSkew).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_id_in_use_is_told_to_the_second_credential_until_the_first_lets_go() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    scene.apply(interface("support", "acme")).await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.apply(manager_secret("second", account.credential())).await;
    scene
        .apply(manager_credential("second", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let second: ManagerCredential = scene
        .trouble("second", Reason::ManagerIDInUse, "belongs to one application")
        .await;
    assert_not_ready(&second, Reason::ManagerIDInUse);
    assert!(
        !serde_json::to_string(&second.status).unwrap().contains("acme"),
        "the holder is not named"
    );
    assert_eq!(scene.meanwhile().await, []);

    scene.delete::<ManagerCredential>("acme").await;
    scene.ready::<ManagerCredential>("second").await;
    scene
        .assert_told_once::<ManagerCredential>("second", Reason::ManagerIDInUse)
        .await;
    scene.finish().await;
}

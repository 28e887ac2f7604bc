// SPDX-License-Identifier: Apache-2.0

//! Managers that may not or cannot be called.

use std::path::Path;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
    manager::values::Insecure,
};
use messaging_manager::{
    config::TlsFiles,
    credentials::NewCredential,
    faults::{Fault, Rule},
    server::Running,
};
use sandbox::{Credential, free_port};
use serde_json::json;

use crate::scene::{Scene, assert_not_ready, connection, manager_credential, manager_secret, web};

async fn provision(scene: &Scene, manager: &Running) -> Credential {
    let new = NewCredential::new(AuthenticationMethod::Jwt);
    let issued = manager.manager().credentials().create(new).await.unwrap();
    scene.secret_value(issued.manager_key.expose());
    Credential {
        manager_id: issued.manager_id,
        manager_key: issued.manager_key,
        method: issued.method,
    }
}

/// A certificate for `localhost` and `127.0.0.1` that only trusts itself, in files, and its text.
fn self_signed(folder: &Path) -> (TlsFiles, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let files = TlsFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_on_the_list_is_not_called() {
    let scene = Scene::with(|_| {}, |operator| operator.hosts.allowed = vec!["127.0.0.1".to_owned()]).await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply(manager_secret("acme", &credential)).await;
    let elsewhere = scene.manager_url().replace("127.0.0.1", "localhost");
    scene
        .apply(manager_credential("acme", &elsewhere, AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::HostNotAllowed, "--allowed-manager-hosts").await;
    assert_not_ready(&acme, Reason::HostNotAllowed);
    assert_eq!(scene.meanwhile().await, []);
    assert!(scene.journal.is_empty());

    // The host never changes in the life of a credential.
    scene.delete::<ManagerCredential>("acme").await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::HostNotAllowed)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    let scene = Scene::with(|_| {}, |operator| operator.hosts.private = false).await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply(manager_secret("acme", &credential)).await;
    let by_name = scene.manager_url().replace("127.0.0.1", "localhost");
    scene
        .apply(manager_credential("acme", &by_name, AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::HostNotAllowed, "--allow-private-hosts").await;
    assert_not_ready(&acme, Reason::HostNotAllowed);
    scene.meanwhile().await;
    assert!(scene.journal.is_empty());
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::HostNotAllowed)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_endpoint_is_refused_until_it_is_https() {
    let scene = Scene::with(|_| {}, |operator| operator.hosts.insecure = Insecure::Refused).await;
    let folder = tempfile::tempdir().unwrap();
    let (files, ca) = self_signed(folder.path());
    let manager = scene.start_manager("127.0.0.1:0", |config| config.tls = Some(files)).await;
    let credential = provision(&scene, &manager).await;
    let mut secret = manager_secret("acme", &credential);
    secret["stringData"]["ca.crt"] = json!(ca);
    scene.apply(secret).await;
    let http = format!("http://{}", manager.address());
    scene
        .apply(manager_credential("acme", &http, AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::InsecureEndpoint, "https").await;
    assert_not_ready(&acme, Reason::InsecureEndpoint);
    assert_eq!(scene.meanwhile().await, []);
    assert!(scene.journal.is_empty(), "no key goes over an open line");

    let https =
        json!({ "spec": { "manager": { "digitalMessaging": { "endpoint": format!("https://{}", manager.address()) } } } });
    scene.patch::<ManagerCredential>("acme", https).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::InsecureEndpoint)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_trusted_once_the_secret_does() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (files, ca) = self_signed(folder.path());
    let manager = scene.start_manager("127.0.0.1:0", |config| config.tls = Some(files)).await;
    let credential = provision(&scene, &manager).await;
    scene.apply(manager_secret("acme", &credential)).await;
    let url = manager.url().as_str().trim_end_matches('/');
    scene.apply(manager_credential("acme", url, AuthenticationMethod::Jwt)).await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::TLSFailed, "ca.crt").await;
    assert_not_ready(&acme, Reason::TLSFailed);
    assert!(scene.journal.is_empty());

    let mut trusting = manager_secret("acme", &credential);
    trusting["stringData"]["ca.crt"] = json!(ca);
    scene.apply(trusting).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.assert_told_once::<ManagerCredential>("acme", Reason::TLSFailed).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_certificate_that_is_none_is_told_by_its_key() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let mut secret = manager_secret("acme", &credential);
    secret["stringData"]["ca.crt"] = json!("rubbish");
    scene.apply(secret.clone()).await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene.trouble("acme", Reason::SecretKeyMissing, "ca.crt").await;
    assert_not_ready(&acme, Reason::SecretKeyMissing);
    assert!(scene.journal.is_empty());

    let folder = tempfile::tempdir().unwrap();
    secret["stringData"]["ca.crt"] = json!(self_signed(folder.path()).1);
    scene.apply(secret).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretKeyMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_is_not_there_yet_is_found_when_it_is() {
    let scene = Scene::new().await;
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let manager = scene.start_manager(&address, |_| {}).await;
    let credential = provision(&scene, &manager).await;
    manager.stop().await.unwrap();
    scene.apply(manager_secret("acme", &credential)).await;
    let url = format!("http://{address}");
    scene.apply(manager_credential("acme", &url, AuthenticationMethod::Jwt)).await;
    let acme: ManagerCredential = scene
        .trouble("acme", Reason::ManagerUnreachable, "cannot reach the manager")
        .await;
    assert_not_ready(&acme, Reason::ManagerUnreachable);

    let _manager = scene.start_manager(&address, |_| {}).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::ManagerUnreachable)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_one_condition_on_the_credential_and_not_one_on_everything() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    let before = scene.connections().get("web").await.unwrap();

    scene.faults.push(Rule::new(Fault::DropRequest));
    let since = jiff::Timestamp::now();
    let acme: ManagerCredential = scene
        .trouble("acme", Reason::ManagerUnreachable, "cannot reach the manager")
        .await;
    assert_not_ready(&acme, Reason::ManagerUnreachable);
    scene.apply(connection("late", "support", &web())).await;
    let late: ChannelConnection = scene.trouble("late", Reason::CredentialNotReady, "ManagerUnreachable").await;
    assert_not_ready(&late, Reason::CredentialNotReady);
    scene.assert_backs_off(|call| call.at > since).await;

    scene.faults.clear();
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<ChannelConnection>("late").await;
    scene.outputs("late").await;
    let after: ChannelConnection = scene.ready("web").await;
    assert_eq!(
        after.metadata.resource_version, before.metadata.resource_version,
        "nothing was written on what serves"
    );
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::ManagerUnreachable)
        .await;
    scene
        .assert_told_once::<ChannelConnection>("late", Reason::CredentialNotReady)
        .await;
    scene.finish().await;
}

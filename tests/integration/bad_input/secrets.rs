// SPDX-License-Identifier: Apache-2.0

//! Secrets that are not there, not meant for the operator, or incomplete.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, ManagerCredential},
    controller::reason::Reason,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::scene::{
    Scene, assert_not_ready, assert_serves, connection, labelled_secret, manager_credential, manager_secret, sms, web,
};

const NUMBER: &str = "+15550100001";

fn without_label(mut secret: Value) -> Value {
    secret["metadata"]["labels"] = json!({});
    secret
}

async fn let_read(scene: &Scene, name: &str) {
    let label = json!({ "metadata": { "labels": { "digitalmessaging.io/credentials": "true" } } });
    let patched = scene
        .secrets()
        .patch(name, &PatchParams::default(), &Patch::Merge(label))
        .await;
    patched.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_without_its_secret_waits_for_it() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene
        .trouble("acme", Reason::SecretNotFound, "create it with the label")
        .await;
    assert_not_ready(&acme, Reason::SecretNotFound);

    scene.apply(manager_secret("acme", &credential)).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretNotFound)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_the_label_is_not_read_and_the_message_is_the_command_that_sets_it() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply(without_label(manager_secret("acme", &credential))).await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let command = format!(
        "kubectl label secret --namespace {} acme digitalmessaging.io/credentials=true",
        scene.namespace
    );
    let acme: ManagerCredential = scene.trouble("acme", Reason::SecretNotLabelled, &command).await;
    assert_not_ready(&acme, Reason::SecretNotLabelled);
    assert!(scene.journal.is_empty(), "nothing to call the manager with");

    let_read(&scene, "acme").await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretNotLabelled)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_and_credential_applied_together_lead_to_no_trouble() {
    let scene = Scene::new().await;
    for n in 0..10 {
        let (name, credential) = (format!("acme-{n}"), scene.provision(AuthenticationMethod::Jwt).await);
        scene.apply(manager_secret(&name, &credential)).await;
        scene
            .apply(manager_credential(&name, scene.manager_url(), AuthenticationMethod::Jwt))
            .await;
        scene.ready::<ManagerCredential>(&name).await;
    }
    let events: kube::Api<k8s_openapi::api::events::v1::Event> = kube::Api::namespaced(scene.client.clone(), &scene.namespace);
    let told = events.list(&kube::api::ListParams::default()).await.unwrap().items;
    assert!(
        told.iter()
            .all(|event| event.regarding.as_ref().unwrap().kind.as_deref() != Some("ManagerCredential")),
        "{told:#?}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_a_key_is_told_which() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene
        .apply(labelled_secret("acme", &json!({ "managerId": credential.manager_id })))
        .await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let acme: ManagerCredential = scene
        .trouble(
            "acme",
            Reason::SecretKeyMissing,
            "Secret acme has no value under key managerKey",
        )
        .await;
    assert_not_ready(&acme, Reason::SecretKeyMissing);
    assert!(scene.journal.is_empty());

    scene.apply(manager_secret("acme", &credential)).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretKeyMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_id_that_cannot_be_sent_is_refused_without_a_call() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let key = credential.manager_key.expose();
    scene
        .apply(labelled_secret(
            "acme",
            &json!({ "managerId": "two words", "managerKey": key }),
        ))
        .await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    scene
        .trouble::<ManagerCredential>("acme", Reason::SecretKeyMissing, "key managerId of Secret acme")
        .await;
    assert!(scene.journal.is_empty());

    scene.apply(manager_secret("acme", &credential)).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretKeyMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_client_certificate_is_told_the_other_half() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let mut half = manager_secret("acme", &credential);
    half["stringData"]["tls.crt"] = json!("-----BEGIN CERTIFICATE-----");
    scene.apply(half).await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    scene
        .trouble::<ManagerCredential>("acme", Reason::SecretKeyMissing, "tls.key")
        .await;

    scene.apply(manager_secret("acme", &credential)).await;
    // Server-side apply takes away what `stringData` gave only in part: the key itself has to go.
    let gone = Patch::Merge(json!({ "data": { "tls.crt": null } }));
    scene.secrets().patch("acme", &PatchParams::default(), &gone).await.unwrap();
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretKeyMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_deleted_while_in_use_does_not_end_what_its_key_serves() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    let acme: ManagerCredential = scene.trouble("acme", Reason::SecretNotFound, "there is no Secret acme").await;
    assert_serves(&acme);
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    assert_eq!(scene.meanwhile().await, []);

    let mark = scene.journal.len();
    scene.apply(manager_secret("acme", account.credential())).await;
    scene.ready::<ManagerCredential>("acme").await;
    assert!(
        scene
            .manager_calls(mark)
            .iter()
            .all(messaging_manager::journal::Entry::is_change_feed),
        "the same key need not be proven again"
    );
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::SecretNotFound)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_without_its_secret_waits_for_it_alone() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    let text: ChannelConnection = scene
        .trouble("text", Reason::SecretNotFound, "there is no Secret twilio")
        .await;
    assert_not_ready(&text, Reason::SecretNotFound);
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);

    let token = scene.new_secret_value();
    scene.apply(labelled_secret("twilio", &json!({ "authToken": token }))).await;
    scene.ready::<ChannelConnection>("text").await;
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::SecretNotFound)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_secret_without_the_label_is_not_read() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let token = scene.new_secret_value();
    scene
        .apply(without_label(labelled_secret("twilio", &json!({ "authToken": token }))))
        .await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    let text: ChannelConnection = scene.trouble("text", Reason::SecretNotLabelled, "kubectl label secret").await;
    assert_not_ready(&text, Reason::SecretNotLabelled);
    assert_eq!(scene.meanwhile().await, []);

    let_read(&scene, "twilio").await;
    scene.ready::<ChannelConnection>("text").await;
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::SecretNotLabelled)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_secret_without_a_key_is_told_which() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let token = scene.new_secret_value();
    scene.apply(labelled_secret("twilio", &json!({ "token": token }))).await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    scene
        .trouble::<ChannelConnection>(
            "text",
            Reason::SecretKeyMissing,
            "Secret twilio has no value under key authToken",
        )
        .await;
    assert_eq!(scene.meanwhile().await, []);

    scene.apply(labelled_secret("twilio", &json!({ "authToken": token }))).await;
    scene.ready::<ChannelConnection>("text").await;
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::SecretKeyMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_secret_deleted_while_in_use_is_told_and_the_same_one_is_not_sent_again() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let twilio = labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() }));
    scene.apply(twilio.clone()).await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    scene.ready::<ChannelConnection>("text").await;

    let mark = scene.journal.len();
    scene.secrets().delete("twilio", &DeleteParams::default()).await.unwrap();
    let text: ChannelConnection = scene
        .trouble("text", Reason::SecretNotFound, "there is no Secret twilio")
        .await;
    assert_serves(&text);

    scene.apply(twilio).await;
    scene.ready::<ChannelConnection>("text").await;
    assert!(
        scene
            .manager_calls(mark)
            .iter()
            .all(messaging_manager::journal::Entry::is_change_feed)
    );
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::SecretNotFound)
        .await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! A Secret that did not opt in is not read, whichever way someone points at it.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use http::StatusCode;
use k8s_openapi::ByteString;
use serde_json::json;

use super::intruder::{EvilManager, Intruder, Rights, Trap, problem};
use crate::scene::{Scene, connection, facebook, labelled_secret, manager_credential, manager_secret, sms, web};

/// Every key that the operator reads of any Secret, with this value.
fn every_key(value: &str) -> serde_json::Value {
    let keys = [
        "managerId",
        "managerKey",
        "ca.crt",
        "tls.crt",
        "tls.key",
        "authToken",
        "pageAccessToken",
        "appId",
        "appSecret",
        "apiSecret",
        "accessToken",
        "consumerKey",
        "consumerSecret",
        "accessTokenSecret",
    ];
    keys.iter()
        .map(|key| ((*key).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_did_not_opt_in_is_not_read_through_any_reference() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let value = scene.new_secret_value();
    let mut payroll = labelled_secret("payroll", &every_key(&value));
    payroll["metadata"]["labels"] = json!({ "digitalmessaging.io/credentials": "yes" });
    scene.apply(payroll).await;
    let before = scene.secrets().get("payroll").await.unwrap();

    let intruder = Intruder::new(&scene, Rights::default()).await;
    let trap = Trap::at("127.0.0.1:0").await;
    let mut thief = manager_credential("thief", &format!("http://{}", trap.address), AuthenticationMethod::ApiKey);
    // The key that the operator keeps is not to be had either.
    let mut second = thief.clone();
    second["metadata"]["name"] = json!("second");
    thief["spec"]["authentication"]["secretRef"]["name"] = json!("payroll");
    second["spec"]["authentication"]["secretRef"]["name"] = json!("acme-proven");
    let mut conflicting = connection("conflicting", "support", &web());
    conflicting["spec"]["outputs"] = json!({ "secret": { "name": "payroll" } });
    intruder
        .create_all([
            thief,
            second,
            connection("text", "support", &sms("+15550100001", "payroll")),
            connection("page", "support", &facebook("100000000000001", "payroll")),
            connection("proven", "support", &sms("+15550100002", "acme-proven")),
            conflicting,
        ])
        .await;
    for name in ["thief", "second"] {
        scene
            .trouble::<ManagerCredential>(name, Reason::SecretNotLabelled, "kubectl label")
            .await;
    }
    for name in ["text", "page", "proven"] {
        scene
            .trouble::<ChannelConnection>(name, Reason::SecretNotLabelled, "kubectl label")
            .await;
    }
    scene
        .trouble::<ChannelConnection>("conflicting", Reason::OutputConflict, "payroll")
        .await;
    assert_eq!(trap.calls(), 0);
    let after = scene.secrets().get("payroll").await.unwrap();
    assert_eq!(after, before, "it is as it was");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_opted_in_is_not_repeated_when_it_makes_no_sense_as_certificate_or_key() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    for (name, keys) in [("ca", vec!["ca.crt"]), ("client", vec!["tls.crt", "tls.key"])] {
        let mut secret = manager_secret(name, &credential);
        for key in &keys {
            secret["stringData"][key] = json!(format!("-----BEGIN {}-----", scene.new_secret_value()));
        }
        scene.apply(secret).await;
        intruder
            .create(manager_credential(name, scene.manager_url(), AuthenticationMethod::Jwt))
            .await
            .unwrap();
        scene
            .trouble::<ManagerCredential>(name, Reason::SecretKeyMissing, keys[0])
            .await;
    }
    assert!(scene.journal.is_empty());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_repeats_the_key_in_its_refusal_does_not_get_it_into_a_status() {
    let scene = Scene::new().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let echo = EvilManager::start(async |request: axum::extract::Request| {
        let given = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let padding = "x".repeat(480);
        // So long that it would be cut in the middle of the key.
        problem(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            &format!("no {padding} {}", given.unwrap_or_default()),
        )
    })
    .await;
    let key = scene.new_secret_value();
    let mut apart = 0;
    for method in [AuthenticationMethod::ApiKey, AuthenticationMethod::Jwt] {
        let name = format!("echo-{}", method.as_str().to_lowercase());
        scene
            .apply(labelled_secret(&name, &json!({ "managerId": "mgr", "managerKey": key })))
            .await;
        intruder.create(manager_credential(&name, &echo.url, method)).await.unwrap();
        let object: ManagerCredential = scene.trouble(&name, Reason::InvalidCredentials, "no xxx").await;
        let status = serde_json::to_string(&object.status).unwrap();
        assert!(!status.contains("confidential-") && !status.contains("eyJ"), "{status}");
        apart += usize::from(status.contains("[secret]"));
    }
    assert!(apart > 0, "the refusal was shown, without the key");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_hold_what_the_manager_generated_and_nothing_of_any_input() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let token = scene.new_secret_value();
    scene.apply(labelled_secret("twilio", &json!({ "authToken": token }))).await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    intruder
        .create(connection("text", "support", &sms("+15550100001", "twilio")))
        .await
        .unwrap();
    scene.ready::<ChannelConnection>("text").await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    let made = scene.secrets().get("text-connection").await.unwrap().data.unwrap_or_default();
    assert!(
        made.values()
            .all(|ByteString(value)| !String::from_utf8_lossy(value).contains(&token))
    );
    scene.finish().await;
}

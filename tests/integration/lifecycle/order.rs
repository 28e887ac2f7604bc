// SPDX-License-Identifier: Apache-2.0

//! References may be applied in any order: everybody waits for exactly what is missing, says so, and goes on by itself.

use std::collections::{BTreeMap, BTreeSet};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use futures::future::join_all;
use serde_json::json;

use super::permutations;
use crate::scene::{Scene, connection, interface, labelled_secret, manager_credential, manager_secret, sms, web};

const SECRET: &str = "Secret";
const CREDENTIAL: &str = "ManagerCredential";
const INTERFACE: &str = "DigitalMessagingInterface";
const CONNECTION: &str = "ChannelConnection";

#[tokio::test(flavor = "multi_thread")]
async fn all_orders_of_apply_converge_and_say_at_each_stage_what_is_missing() {
    let scene = Scene::new().await;
    scene.wait_until_leading().await;
    let orders = permutations(&[SECRET, CREDENTIAL, INTERFACE, CONNECTION]);
    let mark = scene.audit_mark();
    join_all(
        orders
            .iter()
            .enumerate()
            .map(|(number, order)| apply_in_order(&scene, number, order)),
    )
    .await;
    scene.time_passes(3).await;

    // Nobody is told more than once per stage, and what comes of two things that happen at once is at most one more.
    let mut counts = BTreeMap::new();
    for (number, order) in orders.iter().enumerate() {
        let writes = scene.writes_to(&[name(number).as_str()], mark);
        for (kind, most) in [
            ("managercredentials", 2),
            ("digitalmessaginginterfaces", 5),
            ("channelconnections", 5),
        ] {
            let count = writes.iter().filter(|write| write.contains(kind)).count();
            let highest: &mut usize = counts.entry(kind).or_default();
            *highest = count.max(*highest);
            assert!(count <= most, "{count} writes of {kind} in order {order:?}: {writes:#?}");
        }
    }
    eprintln!(
        "status writes of one object in {} orders of apply, at most: {counts:?}",
        orders.len()
    );
    scene.finish().await;
}

fn name(number: usize) -> String {
    format!("set-{number}")
}

async fn apply_in_order(scene: &Scene, number: usize, order: &[&str]) {
    let name = name(number);
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let mut there = BTreeSet::new();
    for kind in order {
        scene
            .apply(match *kind {
                SECRET => manager_secret(&name, &credential),
                CREDENTIAL => manager_credential(&name, scene.manager_url(), AuthenticationMethod::Jwt),
                INTERFACE => interface(&name, &name),
                _ => connection(&name, &name, &web()),
            })
            .await;
        there.insert(*kind);
        expect_reasons(scene, &name, &there).await;
    }
}

/// What everybody says who is there.
async fn expect_reasons(scene: &Scene, name: &str, there: &BTreeSet<&str>) {
    let has = |kind| there.contains(kind);
    if has(CREDENTIAL) {
        if has(SECRET) {
            scene.ready::<ManagerCredential>(name).await;
        } else {
            scene
                .condition::<ManagerCredential>(name, "Ready", "False", "SecretNotFound")
                .await;
        }
    }
    if has(INTERFACE) {
        let reason = match (has(CREDENTIAL), has(SECRET)) {
            (true, true) => None,
            (true, false) => Some("CredentialNotReady"),
            (false, _) => Some("CredentialNotFound"),
        };
        match reason {
            None => drop(scene.ready::<DigitalMessagingInterface>(name).await),
            Some(reason) => drop(
                scene
                    .condition::<DigitalMessagingInterface>(name, "Ready", "False", reason)
                    .await,
            ),
        }
    }
    if has(CONNECTION) {
        let reason = match (has(INTERFACE), has(CREDENTIAL), has(SECRET)) {
            (true, true, true) => None,
            (true, true, false) => Some("CredentialNotReady"),
            (true, false, _) => Some("InterfaceNotReady"),
            (false, ..) => Some("InterfaceNotFound"),
        };
        match reason {
            None => drop(scene.ready::<ChannelConnection>(name).await),
            Some(reason) => drop(scene.condition::<ChannelConnection>(name, "Ready", "False", reason).await),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_waits_for_its_secret_its_label_and_its_keys() {
    let scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let mark = scene.audit_mark();
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    let (_, missing) = scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "SecretNotFound")
        .await;
    assert!(missing.message.contains("acme"), "{missing}");

    let mut secret = labelled_secret("acme", &json!({ "managerId": credential.manager_id }));
    let labels = secret["metadata"]["labels"].take();
    scene.apply(secret.clone()).await;
    // What is not labelled is not watched, so it takes something else to be looked at again.
    scene
        .annotate::<ManagerCredential>("acme", "digitalmessaging.io/retry", "1")
        .await;
    let (_, unlabelled) = scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "SecretNotLabelled")
        .await;
    assert!(unlabelled.message.contains("kubectl label secret"), "{unlabelled}");

    secret["metadata"]["labels"] = labels;
    scene.apply(secret).await;
    let (_, incomplete) = scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "SecretKeyMissing")
        .await;
    assert!(incomplete.message.contains("managerKey"), "{incomplete}");

    scene.apply(manager_secret("acme", &credential)).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.time_passes(3).await;
    let statuses = scene.writes_to(&["acme"], mark);
    assert!(statuses.len() <= 5, "{statuses:?}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_waits_for_its_secret_its_label_and_its_keys() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let (mark, calls) = (scene.audit_mark(), scene.journal.len());
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "twilio")))
        .await;
    scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "SecretNotFound")
        .await;

    let mut secret = labelled_secret("twilio", &json!({ "other": "value" }));
    let labels = secret["metadata"]["labels"].take();
    scene.apply(secret.clone()).await;
    scene
        .annotate::<ChannelConnection>("sms", "digitalmessaging.io/retry", "1")
        .await;
    scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "SecretNotLabelled")
        .await;

    secret["metadata"]["labels"] = labels;
    scene.apply(secret).await;
    let (_, incomplete) = scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "SecretKeyMissing")
        .await;
    assert!(incomplete.message.contains("authToken"), "{incomplete}");
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene
        .apply(labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() })))
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    assert_eq!(scene.manager_writes(calls), ["POST /v1/connections"]);
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.time_passes(3).await;
    let statuses = scene.writes_to(&["sms"], mark);
    assert!(statuses.len() <= 5, "{statuses:?}");
    scene.finish().await;
}

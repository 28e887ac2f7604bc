// SPDX-License-Identifier: Apache-2.0

//! Two installations of one name, as after a cluster was restored from a backup while the old one still runs: each has its
//! own Lease, so both lead, and only the manager can tell.

use digital_messaging_contract::{account::AuthenticationMethod, header};
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use http::Method;
use sandbox::Credential;
use serde_json::json;

use crate::scene::{Scene, connection, interface, web};

/// Has another operator of the same installation write in the term after the present one.
async fn another_writes(scene: &Scene, credential: &Credential) {
    let entries = scene.journal.entries();
    let fence = entries.iter().find_map(|entry| entry.operator_epoch.clone()).unwrap();
    let (installation, epoch) = fence.split_once('/').unwrap();
    let later = epoch.parse::<u64>().unwrap() + 1;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(format!("{}/v1/interfaces", scene.manager_url()))
        .header(header::MANAGER_ID, &credential.manager_id)
        .header("authorization", format!("ApiKey {}", credential.manager_key.expose()))
        .header(header::OPERATOR_EPOCH, format!("{installation}/{later}"))
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    // The term counts, whatever becomes of the write.
    assert_eq!(answer.status(), 422);
}

fn refused(scene: &Scene) -> usize {
    scene.journal.count(|call| call.status == Some(412))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_whose_installation_writes_elsewhere_too_says_so_and_stops_trying() {
    let mut scene = Scene::new().await;
    let credential = scene.provision(AuthenticationMethod::ApiKey).await;
    scene.apply_credential(&credential, AuthenticationMethod::ApiKey).await;
    scene.apply(interface("support", "acme")).await;
    for name in ["one", "two"] {
        scene.apply(connection(name, "support", &web())).await;
        scene.ready::<ChannelConnection>(name).await;
    }
    another_writes(&scene, &credential).await;

    let rename = json!({ "spec": { "displayName": "Another name" } });
    scene.patch::<ChannelConnection>("one", rename.clone()).await;
    let told = scene
        .trouble::<ManagerCredential>("acme", Reason::Superseded, "--installation")
        .await;
    crate::scene::assert_serves(&told);
    scene.assert_told_once::<ManagerCredential>("acme", Reason::Superseded).await;
    let waiting = Reason::CredentialNotReady;
    let one = scene.trouble::<ChannelConnection>("one", waiting, "Superseded").await;
    crate::scene::assert_serves(&one);
    assert_eq!(refused(&scene), 1);

    scene.patch::<ChannelConnection>("two", rename.clone()).await;
    scene.patch::<DigitalMessagingInterface>("support", rename).await;
    scene.trouble::<ChannelConnection>("two", waiting, "Superseded").await;
    scene
        .trouble::<DigitalMessagingInterface>("support", waiting, "Superseded")
        .await;
    let calls = scene.meanwhile().await;
    assert!(calls.iter().all(|call| call.method == Method::GET), "{calls:?}");
    assert_eq!(refused(&scene), 1, "it does not try again");

    // The other one is gone, and this one begins a new term.
    scene.restart_operator().await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    for name in ["one", "two"] {
        scene.ready::<ChannelConnection>(name).await;
    }
    scene.finish().await;
}

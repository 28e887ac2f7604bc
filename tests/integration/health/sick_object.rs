// SPDX-License-Identifier: Apache-2.0

//! One object whose calls fail says something about itself, not about its account.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::{
    api::{ChannelConnection, ManagerCredential, manager_credential::Breaker},
    controller::reason::Reason,
};
use messaging_manager::faults::{Fault, Rule};
use serde_json::json;

use crate::scene::{Scene, connection, expect, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_alone_leaves_the_account_and_the_others_alone() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("sick", "support", &web())).await;
    scene.ready::<ChannelConnection>("sick").await;
    scene.outputs("sick").await;
    let path = format!("/v1/connections/{}", scene.connection_id("sick").await);
    scene.faults.push(Rule::new(Fault::Problem(Code::Internal, None)).path(&path));
    let writes = scene.audit_mark();
    scene
        .patch::<ChannelConnection>("sick", json!({ "spec": { "displayName": "Fever" } }))
        .await;
    scene
        .trouble::<ChannelConnection>("sick", Reason::ManagerUnavailable, "injected")
        .await;
    scene
        .assert_backs_off(|call| call.path == path && call.is_write() && call.status == Some(500))
        .await;

    let credential: ManagerCredential = scene.credentials().get("acme").await.unwrap();
    expect(&credential, "Ready", "True", "Ready").unwrap();
    assert_eq!(scene.reachability("acme").await.breaker, Breaker::Closed);
    assert_eq!(scene.writes_to(&["acme"], writes), Vec::<String>::new());
    scene.apply(connection("sound", "support", &web())).await;
    scene.ready::<ChannelConnection>("sound").await;
    scene.outputs("sound").await;

    scene.faults.clear();
    scene.ready::<ChannelConnection>("sick").await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! What the operator acts on may change under its hands. If it does each time, somebody is told.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::{
    api::{ChannelConnection, annotation},
    controller::reason::Reason,
};
use http::Method;
use kube::api::DeleteParams;
use messaging_manager::faults::{Fault, Rule};
use serde_json::json;

use crate::scene::{Scene, connection, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_lists_what_it_then_does_not_find_is_told_and_called_ever_more_slowly() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene
        .faults
        .push(Rule::new(Fault::Problem(Code::NotFound, None)).method(Method::PATCH));
    let calls = scene.journal.len();
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "displayName": "Lost" } }))
        .await;
    scene
        .trouble::<ChannelConnection>("web", Reason::NeverSettles, "contradict each other")
        .await;
    let tried = scene.manager_writes(calls).len();
    assert!((8..=9).contains(&tried), "{tried} tries");
    scene.time_passes(4).await;
    assert!(scene.manager_writes(calls).len() <= tried + 1, "it does not go on as quickly");

    scene.faults.clear();
    scene.annotate::<ChannelConnection>("web", annotation::RETRY, "now").await;
    scene.ready::<ChannelConnection>("web").await;
    scene.assert_told_once::<ChannelConnection>("web", Reason::NeverSettles).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_never_found_although_its_connection_is_listed_is_told_as_well() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let outputs = scene.outputs("web").await;
    let secret = Rule::new(Fault::Problem(Code::NotFound, None)).path_end("/jwt-secret");
    scene.faults.push(secret.method(Method::GET));
    scene
        .secrets()
        .delete("web-connection", &DeleteParams::default())
        .await
        .unwrap();
    scene
        .trouble::<ChannelConnection>("web", Reason::NeverSettles, "contradict each other")
        .await;

    scene.faults.clear();
    scene.annotate::<ChannelConnection>("web", annotation::RETRY, "now").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.outputs("web").await, outputs);
    scene.finish().await;
}

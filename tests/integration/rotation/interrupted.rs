// SPDX-License-Identifier: Apache-2.0

//! What was done at the manager is remembered even if handing out what it generated is interrupted.

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::api::ChannelConnection;
use messaging_manager::faults::{Fault, Rule};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_remembered_while_publishing_starts_over_and_over() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let id = scene.ready_web().await;
    let applied = |object: &ChannelConnection| object.status.clone().unwrap().last_applied.unwrap().hash;
    let before = applied(&scene.connections().get("web").await.unwrap());
    let calls = scene.journal.len();
    // As if the connection went away between the change and the look at its secret: everything starts over.
    scene
        .faults
        .push(Rule::new(Fault::Problem(Code::NotFound, None)).path_end("/jwt-secret"));
    let patch = json!({ "spec": {
        "outputs": { "secret": { "name": "elsewhere" } },
        "channel": { "webMessaging": { "primaryColor": "#111111" } },
    } });
    scene.patch::<ChannelConnection>("web", patch).await;
    scene
        .eventually("the change is remembered", async || {
            let object = scene.connections().get("web").await.map_err(|error| error.to_string())?;
            if applied(&object) == before {
                Err("not yet".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    assert!(scene.secret("elsewhere").await.is_none());

    scene.faults.clear();
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    assert_eq!(scene.outputs_of_secret("elsewhere").await["connectionId"], id);
    scene.finish().await;
}

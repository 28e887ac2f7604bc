// SPDX-License-Identifier: Apache-2.0

//! The Secret with the outputs is kept as it should be.

use digital_messaging_operator::api::ChannelConnection;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::scene::{Scene, connection, web, with_deletion};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_outputs_are_made_again_with_the_same_content() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let (outputs, before) = (scene.outputs("web").await, scene.secret("web-connection").await.unwrap());

    let calls = scene.journal.len();
    scene
        .secrets()
        .delete("web-connection", &DeleteParams::default())
        .await
        .unwrap();
    let again = scene
        .eventually("they are there again", async || {
            scene.secret("web-connection").await.ok_or("no Secret")
        })
        .await;
    assert_ne!(again.uid(), before.uid());
    assert_eq!((again.annotations(), again.labels()), (before.annotations(), before.labels()));
    assert_eq!(scene.outputs("web").await, outputs);
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_outputs_are_put_right() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let outputs = scene.outputs("web").await;

    scene.counted(1).await;
    let mark = scene.audit_mark();
    let edit =
        json!({ "stringData": { "widgetId": "edited", "jwtSecret": null, "more": "things" }, "data": { "scriptUrl": null } });
    scene
        .secrets()
        .patch("web-connection", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    scene
        .eventually("they are as they were", async || {
            let found = scene.outputs_of_secret("web-connection").await;
            if found == outputs {
                Ok(())
            } else {
                Err(format!("keys {:?}", found.keys()))
            }
        })
        .await;
    scene.time_passes(3).await;
    let writes: Vec<_> = scene.operator_writes(mark).iter().map(super::written).collect();
    // It tries to create them first.
    assert_eq!(writes, ["create secrets web-connection", "update secrets web-connection"]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_get_another_name_are_there_under_that_name() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    let outputs = scene.outputs("web").await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "outputs": { "secret": { "name": "widget" } } } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.outputs_of_secret("widget").await, outputs);
    assert_eq!(
        scene
            .connections()
            .get("web")
            .await
            .unwrap()
            .status
            .unwrap()
            .outputs
            .unwrap()
            .secret_name,
        "widget"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_under_another_name_leave_the_former_ones_to_their_readers_until_the_connection_is_deleted() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let outputs = scene.outputs("web").await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "outputs": { "secret": { "name": "moved" } } } }))
        .await;
    scene
        .eventually("they are there", async || scene.secret("moved").await.ok_or("no Secret"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.outputs_of_secret("moved").await, outputs);
    assert_eq!(scene.outputs_of_secret("web-connection").await, outputs);
    scene
        .eventually("an event tells of the former Secret", async || {
            let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.namespace);
            let told = events
                .list(&ListParams::default())
                .await
                .map_err(|error| error.to_string())?
                .items;
            let is_it = |event: &Event| {
                event.reason.as_deref() == Some("OutputsMoved")
                    && event.note.as_ref().is_some_and(|it| it.contains("web-connection"))
            };
            told.iter().find(|event| is_it(event)).map(drop).ok_or(format!("{told:?}"))
        })
        .await;

    scene.delete::<ChannelConnection>("web").await;
    assert!(scene.secret("moved").await.is_none() && scene.secret("web-connection").await.is_none());
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! The shortest way from three resources to a channel that serves.

use digital_messaging_operator::api::ChannelConnection;

use crate::scene::{Scene, connection, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_web_chat_is_ready_and_hands_out_what_a_site_needs() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.ready("web").await;

    let held = account.connections().await.unwrap();
    assert_eq!(held.len(), 1);
    let status = web.status.unwrap();
    assert_eq!(status.id.as_deref(), Some(held[0].id.as_str()));

    let outputs = scene.outputs("web").await;
    let keys: Vec<_> = outputs.keys().map(String::as_str).collect();
    assert_eq!(keys, ["connectionId", "jwtSecret", "scriptUrl", "widgetId"]);
    assert_eq!(outputs["connectionId"], held[0].id);
    assert_eq!(outputs["widgetId"], held[0].widget.as_ref().unwrap().id);
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! The proven key is there for as long as clean-up may need it.

use digital_messaging_operator::api::{ChannelConnection, FINALIZER};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

use super::scene;
use crate::scene::{connection, web};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_kept_also_if_the_secret_was_gone_before_anything_had_to_be_cleaned_up() {
    let mut scene = scene().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    scene.restart_operator().await;
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "deletion": "Delete" } } }))
        .await;
    scene
        .eventually("the connection is protected", async || {
            if scene.is_protected::<ChannelConnection>("web").await {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
    let proven = scene.secret("acme-proven").await.unwrap();
    assert!(
        proven.finalizers().iter().any(|it| it == FINALIZER),
        "protected after its connection: a deletion in between would take it away"
    );

    scene.stop_operator().await;
    scene.delete_namespace().await;
    scene
        .eventually("the proven key is being deleted", async || {
            let secret = scene.secret("acme-proven").await.ok_or("it is gone")?;
            secret.metadata.deletion_timestamp.map(|_| ()).ok_or("not yet")
        })
        .await;
    scene.start_operator().await;
    scene.namespace_gone().await;
    assert!(account.connections().await.unwrap().is_empty());
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! A terminating namespace refuses creation: nothing to do, and no trouble.

use digital_messaging_operator::api::ChannelConnection;
use kube::api::DeleteParams;
use sandbox::wait_for;

use super::scene_on;
use crate::scene::{DEADLINE, assert_serves, connection, web};

/// Without a namespace controller the namespace stays in between for as long as the test likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_refuses_outputs_once_and_nobody_minds() {
    let scene = scene_on(sandbox::shared().await).await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    let before = scene.ready::<ChannelConnection>("web").await;
    scene.counted(1).await;
    scene.delete_namespace().await;

    let (calls, writes) = (scene.journal.len(), scene.audit_mark());
    scene
        .secrets()
        .delete("web-connection", &DeleteParams::default())
        .await
        .unwrap();
    wait_for("the operator tries to put the outputs back", DEADLINE, async || {
        if scene.operator_writes(writes).is_empty() {
            Err("not yet")
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    scene.time_passes(6).await;

    let tried: Vec<_> = scene
        .operator_writes(writes)
        .into_iter()
        .map(|write| (write.verb, write.resource, write.subresource, write.code))
        .collect();
    assert_eq!(
        tried,
        [("create".to_owned(), "secrets".to_owned(), String::new(), 403)],
        "one attempt, and no status, event or anything else"
    );
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    let after = scene.connections().get("web").await.unwrap();
    assert_serves(&after);
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.finish().await;
}

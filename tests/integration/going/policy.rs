// SPDX-License-Identifier: Apache-2.0

//! `policy.deletion` switched just before, or during, the deletion.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use messaging_manager::faults::{Fault, Rule};
use serde_json::json;

use super::{held, scene};
use crate::scene::{connection, web, with_deletion};

#[tokio::test(flavor = "multi_thread")]
async fn delete_that_turns_to_orphan_right_before_leaves_everything() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 5).await;
    let calls = scene.journal.len();
    for number in 0..5 {
        let name = format!("web-{number}");
        scene
            .patch::<ChannelConnection>(&name, json!({ "spec": { "policy": { "deletion": "Orphan" } } }))
            .await;
        scene.ask_to_delete::<ChannelConnection>(&name).await;
    }
    for number in 0..5 {
        scene.gone::<ChannelConnection>(&format!("web-{number}")).await;
        assert!(scene.secret(&format!("web-{number}-connection")).await.is_some());
    }
    assert_eq!(held(&account).await, (1, 5));
    let writes = scene.manager_writes(calls);
    assert!(
        writes.iter().all(|write| write.starts_with("PATCH")),
        "more than letting go: {writes:?}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_that_turns_to_orphan_while_the_manager_is_away_lets_everything_go() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;
    scene.faults.push(Rule::new(Fault::DropRequest));
    scene.delete_namespace().await;
    scene.says_why_it_stays::<ChannelConnection>("web-0").await;
    scene.says_why_it_stays::<ManagerCredential>("acme").await;

    // Once for all that inherit it, and for the one that says it itself.
    scene
        .patch::<ManagerCredential>(
            "acme",
            json!({ "spec": { "defaults": { "policy": { "deletion": "Orphan" } } } }),
        )
        .await;
    scene.gone::<ChannelConnection>("web-0").await;
    scene.gone::<ChannelConnection>("web-1").await;
    scene
        .patch::<DigitalMessagingInterface>("support", json!({ "spec": { "policy": { "deletion": "Orphan" } } }))
        .await;
    scene.namespace_gone().await;
    scene.faults.clear();
    assert_eq!(held(&account).await, (1, 2));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_wants_to_be_cleaned_up_does_not_wait_for_the_approval_of_its_interface() {
    let scene = scene().await;
    let account = scene.ready_set("Orphan", 1).await;
    scene
        .patch::<DigitalMessagingInterface>(
            "support",
            json!({ "spec": { "policy": { "approval": "Required" }, "displayName": "Waits for somebody" } }),
        )
        .await;
    scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "AwaitingApproval")
        .await;
    scene
        .apply(with_deletion(connection("late", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("late").await;
    scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "AwaitingApproval")
        .await;
    scene.delete::<ChannelConnection>("late").await;
    assert_eq!(held(&account).await, (1, 1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_up_is_protected_all_the_same_once_it_is_to_be_deleted_at_the_manager() {
    let scene = scene().await;
    let account = scene.ready_set("Orphan", 1).await;
    // A parent that is suspended, and a connection whose spec makes no sense.
    scene
        .patch::<DigitalMessagingInterface>("support", json!({ "spec": { "suspend": true } }))
        .await;
    scene
        .apply(with_deletion(connection("late", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("late").await;
    scene
        .patch::<ChannelConnection>(
            "web-0",
            json!({ "spec": { "suspend": true, "policy": { "deletion": "Delete" } } }),
        )
        .await;
    scene
        .eventually("web-0 is protected", async || {
            if scene.is_protected::<ChannelConnection>("web-0").await {
                Ok(())
            } else {
                Err("it is not")
            }
        })
        .await;
    scene.delete::<ChannelConnection>("web-0").await;
    scene.delete::<ChannelConnection>("late").await;
    assert_eq!(held(&account).await, (1, 0));
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! A new object of the same name, right after the old one.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};

use super::{held, scene};
use crate::scene::{connection, interface, web, with_deletion};

#[tokio::test(flavor = "multi_thread")]
async fn after_delete_it_is_a_new_one_with_outputs_of_its_own_every_time() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 1).await;
    for _ in 0..4 {
        let (id, outputs) = (scene.connection_id("web-0").await, scene.outputs("web-0").await);
        scene.delete::<ChannelConnection>("web-0").await;
        scene.apply(connection("web-0", "support", &web())).await;
        scene.ready::<ChannelConnection>("web-0").await;
        let (new_id, new_outputs) = (scene.connection_id("web-0").await, scene.outputs("web-0").await);
        assert_ne!(new_id, id);
        assert_eq!(new_outputs["connectionId"], new_id);
        assert_ne!(new_outputs["jwtSecret"], outputs["jwtSecret"]);
        assert_eq!(held(&account).await, (1, 1));
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_of_the_same_names_right_after_is_whole_again() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;
    for name in ["web-0", "web-1"] {
        scene.ask_to_delete::<ChannelConnection>(name).await;
    }
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    scene.ask_to_delete::<ManagerCredential>("acme").await;
    scene.gone::<ManagerCredential>("acme").await;

    scene
        .apply_credential(account.credential(), account.credential().method)
        .await;
    scene.apply(with_deletion(interface("support", "acme"), "Delete")).await;
    for name in ["web-0", "web-1"] {
        scene
            .apply(with_deletion(connection(name, "support", &web()), "Delete"))
            .await;
    }
    scene.all_ready("acme", "support", "web-0").await;
    scene.ready::<ChannelConnection>("web-1").await;
    assert_eq!(held(&account).await, (1, 2));
    scene.delete_namespace().await;
    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

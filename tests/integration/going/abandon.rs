// SPDX-License-Identifier: Apache-2.0

//! `abandon`, when the manager is gone for good.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation};
use messaging_manager::faults::{Fault, Rule};

use super::scene;

#[tokio::test(flavor = "multi_thread")]
async fn it_lets_go_of_exactly_the_object_that_carries_it() {
    let mut scene = scene().await;
    scene.ready_set("Delete", 2).await;
    scene.faults.push(Rule::new(Fault::DropRequest));
    scene.delete_namespace().await;
    scene.says_why_it_stays::<ChannelConnection>("web-1").await;
    scene.says_why_it_stays::<ManagerCredential>("acme").await;

    // A credential holds nothing at the manager: it goes with its dependants and not before.
    scene.annotate::<ManagerCredential>("acme", annotation::ABANDON, "true").await;
    scene
        .annotate::<ChannelConnection>("web-0", annotation::ABANDON, "true")
        .await;
    scene.gone::<ChannelConnection>("web-0").await;
    scene.restart_operator().await;
    scene.wait_until_leading().await;
    scene.time_passes(3).await;
    scene.says_why_it_stays::<ChannelConnection>("web-1").await;
    scene.says_why_it_stays::<DigitalMessagingInterface>("support").await;
    scene.says_why_it_stays::<ManagerCredential>("acme").await;

    scene
        .annotate::<ChannelConnection>("web-1", annotation::ABANDON, "true")
        .await;
    scene.gone::<ChannelConnection>("web-1").await;
    scene.says_why_it_stays::<DigitalMessagingInterface>("support").await;
    scene
        .annotate::<DigitalMessagingInterface>("support", annotation::ABANDON, "true")
        .await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    scene.namespace_gone().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_object_that_nobody_deletes_it_does_nothing() {
    let scene = scene().await;
    scene.ready_set("Delete", 1).await;
    let calls = scene.journal.len();
    scene
        .annotate::<ChannelConnection>("web-0", annotation::ABANDON, "true")
        .await;
    scene.time_passes(2).await;
    scene.ready::<ChannelConnection>("web-0").await;
    assert!(scene.is_protected::<ChannelConnection>("web-0").await);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.finish().await;
}

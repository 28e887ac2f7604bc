// SPDX-License-Identifier: Apache-2.0

//! What the operator knows of Kubernetes may be old, and come in any order.

use digital_messaging_operator::api::{ChannelConnection, FINALIZER};
use rstest::rstest;
use serde_json::json;

use super::{
    References,
    end::{is_sound, made},
    stage::Stage,
};
use crate::lifecycle::permutations;

const KINDS: [&str; 4] = [
    "managercredentials",
    "digitalmessaginginterfaces",
    "channelconnections",
    "secrets",
];

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn in_whatever_order_the_watches_tell_it_comes_to_the_same_end(#[case] references: References) {
    let mut stage = Stage::new(references).await;
    let watches = stage.scene.wire.watches.clone();
    let orders = permutations(&KINDS);
    for order in &orders {
        stage.round += 1;
        stage.on_its_own().await;
        watches.hold(&KINDS);
        stage.scene.apply_all(stage.all()).await;
        for kind in order {
            let before = watches.passed(kind);
            watches.release(kind);
            stage
                .scene
                .eventually(&format!("the watch of {kind} tells"), async || {
                    if watches.passed(kind) > before {
                        Ok(())
                    } else {
                        Err("nothing yet")
                    }
                })
                .await;
        }
        let what = format!("all is well when the watches tell in the order {order:?}");
        stage.scene.eventually(&what, async || is_sound(&stage).await).await;
        assert_eq!(made(&stage).await, 3, "{order:?}");
    }
    crate::figures::record("orders-of-watches", format!("{} orders", orders.len()));
    stage.scene.finish().await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_from_an_old_copy_overwrites_nothing_and_is_put_right(#[case] references: References) {
    let stage = Stage::new(references).await;
    stage.scene.apply_all(stage.all()).await;
    stage.scene.eventually("all is well", async || is_sound(&stage).await).await;
    let id = stage.scene.connection_id("web").await;
    let color = async || {
        let held = serde_json::to_value(stage.account.connections().await.unwrap()).unwrap();
        let web = held
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] == id.as_str())
            .cloned()
            .unwrap();
        web["channel"]["primaryColor"].as_str().unwrap().to_owned()
    };
    let watches = stage.scene.wire.watches.clone();

    watches.hold(&["channelconnections"]);
    let change =
        json!({ "spec": { "channel": { "webMessaging": { "primaryColor": "#111111" } }, "policy": { "deletion": "Delete" } } });
    stage.scene.patch::<ChannelConnection>("web", change).await;
    // The change feed still comes through: the operator puts right what it believes to be wrong, from its old copy.
    let by_hand = json!({ "channel": { "primaryColor": "#222222" } });
    stage.account.patch_connection(&id, &by_hand).await.unwrap();
    stage
        .scene
        .eventually("it acts on what it knows", async || match color().await.as_str() {
            "#0b5cad" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
    let held_up = stage.scene.connections().get("web").await.unwrap();
    let status = held_up.status.unwrap();
    assert!(held_up.metadata.finalizers.unwrap_or_default().is_empty());
    assert!(
        status
            .conditions
            .iter()
            .all(|it| it.observed_generation != held_up.metadata.generation)
    );

    watches.release_all();
    stage
        .scene
        .eventually("it acts on what is declared", async || match color().await.as_str() {
            "#111111" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
    let web: ChannelConnection = stage.scene.ready("web").await;
    assert_eq!(web.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert_eq!(web.status.unwrap().id, Some(id));
    assert_eq!(made(&stage).await, 3);
    stage.scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! A secret that somebody rotates at the manager reaches the outputs as well.

use digital_messaging_operator::api::ChannelConnection;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn outputs_follow_a_rotation_at_the_manager() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = scene.ready_web().await;
    let outputs_hold = async |scene: &Scene, value: &str| {
        scene
            .eventually("the outputs hold the new secret", async || {
                let outputs = scene.outputs("web").await;
                if outputs["jwtSecret"] == value {
                    Ok(())
                } else {
                    Err("another one")
                }
            })
            .await;
        scene.ready::<ChannelConnection>("web").await;
    };
    let calls = scene.journal.len();
    let rotated = account.rotate_jwt_secret(&id, "by-hand-1").await.unwrap();
    outputs_hold(&scene, rotated.jwt_secret.expose()).await;

    // Also one that happened while nobody looked.
    scene.stop_operator().await;
    let rotated = account.rotate_jwt_secret(&id, "by-hand-2").await.unwrap();
    scene.start_operator().await;
    outputs_hold(&scene, rotated.jwt_secret.expose()).await;
    assert_eq!(scene.asked_to_rotate(calls), 2, "by hand only");
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! A restart reads and does not write.

use digital_messaging_operator::api::ChannelConnection;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};

use crate::scene::{Scene, connection, web};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_hundred_ready_connections_writes_nothing_on_either_side() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.ready_mix(100).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.restart_operator().await;
    nothing_is_written(&scene, writes, calls).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_start_after_a_crash() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.ready_mix(100).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.crash_operator().await;
    scene.start_operator().await;
    nothing_is_written(&scene, writes, calls).await;
    scene.finish().await;
}

/// Once the account has been walked again, everything is reconciled; then it had time for anything else.
async fn nothing_is_written(scene: &Scene, writes: sandbox::AuditMark, calls: usize) {
    scene.wait_until_leading().await;
    scene
        .eventually("the account is walked", async || {
            let walked = scene.manager_calls(calls).iter().any(|call| call.path == "/v1/connections");
            if walked { Ok(()) } else { Err("not yet") }
        })
        .await;
    scene.time_passes(6).await;
    assert_eq!(scene.operator_writes(writes), []);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_does_not_make_the_next_leader_an_old_one() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.stop_operator().await;
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), &scene.namespace);
    leases
        .delete("digital-messaging-operator", &DeleteParams::default())
        .await
        .unwrap();
    scene.start_operator().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! What the operator costs when nothing happens.

use messaging_manager::journal::Entry;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_ready_connections_cost_no_write_and_only_the_change_feed() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.ready_mix(100).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.time_passes(30).await;

    assert_eq!(scene.operator_writes(writes), []);
    let calls = scene.manager_calls(calls);
    assert!(calls.iter().all(Entry::is_change_feed), "{calls:#?}");
    eprintln!("at rest: {} calls of the change feed in 30 s", calls.len());
    // The interval of the scene's credential is 10 s: one call that waits as long, and the next.
    assert!((2..=8).contains(&calls.len()), "{} calls", calls.len());
    scene.finish().await;
}

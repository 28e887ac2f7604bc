// SPDX-License-Identifier: Apache-2.0

//! The control plane restarts, for a short time and for longer than a lease.

use sandbox::ControlPlane;

use super::{Pair, QUICK, load::Load};
use crate::scene::DEADLINE;

/// Longer than a restart of the API server on a busy machine.
const PATIENT: &[&str] = &["--lease-duration", "90s", "--lease-renew-deadline", "80s"];

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_control_plane_lose_no_change_and_only_long_ones_cost_the_lease() {
    // Until the end of this process, as all that uses it; its processes end here.
    let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().await.unwrap()));
    let (api_server, etcd) = (control_plane.api_server().unwrap(), control_plane.etcd().unwrap());

    let pair = Pair::start_on(control_plane, PATIENT).await;
    let load = Load::start(&pair).await;
    let term = pair.term_began().await;
    for process in [api_server, etcd] {
        process.restart().unwrap();
        control_plane.wait_until_ready(DEADLINE).await.unwrap();
        pair.writes_go_on(8).await;
    }
    assert_eq!(pair.term_began().await, term);
    assert!(pair.first.leads().await);
    pair.finish(load, &["first"]).await;

    let pair = Pair::start_on(control_plane, QUICK).await;
    let load = Load::start(&pair).await;
    api_server.kill().unwrap();
    pair.first.loses_the_lease("could not be renewed").await;
    api_server.restart().unwrap();
    control_plane.wait_until_ready(DEADLINE).await.unwrap();
    pair.second.wait_until_it_leads().await;
    pair.first.restart().await;
    pair.writes_go_on(8).await;
    pair.finish(load, &["first", "second"]).await;
    api_server.kill().unwrap();
    etcd.kill().unwrap();
}

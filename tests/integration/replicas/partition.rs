// SPDX-License-Identifier: Apache-2.0

//! A process is cut off: from the API server, from the manager, or from both.

use digital_messaging_operator::{api::ManagerCredential, controller::reason::Reason};
use jiff::{SignedDuration, Timestamp};

use super::{Pair, QUICK, QUICK_LEASE, load::Load};
use crate::{figures, scene::DEADLINE};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_api_server_is_silent_before_another_leads() {
    let pair = Pair::start(QUICK).await;
    let load = Load::start(&pair).await;
    let first_term = pair.term_began().await;
    pair.first.kubernetes.silence();
    pair.first.loses_the_lease("did not answer in time").await;
    pair.second.wait_until_it_leads().await;
    let silence = pair.silence_between(first_term, pair.term_began().await).await;
    figures::record("silence-between-two-leaders", format!("{:.1} s", silence.as_secs_f64()));
    assert!(
        silence >= SignedDuration::from_secs(3),
        "the lease lasts 3 s longer than the right to write: {silence:#}"
    );

    // Started again, it cannot work as long as it is cut off.
    pair.first.kubernetes.refuse();
    let process = pair.first.operator.process();
    process.restart().unwrap();
    assert!(!process.wait(DEADLINE).await.unwrap().success());
    assert!(
        process.log_tail().contains("cannot reach the Kubernetes API"),
        "{}",
        process.log_tail()
    );
    pair.first.kubernetes.restore();
    pair.first.restart().await;
    pair.writes_go_on(8).await;
    pair.finish(load, &["first", "second"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_manager_leads_on_and_says_so() {
    let pair = Pair::start(QUICK).await;
    let load = Load::start(&pair).await;
    let term = pair.term_began().await;
    let calls = pair.scene.journal.len();
    pair.first.managers.refuse();
    let reason = Reason::ManagerUnreachable.as_str();
    pair.scene
        .condition::<ManagerCredential>("acme", "Ready", "False", reason)
        .await;
    pair.renews_for_longer_than_its_lease().await;
    assert!(pair.first.leads().await && !pair.second.leads().await);
    assert_eq!(pair.term_began().await, term);

    pair.first.managers.restore();
    pair.scene.ready::<ManagerCredential>("acme").await;
    pair.writes_go_on(8).await;
    let epoch = format!("/{}", term.as_second());
    let calls = pair.scene.manager_calls(calls);
    let others = calls
        .iter()
        .filter_map(|call| call.operator_epoch.as_ref())
        .filter(|it| !it.ends_with(&epoch));
    assert_eq!(others.count(), 0, "only the leader writes");
    pair.finish(load, &["first"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_cut_off_from_everything_the_other_goes_on_and_late_writes_are_refused() {
    let pair = Pair::start(QUICK).await;
    let load = Load::start(&pair).await;
    let first_term = pair.term_began().await;
    pair.first.managers.silence();
    pair.first.kubernetes.silence();
    pair.first.loses_the_lease("did not answer in time").await;
    pair.second.wait_until_it_leads().await;
    pair.writes_go_on(4).await;

    let writes = pair.manager_writes_in(first_term).len();
    pair.first.managers.restore();
    pair.first.kubernetes.refuse();
    pair.first.kubernetes.restore();
    pair.first.restart().await;
    pair.writes_go_on(8).await;
    let late = pair.manager_writes_in(first_term).split_off(writes);
    let refused = |status: Option<u16>| status.is_none_or(|status| status == 412);
    assert!(late.iter().all(|call| refused(call.status)), "{late:?}");
    pair.finish(load, &["first", "second"]).await;
}

impl Pair {
    /// Waits until the present leader has renewed its lease when it would have ended without.
    pub(super) async fn renews_for_longer_than_its_lease(&self) {
        let lease = SignedDuration::try_from(QUICK_LEASE).unwrap();
        let end = Timestamp::now() + lease;
        self.scene
            .eventually("the lease is renewed again and again", async || {
                let renewed = self.lease().await.renew_time.map(|time| time.0);
                if renewed > Some(end) {
                    Ok(())
                } else {
                    Err(format!("{renewed:?}"))
                }
            })
            .await;
    }
}

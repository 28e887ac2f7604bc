// SPDX-License-Identifier: Apache-2.0

//! The leader is stopped for longer than its lease and then goes on, as on a node that hangs.

use digital_messaging_operator::api::ChannelConnection;
use jiff::{SignedDuration, Timestamp};
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};
use sandbox::Signal;
use serde_json::json;

use super::{Pair, QUICK, Replica, load::Load};
use crate::figures;

impl Pair {
    /// Stops the leader, which does not get through to the manager, when at least one change is under way. Returns when.
    async fn stop_with_writes_under_way(&self, replica: &Replica) -> Timestamp {
        self.scene
            .eventually("writes to the manager are under way", async || {
                if replica.managers.held(b"PATCH ") > 0 {
                    Ok(())
                } else {
                    Err("none is")
                }
            })
            .await;
        replica.operator.process().signal(Signal::STOP).unwrap();
        Timestamp::now()
    }

    /// Lets the writes of a former term through that were under way, and returns them when all are answered.
    async fn late_writes(&self, replica: &Replica, term: Timestamp) -> Vec<Entry> {
        let before = self.manager_writes_in(term).len();
        replica.managers.restore();
        self.scene
            .eventually("writes of the former leader reach the manager late", async || {
                let late = self.manager_writes_in(term).split_off(before);
                if late.is_empty() || late.iter().any(|call| call.status.is_none()) {
                    Err(format!("{late:?}"))
                } else {
                    Ok(late)
                }
            })
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_stopped_writes_nothing_when_it_goes_on_and_what_was_under_way_is_refused() {
    let pair = Pair::start(QUICK).await;
    let load = Load::start(&pair).await;
    let first_term = pair.term_began().await;
    pair.first.managers.silence();
    let stopped = pair.stop_with_writes_under_way(&pair.first).await;
    pair.second.wait_until_it_leads().await;
    pair.writes_go_on(8).await;

    let late = pair.late_writes(&pair.first, first_term).await;
    assert!(late.iter().all(|call| call.status == Some(412)), "{late:?}");

    let writes = pair.manager_writes_in(first_term).len();
    pair.first.operator.process().signal(Signal::CONT).unwrap();
    pair.first.loses_the_lease("this process did not run in the meantime").await;
    assert_eq!(pair.manager_writes_in(first_term).len(), writes, "it wrote after it went on");
    let in_time = stopped + SignedDuration::from_secs(1);
    let user = pair.scene.operator_user();
    let mut since = pair.scene.control_plane().audit_log().writes_by(&user, pair.since).unwrap();
    since.retain(|write| write.received > in_time && write.user_agent.ends_with("(first)"));
    assert_eq!(since, [], "it wrote to Kubernetes after it went on");

    pair.first.restart().await;
    pair.writes_go_on(4).await;
    pair.finish(load, &["first", "second"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_manager_without_epochs_a_late_write_is_put_right_by_the_new_leader() {
    const CHANGED: [&str; 3] = ["c-0", "c-1", "c-2"];
    let pair = Pair::start(QUICK).await;
    pair.scene.faults.push(Rule::new(Fault::IgnoreEpoch));
    let first_term = pair.term_began().await;
    let before: Vec<_> = pair.account().connections().await.unwrap();
    let named = |name: &str| json!({ "spec": { "displayName": name } });

    pair.first.managers.silence();
    for name in CHANGED {
        pair.scene.patch::<ChannelConnection>(name, named("Late")).await;
    }
    pair.stop_with_writes_under_way(&pair.first).await;
    // Taken back: the new leader has nothing to change, so nothing tells the manager that the late write is late.
    for name in CHANGED {
        pair.scene
            .patch::<ChannelConnection>(name, json!({ "spec": { "displayName": null } }))
            .await;
    }
    pair.second.wait_until_it_leads().await;
    for name in CHANGED {
        pair.scene.ready::<ChannelConnection>(name).await;
    }

    let late = pair.late_writes(&pair.first, first_term).await;
    assert!(late.iter().all(|call| call.status == Some(200)), "{late:?}");
    let landed = late.iter().map(|call| call.at).min().unwrap();
    let sorted = |held: &[digital_messaging_contract::connection::Connection]| -> Vec<_> {
        let mut pairs: Vec<_> = held.iter().map(|held| (held.id.clone(), held.display_name.clone())).collect();
        pairs.sort();
        pairs
    };
    pair.scene
        .eventually("the late write is put right", async || {
            let held = pair.account().connections().await.map_err(|error| format!("{error:#}"))?;
            if sorted(&held) == sorted(&before) {
                Ok(())
            } else {
                Err(format!("{:?}", sorted(&held)))
            }
        })
        .await;
    let put_right = Timestamp::now().duration_since(landed);
    figures::record(
        "late-write-without-epochs-put-right",
        format!("{:.1} s", put_right.as_secs_f64()),
    );

    pair.first.operator.process().signal(Signal::CONT).unwrap();
    pair.first.loses_the_lease("could not be renewed").await;
    pair.end().await;
}

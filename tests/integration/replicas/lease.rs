// SPDX-License-Identifier: Apache-2.0

//! What others do to the Lease: it is an object like any other, and whoever may write it will some day.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Pair, QUICK, QUICK_LEASE};

const LEASE: &str = "digital-messaging-operator";

impl Pair {
    async fn scribble(&self, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.leases().patch(LEASE, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the Lease says again what it said before, but for the time of its renewal.
    async fn is_put_right(&self, before: &LeaseSpec) {
        let timeless = |spec: &LeaseSpec| LeaseSpec {
            renew_time: None,
            ..spec.clone()
        };
        self.scene
            .eventually("the Lease is as before", async || {
                let lease = self.leases().get_opt(LEASE).await.map_err(|error| error.to_string())?;
                let spec = lease.and_then(|lease| lease.spec).ok_or("there is none")?;
                if timeless(&spec) == timeless(before) && spec.renew_time < Some(soon()) {
                    Ok(())
                } else {
                    Err(format!("{spec:?}"))
                }
            })
            .await;
    }
}

fn soon() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::now() + SignedDuration::from_mins(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_deletes_or_scribbles_on_stays_with_its_holder() {
    let pair = Pair::idle(sandbox::shared().await, QUICK).await;
    let before = pair.lease().await;
    pair.leases().delete(LEASE, &DeleteParams::default()).await.unwrap();
    pair.is_put_right(&before).await;
    pair.scribble(json!({
        "renewTime": "2999-01-01T00:00:00.000000Z",
        "acquireTime": "1999-01-01T00:00:00.000000Z",
        "leaseDurationSeconds": i32::MAX,
        "leaseTransitions": 0,
    }))
    .await;
    pair.is_put_right(&before).await;
    pair.renews_for_longer_than_its_lease().await;
    assert!(pair.first.leads().await && !pair.second.leads().await);
    assert_eq!(pair.lease().await.acquire_time, before.acquire_time, "it is the same term");
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_whose_clock_was_wrong_is_replaced_when_the_lease_has_ended_by_the_clock_of_the_standby() {
    let pair = Pair::idle(sandbox::shared().await, QUICK).await;
    let began = Timestamp::now() + SignedDuration::from_hours(24);
    pair.scribble(json!({
        "holderIdentity": "ghost",
        "acquireTime": format!("{began:.6}"),
        "renewTime": "2999-01-01T00:00:00.000000Z",
        "leaseDurationSeconds": QUICK_LEASE.as_secs(),
    }))
    .await;
    let appeared = Instant::now();
    pair.first
        .loses_the_lease("another process (ghost) has taken the lease")
        .await;
    pair.second.wait_until_it_leads().await;
    assert!(appeared.elapsed() >= QUICK_LEASE, "{:?}", appeared.elapsed());
    let next = pair.term_began().await;
    assert_eq!(
        next.as_second(),
        began.as_second() + 1,
        "terms never go back, whatever the clocks say"
    );
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_name_do_not_both_lead() {
    let pair = Pair::idle(sandbox::shared().await, QUICK).await;
    let namesake = super::Replica::start("first", &pair.scene, QUICK).await;
    pair.first
        .loses_the_lease("another process goes by the same name (first)")
        .await;
    namesake.wait_until_it_leads().await;
    assert!(
        namesake
            .operator
            .process()
            .terminate(crate::scene::DEADLINE)
            .await
            .unwrap()
            .success()
    );
    pair.end().await;
}

// SPDX-License-Identifier: Apache-2.0

//! The leader is killed: nothing is given back, and the other process takes over when the lease has ended.

use jiff::{SignedDuration, Timestamp};

use super::{DEFAULT, Pair, load::Load};
use crate::figures;

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_the_other_takes_over_two_seconds_after_the_lease_at_the_latest() {
    let pair = Pair::start(DEFAULT).await;
    let load = Load::start(&pair).await;
    let first_term = pair.term_began().await;

    let killed = Timestamp::now();
    pair.first.operator.process().kill().unwrap();
    pair.second.wait_until_it_leads().await;
    let second_term = pair.term_began().await;
    let takeover = second_term.duration_since(killed);
    figures::record("takeover-after-kill", format!("{:.1} s", takeover.as_secs_f64()));
    assert!(takeover <= SignedDuration::from_secs(17), "{takeover:#}");
    let silence = pair.silence_between(first_term, second_term).await;
    assert!(silence.is_positive(), "{silence:#}");

    pair.writes_go_on(8).await;
    pair.first.restart().await;
    pair.writes_go_on(8).await;
    assert!(!pair.first.leads().await, "who comes back stands by");
    pair.finish(load, &["first", "second"]).await;
}

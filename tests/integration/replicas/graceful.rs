// SPDX-License-Identifier: Apache-2.0

//! The leader is asked to end: it finishes what is under way and gives the lease back.

use jiff::{SignedDuration, Timestamp};

use super::{DEFAULT, Pair, load::Load};
use crate::{figures, scene::DEADLINE};

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_asked_to_end_the_other_takes_over_within_five_seconds() {
    let pair = Pair::start(DEFAULT).await;
    let load = Load::start(&pair).await;

    let asked = Timestamp::now();
    let status = pair.first.operator.process().terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}\n{}", pair.first.operator.process().log_tail());
    pair.second.wait_until_it_leads().await;
    let takeover = pair.term_began().await.duration_since(asked);
    figures::record("takeover-after-sigterm", format!("{:.1} s", takeover.as_secs_f64()));
    assert!(takeover <= SignedDuration::from_secs(5), "{takeover:#}");

    pair.writes_go_on(8).await;
    pair.first.restart().await;
    // And back again.
    let status = pair.second.operator.process().terminate(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
    pair.first.wait_until_it_leads().await;
    pair.writes_go_on(8).await;
    pair.finish(load, &["first", "second", "first"]).await;
}

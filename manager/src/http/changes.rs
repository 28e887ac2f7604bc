// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/changes`: the change feed. Waits for a change if there is none, and is woken by it at once.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use digital_messaging_contract::{
    change::{Changes, MAX_WAIT_SECONDS},
    problem::Code,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::{
    App,
    admission::Caller,
    problem::Refusal,
    request::{Parameters, page_limit},
};
use crate::store::FeedPage;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedParameters {
    since: u64,
    #[serde(default)]
    wait: u64,
    limit: Option<u32>,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(parameters): Parameters<FeedParameters>,
) -> Result<Json<Changes>, Refusal> {
    let FeedParameters { since, wait, limit } = parameters;
    let limit = page_limit(limit)?;
    if wait > MAX_WAIT_SECONDS {
        return Err(Refusal::malformed(format!("wait is at most {MAX_WAIT_SECONDS} seconds")));
    }
    let deadline = Instant::now() + Duration::from_secs(wait);
    let account = &caller.sender.manager_id;
    // Before the read: a write in between wakes us.
    let mut signal = app.store.subscribe(account);
    loop {
        let page = app.store.read(account).await?.changes(since, limit).await?;
        let (items, next, more) = match page {
            FeedPage::Changes { items, next, more } => (items, next, more),
            FeedPage::Compacted => {
                let detail = format!("the change feed does not reach back to revision {since}: list again");
                return Err(Refusal::new(Code::RevisionCompacted, detail));
            }
        };
        if !items.is_empty() || Instant::now() >= deadline || app.shutdown.is_cancelled() {
            return Ok(Json(Changes { items, next, more }));
        }
        tokio::select! {
            _ = signal.changed() => {}
            () = sleep_until(deadline) => {}
            () = app.shutdown.cancelled() => {}
        }
    }
}

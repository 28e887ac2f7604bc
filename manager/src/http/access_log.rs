// SPDX-License-Identifier: Apache-2.0

//! One line a request: method, path template, status, duration, Manager ID. Never a header, a query or a body.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::info;

/// Set on the response by admission.
#[derive(Clone, Debug)]
pub(crate) struct LoggedSender(pub(crate) String);

pub(crate) async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    info!(
        %method,
        path = path.as_ref().map_or("unknown", MatchedPath::as_str),
        status = response.status().as_u16(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        manager_id = response.extensions().get::<LoggedSender>().map(|sender| sender.0.as_str()),
        "request"
    );
    response
}

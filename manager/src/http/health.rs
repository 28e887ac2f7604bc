// SPDX-License-Identifier: Apache-2.0

//! `/livez` and `/readyz`, for whoever runs the manager. No credentials needed, nothing told.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::App;

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// It takes requests: the database answers, and no shutdown is under way.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
    } else if app.store.is_ready().await {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
    }
}

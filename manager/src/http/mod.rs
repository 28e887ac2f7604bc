// SPDX-License-Identifier: Apache-2.0

//! The HTTP side: routes, and what every request passes on its way to them.
//!
//! ```text
//! request → access log → (/v1: body limit → authentication → rate limit → replay) → handler
//! ```

mod access_log;
mod account;
mod admission;
mod changes;
mod connections;
mod health;
mod interfaces;
mod jwt_secret;
pub(crate) mod problem;
mod request;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    http::Uri,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use digital_messaging_contract::problem::Code;
use governor::DefaultKeyedRateLimiter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;
use url::Url;

use crate::{config::Config, credentials::Credentials, replay::ReplayMemory, store::Store};
use problem::Refusal;

/// What handlers work with.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) credentials: Credentials,
    pub(crate) replay: Arc<ReplayMemory>,
    pub(crate) limiter: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    pub(crate) public_url: PublicUrl,
    /// Cancelled when the process is about to end: long polls answer at once.
    pub(crate) shutdown: CancellationToken,
    /// Writes under way.
    pub(crate) writes: TaskTracker,
}

/// How clients reach the manager.
#[derive(Clone, Debug)]
pub(crate) struct PublicUrl {
    origin: String,
    base: String,
}

impl PublicUrl {
    pub(crate) fn new(url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        let base = format!("{origin}{}", url.path().trim_end_matches('/'));
        Self { origin, base }
    }

    /// Scheme and authority: what tokens are made for.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The URL a client used for this request.
    pub(crate) fn of(&self, uri: &Uri) -> String {
        format!("{}{}", self.base, uri.path_and_query().map_or("/", |path| path.as_str()))
    }

    /// A URL below the manager's own.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/v1/manager", get(account::get))
        .route("/v1/interfaces", get(interfaces::list).post(interfaces::create))
        .route(
            "/v1/interfaces/{id}",
            get(interfaces::get).patch(interfaces::update).delete(interfaces::delete),
        )
        .route("/v1/connections", get(connections::list).post(connections::create))
        .route(
            "/v1/connections/{id}",
            get(connections::get).patch(connections::update).delete(connections::delete),
        )
        .route("/v1/connections/{id}/jwt-secret", get(jwt_secret::get))
        .route("/v1/connections/{id}/jwt-secret/rotate", post(jwt_secret::rotate))
        .route("/v1/changes", get(changes::get))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), admission::admit));
    let router = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .merge(api)
        .fallback(unknown_path)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(access_log::log));
    #[cfg(feature = "faults")]
    let router = misbehaving(router, &app.config);
    router.with_state(app)
}

#[cfg(feature = "faults")]
fn misbehaving(mut router: Router<Arc<App>>, config: &Config) -> Router<Arc<App>> {
    if let Some(faults) = &config.faults {
        router = router.layer(middleware::from_fn_with_state(faults.clone(), crate::faults::misbehave));
    }
    if let Some(journal) = &config.journal {
        router = router.layer(middleware::from_fn_with_state(journal.clone(), crate::journal::note));
    }
    router
}

async fn unknown_path() -> Refusal {
    Refusal::new(Code::NotFound, "there is nothing at this path")
}

async fn method_not_allowed() -> Refusal {
    Refusal::new(Code::MethodNotAllowed, "this path does not have that method")
}

// The signature is tower-http's.
#[allow(clippy::needless_pass_by_value)]
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    error!("a handler panicked");
    Refusal::internal().into_response()
}

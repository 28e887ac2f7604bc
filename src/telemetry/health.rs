// SPDX-License-Identifier: Apache-2.0

//! Health and metrics over HTTP, and the log filter for whoever is on the same machine or in the same pod.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Telemetry,
    logs::LogFilter,
    text::{OPEN_METRICS, PLAIN, takes_open_metrics},
};

/// Longest log filter that is taken.
const LONGEST_FILTER: usize = 4096;

/// How the operator is.
#[derive(Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    is_wedged: Arc<OnceLock<IsWedged>>,
}

/// Says whether there is something to do, and nothing at all is finished.
type IsWedged = Box<dyn Fn() -> bool + Send + Sync>;

impl Health {
    /// The mirrors are complete: this replica works, or could at any moment.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Has liveness fail while `is_wedged`. Only the first such question counts.
    pub fn watch(&self, is_wedged: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.is_wedged.set(Box::new(is_wedged));
    }
}

#[derive(Clone)]
struct Endpoints {
    health: Health,
    telemetry: Telemetry,
}

/// Serves `/livez`, `/readyz`, `/metrics` and `/log-filter` until `stop`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, health: Health, telemetry: Telemetry, stop: CancellationToken) -> std::io::Result<()> {
    let filter = telemetry.log_filter.clone();
    let mut router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Endpoints { health, telemetry });
    if let Some(filter) = filter {
        let local = Router::new()
            .route("/log-filter", get(show_log_filter).put(set_log_filter))
            .layer(DefaultBodyLimit::max(LONGEST_FILTER))
            .layer(middleware::from_fn(only_from_here))
            .with_state(filter);
        router = router.merge(local);
    }
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

async fn livez(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    if endpoints.health.is_wedged.get().is_some_and(|is_wedged| is_wedged()) {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "there is work to do, and nothing at all is finished",
        )
    } else {
        (StatusCode::OK, "ok")
    }
}

async fn readyz(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    if endpoints.health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "still reading what Kubernetes holds")
    }
}

async fn show_metrics(State(endpoints): State<Endpoints>, headers: HeaderMap) -> impl IntoResponse {
    let metrics = &endpoints.telemetry.metrics;
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let (text, kind) = if accepted.any(takes_open_metrics) {
        (metrics.encode(), OPEN_METRICS)
    } else {
        (metrics.encode_plain(), PLAIN)
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Refuses whoever does not come from the loopback interface. `kubectl port-forward` does: who may open it decides Kubernetes.
async fn only_from_here(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        let said = "only from the loopback interface, for example by kubectl port-forward\n";
        (StatusCode::FORBIDDEN, said).into_response()
    }
}

async fn show_log_filter(State(filter): State<LogFilter>) -> String {
    format!("{}\n", filter.text())
}

async fn set_log_filter(State(filter): State<LogFilter>, wanted: String) -> Response {
    let before = filter.text();
    match filter.set(&wanted) {
        Ok(()) => {
            let after = filter.text();
            tracing::warn!(before, after, "the log filter was changed");
            format!("{after}\n").into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_comes_from_here_gets_through() {
        let router = Router::new()
            .route("/", get(|| async { "through" }))
            .layer(middleware::from_fn(only_from_here));
        for (peer, expected) in [
            ("127.0.0.1:4711", StatusCode::OK),
            ("[::1]:4711", StatusCode::OK),
            ("[::ffff:127.0.0.1]:4711", StatusCode::OK),
            ("10.0.0.7:4711", StatusCode::FORBIDDEN),
            ("[::ffff:10.0.0.7]:4711", StatusCode::FORBIDDEN),
            ("[fd00::7]:4711", StatusCode::FORBIDDEN),
        ] {
            let mut request = Request::new(axum::body::Body::empty());
            request
                .extensions_mut()
                .insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            let answer = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            assert_eq!(answer.status(), expected, "{peer}");
        }
    }

    #[tokio::test]
    async fn liveness_fails_while_the_process_is_wedged() {
        let (health, wedged) = (Health::default(), Arc::new(AtomicBool::new(false)));
        let answer = async || {
            let endpoints = Endpoints {
                health: health.clone(),
                telemetry: Telemetry::from(Arc::default()),
            };
            livez(State(endpoints)).await.into_response().status()
        };
        assert_eq!(answer().await, StatusCode::OK, "nothing is known yet");
        let asked = wedged.clone();
        health.watch(move || asked.load(Ordering::Relaxed));
        assert_eq!(answer().await, StatusCode::OK);
        wedged.store(true, Ordering::Relaxed);
        assert_eq!(answer().await, StatusCode::SERVICE_UNAVAILABLE);
        wedged.store(false, Ordering::Relaxed);
        assert_eq!(answer().await, StatusCode::OK);
    }
}

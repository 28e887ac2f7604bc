//! Health and metrics over HTTP.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// Content type of [`Metrics::encode`].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    metrics: Arc<Metrics>,
}

/// Serves `/livez`, `/readyz` and `/metrics` until `stop`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, health: Health, metrics: Arc<Metrics>, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Endpoints { health, metrics });
    axum::serve(listener, router)
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

async fn show_metrics(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    match endpoints.metrics.encode() {
        Ok(text) => ([(axum::http::header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn liveness_fails_while_the_process_is_wedged() {
        let (health, wedged) = (Health::default(), Arc::new(AtomicBool::new(false)));
        let answer = async || {
            let endpoints = Endpoints {
                health: health.clone(),
                metrics: Arc::default(),
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

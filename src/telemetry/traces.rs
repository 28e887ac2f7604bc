// SPDX-License-Identifier: Apache-2.0

//! Traces: what a reconcile asked of a manager and of Kubernetes, sent by OTLP to a collector, if one is named.
//!
//! Spans are of a target of their own and of the lowest level, so that they show in no log that is not asked for them, and
//! cost nothing where nobody collects them. Only what is said here becomes an attribute: names of objects, operations and
//! classes of errors. No message of anyone, and nothing that travels in a body.

use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderInjector, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use thiserror::Error;
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};
use url::Url;

/// Target of all spans that are sent.
pub const TARGET: &str = "digital_messaging_operator::traces";
/// Time for one answer of the collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for what is left at the end: a pod is killed soon after what was under way has had its time.
const LAST: Duration = Duration::from_secs(3);
/// Longest answer of the collector that is read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why no traces can be sent.
#[derive(Debug, Error)]
pub enum TracesError {
    /// TLS cannot be set up.
    #[error("cannot send traces: {0}")]
    Client(#[from] reqwest::Error),
    /// What the environment says of OTLP does not make sense.
    #[error("cannot send traces: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Sends spans until it is ended.
#[derive(Clone)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to the collector at this address, to which `/v1/traces` is added. `OTEL_EXPORTER_OTLP_HEADERS`,
    /// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and `OTEL_BSP_*` mean what OpenTelemetry says.
    ///
    /// To be called on a runtime.
    ///
    /// # Errors
    /// See [`TracesError`].
    pub fn to(endpoint: &Url) -> Result<Self, TracesError> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let runtime = Handle::current();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { client, runtime })
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
            .build()?;
        let resource =
            Resource::builder().with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
            resource
        } else {
            resource.with_service_name("digital-messaging-operator")
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Self(provider))
    }

    /// The layer that takes the spans.
    pub fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("digital-messaging-operator"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
            .boxed()
    }

    /// Sends what is left. Takes as long as the collector does, but for a few seconds at most.
    pub async fn end(self) {
        // It waits for its own thread, which needs this runtime to send.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "not all traces were sent");
        }
    }
}

/// Lets the receiver of a request continue the trace of the current span: the `traceparent` of the W3C.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeaderInjector(headers));
}

/// Sends on the runtime: the thread that collects spans has none.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), reqwest::Request::try_from(request)?);
        let sending = self.runtime.spawn(async move {
            let mut answer = client.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await? {
                if body.len().saturating_add(part.len()) > LONGEST_ANSWER {
                    break;
                }
                body.extend_from_slice(&part);
            }
            let mut whole = Response::new(Bytes::from(body));
            *whole.status_mut() = status;
            *whole.headers_mut() = headers;
            Ok::<_, HttpError>(whole)
        });
        sending.await?
    }
}

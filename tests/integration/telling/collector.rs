// SPDX-License-Identifier: Apache-2.0

//! A collector of traces: speaks OTLP over HTTP, and keeps what it is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::span::SpanKind,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

type Received = Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>;

/// A collector on the loopback interface; ends when it is dropped.
pub struct Collector {
    url: String,
    received: Received,
    task: JoinHandle<()>,
}

/// A span as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub is_client: bool,
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    pub fn is_below(&self, other: &Self) -> bool {
        self.trace == other.trace && self.parent == other.id
    }
}

impl Collector {
    pub async fn start() -> Self {
        let received = Received::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, received, task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let resources = received.iter().flat_map(|(_, request)| &request.resource_spans);
        let spans = resources
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans);
        spans
            .map(|span| Span {
                name: span.name.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                is_client: span.kind == SpanKind::Client as i32,
                attributes: span.attributes.iter().map(text_of).collect(),
            })
            .collect()
    }

    /// The values of an attribute of whoever sent.
    pub fn resource(&self, name: &str) -> BTreeSet<String> {
        let received = self.received.lock().unwrap();
        let resources = received.iter().flat_map(|(_, request)| &request.resource_spans);
        let attributes = resources
            .filter_map(|sent| sent.resource.as_ref())
            .flat_map(|resource| &resource.attributes);
        attributes
            .map(text_of)
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// The `Authorization` headers.
    pub fn authorization(&self) -> BTreeSet<String> {
        let received = self.received.lock().unwrap();
        let headers = received.iter().filter_map(|(headers, _)| headers.get("authorization"));
        headers.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    /// Everything that was sent, as text.
    pub fn text(&self) -> String {
        let received = self.received.lock().unwrap();
        received.iter().fold(String::new(), |mut text, (_, request)| {
            let _ = write!(text, "{request:?}");
            text
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    received.lock().unwrap().push((headers, request));
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn text_of(attribute: &KeyValue) -> (String, String) {
    let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
    let text = match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    (attribute.key.clone(), text)
}

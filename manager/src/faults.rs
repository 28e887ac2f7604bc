// SPDX-License-Identifier: Apache-2.0

//! Misbehaviour on demand, for tests: what networks, proxies and broken managers do to a client.
//!
//! A test keeps a [`Faults`] handle, puts a clone into the configuration and pushes rules while the manager runs.
//! The first rule that matches a request applies to it. Behind the feature `faults`; never part of a shipped binary.

use std::{
    convert::Infallible,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, response::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{header::OPERATOR_EPOCH, problem::Code};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::http::problem::Refusal;

/// The page that a proxy might put in front of an answer.
const HTML: &str = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>upstream is away</body></html>";

/// One way to misbehave.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Handle the request after this time.
    Latency(Duration),
    /// Handle the request once the token is cancelled.
    HoldRequest(CancellationToken),
    /// Handle the request once the token is cancelled, even if its sender is gone by then: something on the way has it.
    Detain(CancellationToken),
    /// Handle the request at once, but answer only when the token is cancelled.
    HoldReply(CancellationToken),
    /// Do not handle it; answer with this problem, and `Retry-After` in seconds.
    Problem(Code, Option<u64>),
    /// Do not handle it; answer with this status and no body.
    Status(u16),
    /// Do not handle it; close the connection.
    DropRequest,
    /// Handle it, commit, and close the connection without an answer.
    DropReply,
    /// Handle it, commit, cancel the token and never answer, until the rules are cleared. The token is cancelled as well if
    /// the sender gives the request up before that.
    LoseReply(CancellationToken),
    /// Handle it, and the same once more, as a proxy that tries again by itself may; answer as the last time.
    Twice,
    /// Handle it, announce the whole body, send half of it and close the connection.
    TruncateBody,
    /// Handle it and send the body byte by byte, with this pause in between.
    SlowBody(Duration),
    /// Do not handle it; answer 200 with a page of HTML.
    Html,
    /// Do not handle it; answer 200 with this many bytes of valid JSON.
    OversizedBody(usize),
    /// Do not handle it; send the client to this URL (307).
    Redirect(String),
    /// Do not handle it and never answer, until the rules are cleared.
    NeverAnswer,
    /// Handle it as a manager would that does not know epochs.
    IgnoreEpoch,
}

/// Which requests misbehave, how, and how often.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    method: Option<Method>,
    path_prefix: String,
    path_suffix: String,
    remaining: Option<u32>,
}

impl Rule {
    /// Applies to every request, until it is cleared.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            method: None,
            path_prefix: String::new(),
            path_suffix: String::new(),
            remaining: None,
        }
    }

    /// Only to requests with this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only to paths that begin like this.
    #[must_use]
    pub fn path(mut self, prefix: impl Into<String>) -> Self {
        self.path_prefix = prefix.into();
        self
    }

    /// Only to paths that end like this.
    #[must_use]
    pub fn path_end(mut self, suffix: impl Into<String>) -> Self {
        self.path_suffix = suffix.into();
        self
    }

    /// Only to so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.remaining = Some(times);
        self
    }

    /// Only to one request.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn matches(&self, request: &Request) -> bool {
        let path = request.uri().path();
        self.remaining != Some(0)
            && self.method.as_ref().is_none_or(|method| method == request.method())
            && path.starts_with(&self.path_prefix)
            && path.ends_with(&self.path_suffix)
    }
}

/// Judges requests one by one.
type Judge = Arc<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

/// The handle on the rules. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    cleared: Notify,
}

#[derive(Default)]
struct Rules {
    list: Vec<Rule>,
    judge: Option<Judge>,
    applied: u64,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("list", &self.list)
            .field("judged", &self.judge.is_some())
            .field("applied", &self.applied)
            .finish()
    }
}

impl Faults {
    /// No rule: everything behaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule behind those that are there.
    pub fn push(&self, rule: Rule) {
        self.lock().list.push(rule);
    }

    /// Has each request that no rule applies to judged. For tests that must see all of them in order.
    pub fn judge(&self, judge: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        self.lock().judge = Some(Arc::new(judge));
    }

    /// Drops all rules, and closes the connections of requests that are never answered.
    pub fn clear(&self) {
        self.lock().list.clear();
        self.shared.cleared.notify_waiters();
    }

    /// Rules that can still apply.
    pub fn pending(&self) -> usize {
        self.lock().list.iter().filter(|rule| rule.remaining != Some(0)).count()
    }

    /// Requests that a rule was applied to so far.
    pub fn applied(&self) -> u64 {
        self.lock().applied
    }

    fn take(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.lock();
        let Some(rule) = rules.list.iter_mut().find(|rule| rule.matches(request)) else {
            let judge = rules.judge.clone()?;
            drop(rules);
            return judge(request);
        };
        if let Some(remaining) = &mut rule.remaining {
            *remaining -= 1;
        }
        let fault = rule.fault.clone();
        rules.applied += 1;
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer.
pub(crate) async fn misbehave(State(faults): State<Faults>, mut request: Request, next: Next) -> Response {
    // Made before the rule is looked up, so that a clear in between is not missed.
    let cleared = faults.shared.cleared.notified();
    let Some(fault) = faults.take(&request) else {
        return next.run(request).await;
    };
    match fault {
        Fault::Latency(time) => {
            sleep(time).await;
            next.run(request).await
        }
        Fault::HoldRequest(token) => {
            token.cancelled().await;
            next.run(request).await
        }
        Fault::Detain(token) => {
            let handled = tokio::spawn(async move {
                token.cancelled().await;
                next.run(request).await
            });
            handled.await.unwrap_or_else(|_| closed())
        }
        Fault::HoldReply(token) => {
            let response = next.run(request).await;
            token.cancelled().await;
            response
        }
        Fault::Problem(code, retry_after) => {
            let refusal = Refusal::new(code, "injected");
            match retry_after {
                Some(seconds) => refusal.retry_after(seconds),
                None => refusal,
            }
            .into_response()
        }
        Fault::Status(status) => StatusCode::from_u16(status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Fault::DropRequest => closed(),
        Fault::DropReply => {
            drop(next.run(request).await);
            closed()
        }
        Fault::LoseReply(committed) => {
            let committed = committed.drop_guard();
            drop(next.run(request).await);
            drop(committed);
            cleared.await;
            closed()
        }
        Fault::Twice => twice(request, next).await,
        Fault::TruncateBody => truncated(next.run(request).await).await,
        Fault::SlowBody(pause) => slow(next.run(request).await, pause).await,
        Fault::Html => ([(header::CONTENT_TYPE, "text/html")], HTML).into_response(),
        Fault::OversizedBody(size) => oversized(size),
        Fault::Redirect(url) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response(),
        Fault::NeverAnswer => {
            cleared.await;
            closed()
        }
        Fault::IgnoreEpoch => {
            request.headers_mut().remove(OPERATOR_EPOCH);
            next.run(request).await
        }
    }
}

/// The server closes the connection before it has sent anything, because the body fails at once.
fn closed() -> Response {
    Response::new(Broken::after(None, 1))
}

async fn twice(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    drop(next.clone().run(again()).await);
    next.run(again()).await
}

async fn truncated(response: Response) -> Response {
    let (mut parts, bytes) = collected(response).await;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let half = bytes.slice(..bytes.len() / 2);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Response::from_parts(parts, Broken::after(Some(half), length))
}

async fn slow(response: Response, pause: Duration) -> Response {
    let (parts, bytes) = collected(response).await;
    Response::from_parts(parts, Body::new(StreamBody::new(byte_by_byte(bytes, pause))))
}

fn byte_by_byte(bytes: Bytes, pause: Duration) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures::stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(pause).await;
        let byte = rest.split_to(1);
        Some((Ok(Frame::data(byte)), rest))
    })
}

fn oversized(size: usize) -> Response {
    let chunk = Bytes::from(vec![b' '; 64 * 1024]);
    let start = Bytes::from_static(b"{\"items\":[]");
    let chunks = size / chunk.len() + 1;
    let middle = std::iter::repeat_n(chunk, chunks);
    let all = std::iter::once(start)
        .chain(middle)
        .chain(std::iter::once(Bytes::from_static(b"}")));
    let stream = futures::stream::iter(all.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (content_type, Body::new(StreamBody::new(stream))).into_response()
}

async fn collected(response: Response) -> (Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let bytes = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    (parts, bytes)
}

/// A body that announces a length and fails before it has sent so much.
struct Broken {
    first: Option<Bytes>,
    flushed: bool,
    length: u64,
}

impl Broken {
    /// Breaks off after these bytes, or before anything is sent.
    fn after(first: Option<Bytes>, length: u64) -> Body {
        let flushed = first.is_none();
        Body::new(Self { first, flushed, length })
    }
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.flushed {
            // The server sends what it has when there is nothing more for the moment.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("injected"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The wire between the operator and both sides: what goes over it can be listed, and cut.
//!
//! Every call of the operator to the manager is an I/O here, reads as well as writes, and every request to the API server
//! that changes something. The Lease and events are left out: the one is how operators tell each other apart, the others
//! are never waited for.
//!
//! Of the change feed only the first call counts. The operator always waits in one, so how many there are depends on how
//! long everything else takes. A write that Kubernetes refuses because it was made from an old copy does not count either:
//! it changes nothing, and is made again.
//!
//! A cut is a crash at exactly one I/O: before it, and then it never leaves; or after it, and then it is done and the answer
//! never comes. From that moment on nothing passes any more, so that nothing can happen between the cut and the end of the
//! process.

use std::{
    collections::HashMap,
    future::pending,
    io,
    sync::{Arc, LazyLock, Mutex},
};

use digital_messaging_contract::signing::claimed_issuer;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, USER_AGENT},
};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use messaging_manager::faults::{Fault, Faults};
use regex::Regex;
use tokio_util::sync::CancellationToken;

use super::watches::{Answer, Watches};

/// What happens to an I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// It never leaves, and that is the end of the operator.
    CutBefore,
    /// It is done, the answer never comes, and that is the end of the operator.
    CutAfter,
    /// It is done, and the connection breaks before the answer. The operator lives on.
    ReplyLost,
    /// It is done twice, as by a proxy that tries again, and the second answer comes back.
    Twice,
}

impl Mishap {
    pub fn is_cut(self) -> bool {
        matches!(self, Self::CutBefore | Self::CutAfter)
    }
}

/// One I/O among those of a run: the how-manieth of its label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// Such as `PUT channelconnections/web/status` or `POST /v1/connections`.
    pub label: String,
    /// From 1.
    pub number: usize,
}

/// The call that waits for changes.
const FEED: &str = "GET /v1/changes";

impl Point {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        self.label.starts_with("GET ")
    }

    /// Whether it writes a status.
    pub fn is_of_status(&self) -> bool {
        self.label.ends_with("/status")
    }

    /// Whether it is a call of the change feed.
    pub fn is_of_feed(&self) -> bool {
        self.label == FEED
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} #{}", self.label, self.number)
    }
}

/// The wire. Clones are the same.
#[derive(Clone, Default)]
pub struct Wire {
    state: Arc<Mutex<State>>,
    /// What the operator is told by the API server.
    pub watches: Watches,
}

#[derive(Default)]
struct State {
    /// What went over it since it was last mended or armed, in order.
    seen: Vec<Point>,
    counts: HashMap<String, usize>,
    trap: Option<(Point, Mishap)>,
    whose: Option<Whose>,
    /// Cancelled when the wire is cut.
    cut: CancellationToken,
}

/// What counts, where the operator has other objects and accounts as well.
#[derive(Clone, Debug)]
pub struct Whose {
    /// Objects of another round, by their names, do not count: `web-r7` is of round 7.
    pub round: usize,
    /// Nor do calls to another account.
    pub manager_id: String,
}

enum Verdict {
    Pass(CancellationToken, Option<Point>),
    /// Do it; then the wire is cut.
    Last(CancellationToken),
    /// The wire is cut.
    Dead,
    LoseReply,
    Twice,
}

impl Wire {
    /// Lists what goes over it from now on, and has that happen there, if it comes by. `whose`: of whom; none: of all.
    pub fn arm(&self, trap: Option<(Point, Mishap)>, whose: Option<Whose>) {
        let mut state = self.state.lock().unwrap();
        state.whose = whose;
        state.trap = trap;
        state.seen.clear();
        state.counts.clear();
    }

    /// Makes a cut wire whole again, for the next operator.
    pub fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        state.trap = None;
        state.cut = CancellationToken::new();
    }

    /// Waits until it is cut.
    pub async fn cut(&self) {
        let cut = self.state.lock().unwrap().cut.clone();
        cut.cancelled().await;
    }

    /// Whether what was waited for has come by. If it is to be cut there it is, or will be at once.
    pub fn is_sprung(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.trap.as_ref().is_some_and(|(trap, _)| state.seen.contains(trap))
    }

    /// Waits for nothing any more. Whether what was waited for has come by.
    pub fn disarm(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let trap = state.trap.take();
        trap.is_some_and(|(trap, _)| state.seen.contains(&trap))
    }

    /// What went over it since it was armed, in order.
    pub fn seen(&self) -> Vec<Point> {
        self.state.lock().unwrap().seen.clone()
    }

    /// `label`: of the I/O, given what counts; none if it does not.
    fn pass(&self, label: impl FnOnce(Option<&Whose>) -> Option<String>) -> Verdict {
        let mut state = self.state.lock().unwrap();
        if state.cut.is_cancelled() {
            return Verdict::Dead;
        }
        let label = label(state.whose.as_ref()).filter(|label| label != FEED || !state.counts.contains_key(FEED));
        let Some(label) = label else {
            return Verdict::Pass(state.cut.clone(), None);
        };
        let number = state.counts.entry(label.clone()).or_default();
        *number += 1;
        let point = Point { label, number: *number };
        state.seen.push(point.clone());
        let cut = state.cut.clone();
        match &state.trap {
            Some((trap, mishap)) if *trap == point => match mishap {
                Mishap::CutBefore => {
                    cut.cancel();
                    Verdict::Dead
                }
                Mishap::CutAfter => Verdict::Last(cut),
                Mishap::ReplyLost => Verdict::LoseReply,
                Mishap::Twice => Verdict::Twice,
            },
            _ => Verdict::Pass(cut, Some(point)),
        }
    }

    /// Forgets a point that was an attempt to change an object from an old copy of it.
    fn take_back(&self, point: &Point, answer: StatusCode) {
        let changes = point.label.starts_with("PUT ") || point.label.starts_with("PATCH ");
        if !changes || !matches!(answer, StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
            return;
        }
        let mut state = self.state.lock().unwrap();
        // None if it has been armed anew since.
        if let Some(at) = state.seen.iter().rposition(|seen| seen == point) {
            state.seen.remove(at);
            *state.counts.get_mut(&point.label).unwrap() -= 1;
        }
    }

    /// A client whose requests go over the wire.
    pub fn client(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let wire = self.clone();
        let service = tower::service_fn(move |request| {
            let (wire, client) = (wire.clone(), client.clone());
            async move { wire.answer(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn answer(&self, client: &Client, request: Request<Body>) -> kube::Result<Answer> {
        match Watches::watched(&request) {
            Some(resource) => Ok(self.watches.through(&resource, client.send(request).await?)),
            None => Ok(self.send(client, request).await?.map(BodyExt::boxed_unsync)),
        }
    }

    async fn send(&self, client: &Client, request: Request<Body>) -> kube::Result<http::Response<Body>> {
        let Some(label) = label_of_object(request.method(), request.uri().path()) else {
            return client.send(request).await;
        };
        match self.pass(|whose| of_round(&label, whose)) {
            Verdict::Dead => pending().await,
            Verdict::Last(cut) => {
                let _ = client.send(request).await;
                cut.cancel();
                pending().await
            }
            Verdict::LoseReply => {
                let _ = client.send(request).await;
                let lost = io::Error::new(io::ErrorKind::ConnectionReset, "the answer is lost");
                Err(kube::Error::Service(Box::new(lost)))
            }
            Verdict::Twice => {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
                let _ = client.send(again()).await;
                client.send(again()).await
            }
            Verdict::Pass(cut, point) => {
                let answer = client.send(request).await;
                if let (Some(point), Ok(answer)) = (point, &answer) {
                    self.take_back(&point, answer.status());
                }
                if cut.is_cancelled() { pending().await } else { answer }
            }
        }
    }

    /// Has the requests to the manager go over the wire.
    pub fn watch(&self, faults: &Faults) {
        let wire = self.clone();
        faults.judge(move |request| match wire.pass(label_of_remote(request)?) {
            Verdict::Dead => Some(Fault::NeverAnswer),
            Verdict::Last(cut) => Some(Fault::LoseReply(cut)),
            Verdict::LoseReply => Some(Fault::DropReply),
            Verdict::Twice => Some(Fault::Twice),
            Verdict::Pass(..) => None,
        });
    }
}

/// `PUT channelconnections/web/status`; none for what is no I/O.
fn label_of_object(method: &Method, path: &str) -> Option<String> {
    let object = path.split_once("/namespaces/")?.1.split_once('/')?.1;
    let is_io = *method != Method::GET && !object.starts_with("leases") && !object.starts_with("events");
    is_io.then(|| format!("{method} {object}"))
}

/// `PATCH /v1/connections/…`; none for what is no I/O of the operator, which is the one that says who it is.
fn label_of_remote<B>(request: &Request<B>) -> Option<impl FnOnce(Option<&Whose>) -> Option<String>> {
    static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("(if|cn)_[A-Za-z0-9]+").unwrap());
    let agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
    agent
        .starts_with("digital-messaging-operator/")
        .then_some(|whose: Option<&Whose>| {
            let counts = whose.is_none_or(|whose| issuer(request).as_ref() == Some(&whose.manager_id));
            let path = ID.replace_all(request.uri().path(), "…");
            counts.then(|| format!("{} {path}", request.method()))
        })
}

/// The Manager ID that a request is signed for.
fn issuer<B>(request: &Request<B>) -> Option<String> {
    let authorization = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    claimed_issuer(authorization.strip_prefix("Bearer ")?).ok()
}

/// The label without the round in names such as `web-r7`; none if that is another round than the one that counts.
fn of_round(label: &str, whose: Option<&Whose>) -> Option<String> {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| Regex::new("-r([0-9]+)").unwrap());
    let other = NAMED
        .captures(label)
        .zip(whose)
        .is_some_and(|(named, whose)| named[1] != whose.round.to_string());
    (!other).then(|| NAMED.replace(label, "").into_owned())
}

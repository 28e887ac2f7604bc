// SPDX-License-Identifier: Apache-2.0

//! Notes every request, so that a test can count calls and say which there were, and which there were not.
//!
//! Behind the feature `faults`; never part of a shipped binary.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use digital_messaging_contract::header::OPERATOR_EPOCH;
use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its query.
    pub query: Option<String>,
    /// The status of the answer; none while it is in flight or if it was never answered.
    pub status: Option<u16>,
    /// When it came.
    pub at: Timestamp,
    /// When its answer began; none while it is in flight or if it was never answered.
    pub answered: Option<Timestamp>,
    /// Its `Operator-Epoch` header.
    pub operator_epoch: Option<String>,
    /// Its `traceparent` header.
    pub traceparent: Option<String>,
}

impl Entry {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Whether it is a call of the change feed.
    pub fn is_change_feed(&self) -> bool {
        self.path == "/v1/changes"
    }
}

/// The handle on the notes. Clones share them.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: Arc<watch::Sender<Vec<Entry>>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            entries: Arc::new(watch::Sender::new(Vec::new())),
        }
    }
}

impl Journal {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// All requests since the start, in order of arrival.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().clone()
    }

    /// How many requests there are so far: a mark for [`Journal::since`].
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Whether there was no request so far.
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// The requests after a mark.
    pub fn since(&self, mark: usize) -> Vec<Entry> {
        self.entries.borrow().get(mark..).unwrap_or_default().to_vec()
    }

    /// How many requests are like that.
    pub fn count(&self, is_like: impl Fn(&Entry) -> bool) -> usize {
        self.entries.borrow().iter().filter(|entry| is_like(entry)).count()
    }

    /// Waits until the notes are like that. None if they were not in time.
    pub async fn wait_until(&self, limit: Duration, mut are_like: impl FnMut(&[Entry]) -> bool) -> Option<Vec<Entry>> {
        let mut receiver = self.entries.subscribe();
        let found = timeout(limit, receiver.wait_for(|entries| are_like(entries))).await;
        found.ok()?.ok().map(|entries| entries.clone())
    }
}

fn header(request: &Request, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// The layer.
pub(crate) async fn note(State(journal): State<Journal>, request: Request, next: Next) -> Response {
    let entry = Entry {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        status: None,
        at: Timestamp::now(),
        answered: None,
        operator_epoch: header(&request, OPERATOR_EPOCH),
        traceparent: header(&request, "traceparent"),
    };
    let mut index = 0;
    journal.entries.send_modify(|entries| {
        index = entries.len();
        entries.push(entry);
    });
    let response = next.run(request).await;
    let status = response.status().as_u16();
    journal.entries.send_modify(|entries| {
        if let Some(entry) = entries.get_mut(index) {
            entry.status = Some(status);
            entry.answered = Some(Timestamp::now());
        }
    });
    response
}

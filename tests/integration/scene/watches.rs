// SPDX-License-Identifier: Apache-2.0

//! Watches of the operator, which can be held up: it goes on, and what it knows grows old.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use axum::body::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use tokio::sync::watch;

/// The watches. Clones are the same.
#[derive(Clone, Default)]
pub struct Watches {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    held: watch::Sender<BTreeSet<String>>,
    passed: Mutex<HashMap<String, usize>>,
}

pub type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

impl Watches {
    /// Holds up the events of these resources, such as `channelconnections`.
    pub fn hold(&self, resources: &[&str]) {
        let resources = resources.iter().map(|it| (*it).to_owned());
        self.shared.held.send_modify(|held| held.extend(resources));
    }

    /// Lets the events of a resource through that were held up, and those to come.
    pub fn release(&self, resource: &str) {
        self.shared.held.send_if_modified(|held| held.remove(resource));
    }

    /// Lets everything through.
    pub fn release_all(&self) {
        self.shared.held.send_modify(BTreeSet::clear);
    }

    /// How many pieces of watches of a resource have come through so far.
    pub fn passed(&self, resource: &str) -> usize {
        self.shared.passed.lock().unwrap().get(resource).copied().unwrap_or_default()
    }

    /// The resource that a request watches, if it does.
    pub fn watched(request: &Request<Body>) -> Option<String> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let resource = request.uri().path().rsplit('/').next()?;
        is_watch.then(|| resource.to_owned())
    }

    /// An answer whose pieces wait while the resource is held up.
    pub fn through(&self, resource: &str, answer: Response<Body>) -> Answer {
        let (shared, resource) = (self.shared.clone(), resource.to_owned());
        answer.map(|body| {
            let pieces = BodyStream::new(body).then(move |piece| {
                let (shared, resource) = (shared.clone(), resource.clone());
                async move {
                    let mut held = shared.held.subscribe();
                    let _ = held.wait_for(|held| !held.contains(&resource)).await;
                    *shared.passed.lock().unwrap().entry(resource).or_default() += 1;
                    piece
                }
            });
            StreamBody::new(pieces).boxed_unsync()
        })
    }
}

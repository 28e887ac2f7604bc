// SPDX-License-Identifier: Apache-2.0

//! Looks now and then for objects that have had work due for too long: shows how many there are, and says so on each once.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::sleep;

use super::{Context, object_reference, reason::Reason};
use crate::desired::node::{Kind, Node};

/// Longest pause between two looks.
const PAUSE: Duration = Duration::from_secs(30);
/// Events of one look, so that they do not crowd out others; the rest is named by the next looks.
const MOST_EVENTS: usize = 64;

/// Looks until it is dropped. `limit` is how long work may be due.
pub async fn run(limit: Duration, context: &Context) {
    loop {
        sleep((limit / 4).min(PAUSE)).await;
        look(limit, Instant::now(), context);
        sweep(context);
    }
}

fn look(limit: Duration, now: Instant, context: &Context) {
    let progress = &context.mirror.progress;
    for kind in [Kind::Credential, Kind::Interface, Kind::Connection] {
        context.metrics.set_stale(kind.plural(), progress.stale(kind, limit, now));
    }
    for (node, due) in progress.newly_stale(limit, MOST_EVENTS, now) {
        let seconds = due.as_secs();
        tracing::warn!(object = %node, seconds, "work is due for too long");
        if let Some(object) = reference(&node, context) {
            let message =
                format!("work has been due for {seconds} s without coming to an end; the conditions say what it waits for");
            context
                .events
                .publish(object, true, Reason::ReconcileOverdue.as_str(), &message);
        }
    }
}

fn reference(node: &Node, context: &Context) -> Option<ObjectReference> {
    match node.kind {
        Kind::Credential => context.mirror.credential(node).map(|it| object_reference(&*it)),
        Kind::Interface => context.mirror.interface(node).map(|it| object_reference(&*it)),
        Kind::Connection => context.mirror.connection(node).map(|it| object_reference(&*it)),
        Kind::Secret | Kind::Output => None,
    }
}

/// Drops what is kept of objects that are gone; values of Secrets first of all.
fn sweep(context: &Context) {
    context.mirror.sweep();
    context
        .secrets
        .keep(|node| context.mirror.secret(node)?.metadata.resource_version.clone());
}

// SPDX-License-Identifier: Apache-2.0

//! What the status says. Computed purely, then written once if it differs.

use std::time::{Duration, Instant};

use super::apply::Applied;
use crate::{
    api::{DigitalMessagingInterface, DigitalMessagingInterfaceStatus, interface::ConnectionCounts},
    controller::{
        Context, Next, Subject, drift, holding,
        report::{self, Readiness},
        retry,
        trouble::Stop,
    },
    desired::node::Kind,
};

/// Least time between two writes of nothing but counts.
const COUNT_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn report(
    subject: &Subject,
    interface: &DigitalMessagingInterface,
    context: &Context,
    outcome: Result<Applied, Stop>,
) -> Next {
    let mut status = interface.status.clone().unwrap_or_default();
    let next = match outcome {
        Err(Stop::Stale) => return Next::Stale,
        Err(Stop::Quiet) if status.conditions.is_empty() => return Next::Wait,
        Err(Stop::Quiet) => Next::Wait,
        Err(Stop::Trouble(trouble)) => {
            holding::report_trouble(&mut status, subject, &trouble);
            report::next_after(Some(&trouble))
        }
        Ok(applied) => describe(&mut status, subject, applied),
    };
    status.last_drift = drift::last(context, &subject.node, status.last_drift.take());
    if let Some(token) = retry::token(interface) {
        status.last_handled_retry = Some(token);
    }
    let next = count(&mut status, interface, subject, context, next);
    report::write(context, subject, interface, interface.status.as_ref(), &status, next).await
}

pub(super) async fn suspended(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Next {
    let mut status = interface.status.clone().unwrap_or_default();
    // Approving it would change nothing, and ending the suspension makes it another plan.
    status.plan = None;
    report::set_suspended(&mut status, subject.generation);
    report::write(context, subject, interface, interface.status.as_ref(), &status, Next::Wait).await
}

fn describe(status: &mut DigitalMessagingInterfaceStatus, subject: &Subject, applied: Applied) -> Next {
    let readiness = match &applied.observed {
        Some(observed) => {
            status.id = Some(observed.id.to_string());
            status.account = Some(applied.account);
            status.creation = None;
            status.callback_url = Some(observed.callback_url.clone());
            Readiness::Ready
        }
        None => Readiness::Unchanged,
    };
    if let Some(intent) = applied.intent {
        status.last_applied = Some(holding::last_applied(intent));
    }
    if applied.approved.is_some() {
        status.last_approved_plan = applied.approved;
    }
    status.plan = applied.trouble.as_ref().and_then(|trouble| trouble.plan.as_deref().cloned());
    drift::show(status, subject, applied.drifted);
    report::set_conditions(status, subject.generation, readiness, applied.trouble.as_ref());
    report::next_after(applied.trouble.as_ref())
}

/// Counts connections. A count alone is written at most every few seconds: thousands of connections may turn ready at once.
fn count(
    status: &mut DigitalMessagingInterfaceStatus,
    interface: &DigitalMessagingInterface,
    subject: &Subject,
    context: &Context,
    next: Next,
) -> Next {
    let below = context.mirror.sum(&subject.node, Kind::Connection);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let counts = Some(ConnectionCounts {
        desired: number(below.total),
        ready: number(below.ready),
    });
    if status.connections == counts {
        return next;
    }
    let only_counts = interface.status.as_ref() == Some(&*status);
    let mut counted = context
        .memory
        .counted
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let since = counted.get(&subject.node).map(Instant::elapsed);
    if let Some(since) = since.filter(|since| only_counts && *since < COUNT_PAUSE) {
        return match next {
            Next::Wait | Next::Recheck => Next::Settled(COUNT_PAUSE.saturating_sub(since)),
            Next::Blocked => Next::After(COUNT_PAUSE.saturating_sub(since)),
            sooner => sooner,
        };
    }
    counted.insert(subject.node.clone(), Instant::now());
    status.connections = counts;
    next
}

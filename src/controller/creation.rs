// SPDX-License-Identifier: Apache-2.0

//! Making an object at a manager that would make it twice.
//!
//! Where references are unique this does nothing: a second attempt is refused, and the refusal names the object. Elsewhere a
//! lost answer leaves open whether there is an object, and an attempt of a former process may still be on its way. So the
//! intent is written to the status first; whoever finds it there waits until no former attempt can arrive any more, as far
//! as that can be known, has the account looked at as a whole, and makes the object only if it is not there.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, core::NamespaceResourceScope};
use serde::Serialize;

use crate::{
    api::{Creation, HasConditions},
    desired::node::Node,
    manager::error::Class,
    session::{Failure, Session},
};

use super::{
    Context, Subject,
    reason::Reason,
    report,
    trouble::{Retry, Stop, Trouble},
};

/// Attempts whose outcome is not known.
pub struct Attempts {
    /// How long an attempt may take to arrive.
    settles: Duration,
    /// Since when this process may make attempts: those of a former one are older.
    began: Instant,
    /// When an attempt of this process ended without an answer.
    unknown: Mutex<HashMap<Node, Instant>>,
}

impl Attempts {
    /// None yet. `settles`: how long after it was given up an attempt may still arrive.
    pub fn new(settles: Duration) -> Self {
        Self {
            settles,
            began: Instant::now(),
            unknown: Mutex::default(),
        }
    }

    /// How long to wait until no former attempt can arrive any more.
    fn unsettled(&self, node: &Node, is_of_this_term: bool) -> Option<Duration> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied();
        let since = unknown.or((!is_of_this_term).then_some(self.began))?;
        let left = self.settles.saturating_sub(since.elapsed());
        (!left.is_zero()).then_some(left)
    }

    fn note(&self, node: &Node) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.retain(|_, since| since.elapsed() < self.settles);
        unknown.insert(node.clone(), Instant::now());
    }
}

/// Makes sure that what the mirror does not show is not there: the account is looked at after the last possible attempt.
/// For an object that carries no intent, or whose reference is unique, nothing has to be done.
///
/// # Errors
/// If it is too early for that, or the account cannot be looked at.
pub async fn look_first(
    subject: &Subject,
    creation: Option<&Creation>,
    session: &Session,
    context: &Context,
) -> Result<(), Stop> {
    let Some(creation) = creation.filter(|_| !session.has_unique_references()) else {
        return Ok(());
    };
    let is_of_this_term = context
        .kubernetes
        .leadership
        .permit()
        .is_some_and(|fence| fence.epoch == creation.epoch);
    if let Some(wait) = context.memory.creations.unsettled(&subject.node, is_of_this_term) {
        let message = "an earlier attempt to make it may still arrive at the manager, which would not refuse a second one; \
                       the operator waits, looks whether it is there, and makes it if not";
        return Err(Trouble {
            retry: Retry::After(wait),
            ..Trouble::new(Reason::CreationUnsettled, message)
        }
        .into());
    }
    Ok(session.look_afresh(subject.requester()).await?)
}

/// Writes down that the object is about to be made, unless that is there already or references are unique.
///
/// # Errors
/// [`Stop::Quiet`] if that took a write: what comes next starts from the object as it is then.
pub async fn announce<K, S>(
    subject: &Subject,
    object: &K,
    status: Option<&S>,
    session: &Session,
    context: &Context,
) -> Result<(), Stop>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: HasConditions + Clone + Default + Serialize,
{
    if session.has_unique_references() || status.is_some_and(|status| status.creation().is_some()) {
        return Ok(());
    }
    let Some(fence) = context.kubernetes.leadership.permit() else {
        return Err(Stop::Quiet);
    };
    let mut after = status.cloned().unwrap_or_default();
    after.set_creation(Some(Creation {
        started_at: Time(Timestamp::now()),
        epoch: fence.epoch,
    }));
    report::note(context, subject, object, &after).await
}

/// Remembers an attempt to make the object that ended without an answer.
pub fn note_failure(subject: &Subject, failure: &Failure, context: &Context) {
    if let Failure::Manager(error) = failure
        && let Class::Unavailable(_) = error.class
    {
        context.memory.creations.note(&subject.node);
    }
}

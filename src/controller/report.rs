// SPDX-License-Identifier: Apache-2.0

//! Turns the outcome of a reconcile into conditions, an event if something turned, and one status write if it differs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, core::NamespaceResourceScope};
use serde::Serialize;

use crate::{
    api::{Condition, ConditionStatus, ConditionType, HasConditions},
    desired::OwnWrite,
    kubernetes::{client::WriteError, finalizer, status},
};

use super::{
    Context, Next, Subject, drift, object_reference,
    reason::{Gravity, Reason},
    trouble::{Retry, Stop, Trouble},
};

/// Whether the object does what it is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not.
    NotReady(Reason, String),
    /// Nothing new is known: as it was.
    Unchanged,
}

/// Sets the conditions that all kinds have.
pub fn set_conditions(status: &mut impl HasConditions, generation: i64, readiness: Readiness, trouble: Option<&Trouble>) {
    status.set_observed_generation(generation);
    // What is as declared and does not serve all the same, waits for somebody, too.
    let cause = match (trouble, &readiness) {
        (Some(trouble), _) => Some((trouble.reason, trouble.message.clone())),
        (None, Readiness::NotReady(reason, message)) => Some((*reason, message.clone())),
        (None, _) => None,
    };
    let mut setter = Setter { status, generation };
    match readiness {
        Readiness::Ready => setter.set(ConditionType::Ready, true, Reason::Ready, ""),
        Readiness::NotReady(reason, message) => setter.set(ConditionType::Ready, false, reason, &message),
        // What serves goes on serving, whatever stopped the reconcile; what does not is not ready for the latest reason.
        Readiness::Unchanged => {
            let serves = setter
                .status
                .condition(ConditionType::Ready)
                .is_some_and(|ready| ready.status == ConditionStatus::True);
            if let Some(trouble) = trouble.filter(|_| !serves) {
                setter.set(ConditionType::Ready, false, trouble.reason, &trouble.message);
            }
        }
    }
    match trouble {
        None => setter.set(ConditionType::Synced, true, Reason::Synced, ""),
        Some(Trouble { reason, message, .. }) => setter.set(ConditionType::Synced, false, *reason, message),
    }
    let abnormal = |gravity| cause.as_ref().filter(|(reason, _)| reason.gravity() == gravity);
    for (kind, gravity) in [
        (ConditionType::Reconciling, Gravity::Waiting),
        (ConditionType::Stalled, Gravity::Stalled),
    ] {
        match abnormal(gravity) {
            Some((reason, message)) => setter.set(kind, true, *reason, message),
            None => setter.clear(kind),
        }
    }
}

/// Says that nothing is changed because of `spec.suspend`, and leaves everything else as it is.
pub fn set_suspended(status: &mut impl HasConditions, generation: i64) {
    status.set_observed_generation(generation);
    let mut setter = Setter { status, generation };
    setter.set(
        ConditionType::Reconciling,
        false,
        Reason::Suspended,
        "spec.suspend is set: nothing is changed at the manager",
    );
}

/// Sets one condition.
pub fn set_condition(
    status: &mut impl HasConditions,
    generation: i64,
    kind: ConditionType,
    holds: bool,
    reason: Reason,
    message: &str,
) {
    Setter { status, generation }.set(kind, holds, reason, message);
}

struct Setter<'a, S> {
    status: &'a mut S,
    generation: i64,
}

impl<S: HasConditions> Setter<'_, S> {
    fn set(&mut self, kind: ConditionType, holds: bool, reason: Reason, message: &str) {
        self.status.set_condition(Condition {
            type_: kind,
            status: ConditionStatus::from(holds),
            reason: reason.as_str().to_owned(),
            message: message.to_owned(),
            last_transition_time: Time(Timestamp::now()),
            observed_generation: Some(self.generation),
        });
    }

    fn clear(&mut self, kind: ConditionType) {
        self.status.clear_condition(kind);
    }
}

/// Writes the status if it differs, tells of a turn, and says when to go on.
pub async fn write<K, S>(context: &Context, subject: &Subject, object: &K, before: Option<&S>, after: &S, next: Next) -> Next
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: HasConditions + PartialEq + Serialize,
{
    if before == Some(after) {
        return next;
    }
    let held = context.mirror.hold_news(subject.node.clone());
    let written = status::write(&context.kubernetes, subject.node.kind.plural(), object, after).await;
    if let Ok(version) = &written {
        remember(context, subject, object, version.clone(), false);
    }
    drop(held);
    match written {
        Ok(_) => {
            context.memory.corrections().remove(&subject.node);
            drift::count(context, subject.node.kind.as_str(), before, after);
            count_first_ready(context, subject, object, before, after);
            tell(context, object, before, after);
            next
        }
        // The event of the version that was in the way wakes the object, but it may have been here already.
        Err(WriteError::Conflict) => Next::Stale,
        Err(WriteError::Gone | WriteError::NotLeading) => Next::Wait,
        Err(error) => {
            tracing::warn!(object = %subject.node, %error, "cannot write the status");
            Next::BackOff
        }
    }
}

/// Counts how long it took from its creation until an object was ready for the first time.
fn count_first_ready<K, S>(context: &Context, subject: &Subject, object: &K, before: Option<&S>, after: &S)
where
    K: Resource<DynamicType = ()>,
    S: HasConditions,
{
    let is_ready = |status: &S| {
        let ready = status.condition(ConditionType::Ready);
        ready.map(|ready| ready.status == ConditionStatus::True)
    };
    let (before, after) = (before.and_then(is_ready), is_ready(after));
    if !context.memory.is_ready_at_last(&subject.node, before, after) {
        return;
    }
    if let Some(Time(created)) = &object.meta().creation_timestamp {
        // A clock that is behind that of the API server makes it less than nothing.
        let took = Timestamp::now().duration_since(*created).try_into().unwrap_or_default();
        context.metrics.first_ready(subject.node.kind.as_str(), took);
    }
}

/// Puts our finalizer on or takes it off.
///
/// # Errors
/// [`Stop::Quiet`] if that took a write: what comes next starts from the object as it is then.
pub async fn keep_finalizer<K>(context: &Context, subject: &Subject, object: &K, wanted: bool) -> Result<(), Stop>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
{
    match finalizer::set(&context.kubernetes, subject.node.kind.plural(), object, wanted).await? {
        None => Ok(()),
        Some(left) if !wanted && object.meta().resource_version.as_ref() == Some(&left) => {
            context.mirror.let_go(&subject.node, left);
            Err(Stop::Quiet)
        }
        version => {
            remember(context, subject, object, version, true);
            Err(Stop::Quiet)
        }
    }
}

/// Writes a status on the way, which some step must find there when it is done again.
///
/// # Errors
/// [`Stop::Quiet`] once it is written: what comes next starts from the object as it is then.
pub async fn note<K, S>(context: &Context, subject: &Subject, object: &K, status: &S) -> Result<(), Stop>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: Serialize,
{
    let version = status::write(&context.kubernetes, subject.node.kind.plural(), object, status).await?;
    remember(context, subject, object, version, true);
    Err(Stop::Quiet)
}

fn remember(context: &Context, subject: &Subject, object: &impl Resource, left: Option<String>, wake: bool) {
    if let (Some(over), Some(left)) = (object.meta().resource_version.clone(), left) {
        context.mirror.wrote(subject.node.clone(), OwnWrite { over, left, wake });
    }
}

/// One event when an object turns into trouble of its own, into other trouble, or out of it; and one for each new plan that
/// waits to be approved.
fn tell<K, S>(context: &Context, object: &K, before: Option<&S>, after: &S)
where
    K: Resource<DynamicType = ()>,
    S: HasConditions,
{
    let told = |status: &S| {
        let is_false = |kind| status.condition(kind).filter(|it| it.status == ConditionStatus::False);
        let waits_for_another = |synced: &&Condition| {
            let mut reasons = Reason::ALL.iter();
            reasons.any(|reason| reason.as_str() == synced.reason && reason.is_wait_for_another())
        };
        let differs = is_false(ConditionType::Synced).filter(|synced| !waits_for_another(synced));
        // As declared, and it does not serve all the same.
        let failed = || is_false(ConditionType::Ready).filter(|ready| ready.reason == Reason::ChannelFailed.as_str());
        differs.or_else(failed).cloned()
    };
    let hash = |status: &S| status.plan().map(|plan| plan.hash.clone());
    if let Some(plan) = after.plan().filter(|plan| before.and_then(hash).as_ref() != Some(&plan.hash)) {
        let fields: Vec<&str> = plan.changes.iter().map(|change| change.field.as_str()).collect();
        // Without the hash: events of a kind are folded into the first one.
        let note = format!("a plan waits for approval in status.plan: {}", fields.join(", "));
        let reason = Reason::AwaitingApproval.as_str();
        context.events.publish(object_reference(object), false, reason, &note);
    }
    match (before.and_then(told), told(after)) {
        (Some(before), Some(after)) if before.reason == after.reason => {}
        // Told above, and nothing that is wrong.
        (_, Some(after)) if after.reason == Reason::AwaitingApproval.as_str() => {}
        (_, Some(after)) => context
            .events
            .publish(object_reference(object), true, &after.reason, &after.message),
        (Some(_), None) if is_synced(after) => {
            let reason = Reason::Synced.as_str();
            context
                .events
                .publish(object_reference(object), false, reason, "the manager holds what is declared");
        }
        (_, None) => {}
    }
}

fn is_synced(status: &impl HasConditions) -> bool {
    status
        .condition(ConditionType::Synced)
        .is_some_and(|synced| synced.status == ConditionStatus::True)
}

/// So often in a row what a reconcile is based on may have changed before that is trouble: some seconds long.
const STALE_ROUNDS: u32 = 8;

/// Makes trouble of a reconcile that again and again finds that what it was based on has changed.
///
/// # Errors
/// Those of `outcome`, but for staleness that does not end.
pub fn end_staleness<T>(context: &Context, subject: &Subject, outcome: Result<T, Stop>) -> Result<T, Stop> {
    if !matches!(outcome, Err(Stop::Stale)) {
        context.memory.forget_stale(&subject.node);
        return outcome;
    }
    let rounds = context.memory.count_stale(&subject.node);
    if rounds < STALE_ROUNDS {
        return outcome;
    }
    tracing::warn!(object = %subject.node, rounds, "what the object is based on has changed each time it was acted on");
    let message = format!(
        "{STALE_ROUNDS} times in a row what was read of the manager or of Kubernetes was no longer so when it was acted on: another \
         writer changes it all the time, or the manager's list and its answers contradict each other. Tried on by itself"
    );
    Err(Trouble {
        retry: Retry::BackOff,
        ..Trouble::new(Reason::NeverSettles, message)
    }
    .into())
}

/// When to go on after trouble.
pub fn next_after(trouble: Option<&Trouble>) -> Next {
    match trouble.map(|trouble| trouble.retry) {
        None => Next::Wait,
        Some(Retry::OnChange) => Next::Recheck,
        Some(Retry::OnRecovery) => Next::Blocked,
        Some(Retry::BackOff) => Next::BackOff,
        Some(Retry::After(wait)) => Next::After(wait),
    }
}

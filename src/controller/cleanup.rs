// SPDX-License-Identifier: Apache-2.0

//! The end of an object: cleans up what it must at the manager, then lets go. The same for all kinds.

use std::time::Duration;

use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use serde::Serialize;

use super::{
    Context, Next, Subject,
    reason::Reason,
    release,
    report::{self, Readiness},
    retry,
    trouble::{Retry, Stop, Trouble},
};
use crate::{
    api::{ConditionType, HasConditions, annotation},
    desired::node::{Kind, Node},
    kubernetes::finalizer,
};

/// Least time between two writes that differ only in whom an object waits for.
const WAIT_PAUSE: Duration = Duration::from_secs(5);

/// Runs `clean_up` and takes the finalizer off once it succeeded; says why as long as it does not.
///
/// The annotation `abandon` skips the cleaning up of what is at the manager, and leaves that as it is. A credential has
/// nothing there, and whoever depends on it needs it until the end.
pub async fn finish<K, S>(
    context: &Context,
    subject: &Subject,
    object: &K,
    before: Option<&S>,
    clean_up: impl Future<Output = Result<(), Stop>>,
) -> Next
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
    S: HasConditions + Clone + Default + PartialEq + Serialize,
{
    if !finalizer::is_on(object) {
        return Next::Wait;
    }
    let abandoned = subject.node.kind != Kind::Credential
        && object
            .annotations()
            .get(annotation::ABANDON)
            .is_some_and(|value| value == "true");
    if abandoned {
        release::forget(context, &subject.node);
    }
    let outcome = if abandoned { Ok(()) } else { clean_up.await };
    let outcome = match outcome {
        Ok(()) => report::keep_finalizer(context, subject, object, false).await,
        stopped => stopped,
    };
    match report::end_staleness(context, subject, outcome) {
        Ok(()) | Err(Stop::Quiet) => Next::Wait,
        Err(Stop::Stale) => Next::Stale,
        Err(Stop::Trouble(trouble)) => {
            let trouble = or_abandon(trouble, subject);
            let retry = retry::new_token(object, before.and_then(HasConditions::handled_retry));
            if retry.is_none()
                && let Some(pause) = before.and_then(|before| pause(before, &trouble, subject, context))
            {
                return Next::After(pause);
            }
            let mut after = before.cloned().unwrap_or_default();
            if let Some(token) = retry {
                after.set_handled_retry(token);
            }
            report::set_conditions(&mut after, subject.generation, Readiness::Unchanged, Some(&trouble));
            after.set_plan(trouble.plan.as_deref().cloned());
            let next = report::next_after(Some(&trouble));
            report::write(context, subject, object, before, &after, next).await
        }
    }
}

/// Whom an object waits for changes with each one that goes, and there may be thousands: that alone is written at most every
/// few seconds.
fn pause(before: &impl HasConditions, trouble: &Trouble, subject: &Subject, context: &Context) -> Option<Duration> {
    let said = before.condition(ConditionType::Synced)?;
    let only_whom = trouble.reason == Reason::DependantsRemain
        && said.reason == trouble.reason.as_str()
        && said.message != trouble.message
        && trouble.retry == Retry::OnChange;
    only_whom
        .then(|| context.memory.pause_of_count(&subject.node, WAIT_PAUSE))
        .flatten()
}

/// Waits for dependants of `kind` that must be cleaned up first.
///
/// # Errors
/// As long as there are any; the message names a few.
pub fn wait_for(kind: Kind, subject: &Subject, context: &Context) -> Result<(), Stop> {
    let waiting = context.mirror.sum(&subject.node, kind).finalizers;
    if waiting == 0 {
        return wait_for_unreadable(kind, subject, context);
    }
    let dependants = context.mirror.dependants(&subject.node);
    let unreadable = context.mirror.unreadable.kept_in(&subject.node.namespace, kind);
    let kept = dependants
        .iter()
        .filter(|node| node.kind == kind && (has_finalizer(node, context) || unreadable.contains(node)));
    let names = kept.take(5).map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ");
    let message = format!(
        "waits for {waiting} {}(s) that must be cleaned up first: {names}",
        kind.as_str()
    );
    Err(Trouble::new(Reason::DependantsRemain, message).into())
}

/// What cannot be read may be a dependant.
fn wait_for_unreadable(kind: Kind, subject: &Subject, context: &Context) -> Result<(), Stop> {
    let unreadable = context.mirror.unreadable.kept_in(&subject.node.namespace, kind);
    if unreadable.is_empty() {
        return Ok(());
    }
    let names = unreadable.iter().take(5).map(|node| node.name.to_string());
    let message = format!(
        "waits for {} {}(s) that this version of the operator cannot read and that may have to be cleaned up first: {}; see their \
         conditions. {}",
        unreadable.len(),
        kind.as_str(),
        names.collect::<Vec<_>>().join(", "),
        if subject.node.kind == Kind::Credential {
            String::new()
        } else {
            way_out(&subject.node)
        }
    );
    Err(Trouble::new(Reason::DependantsRemain, message).into())
}

/// Whether a parent that is protected stays so, because something that cannot be read may need it to be cleaned up.
pub fn may_be_needed(parent: &impl Resource, subject: &Subject, kind: Kind, context: &Context) -> bool {
    finalizer::is_on(parent) && !context.mirror.unreadable.kept_in(&subject.node.namespace, kind).is_empty()
}

fn has_finalizer(node: &Node, context: &Context) -> bool {
    match node.kind {
        Kind::Interface => context.mirror.interface(node).is_some_and(|it| finalizer::is_on(&*it)),
        Kind::Connection => context.mirror.connection(node).is_some_and(|it| finalizer::is_on(&*it)),
        _ => false,
    }
}

/// Trouble with cleaning up, and the way out for when it will never end.
fn or_abandon(trouble: Trouble, subject: &Subject) -> Trouble {
    let is_way_out = subject.node.kind != Kind::Credential;
    if !is_way_out || matches!(trouble.reason, Reason::DependantsRemain | Reason::AwaitingApproval) {
        return trouble;
    }
    let message = format!(
        "it is being deleted, and cannot be cleaned up at the manager: {}. {}",
        trouble.message,
        way_out(&subject.node),
    );
    Trouble {
        retry: trouble.retry,
        plan: trouble.plan,
        ..Trouble::new(trouble.reason, message)
    }
}

/// How to let go of an object that cannot be cleaned up.
pub fn way_out(node: &Node) -> String {
    format!(
        "To let go and leave the manager as it is: kubectl annotate {} --namespace {} {} {}=true",
        node.kind.as_str().to_lowercase(),
        node.namespace,
        node.name,
        annotation::ABANDON,
    )
}

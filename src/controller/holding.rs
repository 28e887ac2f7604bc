// SPDX-License-Identifier: Apache-2.0

//! From refusals of the planner to what people read, and who is alive: shared by interfaces and connections.

use crate::{
    api::{self, ConditionStatus, ConditionType, HasConditions, annotation},
    desired::{Mirror, node::Node},
    manager::values::RemoteId,
    plan::{Intent, Refusal, identity::Claimants},
    session::{Failure, Session},
};

use super::{
    Subject, drift,
    reason::Reason,
    report::{self, Readiness},
    trouble::{Stop, Trouble},
};

/// Who is alive, as the desired mirror knows it.
pub struct Alive<'a> {
    /// The mirror.
    pub mirror: &'a Mirror,
    /// This installation.
    pub installation: &'a str,
}

impl Claimants for Alive<'_> {
    fn is_alive(&self, reference: &str) -> bool {
        Node::of_reference(self.installation, reference).is_some_and(|node| self.mirror.exists(&node))
    }

    fn is_ours(&self, reference: &str) -> bool {
        Node::of_reference(self.installation, reference).is_some_and(|node| self.mirror.watches(&node.namespace))
    }
}

/// What a refusal means to people.
pub fn trouble(refusal: &Refusal, subject: &Subject) -> Trouble {
    let kind = subject.node.kind.as_str().to_lowercase();
    let (reason, message) = match refusal {
        Refusal::ReplaceRequired { fields } => (
            Reason::ReplaceRequired,
            format!(
                "{} can only be changed by deleting the object at the manager and making a new one: its ID, URLs and secrets would change and \
                 its customers would be lost. Put the old value back; or create another resource and move over to it, then delete this one",
                fields.join(", ")
            ),
        ),
        Refusal::AlreadyClaimed { holder, unmarked: true } => (
            Reason::AlreadyClaimed,
            format!(
                "{holder} at the manager has it already and nobody holds that; to take it over: spec.adoption {{by: ID, id: {holder}, mode: Match}}"
            ),
        ),
        Refusal::AlreadyClaimed { holder, unmarked: false } => (
            Reason::AlreadyClaimed,
            format!(
                "{holder} at the manager is held by another resource or installation, and left to it; this one takes over by itself when the \
                 other is deleted. From an installation that is gone for good: kubectl annotate {kind} --namespace {} {} --overwrite {}={holder}",
                subject.node.namespace,
                subject.node.name,
                annotation::TAKE_OVER
            ),
        ),
        Refusal::AdoptionTargetNotFound => (
            Reason::AdoptionTargetNotFound,
            "the manager has no object that spec.adoption names (yet)".to_owned(),
        ),
        Refusal::AdoptionMismatch { fields } => (
            Reason::AdoptionMismatch,
            format!(
                "the object to adopt differs in {}; change the spec, or set spec.adoption.mode: Override to change the object",
                fields.join(", ")
            ),
        ),
        Refusal::ClaimLost { id } => (
            Reason::ClaimLost,
            format!(
                "{id} at the manager does not carry this resource's mark any more; it is left alone. To take it back, delete this resource and apply it with spec.adoption"
            ),
        ),
        Refusal::RemoteMissing { id } => (
            Reason::RemoteMissing,
            format!(
                "{id} was deleted at the manager. A new one would have a new ID; to make it: kubectl annotate {kind} --namespace {} {} --overwrite {}={id}",
                subject.node.namespace,
                subject.node.name,
                annotation::RECREATE
            ),
        ),
        Refusal::ChannelUnsupported => (
            Reason::ChannelUnsupported,
            "the manager does not offer this channel to this account".to_owned(),
        ),
        Refusal::AdoptionRequired => (
            Reason::AdoptionRequired,
            "the manager does not let connections of this channel be created; make it there, then set spec.adoption".to_owned(),
        ),
        Refusal::NothingToObserve => (
            Reason::NothingToObserve,
            "management: Observe, but the manager holds nothing for this resource; name it in spec.adoption".to_owned(),
        ),
    };
    Trouble::new(reason, message)
}

/// Readiness after a reconcile that was stopped: what serves goes on serving, unless it is known to be gone.
pub fn readiness_after(trouble: &Trouble) -> Readiness {
    match trouble.reason {
        Reason::RemoteMissing | Reason::NothingToObserve | Reason::ClaimLost | Reason::AccountChanged => {
            Readiness::NotReady(trouble.reason, trouble.message.clone())
        }
        _ => Readiness::Unchanged,
    }
}

/// Whether the last reconcile of this very spec left nothing to do: then a parent's trouble is not the object's own.
pub fn is_settled(status: Option<&impl HasConditions>, generation: i64) -> bool {
    status
        .and_then(|status| status.condition(ConditionType::Synced))
        .is_some_and(|synced| synced.status == ConditionStatus::True && synced.observed_generation == Some(generation))
}

/// Whether the status says already that this object is gone at the manager: then it need not be looked for again.
pub fn is_known_missing(status: Option<&impl HasConditions>) -> bool {
    status
        .and_then(|status| status.condition(ConditionType::Synced))
        .is_some_and(|synced| synced.reason == Reason::RemoteMissing.as_str())
}

/// The ID in a status, and the account it came from.
///
/// # Errors
/// If it came from another account.
pub fn remembered(id: Option<&String>, account: Option<&String>, current: &str) -> Result<Option<RemoteId>, Stop> {
    match (id.and_then(|id| id.parse().ok()), account) {
        (Some(_), Some(account)) if account != current => Err(Trouble::new(
            Reason::AccountChanged,
            format!(
                "its ID belongs to account {account}, but the credential now opens {current}. Nothing is created there: put the old credential back, \
                 or create another resource for the new account"
            ),
        )
        .into()),
        (id, _) => Ok(id),
    }
}

/// Whether what is to be cleaned up is in the account that is open: in any other it would not be found, and taken for gone.
///
/// # Errors
/// If it is in another account.
pub fn of_this_account(status: Option<(&Option<String>, &Option<String>)>, session: &Session) -> Result<(), Stop> {
    let current = session.account().as_str();
    match status {
        Some((Some(_), Some(account))) if account != current => Err(Trouble::new(
            Reason::AccountChanged,
            format!("it is in account {account}, but the credential now opens {current}. Put the old credential back"),
        )
        .into()),
        _ => Ok(()),
    }
}

/// Whether what is not listed may be looked for, to be sure that it is gone: not while much of the account is missing.
///
/// # Errors
/// If writes are frozen.
pub fn look_for_it(session: &Session) -> Result<(), Stop> {
    match session.frozen() {
        Some(_) => Err(Failure::Frozen.into()),
        None => Ok(()),
    }
}

/// The intent as the status keeps it.
pub fn last_applied(intent: Intent) -> api::LastApplied {
    api::LastApplied {
        hash: intent.hash,
        fields: intent.fields,
    }
}

/// What a status says after a reconcile that was stopped. A plan that could not be computed anew waits for nobody, and what is
/// not held any more has not drifted.
pub fn report_trouble(status: &mut impl HasConditions, subject: &Subject, trouble: &Trouble) {
    let readiness = readiness_after(trouble);
    if readiness != Readiness::Unchanged {
        drift::show(status, subject, Vec::new());
    }
    status.set_plan(None);
    report::set_conditions(status, subject.generation, readiness, Some(trouble));
}

// SPDX-License-Identifier: Apache-2.0

//! Has the session carry the plan out, as far as the policy allows.

use std::sync::Arc;

use kube::Resource;
use secrecy::SecretString;

use super::dereference::References;
use crate::{
    api::{ChannelConnection, Deletion, Management},
    controller::{
        Context, Subject,
        approval::{self, Basis},
        creation, drift,
        reason::Reason,
        release, report,
        trouble::{Retry, Stop, Trouble},
    },
    manager::{
        error::Class,
        observed::ObservedConnection,
        write::{ConnectionOutcome, ConnectionWrite},
    },
    plan::{Intent, Plan, identity::Holding},
    session::Failure,
};

/// What is known after the plan was applied, or held back.
pub(super) struct Applied {
    /// The remote connection, if there is one.
    pub(super) observed: Option<Arc<ObservedConnection>>,
    /// The generated secret, if the manager told it just now.
    pub(super) secret: Option<SecretString>,
    /// What has been applied; none if the plan was held back.
    pub(super) intent: Option<Intent>,
    /// The plan that had to be approved, and was.
    pub(super) approved: Option<String>,
    /// Whether something was written.
    pub(super) wrote: bool,
    /// Fields that differ without anyone having changed the spec.
    pub(super) drifted: Vec<String>,
    /// What is not as it should be, if anything.
    pub(super) trouble: Option<Trouble>,
}

pub(super) async fn apply(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    holding: Holding<ObservedConnection>,
    plan: Plan<ConnectionWrite>,
    context: &Context,
) -> Result<Applied, Stop> {
    release::forget(context, &subject.node);
    let looks_only = references.policy.management == Management::Observe;
    let plan = if looks_only { plan.only_observed() } else { plan };
    // What is not ours yet must not be remembered as if it were.
    let is_held = matches!(holding, Holding::Held(_));
    let before = match holding {
        Holding::Nothing => None,
        Holding::Held(observed) | Holding::ToAdopt { target: observed, .. } => Some(observed),
    };
    let basis = Basis {
        account: references.session.account().as_str(),
        revision: before.as_ref().map(|observed| observed.revision),
        secrets: references.secrets.remember().map(|sent| sent.hmac.as_str()),
        intent: Some(&plan.intent.hash),
        last_approved: connection
            .status
            .as_ref()
            .and_then(|status| status.last_approved_plan.as_deref()),
    };
    let annotations = connection.meta().annotations.as_ref();
    let approved = match approval::gate(references.policy, &plan.changes, subject, basis, annotations) {
        Ok(approved) => approved,
        Err(trouble) => {
            return Ok(Applied {
                secret: None,
                observed: before.filter(|_| is_held),
                intent: None,
                approved: None,
                wrote: false,
                drifted: plan.drifted(),
                trouble: Some(trouble),
            });
        }
    };
    keep_finalizer(subject, connection, references, context).await?;
    let drifted = plan.drifted();
    let is_change = plan.write.is_some();
    let (observed, secret) = match plan.write {
        None => (before, None),
        Some(write) => {
            let is_new = matches!(write, ConnectionWrite::Create { .. });
            if is_new {
                let session = &references.session;
                creation::announce(subject, connection, connection.status.as_ref(), session, context).await?;
            }
            let outcome = references
                .session
                .write_connection(subject.requester(), references.interface.clone(), write)
                .await
                .inspect_err(|failure| {
                    if is_new {
                        creation::note_failure(subject, failure, context);
                    }
                })
                .map_err(|failure| stop(failure, is_new));
            match outcome {
                // What was found stands, and is said beside why it could not be put right.
                Err(Stop::Trouble(trouble)) if !drifted.is_empty() => {
                    return Ok(Applied {
                        secret: None,
                        observed: before.filter(|_| is_held),
                        intent: None,
                        approved: None,
                        wrote: false,
                        drifted,
                        trouble: Some(trouble),
                    });
                }
                Err(stop) => return Err(stop),
                Ok(ConnectionOutcome::Present { observed, secret }) => {
                    drift::corrected(context, subject, connection, connection.status.as_ref(), drifted);
                    (Some(observed), secret)
                }
                Ok(ConnectionOutcome::Gone | ConnectionOutcome::Rotated { .. }) => return Err(Stop::Stale),
            }
        }
    };
    if let Some(observed) = &observed {
        release::remember(context, subject, &references.session, &observed.id, references.policy);
    }
    let trouble = pending_targets(references);
    Ok(Applied {
        observed,
        secret,
        // Who only observes has set nothing, and so owns no field.
        intent: Some(plan.intent).filter(|_| !looks_only),
        approved,
        wrote: is_change,
        drifted: Vec::new(),
        trouble,
    })
}

/// The finalizer is on before anything is made that must be cleaned up, and the parents stay as long.
async fn keep_finalizer(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    context: &Context,
) -> Result<(), Stop> {
    let wanted = references.policy.deletion == Deletion::Delete;
    if wanted && !references.parents_stay {
        let message = "waits until its interface and ManagerCredential are protected from going first";
        return Err(Trouble::new(Reason::InterfaceNotReady, message).into());
    }
    report::keep_finalizer(context, subject, connection, wanted).await
}

/// A new connection has only its interface that can be missing; the change feed tells when that is really gone.
fn stop(failure: Failure, is_new: bool) -> Stop {
    match failure {
        Failure::Manager(error) if is_new && error.class == Class::NotFound => Trouble {
            retry: Retry::BackOff,
            ..Trouble::new(
                Reason::InterfaceNotReady,
                format!("the manager does not find the interface: {}", error.message),
            )
        }
        .into(),
        failure => failure.into(),
    }
}

fn pending_targets(references: &References) -> Option<Trouble> {
    let pending = &references.targets.pending;
    (!pending.is_empty()).then(|| {
        let message = format!(
            "serves, but does not switch to these connections yet, which do not exist at the manager: {}",
            pending.join(", ")
        );
        Trouble::new(Reason::SwitchTargetPending, message)
    })
}

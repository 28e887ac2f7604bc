// SPDX-License-Identifier: Apache-2.0

//! Has the session carry the plan out, as far as the policy allows.

use std::sync::Arc;

use kube::Resource;

use super::{deletion, dereference::References};
use crate::{
    api::{DigitalMessagingInterface, Management},
    controller::{
        Context, Subject,
        approval::{self, Basis},
        creation, drift,
        reason::Reason,
        release, report,
        trouble::{Stop, Trouble},
    },
    manager::{observed::ObservedInterface, write::InterfaceWrite},
    plan::{Intent, Plan, identity::Holding},
};

/// What is known after the plan was applied, or held back.
pub(super) struct Applied {
    pub(super) account: String,
    /// The remote object, if there is one.
    pub(super) observed: Option<Arc<ObservedInterface>>,
    /// What has been applied; none if the plan was held back.
    pub(super) intent: Option<Intent>,
    /// The plan that had to be approved, and was.
    pub(super) approved: Option<String>,
    /// Fields that differ without anyone having changed the spec.
    pub(super) drifted: Vec<String>,
    /// What is not as it should be, if anything.
    pub(super) trouble: Option<Trouble>,
}

pub(super) async fn apply(
    subject: &Subject,
    interface: &DigitalMessagingInterface,
    references: &References,
    plan: Plan<InterfaceWrite>,
    context: &Context,
) -> Result<Applied, Stop> {
    release::forget(context, &subject.node);
    let looks_only = references.policy.management == Management::Observe;
    let plan = if looks_only { plan.only_observed() } else { plan };
    // What is not ours yet must not be remembered as if it were.
    let is_held = matches!(references.holding, Holding::Held(_));
    let before = match &references.holding {
        Holding::Nothing => None,
        Holding::Held(observed) | Holding::ToAdopt { target: observed, .. } => Some(observed.clone()),
    };
    let account = references.session.account().as_str().to_owned();
    let basis = Basis {
        account: &account,
        revision: before.as_ref().map(|observed| observed.revision),
        secrets: None,
        intent: Some(&plan.intent.hash),
        last_approved: interface
            .status
            .as_ref()
            .and_then(|status| status.last_approved_plan.as_deref()),
    };
    let annotations = interface.meta().annotations.as_ref();
    let approved = match approval::gate(references.policy, &plan.changes, subject, basis, annotations) {
        Ok(approved) => approved,
        Err(trouble) => {
            return Ok(Applied {
                account,
                observed: before.filter(|_| is_held),
                intent: None,
                approved: None,
                drifted: plan.drifted(),
                trouble: Some(trouble),
            });
        }
    };
    keep_finalizer(subject, interface, references, context).await?;
    let drifted = plan.drifted();
    let observed = match plan.write {
        None => before,
        Some(write) => {
            let session = &references.session;
            let is_new = matches!(write, InterfaceWrite::Create { .. });
            if is_new {
                creation::announce(subject, interface, interface.status.as_ref(), session, context).await?;
            }
            let written = session.ensure_interface(subject.requester(), write).await;
            let written = written.inspect_err(|failure| {
                if is_new {
                    creation::note_failure(subject, failure, context);
                }
            });
            match written.map_err(Stop::from) {
                // What was found stands, and is said beside why it could not be put right.
                Err(Stop::Trouble(trouble)) if !drifted.is_empty() => {
                    return Ok(Applied {
                        account,
                        observed: before.filter(|_| is_held),
                        intent: None,
                        approved: None,
                        drifted,
                        trouble: Some(trouble),
                    });
                }
                written => {
                    let written = written?;
                    drift::corrected(context, subject, interface, interface.status.as_ref(), drifted);
                    Some(written)
                }
            }
        }
    };
    if let Some(observed) = &observed {
        release::remember(context, subject, &references.session, &observed.id, references.policy);
    }
    Ok(Applied {
        account,
        observed,
        // Who only observes has set nothing, and so owns no field.
        intent: Some(plan.intent).filter(|_| !looks_only),
        approved,
        drifted: Vec::new(),
        trouble: None,
    })
}

/// The finalizer is on before anything is made that must be cleaned up, and the credential stays as long.
async fn keep_finalizer(
    subject: &Subject,
    interface: &DigitalMessagingInterface,
    references: &References,
    context: &Context,
) -> Result<(), Stop> {
    let wanted = deletion::is_needed(subject, interface, context);
    report::keep_finalizer(context, subject, interface, wanted).await?;
    if wanted && !references.credential_stays {
        let message = "waits until its ManagerCredential is protected from going first";
        return Err(Trouble::new(Reason::CredentialNotReady, message).into());
    }
    Ok(())
}

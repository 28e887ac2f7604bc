// SPDX-License-Identifier: Apache-2.0

//! An interface stays until its connections are cleaned up; then it is deleted at the manager, or left there.

use kube::Resource;

use crate::{
    api::{Deletion, DigitalMessagingInterface},
    controller::{
        Context, Next, Subject,
        approval::{self, Basis},
        cleanup, creation, holding, parent, report,
        trouble::Stop,
    },
    desired::node::Kind,
};

pub(super) async fn finish(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Next {
    let clean_up = Box::pin(clean_up(subject, interface, context));
    cleanup::finish(context, subject, interface, interface.status.as_ref(), clean_up).await
}

/// Whether something must be cleaned up at the manager one day: the interface itself, or a connection that needs it for that.
pub(super) fn is_needed(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> bool {
    let below = context.mirror.sum(&subject.node, Kind::Connection);
    let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let defaults = context
        .mirror
        .credential(&node)
        .map(|credential| credential.spec.default_policy());
    let defaults = defaults.unwrap_or_default();
    interface.spec.policy(&defaults).deletion == Deletion::Delete
        || below.finalizers > 0
        || below.want_deletion > 0
        || (defaults.deletion == Some(Deletion::Delete) && below.inherit_deletion > 0)
        || cleanup::may_be_needed(interface, subject, Kind::Connection, context)
}

/// What is held already, or assigned to it, must be cleaned up one day, whatever holds up the rest: a spec that is refused, an
/// approval, `suspend`.
///
/// # Errors
/// [`Stop::Quiet`] if that took a write.
pub(super) async fn protect(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Result<(), Stop> {
    let is_held = interface.status.as_ref().is_some_and(|status| status.id.is_some());
    let credential = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    // Without its credential it is not known what it inherits.
    if !is_held || context.mirror.credential(&credential).is_none() {
        return Ok(());
    }
    report::keep_finalizer(context, subject, interface, is_needed(subject, interface, context)).await
}

async fn clean_up(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Result<(), Stop> {
    cleanup::wait_for(Kind::Connection, subject, context)?;
    let own = interface.spec.policy.unwrap_or_default();
    if own.deletion == Some(Deletion::Orphan) {
        return Ok(());
    }
    // The finalizer is on, so there may be something to delete. What says whether, and lets it be done, must be there.
    let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let policy = interface
        .spec
        .policy(&parent::credential(&node, context, false)?.spec.default_policy());
    if policy.deletion != Deletion::Delete {
        return Ok(());
    }
    let session = parent::session(&node, context, true)?;
    let status = interface.status.as_ref();
    holding::of_this_account(status.map(|it| (&it.id, &it.account)), &session)?;
    // Only what carries our mark is deleted, whatever the status says.
    let reference = subject.node.reference(&context.installation.name);
    if session.mirror().interface_by_reference(reference.as_str()).is_none() {
        let creation = status.and_then(|status| status.creation.as_ref());
        creation::look_first(subject, creation, &session, context).await?;
    }
    let held = session.mirror().interface_by_reference(reference.as_str());
    let Some(held) = held else {
        if let Some(id) = status.and_then(|status| status.id.as_ref()?.parse().ok())
            && session.mirror().interface(&id).is_none()
            && !context.memory.has_deleted(&subject.node, &id)
        {
            holding::look_for_it(&session)?;
            if !session.interface_is_gone(subject.requester(), id).await? {
                return Err(Stop::Stale);
            }
        }
        return Ok(());
    };
    let basis = Basis {
        account: session.account().as_str(),
        revision: Some(held.revision),
        secrets: None,
        intent: None,
        last_approved: status.and_then(|status| status.last_approved_plan.as_deref()),
    };
    let annotations = interface.meta().annotations.as_ref();
    approval::gate(policy, &approval::deletion(&held.id), subject, basis, annotations)?;
    session.retire_interface(subject.requester(), held.id.clone()).await?;
    context.memory.note_deleted(&subject.node, &held.id);
    Ok(())
}

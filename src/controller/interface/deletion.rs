//! An interface stays until its connections are cleaned up; then it is deleted at the manager, or left there.

use kube::Resource;

use crate::{
    api::{Deletion, DigitalMessagingInterface},
    controller::{
        Context, Next, Subject,
        approval::{self, Basis},
        cleanup, creation, holding, parent,
        trouble::Stop,
    },
    desired::node::Kind,
};

pub(super) async fn finish(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Next {
    let clean_up = Box::pin(clean_up(subject, interface, context));
    cleanup::finish(context, subject, interface, interface.status.as_ref(), clean_up).await
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
        .policy(&parent::credential(&node, context)?.spec.default_policy());
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
    let Some(held) = held else { return Ok(()) };
    let basis = Basis {
        account: session.account().as_str(),
        revision: Some(held.revision),
        secrets: None,
        intent: None,
        last_approved: status.and_then(|status| status.last_approved_plan.as_deref()),
    };
    let annotations = interface.meta().annotations.as_ref();
    approval::gate(policy, &approval::deletion(&held.id), subject, basis, annotations)?;
    Ok(session.retire_interface(subject.requester(), held.id.clone()).await?)
}

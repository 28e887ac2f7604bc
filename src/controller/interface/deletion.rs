//! An interface stays until its connections are cleaned up; then it is deleted at the manager, or left there.

use crate::{
    api::{Deletion, DigitalMessagingInterface},
    controller::{Context, Next, Subject, cleanup, parent, trouble::Stop},
    desired::node::Kind,
    session::Session,
};

pub(super) async fn finish(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Next {
    let clean_up = clean_up(subject, interface, context);
    cleanup::finish(context, subject, interface, interface.status.as_ref(), clean_up).await
}

async fn clean_up(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Result<(), Stop> {
    cleanup::wait_for(Kind::Connection, subject, context)?;
    let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let defaults = context
        .mirror
        .credential(&node)
        .map(|credential| credential.spec.default_policy())
        .unwrap_or_default();
    if interface.spec.policy(&defaults).deletion != Deletion::Delete {
        return Ok(());
    }
    let held = |session: &Session| {
        session
            .mirror()
            .interface_by_reference(subject.node.reference(&context.installation.name).as_str())
            .map(|held| held.id.clone())
    };
    parent::credential(&node, context)?;
    let session = parent::session(&node, context, true)?;
    // Only what carries our mark is deleted, whatever the status says.
    match held(&session) {
        Some(id) => Ok(session.retire_interface(subject.requester(), id).await?),
        None => Ok(()),
    }
}

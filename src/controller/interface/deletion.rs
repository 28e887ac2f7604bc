//! An interface stays until its connections are cleaned up; then it is deleted at the manager, or left there.

use kube::ResourceExt;

use super::status;
use crate::{
    api::{Deletion, DigitalMessagingInterface, annotation},
    controller::{
        Context, Next, Subject, holding, parent,
        reason::Reason,
        report,
        trouble::{Stop, Trouble},
    },
    desired::node::Kind,
    kubernetes::finalizer,
};

pub(super) async fn finish(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Next {
    if !finalizer::is_on(interface) {
        return Next::Wait;
    }
    let abandoned = interface
        .annotations()
        .get(annotation::ABANDON)
        .is_some_and(|value| value == "true");
    let outcome = if abandoned {
        Ok(())
    } else {
        clean_up(subject, interface, context).await
    };
    let outcome = match outcome {
        Ok(()) => finalizer::set(&context.kubernetes, subject.node.kind.plural(), interface, false)
            .await
            .map(|_| ())
            .map_err(Stop::from),
        stopped => stopped,
    };
    match outcome {
        Ok(()) | Err(Stop::Quiet) => Next::Wait,
        Err(Stop::Stale) => Next::Stale,
        Err(Stop::Trouble(trouble)) => {
            let mut after = interface.status.clone().unwrap_or_default();
            let trouble = holding::or_abandon(trouble, subject);
            status::waiting(&mut after, subject, &trouble);
            let next = report::next_after(Some(&trouble));
            report::write(context, subject, interface, interface.status.as_ref(), &after, next).await
        }
    }
}

async fn clean_up(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Result<(), Stop> {
    let waiting = context.mirror.sum(&subject.node, Kind::Connection).finalizers;
    if waiting > 0 {
        let names = names(subject, context);
        let message = format!("waits for {waiting} ChannelConnection(s) that must be cleaned up first: {names}");
        return Err(Trouble::new(Reason::DependantsRemain, message).into());
    }
    let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let defaults = context
        .mirror
        .credential(&node)
        .map(|credential| credential.spec.default_policy())
        .unwrap_or_default();
    if interface.spec.policy(&defaults).deletion != Deletion::Delete {
        return Ok(());
    }
    let held = |session: &crate::session::Session| {
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

/// A few names, for people.
fn names(subject: &Subject, context: &Context) -> String {
    let dependants = context.mirror.dependants(&subject.node);
    let kept = dependants.iter().filter(|node| {
        context
            .mirror
            .connection(node)
            .is_some_and(|connection| finalizer::is_on(&*connection))
    });
    kept.take(5).map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ")
}

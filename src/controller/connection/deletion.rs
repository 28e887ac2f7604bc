//! A connection with `deletion: Delete` is deleted at the manager and its outputs with it; any other is left there.

use kube::Resource;

use crate::{
    api::{ChannelConnection, Deletion},
    controller::{
        Context, Next, Subject,
        approval::{self, Basis},
        cleanup, creation, parent,
        trouble::Stop,
    },
    desired::node::Kind,
    kubernetes::made_secret,
    manager::write::ConnectionWrite,
};

pub(super) async fn finish(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Next {
    let clean_up = Box::pin(clean_up(subject, connection, context));
    cleanup::finish(context, subject, connection, connection.status.as_ref(), clean_up).await
}

async fn clean_up(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<(), Stop> {
    let own = connection.spec.policy.unwrap_or_default();
    if own.deletion == Some(Deletion::Orphan) {
        return Ok(());
    }
    // The finalizer is on, so there may be something to delete. What says whether, and lets it be done, must be there.
    let credential_node = parent::credential_of(&subject.node, &connection.spec.interface_ref.name, context)?;
    let credential = parent::credential(&credential_node, context)?;
    let policy = connection.spec.policy(&credential.spec.default_policy());
    if policy.deletion != Deletion::Delete {
        return Ok(());
    }
    let session = parent::session(&credential_node, context, true)?;
    // Only what carries our mark is deleted, whatever the status says.
    let reference = subject.node.reference(&context.installation.name);
    if session.mirror().connection_by_reference(reference.as_str()).is_none() {
        let creation = connection.status.as_ref().and_then(|status| status.creation.as_ref());
        creation::look_first(subject, creation, &session, context).await?;
    }
    let held = session.mirror().connection_by_reference(reference.as_str());
    if let Some(held) = held {
        let status = connection.status.as_ref();
        let basis = Basis {
            account: session.account().as_str(),
            revision: Some(held.revision),
            secrets: None,
            intent: None,
            last_approved: status.and_then(|status| status.last_approved_plan.as_deref()),
        };
        let annotations = connection.meta().annotations.as_ref();
        approval::gate(policy, &approval::deletion(&held.id), subject, basis, annotations)?;
        let write = ConnectionWrite::Delete { id: held.id.clone() };
        session
            .write_connection(subject.requester(), held.interface_id.clone(), write)
            .await?;
    }
    let output = subject.node.sibling(Kind::Output, &connection.output_secret_name());
    Ok(made_secret::delete(&context.kubernetes, &output, reference.as_str()).await?)
}

// SPDX-License-Identifier: Apache-2.0

//! A connection with `deletion: Delete` is deleted at the manager and its outputs with it; any other is left there.

use std::collections::BTreeSet;

use kube::Resource;

use crate::{
    api::{ChannelConnection, Deletion},
    controller::{
        Context, Next, Subject,
        approval::{self, Basis},
        cleanup, creation, holding, parent, report,
        trouble::Stop,
    },
    desired::{
        facts,
        node::{Kind, Node},
    },
    kubernetes::{finalizer, made_secret},
    manager::write::ConnectionWrite,
};

pub(super) async fn finish(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Next {
    let clean_up = Box::pin(clean_up(subject, connection, context));
    cleanup::finish(context, subject, connection, connection.status.as_ref(), clean_up).await
}

/// What is held already must be cleaned up one day, whatever holds up the rest: a spec that is refused, a Secret that is missing,
/// an approval, `suspend`.
///
/// # Errors
/// [`Stop::Quiet`] if that took a write.
pub(super) async fn protect(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<(), Stop> {
    let is_held = connection.status.as_ref().is_some_and(|status| status.id.is_some());
    let interface = context
        .mirror
        .interface(&subject.node.sibling(Kind::Interface, &connection.spec.interface_ref.name));
    let credential = interface.as_ref().and_then(|interface| {
        let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
        context.mirror.credential(&node)
    });
    let (Some(interface), Some(credential), true) = (interface, credential, is_held) else {
        return Ok(());
    };
    let wanted = connection.spec.policy(&credential.spec.default_policy()).deletion == Deletion::Delete;
    // They are protected by then: it wakes them that this is declared, and us when they are.
    let parents_stay = finalizer::is_on(&*interface) && finalizer::is_on(&*credential);
    if wanted && !parents_stay {
        return Ok(());
    }
    report::keep_finalizer(context, subject, connection, wanted).await
}

async fn clean_up(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<(), Stop> {
    let own = connection.spec.policy.unwrap_or_default();
    if own.deletion == Some(Deletion::Orphan) {
        return Ok(());
    }
    // The finalizer is on, so there may be something to delete. What says whether, and lets it be done, must be there.
    let credential_node = parent::credential_of(&subject.node, &connection.spec.interface_ref.name, context)?;
    let credential = parent::credential(&credential_node, context, false)?;
    let policy = connection.spec.policy(&credential.spec.default_policy());
    if policy.deletion != Deletion::Delete {
        return Ok(());
    }
    let session = parent::session(&credential_node, context, true)?;
    let status = connection.status.as_ref();
    holding::of_this_account(status.map(|it| (&it.id, &it.account)), &session)?;
    // Only what carries our mark is deleted, whatever the status says.
    let reference = subject.node.reference(&context.installation.name);
    if session.mirror().connection_by_reference(reference.as_str()).is_none() {
        let creation = status.and_then(|status| status.creation.as_ref());
        creation::look_first(subject, creation, &session, context).await?;
    }
    let held = session.mirror().connection_by_reference(reference.as_str());
    if held.is_none()
        && let Some(id) = status.and_then(|status| status.id.as_ref()?.parse().ok())
        && session.mirror().connection(&id).is_none()
        && !context.memory.has_deleted(&subject.node, &id)
    {
        holding::look_for_it(&session)?;
        if !session.connection_is_gone(subject.requester(), id).await? {
            return Err(Stop::Stale);
        }
    }
    if let Some(held) = held {
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
        context.memory.note_deleted(&subject.node, &held.id);
    }
    for output in outputs(subject, connection, reference.as_str(), context) {
        made_secret::delete(&context.kubernetes, &output, reference.as_str()).await?;
    }
    Ok(())
}

/// The Secrets with outputs of this connection: that of the present name, and those of former ones.
fn outputs(subject: &Subject, connection: &ChannelConnection, reference: &str, context: &Context) -> BTreeSet<Node> {
    let secrets = context.mirror.outputs.state();
    let owned = secrets
        .iter()
        .filter(|secret| made_secret::is_owned(&secret.metadata, reference));
    let mut outputs: BTreeSet<Node> = owned.map(|secret| facts::node(Kind::Output, &**secret)).collect();
    // A Secret elsewhere may carry any mark.
    outputs.retain(|node| node.namespace == subject.node.namespace);
    // The watch may not have shown what was made just now.
    outputs.insert(subject.node.sibling(Kind::Output, &connection.output_secret_name()));
    outputs
}

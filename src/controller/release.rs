// SPDX-License-Identifier: Apache-2.0

//! Letting go of what is held when a resource is deleted and its object at the manager stays.
//!
//! The object keeps its reference, by which the same resource finds it again. Only the claimant is taken off: that is how
//! another installation, which cannot see who lives here, learns that it may take the object over. No finalizer waits for it.
//! What cannot be told, because the account is closed or down, is not told.

use std::sync::{Arc, Weak};

use crate::{
    api::{Approval, EffectivePolicy, Management},
    desired::node::{Kind, Node},
    manager::{
        observed::Claim,
        values::{Mark, RemoteId},
        write::{ConnectionWrite, InterfaceWrite},
    },
    session::{Failure, Session},
};

use super::{Context, Subject};

/// What a resource holds, and may let go without being asked.
#[derive(Debug)]
pub struct Held {
    session: Weak<Session>,
    id: RemoteId,
    claim: Claim,
}

/// Remembers what a resource holds, once that is as it should be. What a person must approve, or what is only observed, is not
/// written to when the resource goes, and neither is what is to be abandoned.
pub fn remember(context: &Context, subject: &Subject, session: &Arc<Session>, id: &RemoteId, policy: EffectivePolicy) {
    if policy.management == Management::Full && policy.approval == Approval::NotRequired {
        let claim = Claim {
            reference: Some(subject.node.reference(&context.installation.name).to_string()),
            claimant: Some(subject.uid.clone()),
        };
        let held = Held {
            session: Arc::downgrade(session),
            id: id.clone(),
            claim,
        };
        context.memory.held().insert(subject.node.clone(), held);
    }
}

/// Has a resource let go nothing when it goes, as far as is known.
pub fn forget(context: &Context, node: &Node) {
    context.memory.held().remove(node);
}

/// Lets go of what a resource held that is gone now, if the object still says that it is its own.
pub fn let_go(context: &Context, node: &Node) {
    let Some(held) = context.memory.held().remove(node) else {
        return;
    };
    let Some(session) = held.session.upgrade() else { return };
    let mark = Mark {
        reference: node.reference(&context.installation.name),
        claimant: None,
    };
    let node = node.clone();
    tokio::spawn(async move {
        if let Err(error) = write(&node, &held, &session, mark).await {
            tracing::info!(object = %node, ?error, "could not tell the manager that this is not held any more");
        }
    });
}

async fn write(node: &Node, held: &Held, session: &Session, mark: Mark) -> Result<(), Failure> {
    let requester = super::requester(node);
    if node.kind == Kind::Interface {
        let observed = session.mirror().interface(&held.id);
        if let Some(observed) = observed.filter(|observed| observed.claim == held.claim) {
            let write = InterfaceWrite::Update {
                settings: observed.settings.clone(),
                observed,
                cleared: Vec::new(),
                mark: Some(mark),
            };
            session.ensure_interface(requester, write).await?;
        }
    } else {
        let observed = session.mirror().connection(&held.id);
        if let Some(observed) = observed.filter(|observed| observed.claim == held.claim) {
            let interface = observed.interface_id.clone();
            let write = ConnectionWrite::Update {
                settings: observed.settings.clone(),
                observed,
                cleared: Vec::new(),
                secrets: None,
                mark: Some(mark),
            };
            session.write_connection(requester, interface, write).await?;
        }
    }
    Ok(())
}

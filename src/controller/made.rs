// SPDX-License-Identifier: Apache-2.0

//! Keeps a Secret that we made as it should be, without reading it.
//!
//! The watch on our Secrets tells when one is gone or another than we left it; the status of its owner, or the content hash
//! on it, tells whether the content is the one that is wanted.

use kube::ResourceExt;

use super::{
    Context, Subject,
    reason::Reason,
    trouble::{Stop, Trouble},
};
use crate::{
    desired::{OwnWrite, node::Node},
    kubernetes::made_secret::{self, MadeSecret, Published},
};

/// Whether the Secret is there, belongs to `owner`, has this content, and is as we left it.
pub fn is_untouched(node: &Node, owner: &str, content_hash: &str, context: &Context) -> bool {
    let own = context.mirror.own_write(node);
    let Some(meta) = context.mirror.output(node) else {
        // Deleted; or just made, and the watch has not shown it yet.
        return own.is_some_and(|(_, shown)| !shown);
    };
    let version = meta.resource_version().unwrap_or_default();
    match own {
        // The watch still shows what we have just written over; its next event wakes whoever depends on the Secret.
        Some((write, false)) if write.over == version => true,
        Some((write, _)) if write.left != version => false,
        _ => made_secret::is_owned(&meta.metadata, owner) && made_secret::content_hash(&meta.metadata) == Some(content_hash),
    }
}

/// Makes the Secret of an object as it is to be. An object whose namespace is being deleted has that tried once.
///
/// # Errors
/// `OutputConflict` if a Secret of the name is someone else's.
pub async fn publish(subject: &Subject, made: MadeSecret<'_>, context: &Context) -> Result<(), Stop> {
    if context.memory.is_closed(subject) {
        return Err(Stop::Quiet);
    }
    let node = made.node.clone();
    let before = context
        .mirror
        .output(&node)
        .and_then(|meta| meta.resource_version())
        .unwrap_or_default();
    match made_secret::publish(&context.kubernetes, made).await? {
        Published::Done(left) => {
            let write = OwnWrite {
                over: before,
                left,
                wake: false,
            };
            context.mirror.wrote(node, write);
            Ok(())
        }
        Published::Conflict => Err(conflict(&node).into()),
        Published::NamespaceEnds => {
            context.memory.close(subject);
            Err(Stop::Quiet)
        }
    }
}

/// Has a Secret that we made for `owner` stay until it is let go, or no longer; its content is what it was.
///
/// # Errors
/// If that cannot be written.
pub async fn protect(node: &Node, owner: &str, wanted: bool, context: &Context) -> Result<(), Stop> {
    if let Some((over, left)) = made_secret::protect(&context.kubernetes, node, owner, wanted).await? {
        let write = OwnWrite { over, left, wake: false };
        context.mirror.wrote(node.clone(), write);
    }
    Ok(())
}

/// Looks whether the name is free or the Secret ours, before anything is fetched to be put into it.
///
/// # Errors
/// `OutputConflict` if a Secret of the name is someone else's.
pub async fn refuse_foreign(node: &Node, owner: &str, context: &Context) -> Result<(), Stop> {
    if made_secret::is_foreign(&context.kubernetes.client, node, owner).await? {
        return Err(conflict(node).into());
    }
    Ok(())
}

fn conflict(node: &Node) -> Trouble {
    let message = format!(
        "Secret {} exists and was not made by the operator; it is left alone. Delete it, or have the operator use another name \
                 (spec.outputs.secret.name of a ChannelConnection)",
        node.name
    );
    Trouble::new(Reason::OutputConflict, message)
}

// SPDX-License-Identifier: Apache-2.0

//! Looks up what an object refers to: a Secret, its credential's account. Shared by the dereference steps.

use std::sync::Arc;

use crate::{
    api::{ManagerCredential, label},
    desired::node::{Kind, Node},
    kubernetes::secrets::{SecretData, Unwatched},
    session::{Session, health::Health},
};

use super::{
    Context,
    accounts::Verdict,
    reason::Reason,
    trouble::{self, Stop, Trouble},
};

/// The values of a Secret that opted in.
///
/// # Errors
/// Why not: there is none, or it does not opt in.
pub async fn secret(owner: &Node, name: &str, context: &Context) -> Result<SecretData, Stop> {
    let node = owner.sibling(Kind::Secret, name);
    if let Some(meta) = context.mirror.secret(&node) {
        let version = meta.metadata.resource_version.clone().unwrap_or_default();
        match context.secrets.read(&node, &version).await {
            Ok(Some(data)) => return Ok(data),
            Ok(None) => {}
            Err(error) => return Err(trouble::kubernetes_trouble(&error).into()),
        }
    }
    match context.secrets.find_unwatched(&node).await {
        Ok(Unwatched::NotYet) => Err(Stop::Stale),
        Ok(Unwatched::Unlabelled) => Err(Trouble::new(
            Reason::SecretNotLabelled,
            format!(
                "Secret {name} does not let the operator read it: kubectl label secret --namespace {} {name} {}={}",
                node.namespace,
                label::CREDENTIALS,
                label::TRUE
            ),
        )
        .into()),
        Ok(Unwatched::Absent) => {
            let message = format!(
                "there is no Secret {name}; create it with the label {}={}",
                label::CREDENTIALS,
                label::TRUE
            );
            Err(Trouble::new(Reason::SecretNotFound, message).into())
        }
        Err(error) => Err(trouble::kubernetes_trouble(&error).into()),
    }
}

/// A value of a Secret.
///
/// # Errors
/// If the key is missing or empty.
pub fn value<'a>(secret: &'a SecretData, name: &str, key: &str) -> Result<&'a secrecy::SecretString, Trouble> {
    secret.get(key).ok_or_else(|| {
        Trouble::new(
            Reason::SecretKeyMissing,
            format!("Secret {name} has no value under key {key}; add it (UTF-8 text, not empty)"),
        )
    })
}

/// The session behind a credential, once its account has been seen as a whole.
///
/// `needed` says whether the dependant has something to do at the manager: if not, the parent's trouble is not its own.
///
/// # Errors
/// Why there is none.
pub fn session(credential: &Node, context: &Context, needed: bool) -> Result<Arc<Session>, Stop> {
    let blocked = |reason: Reason, message: &str| {
        if needed {
            let message = format!("ManagerCredential {}: {reason}: {message}", credential.name);
            Stop::from(Trouble {
                retry: trouble::retry_of_account(reason),
                ..Trouble::new(Reason::CredentialNotReady, message)
            })
        } else {
            Stop::Quiet
        }
    };
    match context.accounts.verdict(credential) {
        Verdict::Unknown => Err(Stop::Quiet),
        Verdict::NotReady(reason, message) => Err(blocked(reason, &message)),
        Verdict::Ready(session) => {
            if session.mirror().is_complete() {
                return Ok(session);
            }
            match session.health() {
                Health::Starting | Health::Up => Err(Stop::Quiet),
                Health::Down { cause, .. } | Health::Refused { cause } => {
                    Err(blocked(trouble::reason(&cause.class), &cause.message))
                }
            }
        }
    }
}

/// What to say of a parent that cannot be looked at: there is none, or this version of the operator cannot read it. That one is not
/// there is said even if nothing is to be done.
pub fn missing(node: &Node, context: &Context, settled: bool) -> Stop {
    let (kind, name) = (node.kind.as_str(), &node.name);
    let (absent, blocked) = match node.kind {
        Kind::Interface => (Reason::InterfaceNotFound, Reason::InterfaceNotReady),
        _ => (Reason::CredentialNotFound, Reason::CredentialNotReady),
    };
    if !context.mirror.exists(node) {
        return Trouble::new(absent, format!("there is no {kind} {name} in namespace {}", node.namespace)).into();
    }
    if settled {
        return Stop::Quiet;
    }
    let message = format!("{kind} {name} cannot be read by this version of the operator; see its conditions");
    Trouble::new(blocked, message).into()
}

/// The credential of a name.
///
/// # Errors
/// If there is none, or none that can be read.
pub fn credential(node: &Node, context: &Context, settled: bool) -> Result<Arc<ManagerCredential>, Stop> {
    context.mirror.credential(node).ok_or_else(|| missing(node, context, settled))
}

/// The name of the credential that a connection's interface uses.
///
/// # Errors
/// If there is no such interface, or none that can be read.
pub fn credential_of(connection: &Node, interface: &str, context: &Context) -> Result<Node, Stop> {
    let node = connection.sibling(Kind::Interface, interface);
    let interface = context
        .mirror
        .interface(&node)
        .ok_or_else(|| missing(&node, context, false))?;
    Ok(node.sibling(Kind::Credential, &interface.spec.credential_ref.name))
}

// SPDX-License-Identifier: Apache-2.0

//! The proven key: the last one that worked, kept in a Secret of our own.
//!
//! It serves while a new key in the user's Secret does not work or that Secret is gone, also after a restart, and lets
//! clean-up finish. It goes with its credential; while something must be cleaned up it stays until that is done.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::{prove, validate};
use crate::{
    api::{ManagerCredential, manager_credential as api},
    controller::{
        Context, Subject, made,
        trouble::{Retry, Stop},
    },
    desired::facts::proven_key_node,
    kubernetes::{
        client, finalizer,
        made_secret::{self, MadeSecret},
        secrets::SecretData,
    },
    manager::connect::Access,
};

/// Keeps the key that was just seen to work. `print` is the fingerprint of all of `access`.
pub(super) async fn keep(
    subject: &Subject,
    credential: &ManagerCredential,
    access: &Access,
    print: &str,
    context: &Context,
) -> Result<(), Stop> {
    let node = proven_key_node(&subject.node);
    let reference = subject.node.reference(&context.installation.name);
    if made::is_untouched(&node, reference.as_str(), print, context) {
        return Ok(());
    }
    let made = MadeSecret {
        node: &node,
        owner: reference.as_str(),
        data: data(access),
        content_hash: print.to_owned(),
        goes_with: credential.owner_ref(&()),
        kept: finalizer::is_on(credential),
    };
    made::publish(subject, made, context).await
}

/// Has the proven key, if there is one, stay until it is let go, or no longer. Its value is what it was.
///
/// # Errors
/// If that cannot be written.
pub(super) async fn protect(subject: &Subject, wanted: bool, context: &Context) -> Result<(), Stop> {
    let node = proven_key_node(&subject.node);
    let settled = match context.mirror.output(&node) {
        // A Secret that is being deleted takes no new finalizer.
        Some(meta) => finalizer::is_on(&*meta) == wanted || (wanted && meta.metadata.deletion_timestamp.is_some()),
        // Just made, and not shown by the watch yet; or there is none.
        None => context.mirror.own_write(&node).is_none(),
    };
    if settled {
        return Ok(());
    }
    let reference = subject.node.reference(&context.installation.name);
    made::protect(&node, reference.as_str(), wanted, context).await
}

/// Opens the account with the proven key, if there is one and the account is not open. Returns when to try again, if that
/// failed and nothing has to change for it to work.
pub(super) async fn fall_back(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Option<Retry> {
    if context.accounts.proven(&subject.node).is_some() || context.mirror.output(&proven_key_node(&subject.node)).is_none() {
        return None;
    }
    let stop = match serve_on(subject, credential, context).await {
        Ok(true) => {
            tracing::info!(object = %subject.node, "serving on with the key that was proven last");
            return None;
        }
        Ok(false) => return None,
        Err(stop) => stop,
    };
    tracing::debug!(object = %subject.node, ?stop, "the key that was proven last does not work either");
    match stop {
        Stop::Trouble(trouble) => Some(trouble.retry).filter(|retry| *retry != Retry::OnChange),
        Stop::Stale => Some(Retry::BackOff),
        Stop::Quiet => None,
    }
}

async fn serve_on(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<bool, Stop> {
    let Some(secret) = read(subject, context).await else {
        return Ok(false);
    };
    let access = validate::access(credential, &secret, context)?;
    validate::same_account(credential, &access)?;
    prove::open(subject, credential, access, secret.resource_version, context).await?;
    Ok(true)
}

/// The Secret with the proven key, if it is ours and of this very credential: one of its name before it may have been of another owner.
async fn read(subject: &Subject, context: &Context) -> Option<SecretData> {
    let node = proven_key_node(&subject.node);
    let api: Api<Secret> = Api::namespaced(context.kubernetes.client.clone(), &node.namespace);
    let secret = client::read(api.get_opt(&node.name)).await.ok()??;
    let reference = subject.node.reference(&context.installation.name);
    let ours = made_secret::is_owned(&secret.metadata, reference.as_str())
        && secret.owner_references().iter().any(|owner| owner.uid == subject.uid);
    ours.then(|| SecretData::of(secret))
}

/// Lets the proven key go: nothing needs it any more.
pub(super) async fn forget(subject: &Subject, context: &Context) -> Result<(), Stop> {
    let reference = subject.node.reference(&context.installation.name);
    Ok(made_secret::delete(&context.kubernetes, &proven_key_node(&subject.node), reference.as_str()).await?)
}

fn data(access: &Access) -> BTreeMap<String, ByteString> {
    let (certificate, key) = match &access.tls.client {
        Some((certificate, key)) => (Some(certificate.as_str()), Some(key.expose_secret())),
        None => (None, None),
    };
    let members = [
        (api::SECRET_MANAGER_ID, Some(access.manager_id.as_str())),
        (api::SECRET_MANAGER_KEY, Some(access.manager_key.expose_secret())),
        (api::SECRET_CA_CERTIFICATE, access.tls.ca.as_deref()),
        (api::SECRET_CLIENT_CERTIFICATE, certificate),
        (api::SECRET_CLIENT_KEY, key),
    ];
    let present = members.into_iter().filter_map(|(key, value)| Some((key, value?)));
    present
        .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect()
}

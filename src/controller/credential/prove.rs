// SPDX-License-Identifier: Apache-2.0

//! Proves the credentials against the manager, once for each version of them, and takes the account.

use std::num::NonZeroU32;

use secrecy::ExposeSecret;

use super::{proven_key, status::is_refusal};
use crate::{
    api::{ManagerCredential, manager_credential as api},
    controller::{
        Context, Subject,
        accounts::{self, InUse, Opened, Proven},
        reason::Reason,
        trouble::{self, Retry, Stop, Trouble},
    },
    manager::{
        connect::{Access, AccountKey, connect},
        error::{Error, one_line},
        observed::Identity,
    },
    session::{Settings, budget::Limits},
};

/// Opens the account, and keeps the key that did.
pub(super) async fn prove(
    subject: &Subject,
    credential: &ManagerCredential,
    access: Access,
    secret_version: String,
    context: &Context,
) -> Result<Proven, Stop> {
    let print = fingerprint(subject, &access, context);
    if let Some(refused) = context.memory.refusal(&subject.node, &print) {
        return Err(refused.into());
    }
    let opened = open(subject, credential, access.clone(), secret_version, context).await;
    let proven = opened.map_err(|stop| match stop {
        Stop::Trouble(trouble) if is_refusal(&trouble) => {
            let refused = with_fingerprint(trouble, &print);
            context.memory.refuse(&subject.node, &print, &refused);
            refused.into()
        }
        stop => stop,
    })?;
    context.memory.forgive(&subject.node);
    proven_key::keep(subject, credential, &access, &proven.access, context).await?;
    Ok(proven)
}

/// Says which key was refused: the one that is active may be another.
fn with_fingerprint(trouble: Trouble, print: &str) -> Trouble {
    let message = format!("{} (fingerprint of the refused key: {print})", trouble.message);
    Trouble {
        message: one_line(&message, 1000),
        ..trouble
    }
}

/// Opens the account, unless these very credentials have opened it already.
pub(super) async fn open(
    subject: &Subject,
    credential: &ManagerCredential,
    access: Access,
    secret_version: String,
    context: &Context,
) -> Result<Proven, Stop> {
    let settings = settings(&credential.spec, context);
    let print = fingerprint(subject, &access, context);
    let present = context.accounts.proven(&subject.node).filter(|proven| proven.access == print);
    if let Some(proven) = &present {
        proven.session.configure(Settings {
            unique_references: proven.identity.unique_references,
            ..settings
        });
        if !context.accounts.take_doubt(&subject.node) {
            return Ok(proven.clone());
        }
    }
    let account = AccountKey::new(&access.endpoint, &access.manager_id);
    let expected = access.manager_id.clone();
    let manager = connect(&context.transport, access).map_err(|error| unusable(&error))?;
    let began = std::time::Instant::now();
    let probed = manager.probe().await;
    context
        .metrics
        .manager_call("probe", probed.as_ref().err().map(|error| &error.class), began.elapsed());
    let identity = match (probed, present) {
        // An outage says nothing about credentials that were proven; the session tells of it.
        (Err(error), Some(proven)) if error.class.is_transient() => return Ok(proven),
        (probed, _) => probed.map_err(|error| trouble::manager_trouble(&error))?,
    };
    check(&identity, &expected, credential)?;
    let settings = Settings {
        unique_references: identity.unique_references,
        ..settings
    };
    let opened = Opened {
        access: print,
        secret_version,
        identity,
        manager,
    };
    let status = credential.status.as_ref();
    let held_before =
        status.and_then(|status| status.account.as_deref()) == Some(account.as_str()) && !accounts::lost_its_account(status);
    let claimed = context
        .accounts
        .claim(&subject.node, &subject.uid, &account, held_before, opened, settings);
    claimed.map_err(|in_use| {
        let message = "another ManagerCredential uses the same Manager ID at this manager; a set of credentials belongs to one application in one environment. This one takes over when the other is deleted";
        let retry = match in_use {
            InUse::Held => Retry::OnChange,
            InUse::Reserved(left) => Retry::After(left),
        };
        Trouble {
            retry,
            ..Trouble::new(Reason::ManagerIDInUse, message)
        }
        .into()
    })
}

fn unusable(error: &Error) -> Trouble {
    match &error.class {
        crate::manager::error::Class::Invalid { .. } => Trouble::new(Reason::SecretKeyMissing, &error.message),
        _ => trouble::manager_trouble(error),
    }
}

fn check(identity: &Identity, expected: &str, credential: &ManagerCredential) -> Result<(), Trouble> {
    if identity.manager_id != expected {
        return Err(Trouble::new(
            Reason::UnexpectedResponse,
            "the manager answered for another Manager ID than the one that was asked with",
        ));
    }
    let api::Manager::DigitalMessaging(manager) = &credential.spec.manager;
    match &manager.region {
        Some(region) if *region != identity.region => Err(Trouble::new(
            Reason::RegionMismatch,
            format!(
                "the account lives in region {}, not in {region} as spec.manager.digitalMessaging.region says",
                identity.region
            ),
        )),
        _ => Ok(()),
    }
}

/// Changes with everything that decides whether the credentials work.
fn fingerprint(subject: &Subject, access: &Access, context: &Context) -> String {
    let method = access.method.as_str();
    let (certificate, key) = match &access.tls.client {
        Some((certificate, key)) => (certificate.as_str(), key.expose_secret()),
        None => ("", ""),
    };
    let parts = [
        access.endpoint.as_str(),
        method,
        &access.manager_id,
        access.manager_key.expose_secret(),
        access.tls.ca.as_deref().unwrap_or_default(),
        certificate,
        key,
    ];
    context.installation.fingerprint.of(&subject.uid, parts.map(str::as_bytes))
}

fn settings(spec: &api::ManagerCredentialSpec, context: &Context) -> Settings {
    let limit = spec.rate_limit;
    Settings {
        limits: Limits {
            requests_per_second: limit.and_then(|limit| limit.requests_per_second).and_then(NonZeroU32::new),
            burst: limit.and_then(|limit| limit.burst).and_then(NonZeroU32::new),
            max_concurrent: NonZeroU32::new(spec.max_concurrent_requests()).unwrap_or(NonZeroU32::MIN),
        },
        observe_interval: spec.observe_interval(),
        recheck: context.accounts.recheck,
        unique_references: true,
    }
}

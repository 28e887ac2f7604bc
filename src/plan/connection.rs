// SPDX-License-Identifier: Apache-2.0

//! The plan for a connection.

use crate::manager::{
    capabilities::{Capabilities, Support},
    observed::ObservedConnection,
    settings::ConnectionSettings,
    values::{Mark, RotationToken},
    write::{ChannelSecrets, ConnectionWrite},
};

use super::{Change, Plan, Refusal, difference, identity::Holding};

/// How a plan names the rotation of the generated secret.
pub(super) const ROTATION: &str = "/outputs/jwtSecret";

/// What is desired of a connection.
#[derive(Clone, Debug)]
pub struct Desired<'a> {
    /// Our claim.
    pub mark: &'a Mark,
    /// Its settings.
    pub settings: &'a ConnectionSettings,
    /// Its secrets.
    pub secrets: Secrets<'a>,
    /// How far the manager supports its channel.
    pub support: Support,
    /// Fields that were applied before.
    pub owned: &'a [String],
    /// Hash of what was applied before.
    pub applied: Option<&'a str>,
    /// The rotation of the generated secret that is asked for.
    pub rotation: Option<&'a RotationToken>,
}

/// What is known about the secrets of a channel.
#[derive(Clone, Copy, Debug)]
pub enum Secrets<'a> {
    /// The manager has these, as far as we remember, or the channel needs none.
    Sent,
    /// The manager has others, or we do not remember.
    ToSend(&'a ChannelSecrets),
}

/// The plan that brings the manager to what is desired.
///
/// # Errors
/// Why nothing can be done.
pub fn plan(
    desired: &Desired<'_>,
    holding: Holding<ObservedConnection>,
    capabilities: &Capabilities,
) -> Result<Plan<ConnectionWrite>, Refusal> {
    let wanted = difference::tree(desired.settings);
    let intent = difference::intent(&wanted);
    let secrets = match desired.secrets {
        Secrets::Sent => None,
        Secrets::ToSend(secrets) => Some(secrets),
    };
    let (observed, adopting, only_if_equal) = match holding {
        Holding::Nothing => {
            match desired.support {
                Support::Create => {}
                Support::AdoptOnly => return Err(Refusal::AdoptionRequired),
                Support::Unsupported => return Err(Refusal::ChannelUnsupported),
            }
            let write = ConnectionWrite::Create {
                mark: desired.mark.clone(),
                settings: desired.settings.clone(),
                secrets: secrets.cloned().unwrap_or_default(),
            };
            let changes = vec![Change {
                field: "/".to_owned(),
                from: None,
                to: Some("created".to_owned()),
                destructive: false,
            }];
            return Ok(Plan {
                write: Some(write),
                changes,
                intent,
                drift: false,
            });
        }
        Holding::Held(observed) => (observed, false, false),
        Holding::ToAdopt { target, only_if_equal } => (target, true, only_if_equal),
    };
    if observed.settings.channel.kind() != desired.settings.channel.kind() {
        return Err(Refusal::ReplaceRequired {
            fields: vec!["/channel".to_owned()],
        });
    }
    let present = difference::tree(&observed.settings);
    let mut changes = difference::changes(&wanted, &present, desired.owned);
    super::refuse_unwanted(&changes, only_if_equal, capabilities)?;
    let drift = !changes.is_empty() && desired.applied == Some(intent.hash.as_str());
    // `Match` promises to change nothing. Secrets cannot be compared, so they are taken to be the same.
    let secrets = secrets.filter(|_| !(adopting && only_if_equal));
    changes.extend(secrets.map(|_| Change {
        field: format!("/channel/{}/secretRef", desired.settings.channel.kind()),
        from: None,
        to: Some("changed".to_owned()),
        destructive: false,
    }));
    let claim = super::claim_change(desired.mark, &observed.claim);
    changes.extend(claim.clone());
    let rotation = desired.rotation.and_then(|token| rotation_change(token, &observed));
    let write = (!changes.is_empty()).then(|| ConnectionWrite::Update {
        settings: desired.settings.clone(),
        cleared: difference::cleared(&wanted, &present, desired.owned),
        secrets: secrets.cloned(),
        mark: claim.map(|_| desired.mark.clone()),
        observed,
    });
    changes.extend(rotation);
    Ok(Plan {
        write,
        changes,
        intent,
        drift,
    })
}

/// A write of its own, after all others: it is about what the manager generates, not about what is declared.
fn rotation_change(token: &RotationToken, observed: &ObservedConnection) -> Option<Change> {
    let is_due = observed.has_generated_secret && observed.rotation.as_deref() != Some(token.as_str());
    is_due.then(|| Change {
        field: ROTATION.to_owned(),
        from: None,
        to: Some("rotated".to_owned()),
        destructive: false,
    })
}

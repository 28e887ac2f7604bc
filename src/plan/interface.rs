// SPDX-License-Identifier: Apache-2.0

//! The plan for an interface.

use crate::manager::{
    capabilities::Capabilities, observed::ObservedInterface, settings::InterfaceSettings, values::Mark, write::InterfaceWrite,
};

use super::{Change, Plan, Refusal, difference, identity::Holding};

/// What is desired of an interface.
#[derive(Clone, Debug)]
pub struct Desired<'a> {
    /// Our claim.
    pub mark: &'a Mark,
    /// Its settings.
    pub settings: &'a InterfaceSettings,
    /// Fields that were applied before.
    pub owned: &'a [String],
    /// Hash of what was applied before.
    pub applied: Option<&'a str>,
}

/// The plan that brings the manager to what is desired.
///
/// # Errors
/// Why nothing can be done.
pub fn plan(
    desired: &Desired<'_>,
    holding: Holding<ObservedInterface>,
    capabilities: &Capabilities,
) -> Result<Plan<InterfaceWrite>, Refusal> {
    let wanted = difference::tree(desired.settings);
    let intent = difference::intent(&wanted);
    let (observed, only_if_equal) = match holding {
        Holding::Nothing => {
            let write = InterfaceWrite::Create {
                mark: desired.mark.clone(),
                settings: desired.settings.clone(),
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
        Holding::Held(observed) => (observed, false),
        Holding::ToAdopt { target, only_if_equal } => (target, only_if_equal),
    };
    let present = difference::tree(&observed.settings);
    let mut changes = difference::changes(&wanted, &present, desired.owned);
    super::refuse_unwanted(&changes, only_if_equal, capabilities)?;
    let drift = !changes.is_empty() && desired.applied == Some(intent.hash.as_str());
    let claim = super::claim_change(desired.mark, &observed.claim);
    changes.extend(claim.clone());
    let write = (!changes.is_empty()).then(|| InterfaceWrite::Update {
        settings: desired.settings.clone(),
        cleared: difference::cleared(&wanted, &present, desired.owned),
        mark: claim.map(|_| desired.mark.clone()),
        observed,
    });
    Ok(Plan {
        write,
        changes,
        intent,
        drift,
    })
}

// SPDX-License-Identifier: Apache-2.0

//! The planner: desired × observed × capabilities × last applied → plan. Pure: no I/O, no clock.
//!
//! [`identity`] finds out which remote object a resource holds, [`difference`] what differs, and [`interface`] and
//! [`connection`] put the two together into the one write that brings the manager to what is desired, or into the
//! [`Refusal`] that says why there is none.

pub use sha2_hex::sha256_hex;

pub mod connection;
pub mod difference;
pub mod identity;
pub mod interface;

use crate::manager::{
    capabilities::{Capabilities, Mutability},
    error::one_line,
    observed::Claim,
    values::{Mark, RemoteId},
};

/// One step of a plan, as people see it: values of secrets never appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// JSON Pointer below `spec`; `/` for the object as a whole.
    pub field: String,
    /// Value at the manager; absent if there is none or it must not be shown.
    pub from: Option<String>,
    /// Value wanted; absent if it returns to the manager's default.
    pub to: Option<String>,
    /// Whether customers may lose something by it.
    pub destructive: bool,
}

impl Change {
    /// Whether it is about a value that both sides show: not a mark, nor a secret, nor a request.
    fn is_setting(&self) -> bool {
        self.field != "/" && !self.field.ends_with("/secretRef") && self.field != connection::ROTATION
    }
}

/// What to do at the manager, and why.
#[derive(Clone, Debug)]
pub struct Plan<W> {
    /// The write; none if the manager already holds what is desired.
    pub write: Option<W>,
    /// What the write changes.
    pub changes: Vec<Change>,
    /// What is desired, to be remembered once it is applied.
    pub intent: Intent,
    /// Whether the difference was made at the manager: what is desired has been applied before and nobody changed it.
    pub drift: bool,
}

impl<W> Plan<W> {
    /// The settings that differ although nobody changed the spec.
    #[must_use]
    pub fn drifted(&self) -> Vec<String> {
        let settings = self.changes.iter().filter(|change| self.drift && change.is_setting());
        settings.map(|change| change.field.clone()).collect()
    }

    /// What there is to see for one who may only look: differences in settings. Marks and secrets are not his to compare, and
    /// every difference is drift, for nothing was ever applied.
    #[must_use]
    pub fn only_observed(mut self) -> Self {
        self.write = None;
        self.changes.retain(Change::is_setting);
        self.drift = !self.changes.is_empty();
        self
    }
}

/// What is desired, without its values: enough to tell a changed spec from drift, and to know which fields are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Hash of all desired values.
    pub hash: String,
    /// Pointers of the fields that are set.
    pub fields: Vec<String>,
}

/// Why nothing is done. Each waits for a change on one of the two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The fields can only be changed by replacing the object, which is never done unasked.
    ReplaceRequired {
        /// Their pointers.
        fields: Vec<String>,
    },
    /// Something else is held by another resource or made by someone else.
    AlreadyClaimed {
        /// The remote object that stands in the way.
        holder: RemoteId,
        /// Whether it carries nobody's mark, so that adopting it is an option.
        unmarked: bool,
    },
    /// The object to adopt is not there (yet).
    AdoptionTargetNotFound,
    /// The object to adopt differs, and `Match` was asked for.
    AdoptionMismatch {
        /// What differs.
        fields: Vec<String>,
    },
    /// The object that was held carries another mark now, or none.
    ClaimLost {
        /// The object.
        id: RemoteId,
    },
    /// The object that was held is gone.
    RemoteMissing {
        /// Its ID.
        id: RemoteId,
    },
    /// The manager does not offer the channel.
    ChannelUnsupported,
    /// The manager only lets connections of this channel be adopted.
    AdoptionRequired,
    /// `management: Observe`, and nothing to observe.
    NothingToObserve,
}

mod sha2_hex {
    use std::fmt::Write;

    /// The first 128 bits of a SHA-256 in hexadecimal: enough to tell plans apart, short enough to type.
    pub fn sha256_hex(bytes: &[u8]) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        digest
            .as_ref()
            .iter()
            .take(16)
            .fold(String::with_capacity(32), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// Refuses changes that would replace the object, or that adoption by `Match` does not allow.
fn refuse_unwanted(changes: &[Change], only_if_equal: bool, capabilities: &Capabilities) -> Result<(), Refusal> {
    let fields = |changes: Vec<&Change>| changes.into_iter().map(|change| change.field.clone()).collect::<Vec<_>>();
    if only_if_equal && !changes.is_empty() {
        return Err(Refusal::AdoptionMismatch {
            fields: fields(changes.iter().collect()),
        });
    }
    let replacing: Vec<_> = changes
        .iter()
        .filter(|change| capabilities.mutability(&change.field) == Mutability::ReplaceOnly)
        .collect();
    if replacing.is_empty() {
        Ok(())
    } else {
        Err(Refusal::ReplaceRequired {
            fields: fields(replacing),
        })
    }
}

/// The change of the mark, if the object does not carry ours.
fn claim_change(mark: &Mark, claim: &Claim) -> Option<Change> {
    let ours = claim.reference.as_deref() == Some(mark.reference.as_str()) && claim.claimant == mark.claimant;
    (!ours).then(|| Change {
        field: "/".to_owned(),
        from: claim.reference.as_deref().map(|reference| one_line(reference, 64)),
        to: Some("claimed".to_owned()),
        destructive: false,
    })
}

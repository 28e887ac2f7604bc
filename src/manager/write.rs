// SPDX-License-Identifier: Apache-2.0

//! What can be asked of a manager.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    observed::{ObservedConnection, ObservedInterface},
    settings::{ConnectionSettings, InterfaceSettings},
    values::{Mark, RemoteId, RotationToken},
};

/// Secrets of a channel by name.
pub type ChannelSecrets = BTreeMap<String, SecretString>;

/// Who writes, and in which term of its leadership: lets a manager refuse a former leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The installation.
    pub installation: String,
    /// Its term.
    pub epoch: u64,
}

/// Creates or updates an interface.
#[derive(Clone, Debug)]
pub enum InterfaceWrite {
    /// Makes a new one.
    Create {
        /// Whose it will be.
        mark: Mark,
        /// Its settings.
        settings: InterfaceSettings,
    },
    /// Changes one in place.
    Update {
        /// What the difference was computed against; the write is refused if it has changed since.
        observed: Arc<ObservedInterface>,
        /// New settings; what is absent stays.
        settings: InterfaceSettings,
        /// Pointers of settings that return to the manager's default.
        cleared: Vec<String>,
        /// Claim to write, if it differs.
        mark: Option<Mark>,
    },
}

/// One change to a connection.
#[derive(Clone, Debug)]
pub enum ConnectionWrite {
    /// Makes a new one.
    Create {
        /// Whose it will be.
        mark: Mark,
        /// Its settings.
        settings: ConnectionSettings,
        /// Its secrets.
        secrets: ChannelSecrets,
    },
    /// Changes one in place.
    Update {
        /// What the difference was computed against; the write is refused if it has changed since.
        observed: Arc<ObservedConnection>,
        /// New settings; what is absent stays.
        settings: ConnectionSettings,
        /// Pointers of settings that return to the manager's default.
        cleared: Vec<String>,
        /// Secrets to replace.
        secrets: Option<ChannelSecrets>,
        /// Claim to write, if it differs.
        mark: Option<Mark>,
    },
    /// Deletes one. One that is not there any more is a success.
    Delete {
        /// Its ID.
        id: RemoteId,
    },
    /// Generates a new secret; the old one is honoured for the manager's grace period.
    RotateSecret {
        /// What the rotation was planned against; it is refused if that has changed since.
        observed: Arc<ObservedConnection>,
        /// Names this rotation: once it is in force, asking for it again only tells its secret again.
        token: RotationToken,
    },
}

/// What became of a change to a connection.
#[derive(Clone, Debug)]
pub enum ConnectionOutcome {
    /// Created or updated; with the generated secret where the manager told it.
    Present {
        /// As the manager holds it now.
        observed: Arc<ObservedConnection>,
        /// Generated secret, told once.
        secret: Option<SecretString>,
    },
    /// Deleted.
    Gone,
    /// A new secret is in force.
    Rotated {
        /// As the manager holds it now.
        observed: Arc<ObservedConnection>,
        /// The new one.
        secret: SecretString,
        /// Until when the one before is honoured, if it still is.
        previous_valid_until: Option<Timestamp>,
    },
}

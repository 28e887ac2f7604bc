// SPDX-License-Identifier: Apache-2.0

//! What a manager reports.

use std::sync::Arc;

use super::{
    capabilities::{ChannelKind, Support},
    settings::{ConnectionSettings, InterfaceSettings, NaturalKey},
    values::RemoteId,
};

/// Which account a set of credentials opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The Manager ID, as the manager says it.
    pub manager_id: String,
    /// Name of the account, for people.
    pub name: String,
    /// Where it lives.
    pub region: String,
    /// Version of the API.
    pub api_version: String,
    /// Which channels the manager offers this account.
    pub channels: Vec<(ChannelKind, Support)>,
    /// Whether the manager refuses a second object with the same reference. If not, an answer that is lost leaves open
    /// whether there is an object, and only a look at the whole account tells.
    pub unique_references: bool,
}

/// Where to go on observing. Opaque outside the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) u64);

impl Cursor {
    /// The state of the account in which an object was last changed: both are numbered by the same count.
    pub fn of(object: &ObservedObject) -> Self {
        Self(object.revision())
    }

    /// Whether this one is of an earlier state of the account than another.
    pub fn is_before(&self, other: &Self) -> bool {
        self.0 < other.0
    }
}

/// What a look at the account gave.
#[derive(Clone, Debug)]
pub enum Observation {
    /// Everything there is.
    Snapshot {
        /// All objects of the account.
        objects: Vec<ObservedObject>,
        /// Where to go on, if the manager has a change feed.
        next: Option<Cursor>,
    },
    /// What changed since the cursor.
    Delta {
        /// In the order in which it happened.
        changes: Vec<ObservedChange>,
        /// Where to go on.
        next: Cursor,
        /// Whether there are more, which the next look tells at once.
        more: bool,
    },
    /// The cursor is too old: walk again.
    Expired,
}

/// One change.
#[derive(Clone, Debug)]
pub enum ObservedChange {
    /// Created or updated.
    Present(ObservedObject),
    /// Deleted.
    Gone(RemoteId),
}

/// An object of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedObject {
    /// An interface.
    Interface(Arc<ObservedInterface>),
    /// A connection.
    Connection(Arc<ObservedConnection>),
}

impl ObservedObject {
    /// The object's ID.
    pub fn id(&self) -> &RemoteId {
        match self {
            Self::Interface(interface) => &interface.id,
            Self::Connection(connection) => &connection.id,
        }
    }

    /// Whose the object says it is.
    pub fn claim(&self) -> &Claim {
        match self {
            Self::Interface(interface) => &interface.claim,
            Self::Connection(connection) => &connection.claim,
        }
    }

    /// Version of the object, higher is newer.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Interface(interface) => interface.revision,
            Self::Connection(connection) => connection.revision,
        }
    }
}

/// Whose an object says it is: raw, because others may have written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// External reference, if any.
    pub reference: Option<String>,
    /// Claimant, if any.
    pub claimant: Option<String>,
}

/// An interface as the manager holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInterface {
    /// Its ID.
    pub id: RemoteId,
    /// Whose it is.
    pub claim: Claim,
    /// Its settings.
    pub settings: InterfaceSettings,
    /// Where the manager delivers messages.
    pub callback_url: String,
    /// Version.
    pub revision: u64,
}

/// A connection as the manager holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedConnection {
    /// Its ID.
    pub id: RemoteId,
    /// The interface it is assigned to.
    pub interface_id: RemoteId,
    /// Whose it is.
    pub claim: Claim,
    /// Its settings.
    pub settings: ConnectionSettings,
    /// Whether it carries messages.
    pub state: ConnectionState,
    /// Why not, in the manager's words.
    pub state_message: Option<String>,
    /// Where messages for the channel are posted to.
    pub webhook_url: Option<String>,
    /// Web Messaging only.
    pub widget: Option<Widget>,
    /// Whether the manager generated a secret for it.
    pub has_generated_secret: bool,
    /// Differs whenever that secret does: the token of the rotation that made it. None for the first one.
    pub rotation: Option<String>,
    /// Version.
    pub revision: u64,
}

impl ObservedConnection {
    /// What the outside world knows the channel by.
    pub fn natural_key(&self) -> Option<NaturalKey> {
        self.settings.natural_key()
    }
}

/// Whether a connection carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It does.
    Active,
    /// A person must authorise it first.
    PendingAuthorization,
    /// The provider refuses it.
    Failed,
}

/// What a web site needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widget {
    /// Widget ID.
    pub id: String,
    /// Script to load.
    pub script_url: String,
}

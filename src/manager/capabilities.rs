// SPDX-License-Identifier: Apache-2.0

//! What a kind of manager can do: pure data that the planner reads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The channel types that the resources know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChannelKind {
    /// A chat widget on web sites.
    WebMessaging,
    /// A channel of the customer's own, by webhook.
    ClientChannel,
    /// Facebook Messenger.
    FacebookMessenger,
    /// WhatsApp Business.
    WhatsApp,
    /// SMS.
    Sms,
    /// Apple Messages for Business.
    AppleMessages,
    /// X (Twitter) direct messages.
    TwitterDirectMessage,
}

impl ChannelKind {
    /// The member of `spec.channel` that selects it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebMessaging => "webMessaging",
            Self::ClientChannel => "clientChannel",
            Self::FacebookMessenger => "facebookMessenger",
            Self::WhatsApp => "whatsApp",
            Self::Sms => "sms",
            Self::AppleMessages => "appleMessages",
            Self::TwitterDirectMessage => "twitterDirectMessage",
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a channel type is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Support {
    /// Connections can be created, updated and deleted.
    Create,
    /// Connections are made elsewhere; existing ones can be adopted and updated.
    AdoptOnly,
    /// Withdrawn or never offered.
    Unsupported,
}

/// How a manager takes a change of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// By an update.
    InPlace,
    /// Only by deleting the object and making a new one, with a new ID. The operator refuses that.
    ReplaceOnly,
}

/// The unit in which a manager takes changes to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteGranularity {
    /// One connection at a time.
    PerConnection,
    /// All connections of an interface at once.
    WholeInterface,
}

/// What a kind of manager can do.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Pointers of fields that can only be changed by replacement. All others can be updated.
    pub replace_only: &'static [&'static str],
    /// The unit of writing.
    pub granularity: WriteGranularity,
    /// Whether [`observe`](super::Manager::observe) waits for changes instead of walking the account again.
    pub change_feed: bool,
}

impl Capabilities {
    /// The same for who only looks: a difference is one, however it could be put right.
    #[must_use]
    pub fn to_look(&self) -> Self {
        Self {
            replace_only: &[],
            ..self.clone()
        }
    }

    /// How the manager takes a change of the field at `pointer`.
    pub fn mutability(&self, pointer: &str) -> Mutability {
        if self.replace_only.contains(&pointer) {
            Mutability::ReplaceOnly
        } else {
            Mutability::InPlace
        }
    }
}

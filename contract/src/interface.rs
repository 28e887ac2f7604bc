// SPDX-License-Identifier: Apache-2.0

//! Interfaces: one bot experience each (`/v1/interfaces`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client says about an interface: the body of `POST`, and the target of a merge patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterfaceSpec {
    /// The client's own name for the object, unique in the account: creating a second one with the same
    /// reference is a 409 that carries the ID of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub external_reference: Option<String>,
    /// Who claims the reference at present, e.g. the UID of a Kubernetes object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub claimant: Option<String>,
    /// Name for people.
    #[schema(min_length = 1, max_length = 100)]
    pub display_name: String,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    /// The account that is the template for the account of each end customer.
    #[schema(min_length = 1, max_length = 128)]
    pub template_operator: String,
    /// Root of the messaging application; the manager calls back below it. https, no query, no trailing slash.
    #[schema(format = Uri, max_length = 1024)]
    pub base_url: String,
    /// The bot's configuration. Default: English, no responses.
    #[serde(default)]
    pub bot: Bot,
}

/// The bot configuration of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bot {
    /// BCP 47 tags; the first is the default language. Default: `en`.
    #[serde(default = "default_languages")]
    #[schema(min_items = 1, max_items = 32)]
    pub languages: Vec<String>,
    /// Texts the bot says on its own account.
    #[serde(default)]
    pub system_responses: SystemResponses,
    /// What the bot does on command.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub response_commands: Vec<ResponseCommand>,
    /// When to hand over to a person.
    #[serde(default)]
    pub escalation: Escalation,
}

impl Default for Bot {
    fn default() -> Self {
        Self {
            languages: default_languages(),
            system_responses: SystemResponses::default(),
            response_commands: Vec::new(),
            escalation: Escalation::default(),
        }
    }
}

fn default_languages() -> Vec<String> {
    vec!["en".to_owned()]
}

/// Texts the bot says on its own account; an absent one is the manager's own text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemResponses {
    /// At the start of a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub welcome: Option<String>,
    /// When nothing matches what the customer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub no_match: Option<String>,
    /// When more than one thing matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub multiple_match: Option<String>,
    /// When the bot itself fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub error: Option<String>,
    /// When the customer must sign in first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub authentication_prompt: Option<String>,
}

/// One command the bot answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseCommand {
    /// Unique in the interface.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What a customer says to set it off.
    #[schema(min_items = 1, max_items = 32)]
    pub triggers: Vec<String>,
    /// What the bot answers, one message each.
    #[schema(min_items = 1, max_items = 16)]
    pub texts: Vec<String>,
    /// Choices offered with the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub menu: Vec<MenuEntry>,
}

/// One choice of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MenuEntry {
    /// What the customer sees.
    #[schema(min_length = 1, max_length = 100)]
    pub label: String,
    /// What is sent when it is chosen. Default: the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub payload: Option<String>,
}

/// When to hand over to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Escalation {
    /// After this many messages in a row that match nothing. Default 3.
    #[serde(default = "default_no_matches")]
    #[schema(minimum = 1, maximum = 20)]
    pub after_no_matches: u32,
}

impl Default for Escalation {
    fn default() -> Self {
        Self {
            after_no_matches: default_no_matches(),
        }
    }
}

fn default_no_matches() -> u32 {
    3
}

/// An interface as the manager holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// Made by the manager; never changes.
    pub id: String,
    /// What clients said about it, defaults filled in.
    #[serde(flatten)]
    pub spec: InterfaceSpec,
    /// Where the manager delivers messages: the base URL and the manager's own path.
    pub callback_url: String,
    /// Revision of the account at which it last changed; its `ETag`.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

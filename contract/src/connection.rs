// SPDX-License-Identifier: Apache-2.0

//! Connections: one channel each, assigned to an interface (`/v1/connections`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{channel::Channel, secret::SecretValue};

/// What a client says about a connection: the body of `POST`, and the target of a merge patch.
///
/// A merge patch may change everything but `interfaceId`, the channel's type and its natural key
/// (422 [`ReplaceRequired`](crate::problem::Code::ReplaceRequired)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionSpec {
    /// The interface it is assigned to; never changes.
    pub interface_id: String,
    /// The client's own name for the object, unique in the account: creating a second one with the same
    /// reference is a 409 that carries the ID of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub external_reference: Option<String>,
    /// Who claims the reference at present, e.g. the UID of a Kubernetes object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub claimant: Option<String>,
    /// Name for people. Unique among the client channels of an account.
    #[schema(min_length = 1, max_length = 100)]
    pub display_name: String,
    /// The channel and its settings.
    pub channel: Channel,
    /// Secrets of the channel by name; the text of each channel lists its own. Written, never read back.
    /// In a merge patch only the names that are there change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(write_only)]
    pub secrets: BTreeMap<String, SecretValue>,
}

/// A connection as the manager holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Made by the manager; never changes. It is what web sites and client channels know.
    pub id: String,
    /// The interface it is assigned to.
    pub interface_id: String,
    /// The client's own name for the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// Who claims the reference at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimant: Option<String>,
    /// Name for people.
    pub display_name: String,
    /// The channel and its settings, defaults filled in.
    pub channel: Channel,
    /// Whether it carries messages.
    pub state: ConnectionState,
    /// Why it does not, for people; absent while active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_message: Option<String>,
    /// Where the provider, or the client channel's own server, posts messages to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Web Messaging only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widget: Option<Widget>,
    /// Whether `/v1/connections/{id}/jwt-secret` has something to give.
    pub has_jwt_secret: bool,
    /// Differs whenever the JWT secret does: the `token` of the rotation that made it; absent for the first one. A manager that
    /// has other ways to rotate a secret makes up a value for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub jwt_secret_rotation: Option<String>,
    /// Revision of the account at which it last changed; its `ETag`.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Whether a connection carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// It does.
    Active,
    /// A person must authorise it first, e.g. a page's administrator.
    PendingAuthorization,
    /// The provider refuses it.
    Failed,
}

/// What a web site needs to show the chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Widget {
    /// `iss` of the JWTs that start a session.
    pub id: String,
    /// The script to load.
    pub script_url: String,
}

/// The answer to `POST /v1/connections`: the connection, and its JWT secret if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedConnection {
    /// The connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// Generated; also to be had from `GET /v1/connections/{id}/jwt-secret`, so a lost answer loses nothing, unless the
    /// manager tells secrets once only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_secret: Option<SecretValue>,
}

/// The body of `POST /v1/connections/{id}/jwt-secret/rotate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtSecretRotation {
    /// The client's own name for this rotation, visible ASCII. A second call with the token of the last rotation rotates
    /// nothing and answers like the first one, so a client that lost the answer asks again.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub token: String,
}

/// The answer to `POST /v1/connections/{id}/jwt-secret/rotate`: the connection as it is now, and its new secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedConnection {
    /// The connection.
    #[serde(flatten)]
    pub connection: Connection,
    /// The secret to sign with from now on.
    pub jwt_secret: SecretValue,
    /// Until when the one before is honoured as well; absent when it is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_valid_until: Option<Timestamp>,
}

/// The answer to `GET /v1/connections/{id}/jwt-secret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtSecret {
    /// The secret to sign with from now on.
    pub jwt_secret: SecretValue,
    /// Until when the one before is honoured as well; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_valid_until: Option<Timestamp>,
}

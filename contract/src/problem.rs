// SPDX-License-Identifier: Apache-2.0

//! Errors: RFC 9457 problem details with a closed `code`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not a success (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// URI of the kind of problem: `urn:digitalmessaging:problem:<code>`.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status, once more.
    pub status: u16,
    /// This occurrence in words. Never contains a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The kind of problem for programs.
    pub code: Code,
    /// Which fields of the request are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// With `reference_exists` and `natural_key_claimed`: the ID of the object that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_id: Option<String>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldProblem {
    /// JSON Pointer into the body, e.g. `/channel/phoneNumber`.
    pub pointer: String,
    /// What is wrong and how to put it right.
    pub detail: String,
}

/// The kinds of problems. A client must treat an unknown one by the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: not JSON, an unknown query parameter, a bad header.
    MalformedRequest,
    /// 401: unknown Manager ID, or a key that is not valid for it.
    InvalidCredentials,
    /// 401: the key was revoked.
    RevokedCredentials,
    /// 401: right Manager ID, but its provisioned method is the other one.
    MethodNotConfigured,
    /// 401: `iat` or `exp` are too far from the manager's clock, which the `Date` header tells.
    ClockSkew,
    /// 401: this `jti` was used before.
    TokenReplayed,
    /// 401: the token was made for another method, URL, body or audience.
    TokenMismatch,
    /// 403: authenticated, but not allowed to do that.
    Forbidden,
    /// 403: the account holds as many objects as it may.
    QuotaExceeded,
    /// 403: the manager tells a generated secret only when it makes it. To get to know one, rotate it.
    SecretWithheld,
    /// 404: no such object in this account.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: the external reference is taken; `existingId` says by which object.
    ReferenceExists,
    /// 409: the natural key (page, number, business ID, handle, client channel name) is taken; `existingId` says by which object.
    NaturalKeyClaimed,
    /// 409: the interface still has connections.
    InterfaceNotEmpty,
    /// 410: the change feed does not reach back that far; list again.
    RevisionCompacted,
    /// 412: `If-Match` does not match the object's revision.
    RevisionMismatch,
    /// 412: a higher `Operator-Epoch` of the same installation was seen.
    EpochSuperseded,
    /// 413: the body is too large.
    BodyTooLarge,
    /// 415: neither JSON nor a merge patch.
    UnsupportedMediaType,
    /// 422: the values are wrong; `errors` says which.
    ValidationFailed,
    /// 422: the provider refused the channel's secrets; `errors` says which.
    CredentialsRejected,
    /// 422: the manager does not offer this channel.
    ChannelUnsupported,
    /// 422: this field never changes in the life of an object; `errors` says which.
    ReplaceRequired,
    /// 429: too many requests; `Retry-After` says when to go on.
    RateLimited,
    /// 500: the manager failed.
    Internal,
    /// 503: not now; `Retry-After` says when.
    Unavailable,
}

impl Code {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedRequest => 400,
            Self::InvalidCredentials
            | Self::RevokedCredentials
            | Self::MethodNotConfigured
            | Self::ClockSkew
            | Self::TokenReplayed
            | Self::TokenMismatch => 401,
            Self::Forbidden | Self::QuotaExceeded | Self::SecretWithheld => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::ReferenceExists | Self::NaturalKeyClaimed | Self::InterfaceNotEmpty => 409,
            Self::RevisionCompacted => 410,
            Self::RevisionMismatch | Self::EpochSuperseded => 412,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::ValidationFailed | Self::CredentialsRejected | Self::ChannelUnsupported | Self::ReplaceRequired => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

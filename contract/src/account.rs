// SPDX-License-Identifier: Apache-2.0

//! What a Manager ID opens at the manager: identity and capabilities (`GET /v1/manager`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::channel::ChannelType;

/// The manager account (tenant) that the credentials of the request open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The Manager ID the request was authenticated as.
    pub manager_id: String,
    /// What the manager calls this account, for people.
    pub name: String,
    /// Where the account lives, e.g. `eu-west-1`.
    pub region: String,
    /// Version of the contract the manager implements: `v1`.
    pub api_version: String,
    /// The method provisioned for this Manager ID; requests by the other one are refused.
    pub authentication_method: AuthenticationMethod,
    /// The manager's clock, to tell a skewed clock from a wrong key.
    pub server_time: Timestamp,
    /// What the manager offers, one entry per channel type it knows.
    pub channels: Vec<ChannelOffer>,
    /// Whether a second object with the same `externalReference` is refused. `false` is for a gateway to a manager that
    /// cannot do that: clients then look at the whole account before they create. Absent: `true`.
    #[serde(default = "refused")]
    pub unique_references: bool,
}

fn refused() -> bool {
    true
}

/// How requests prove who sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum AuthenticationMethod {
    /// `Authorization: Bearer` with a JWT signed by the Manager Key. Covers method, URL and body.
    #[serde(rename = "JWT")]
    Jwt,
    /// `Authorization: ApiKey` with the Manager Key itself.
    #[serde(rename = "APIKey")]
    ApiKey,
}

impl AuthenticationMethod {
    /// The name used on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::ApiKey => "APIKey",
        }
    }
}

/// How far the manager supports one channel type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelOffer {
    /// The channel type.
    #[serde(rename = "type")]
    pub channel_type: ChannelType,
    /// What can be done with it.
    pub support: ChannelSupport,
}

/// What can be done with a channel type at this manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChannelSupport {
    /// Connections can be created, updated and deleted.
    Create,
    /// Connections must be made elsewhere; existing ones can be updated.
    AdoptOnly,
    /// Withdrawn or never offered.
    Unsupported,
}

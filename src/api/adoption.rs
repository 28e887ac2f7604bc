// SPDX-License-Identifier: Apache-2.0

//! Taking over what the manager already holds.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which object at the manager to take over. Read only while this object holds none yet; afterwards it has no effect
/// and may stay or go. Objects that this installation of the operator made itself are found again without it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.by != 'ID' || has(self.id)")
        .message("by: ID needs id: the manager's own ID of the object to adopt. Add id, or use by: NaturalKey where the channel has one")
        .reason(Reason::FieldValueRequired)
        .field_path(".id")
)]
#[x_kube(
    validation = Rule::new("self.by != 'NaturalKey' || !has(self.id)")
        .message("by: NaturalKey finds the object by its phone number, page or other natural key, so id has no meaning: remove id, or set by: ID")
        .reason(Reason::FieldValueForbidden)
        .field_path(".id")
)]
pub struct Adoption {
    /// How to find it. `ID`: by the manager's own ID, given in `id`. `NaturalKey`: by what the outside world knows the
    /// channel by (phone number, page ID, business ID, handle; of a client channel its display name). Interfaces and
    /// Web Messaging have no natural key.
    pub by: AdoptionKey,
    /// The manager's own ID of the object to adopt, 1 to 128 letters, digits and `-_.~`. Required with `by: ID`, not allowed otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[-A-Za-z0-9_.~]+$"))]
    pub id: Option<String>,
    /// `Match`: adopts only if nothing would have to change, and otherwise waits and names the differences.
    /// `Override`: adopts it and makes it what is declared. Neither takes what somebody holds. Default: `Match`.
    #[serde(default)]
    pub mode: AdoptionMode,
}

/// How to find the object to adopt.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AdoptionKey {
    /// By the manager's own ID.
    #[serde(rename = "ID")]
    Id,
    /// By what the outside world knows it by.
    NaturalKey,
}

/// What adoption may change.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AdoptionMode {
    /// Nothing.
    #[default]
    Match,
    /// Whatever differs.
    Override,
}

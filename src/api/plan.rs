// SPDX-License-Identifier: Apache-2.0

//! What the operator would change, what it applied last, and what others changed.
//!
//! All of it is small whatever the object: hashes and pointers, few values, and those cut.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Most changes a plan lists, and fields a drift.
pub const MAX_CHANGES: usize = 20;

/// Most characters of a value in a plan.
pub const MAX_VALUE_LENGTH: usize = 64;

/// Most characters of a pointer in a plan.
pub const MAX_FIELD_LENGTH: usize = 256;

/// Most bytes of the changes of a plan, as JSON. With the rest of it, a plan stays below 8 KiB.
pub const MAX_BYTES: usize = 7 * 1024;

/// Changes that wait: for approval, or because the operator may only observe.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Names this plan, and no other. Approve it with
    /// `kubectl annotate <object> digitalmessaging.io/approve=<hash>`.
    #[schemars(length(min = 1, max = 128))]
    pub hash: String,
    /// The changes, at most 20 of them, those that destroy something first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_CHANGES))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub changes: Vec<PlannedChange>,
    /// How many further changes belong to the plan and are not listed. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("format" = "int32"))]
    pub truncated: Option<u32>,
}

/// One change of a plan.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChange {
    /// What changes: a JSON Pointer below `spec`, or empty for the object as a whole.
    #[schemars(length(max = 256))]
    pub field: String,
    /// The value at the manager, cut at 64 characters. Absent: there is none, or it is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_VALUE_LENGTH))]
    pub from: Option<String>,
    /// The value declared, cut at 64 characters. Absent: there is none, or it is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_VALUE_LENGTH))]
    pub to: Option<String>,
    /// Whether the change loses something that cannot be had back, such as the identities of customers.
    pub destructive: bool,
}

/// What somebody changed at the manager since the operator last applied it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The fields that differ: JSON Pointers below `spec`, at most 20 of them.
    #[schemars(length(max = MAX_CHANGES), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub fields: Vec<String>,
    /// When it was first seen.
    pub since: Time,
}

/// Drift that the operator has put right.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorrectedDrift {
    /// The fields that differed: JSON Pointers below `spec`, at most 20 of them.
    #[schemars(length(max = MAX_CHANGES), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub fields: Vec<String>,
    /// When the difference was first seen.
    pub detected_at: Time,
    /// When the manager held again what is declared.
    pub corrected_at: Time,
}

/// What the operator applied last. No values: a hash, and the fields it set and therefore looks after.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastApplied {
    /// Hash of the values of those fields.
    #[schemars(length(min = 1, max = 128))]
    pub hash: String,
    /// The fields that were set: JSON Pointers below `spec`. All others are left to the manager.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub fields: Vec<String>,
}

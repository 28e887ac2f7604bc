// SPDX-License-Identifier: Apache-2.0

//! That something is about to be made at a manager which would not refuse to make it twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// That the operator is about to make the object at the manager. Only at managers that do not refuse a second object of the
/// same reference, and only until its ID is known: before it makes one, the operator looks whether it has been made.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Creation {
    /// Since when.
    pub started_at: Time,
    /// The term of leadership in which it was decided: the second in which the operator took its Lease.
    #[schemars(range(min = 0), extend("format" = "int64"))]
    pub epoch: u64,
}

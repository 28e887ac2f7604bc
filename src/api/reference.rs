// SPDX-License-Identifier: Apache-2.0

//! References to other objects. They never leave the namespace of the object that has them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::schema::OBJECT_NAME;

/// A reference to an object of this API in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object, in the same namespace. It need not exist yet: the operator waits for it and says so.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// A reference to a Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret, in the same namespace. The Secret must carry the label `digitalmessaging.io/credentials: "true"`;
    /// without it the operator does not read it and reports `SecretNotLabelled`. It need not exist yet.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

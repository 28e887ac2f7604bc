// SPDX-License-Identifier: Apache-2.0

//! Status conditions.
//!
//! Own types instead of `metav1.Condition`: closed enums, and small, for there are several on each of many objects.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    creation::Creation,
    plan::{Drift, Plan},
};

/// Most characters of a condition's message. The API server refuses a status with a longer one.
pub const MAX_MESSAGE_LENGTH: usize = 1024;

/// One observation about the object, in the form that `kubectl wait` and kstatus know.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is observed: `Ready`, `Synced`, `Authenticated` (credentials only), and, only while they hold, `Drifted`,
    /// `Reconciling` and `Stalled`.
    #[serde(rename = "type")]
    #[schemars(with = "String", length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9]*$"))]
    pub type_: ConditionType,
    /// Whether it holds: `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// Why, in one word of a closed list that the reference documentation explains.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// Why, for people, and what to do about it. Never contains a secret.
    #[schemars(length(max = MAX_MESSAGE_LENGTH))]
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Time,
    /// The `metadata.generation` this was observed for. Lower than the object's: not looked at yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// It serves.
    Ready,
    /// The manager holds what is declared.
    Synced,
    /// The manager accepts the credentials.
    Authenticated,
    /// Somebody changed it at the manager. Absent otherwise.
    Drifted,
    /// Work is under way. Absent otherwise.
    Reconciling,
    /// It cannot go on without a person. Absent otherwise.
    Stalled,
}

impl ConditionType {
    /// The name in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Synced => "Synced",
            Self::Authenticated => "Authenticated",
            Self::Drifted => "Drifted",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a condition holds.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl ConditionStatus {
    /// The name in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A status that has conditions: what code for all three kinds needs to know about it.
pub trait HasConditions {
    /// The conditions, at most one of a type.
    fn conditions(&self) -> &[Condition];

    /// The conditions, to replace them.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;

    /// Remembers which version of the spec the status speaks of.
    fn set_observed_generation(&mut self, generation: i64);

    /// The last `retry` that was acted on.
    fn handled_retry(&self) -> Option<&String>;

    /// Remembers the last `retry` that was acted on.
    fn set_handled_retry(&mut self, token: String);

    /// The condition of a type.
    fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        self.conditions().iter().find(|condition| condition.type_ == type_)
    }

    /// The plan that waits, for kinds that have plans.
    fn plan(&self) -> Option<&Plan> {
        None
    }

    /// Shows the plan that waits, for kinds that have plans.
    fn set_plan(&mut self, _plan: Option<Plan>) {}

    /// The drift that stands, for kinds that can drift.
    fn drift(&self) -> Option<&Drift> {
        None
    }

    /// Shows the drift that stands, for kinds that can drift.
    fn set_drift(&mut self, _drift: Option<Drift>) {}

    /// What is about to be made, for kinds that are made at the manager.
    fn creation(&self) -> Option<&Creation> {
        None
    }

    /// Says what is about to be made, for kinds that are made at the manager.
    fn set_creation(&mut self, _creation: Option<Creation>) {}

    /// Puts a condition in the place of the one of its type. Its transition time stays as it was unless the status changes.
    fn set_condition(&mut self, mut condition: Condition) {
        let conditions = self.conditions_mut();
        if let Some(present) = conditions.iter_mut().find(|present| present.type_ == condition.type_) {
            if present.status == condition.status {
                condition.last_transition_time = present.last_transition_time.clone();
            }
            *present = condition;
        } else {
            conditions.push(condition);
        }
    }

    /// Removes the condition of a type, as is due to abnormal ones when all is well again.
    fn clear_condition(&mut self, type_: ConditionType) {
        self.conditions_mut().retain(|condition| condition.type_ != type_);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::ManagerCredentialStatus;

    fn ready(status: ConditionStatus, reason: &str, at: i64) -> Condition {
        Condition {
            type_: ConditionType::Ready,
            status,
            reason: reason.to_owned(),
            message: String::new(),
            last_transition_time: Time(Timestamp::from_second(at).unwrap()),
            observed_generation: Some(1),
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut status = ManagerCredentialStatus::default();
        status.set_condition(ready(ConditionStatus::False, "SecretNotFound", 1));
        status.set_condition(ready(ConditionStatus::False, "SecretNotLabelled", 2));
        assert_eq!(status.conditions, [ready(ConditionStatus::False, "SecretNotLabelled", 1)]);
        status.set_condition(ready(ConditionStatus::True, "Ready", 3));
        assert_eq!(status.conditions, [ready(ConditionStatus::True, "Ready", 3)]);
        status.clear_condition(ConditionType::Ready);
        assert_eq!(status.condition(ConditionType::Ready), None);
    }
}

// SPDX-License-Identifier: Apache-2.0

//! What the operator may do with an object at the manager, and when.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What the operator may do at the manager. A member that is absent is inherited from `spec.defaults.policy` of the
/// `ManagerCredential`; one that is absent there, too, has the default named here.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.management) && self.management == 'Observe' && has(self.deletion) && self.deletion == 'Delete')")
        .message("management: Observe cannot be combined with deletion: Delete: Observe never writes to the manager, so nothing would be deleted there. Set deletion: Orphan (or leave it out), or management: Full")
        .field_path(".deletion")
)]
#[x_kube(
    validation = Rule::new("!(has(self.management) && self.management == 'Observe' && has(self.approval) && self.approval == 'Required')")
        .message("management: Observe cannot be combined with approval: Required: Observe never changes anything, so there is nothing to approve. Set approval: NotRequired (or leave it out), or management: Full")
        .field_path(".approval")
)]
pub struct Policy {
    /// `Full`: the operator makes the manager hold what is declared. `Observe`: it only looks and reports, and never
    /// writes to the manager; the object must exist there already (see `adoption`). Absent: inherited from the credential's
    /// `defaults.policy`, or else `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// `NotRequired`: changes are made at once. `Required`: every change, the correction of drift included, waits until
    /// the annotation `digitalmessaging.io/approve` carries the hash in `status.plan`. Absent: inherited from the
    /// credential's `defaults.policy`, or else `NotRequired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What happens at the manager when this object is deleted. `Orphan`: nothing; applying the same YAML again finds
    /// the same object. `Delete`: it is deleted there, with the identities of its customers and for good.
    /// Absent: inherited from the credential's `defaults.policy`, or else `Orphan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// Whether the operator writes to the manager.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = schema::undescribed)]
pub enum Management {
    /// It makes the manager hold what is declared.
    #[default]
    Full,
    /// It looks and reports.
    Observe,
}

/// Whether changes wait for a person.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = schema::undescribed)]
pub enum Approval {
    /// They do not.
    #[default]
    NotRequired,
    /// Every one does.
    Required,
}

/// What happens at the manager when the object is deleted in Kubernetes.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = schema::undescribed)]
pub enum Deletion {
    /// Nothing.
    #[default]
    Orphan,
    /// It is deleted there as well.
    Delete,
}

/// The policy that holds for an object: nothing left to inherit, nothing that contradicts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EffectivePolicy {
    /// Whether the operator writes to the manager.
    pub management: Management,
    /// Whether changes wait for a person; never `Required` while nothing is written.
    pub approval: Approval,
    /// What deletion does at the manager; never `Delete` while nothing is written.
    pub deletion: Deletion,
}

impl Policy {
    /// This policy, with what it leaves open taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            management: self.management.or(defaults.management),
            approval: self.approval.or(defaults.approval),
            deletion: self.deletion.or(defaults.deletion),
        }
    }

    /// The policy that holds. What is still open has its default.
    ///
    /// `Observe` wins over everything that would write. The API server refuses the combinations within one object,
    /// but the halves may come from an object and from the credential's defaults.
    pub fn effective(self) -> EffectivePolicy {
        let management = self.management.unwrap_or_default();
        if management == Management::Observe {
            return EffectivePolicy {
                management,
                ..EffectivePolicy::default()
            };
        }
        EffectivePolicy {
            management,
            approval: self.approval.unwrap_or_default(),
            deletion: self.deletion.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Policy = Policy {
        management: Some(Management::Full),
        approval: Some(Approval::Required),
        deletion: Some(Deletion::Delete),
    };

    #[test]
    fn what_nobody_says_has_the_safe_default() {
        let policy = Policy::default().or(&Policy::default()).effective();
        assert_eq!(
            policy,
            EffectivePolicy {
                management: Management::Full,
                approval: Approval::NotRequired,
                deletion: Deletion::Orphan
            }
        );
    }

    #[test]
    fn an_object_overrides_the_defaults_member_by_member() {
        let own = Policy {
            deletion: Some(Deletion::Orphan),
            ..Policy::default()
        };
        assert_eq!(
            own.or(&STRICT).effective(),
            EffectivePolicy {
                management: Management::Full,
                approval: Approval::Required,
                deletion: Deletion::Orphan
            }
        );
    }

    #[test]
    fn observe_wins_over_inherited_members_that_would_write() {
        let own = Policy {
            management: Some(Management::Observe),
            ..Policy::default()
        };
        assert_eq!(
            own.or(&STRICT).effective(),
            EffectivePolicy {
                management: Management::Observe,
                approval: Approval::NotRequired,
                deletion: Deletion::Orphan
            }
        );
    }
}

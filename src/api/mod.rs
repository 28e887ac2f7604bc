// SPDX-License-Identifier: Apache-2.0

//! The custom resources: what people declare and what the operator reports.
//!
//! Schema and pure accessors; nothing here talks to anyone. Doc comments of fields are what `kubectl explain` shows,
//! so they speak to the person who writes the YAML: meaning, unit, bounds, default, and what happens when it is wrong.
//!
//! | Module | Holds |
//! |---|---|
//! | [`manager_credential`] | `ManagerCredential`: which manager, which Manager ID, how to authenticate |
//! | [`interface`] | `DigitalMessagingInterface`: one bot experience |
//! | [`connection`] | `ChannelConnection`: one channel assigned to an interface |
//! | [`channel`] | the channels a connection can carry |
//! | [`policy`] | what the operator may do, and when |
//! | [`adoption`] | taking over what the manager already holds |
//! | [`reference`] | references to objects and Secrets of the same namespace |
//! | [`condition`] | status conditions |
//! | [`creation`] | what is about to be made |
//! | [`plan`] | what the operator would change, has changed, and found changed |
//!
//! A spec is parsed strictly. A status is not: it may have been written by another version of the operator or by hand,
//! and what does not fit in it counts as absent.
//! That is why the members of a status are plain strings in the schema where they are closed enums here.

pub mod adoption;
pub mod channel;
pub mod condition;
pub mod connection;
pub mod creation;
pub mod interface;
mod lenient;
pub mod manager_credential;
pub mod plan;
pub mod policy;
pub mod reference;
mod schema;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use adoption::{Adoption, AdoptionKey, AdoptionMode};
pub use channel::{Channel, ChannelType};
pub use condition::{Condition, ConditionStatus, ConditionType, HasConditions};
pub use connection::{ChannelConnection, ChannelConnectionSpec, ChannelConnectionStatus};
pub use creation::Creation;
pub use interface::{DigitalMessagingInterface, DigitalMessagingInterfaceSpec, DigitalMessagingInterfaceStatus};
pub use manager_credential::{ManagerCredential, ManagerCredentialSpec, ManagerCredentialStatus};
pub use plan::{CorrectedDrift, Drift, LastApplied, Plan, PlannedChange};
pub use policy::{Approval, Deletion, EffectivePolicy, Management, Policy};
pub use reference::{LocalReference, SecretReference};

/// API group of all kinds. The derives repeat it, because they take literals only; a test holds them together.
pub const GROUP: &str = "digitalmessaging.io";

/// API version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Labels the operator reads or sets.
pub mod label {
    /// On a Secret, with the value [`TRUE`]: its owner lets the operator read it. Without it the operator does not look.
    pub const CREDENTIALS: &str = "digitalmessaging.io/credentials";
    /// On a Secret, with the value [`TRUE`]: made by the operator, holds what the manager generated.
    pub const OUTPUTS: &str = "digitalmessaging.io/outputs";
    /// The value that switches a label on.
    pub const TRUE: &str = "true";
}

/// Annotations by which people ask the operator for something.
pub mod annotation {
    /// Approves the plan whose hash is the value (`status.plan.hash`).
    pub const APPROVE: &str = "digitalmessaging.io/approve";
    /// Tries again at once; any value that was not used before.
    pub const RETRY: &str = "digitalmessaging.io/retry";
    /// Has the manager generate a new JWT secret; any value that was not used before.
    pub const ROTATE_SECRET: &str = "digitalmessaging.io/rotate-secret";
    /// Makes a new object in place of the one that is gone at the manager; the value is the lost ID (`status.id`).
    pub const RECREATE: &str = "digitalmessaging.io/recreate";
    /// Adopts an object although another installation holds it; the value is the object's ID, which `spec.adoption` finds, too.
    pub const TAKE_OVER: &str = "digitalmessaging.io/take-over";
    /// With the value `true`: drops the finalizer and leaves the manager alone.
    pub const ABANDON: &str = "digitalmessaging.io/abandon";

    /// On a Secret that the operator made: the reference of the object it belongs to.
    pub const OWNER: &str = "digitalmessaging.io/owner";
    /// On a Secret that the operator made: changes whenever the content does, for consumers that restart on change.
    pub const CONTENT_HASH: &str = "digitalmessaging.io/content-hash";

    /// All that the operator reads; it keeps no others in memory.
    pub const ALL: [&str; 8] = [
        APPROVE,
        RETRY,
        ROTATE_SECRET,
        RECREATE,
        TAKE_OVER,
        ABANDON,
        OWNER,
        CONTENT_HASH,
    ];
}

/// Finalizer of objects that have something to clean up at the manager.
pub const FINALIZER: &str = "digitalmessaging.io/cleanup";

/// Whether the object with this metadata carries our finalizer.
pub fn has_finalizer(meta: &ObjectMeta) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;

    #[test]
    fn all_kinds_are_of_one_group_and_version() {
        let versions = [
            ManagerCredential::api_version(&()),
            DigitalMessagingInterface::api_version(&()),
            ChannelConnection::api_version(&()),
        ];
        for version in versions {
            assert_eq!(version, format!("{GROUP}/{VERSION}"));
        }
    }

    #[test]
    fn every_label_annotation_and_finalizer_is_of_the_group() {
        use annotation::{ABANDON, APPROVE, RECREATE, RETRY, ROTATE_SECRET, TAKE_OVER};
        for name in [
            label::CREDENTIALS,
            label::OUTPUTS,
            APPROVE,
            RETRY,
            ROTATE_SECRET,
            RECREATE,
            TAKE_OVER,
            ABANDON,
            FINALIZER,
        ] {
            assert!(name.starts_with(&format!("{GROUP}/")), "{name}");
        }
    }
}

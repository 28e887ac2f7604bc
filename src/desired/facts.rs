// SPDX-License-Identifier: Apache-2.0

//! What the graph needs to know of each kind: its edges, its projection and its summary.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Resource, ResourceExt,
    core::{ObjectMeta, PartialObjectMeta},
};

use crate::{
    api::{
        Adoption, Channel, ChannelConnection, ConditionStatus, ConditionType, DigitalMessagingInterface, HasConditions,
        ManagerCredential, Policy, has_finalizer,
    },
    manager::{capabilities::ChannelKind, settings::NaturalKey},
};

use super::{
    graph::{Facts, Interest, Summary},
    node::{Kind, Node},
};

/// A kind that the desired mirror holds.
pub trait Watched: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// What the graph needs to know of the object.
    fn facts(&self, node: &Node) -> Facts;
}

/// The node of an object.
pub fn node(kind: Kind, object: &impl Resource<DynamicType = ()>) -> Node {
    Node::new(kind, &object.namespace().unwrap_or_default(), &object.name_any())
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn summary(meta: &ObjectMeta, policy: Option<Policy>, status: Option<&impl HasConditions>) -> Summary {
    Summary {
        deletion: policy.and_then(|policy| policy.deletion),
        finalizer: has_finalizer(meta),
        ready: status
            .and_then(|status| status.condition(ConditionType::Ready))
            .is_some_and(|ready| ready.status == ConditionStatus::True),
        deleting: meta.deletion_timestamp.is_some(),
    }
}

fn remembered(id: Option<&String>, adoption: Option<&Adoption>) -> BTreeSet<Interest> {
    let adopted = adoption.and_then(|adoption| adoption.id.as_ref());
    id.into_iter()
        .chain(adopted)
        .filter_map(|id| id.parse().ok())
        .map(Interest::Id)
        .collect()
}

/// The Secret in which the operator keeps the key of a credential that was proven last.
pub fn proven_key_node(credential: &Node) -> Node {
    credential.sibling(Kind::Output, &format!("{}-proven", credential.name))
}

impl Watched for ManagerCredential {
    /// Dependants read the policy defaults and whether clean-up is possible; whether the account is reachable they hear elsewhere.
    fn facts(&self, node: &Node) -> Facts {
        let policy = self.spec.default_policy();
        Facts {
            needs: BTreeSet::from([
                node.sibling(Kind::Secret, &self.spec.authentication.secret_ref.name),
                proven_key_node(node),
            ]),
            projection: hash((
                self.uid(),
                policy.management,
                policy.approval,
                policy.deletion,
                has_finalizer(self.meta()),
                self.meta().deletion_timestamp.is_some(),
            )),
            summary: Summary::default(),
            interests: BTreeSet::new(),
            plan_waits: false,
        }
    }
}

impl Watched for DigitalMessagingInterface {
    fn facts(&self, node: &Node) -> Facts {
        let status = self.status.as_ref();
        let id = status.and_then(|status| status.id.as_ref());
        Facts {
            needs: BTreeSet::from([node.sibling(Kind::Credential, &self.spec.credential_ref.name)]),
            projection: hash((
                self.uid(),
                id,
                status.and_then(|status| status.account.as_ref()),
                has_finalizer(self.meta()),
                self.meta().deletion_timestamp.is_some(),
            )),
            summary: Summary {
                ready: false,
                ..summary(self.meta(), self.spec.policy, status)
            },
            interests: remembered(id, self.spec.adoption.as_ref()),
            plan_waits: status.is_some_and(|status| status.plan.is_some()),
        }
    }
}

impl Watched for ChannelConnection {
    fn facts(&self, node: &Node) -> Facts {
        let mut needs = BTreeSet::from([
            node.sibling(Kind::Interface, &self.spec.interface_ref.name),
            node.sibling(Kind::Output, &self.output_secret_name()),
        ]);
        needs.extend(
            self.spec
                .channel
                .secret_ref()
                .map(|secret| node.sibling(Kind::Secret, &secret.name)),
        );
        needs.extend(
            self.spec
                .channel
                .switch_targets()
                .iter()
                .map(|target| node.sibling(Kind::Connection, &target.name)),
        );
        let status = self.status.as_ref();
        let id = status.and_then(|status| status.id.as_ref());
        let mut interests = remembered(id, self.spec.adoption.as_ref());
        // Also without adoption: whoever is refused because a number is taken wants to know when it is free.
        interests.extend(natural_key(self).map(Interest::NaturalKey));
        Facts {
            needs,
            projection: hash((self.uid(), id)),
            summary: summary(self.meta(), self.spec.policy, status),
            interests,
            plan_waits: status.is_some_and(|status| status.plan.is_some()),
        }
    }
}

/// The natural key of a connection as its raw spec says it.
fn natural_key(connection: &ChannelConnection) -> Option<NaturalKey> {
    let (channel, value) = match &connection.spec.channel {
        Channel::WebMessaging(_) => return None,
        Channel::ClientChannel(_) => (ChannelKind::ClientChannel, connection.display_name().into_owned()),
        Channel::FacebookMessenger(it) => (ChannelKind::FacebookMessenger, it.page_id.clone()),
        Channel::WhatsApp(it) => (ChannelKind::WhatsApp, it.phone_number.clone()),
        Channel::Sms(it) => (ChannelKind::Sms, it.phone_number.clone()),
        Channel::AppleMessages(it) => (ChannelKind::AppleMessages, it.business_id.clone()),
        Channel::TwitterDirectMessage(it) => (ChannelKind::TwitterDirectMessage, it.account_handle.clone()),
    };
    Some(NaturalKey { channel, value })
}

impl Watched for PartialObjectMeta<Secret> {
    fn facts(&self, _node: &Node) -> Facts {
        Facts {
            projection: hash((self.uid(), self.resource_version())),
            ..Facts::default()
        }
    }
}

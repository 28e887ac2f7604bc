// SPDX-License-Identifier: Apache-2.0

//! `ChannelConnection`: one channel assigned to an interface.

use std::borrow::Cow;

use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use super::{
    adoption::Adoption,
    channel::{Channel, ChannelType},
    condition::{Condition, HasConditions},
    creation::Creation,
    lenient,
    plan::{CorrectedDrift, Drift, LastApplied, Plan},
    policy::{EffectivePolicy, Policy},
    reference::LocalReference,
    schema::OBJECT_NAME,
};

/// One channel assigned to an interface.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "digitalmessaging.io",
    version = "v1alpha1",
    kind = "ChannelConnection",
    namespaced,
    doc = "One channel assigned to an interface, such as a phone number, a page or a chat widget. What the manager generates for it (IDs, URLs, secrets) is written to its status and to a Secret.",
    status = "ChannelConnectionStatus",
    derive = "PartialEq",
    shortname = "chconn",
    category = "messaging",
    selectable = ".spec.interfaceRef.name",
    selectable = ".status.type",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the channel carries messages"),
    printcolumn(name = "Synced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Synced")].reason"#, description = "Whether the manager holds what is declared, and why not"),
    printcolumn(name = "Channel", type_ = "string", json_path = ".status.type", description = "The channel"),
    printcolumn(name = "Interface", type_ = "string", json_path = ".spec.interfaceRef.name", description = "The DigitalMessagingInterface it is assigned to"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why it is ready or not"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ID", type_ = "string", json_path = ".status.id", priority = 1, description = "The manager's ID of the connection"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1, description = "Why it is ready or not, for people"),
    validation = Rule::new("has(self.spec.displayName) || size(self.metadata.name) <= 100")
        .message("set spec.displayName: by default it is the object's name, and that is longer than the 100 characters a manager takes")
        .reason(Reason::FieldValueRequired)
        .field_path(".spec.displayName"),
    validation = Rule::new("has(self.spec.outputs) || size(self.metadata.name) <= 242")
        .message("set spec.outputs.secret.name: by default it is the object's name followed by -connection, and that is too long for the name of a Secret")
        .reason(Reason::FieldValueRequired)
        .field_path(".spec.outputs"),
    validation = Rule::new("!has(self.spec.channel.webMessaging) || !has(self.spec.channel.webMessaging.switching) || !self.spec.channel.webMessaging.switching.connections.exists(target, target.name == self.metadata.name)")
        .message("a connection cannot switch to itself: customers are in this channel already. Remove its own name from switching.connections")
        .field_path(".spec.channel.webMessaging.switching.connections")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.adoption) && self.adoption.by == 'NaturalKey' && has(self.channel.webMessaging))")
        .message("webMessaging can be adopted by: ID only: it has no natural key such as a phone number. Set by: ID and id, the manager's own ID of the connection")
        .field_path(".adoption.by")
)]
pub struct ChannelConnectionSpec {
    /// The `DigitalMessagingInterface` the channel is assigned to, in the same namespace. Cannot be changed.
    #[x_kube(
        validation = Rule::new("self.name == oldSelf.name")
            .message("interfaceRef cannot be changed: a connection is assigned to its interface for life. Create another connection for the other interface")
            .reason(Reason::FieldValueForbidden)
    )]
    pub interface_ref: LocalReference,
    /// Name of the connection for people, 1 to 100 characters; for a client channel it must be unique in the manager
    /// account. Default: the name of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub display_name: Option<String>,
    /// The channel and its settings. Exactly one member, named after the channel; which one cannot be changed.
    pub channel: Channel,
    /// A connection at the manager to take over instead of making a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
    /// Where to put what the manager generates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// What the operator may do with the connection at the manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Stops all changes to this connection at the manager. Conditions stay as they are, and deletion goes on.
    /// Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// Where to put what the manager generates.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// The Secret to make for it.
    pub secret: OutputSecret,
}

/// The Secret that holds what the manager generates.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputSecret {
    /// Name of the Secret. The operator makes it; a Secret of that name which is not its own is left alone, and
    /// `OutputConflict` is reported. Default without `outputs`: the name of this object followed by `-connection`.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

impl ChannelConnection {
    /// Name for people: the declared one, or that of the object.
    pub fn display_name(&self) -> Cow<'_, str> {
        self.spec
            .display_name
            .as_deref()
            .map_or_else(|| Cow::Owned(self.name_any()), Cow::Borrowed)
    }

    /// Name of the Secret for what the manager generates: the declared one, or the default.
    pub fn output_secret_name(&self) -> Cow<'_, str> {
        match &self.spec.outputs {
            Some(outputs) => Cow::Borrowed(&outputs.secret.name),
            None => Cow::Owned(format!("{}-connection", self.name_any())),
        }
    }
}

impl ChannelConnectionSpec {
    /// The policy that holds for this connection.
    pub fn policy(&self, defaults: &Policy) -> EffectivePolicy {
        self.policy.unwrap_or_default().or(defaults).effective()
    }
}

/// What the operator knows about the connection.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelConnectionStatus {
    /// The manager's ID of the connection. A cache: the connection is found again without it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 128))]
    pub id: Option<String>,
    /// The manager account the ID belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 1024))]
    pub account: Option<String>,
    /// The channel, by its name in `spec.channel`.
    #[serde(
        rename = "type",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::member"
    )]
    #[schemars(with = "Option<String>", length(max = 64))]
    pub channel_type: Option<ChannelType>,
    /// `Active`: it carries messages. `PendingAuthorization`: a person must authorise it first, e.g. an administrator of
    /// the page. `Failed`: the provider refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(with = "Option<String>", length(max = 64))]
    pub state: Option<ConnectionState>,
    /// Where the provider, or the client channel's own server, posts messages to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 2048))]
    pub webhook_url: Option<String>,
    /// What a web site needs to show the chat. Web Messaging only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub widget: Option<Widget>,
    /// The Secret that holds what the manager generated.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub outputs: Option<OutputsStatus>,
    /// Which of the channel's secrets the manager has, without their values.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub sent_secrets: Option<SentSecrets>,
    /// What is about to be made at the manager. Absent: nothing, or the manager refuses to make it twice.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub creation: Option<Creation>,
    /// Changes that wait. Absent: none do.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub plan: Option<Plan>,
    /// What somebody changed at the manager. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub drift: Option<Drift>,
    /// The drift that was put right last. Absent: none ever was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub last_drift: Option<CorrectedDrift>,
    /// What the operator applied last.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub last_applied: Option<LastApplied>,
    /// Hash of the plan that was approved and applied last. It takes part in the hash of the next plan, so an approval works once.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 128))]
    pub last_approved_plan: Option<String>,
    /// Value of the annotation `digitalmessaging.io/retry` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 256))]
    pub last_handled_retry: Option<String>,
    /// Value of the annotation `digitalmessaging.io/rotate-secret` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 256))]
    pub last_handled_rotation: Option<String>,
    /// The `metadata.generation` that was looked at last, as tools want it that follow kstatus. Lower than the object's: that
    /// version was not looked at yet; -1: none ever was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// What holds at present: `Ready`, `Synced`, and `Drifted`, `Reconciling` or `Stalled` while they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

impl HasConditions for ChannelConnectionStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn conditions_mut(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }

    fn handled_retry(&self) -> Option<&String> {
        self.last_handled_retry.as_ref()
    }

    fn set_handled_retry(&mut self, token: String) {
        self.last_handled_retry = Some(token);
    }

    fn set_observed_generation(&mut self, generation: i64) {
        self.observed_generation = Some(generation);
    }

    fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    fn set_plan(&mut self, plan: Option<Plan>) {
        self.plan = plan;
    }

    fn drift(&self) -> Option<&Drift> {
        self.drift.as_ref()
    }

    fn set_drift(&mut self, drift: Option<Drift>) {
        self.drift = drift;
    }

    fn creation(&self) -> Option<&Creation> {
        self.creation.as_ref()
    }

    fn set_creation(&mut self, creation: Option<Creation>) {
        self.creation = creation;
    }
}

/// Whether a connection carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectionState {
    /// It does.
    Active,
    /// A person must authorise it first.
    PendingAuthorization,
    /// The provider refuses it.
    Failed,
}

/// What a web site needs to show the chat.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Widget {
    /// ID of the widget; `iss` of the JWTs that start a session.
    #[schemars(length(max = 128))]
    pub id: String,
    /// The script to load.
    #[schemars(length(max = 2048))]
    pub script_url: String,
}

/// The Secret that holds what the manager generated.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputsStatus {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// Changes when the content does: roll what uses the Secret when it does. A keyed hash, it says nothing about the
    /// content.
    #[schemars(length(max = 128))]
    pub content_hash: String,
    /// Which of the secrets that the manager made in the course of time is in it. Absent: the first one, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub secret_rotation: Option<String>,
    /// Keys that it lacks because the manager does not hand out their values (`OutputsIncomplete`). Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub missing: Vec<String>,
}

/// Which secrets were sent to the manager, without their values: enough to see that nothing has to be sent again.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentSecrets {
    /// `metadata.uid` of the Secret they were read from.
    #[serde(rename = "secretUID")]
    #[schemars(length(max = 64))]
    pub secret_uid: String,
    /// `metadata.resourceVersion` of the Secret they were read from.
    #[schemars(length(max = 64))]
    pub resource_version: String,
    /// The operator's own key that `hmac` was made with.
    #[schemars(length(max = 64))]
    pub key_id: String,
    /// Keyed hash of the values, made with the operator's own key and for this object only.
    #[schemars(length(max = 128))]
    pub hmac: String,
}

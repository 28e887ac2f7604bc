// SPDX-License-Identifier: Apache-2.0

//! `DigitalMessagingInterface`: one bot experience.

#![expect(clippy::duplicated_attributes, reason = "several printer columns are of one type")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    adoption::Adoption,
    condition::{Condition, HasConditions},
    creation::Creation,
    lenient,
    plan::{CorrectedDrift, Drift, LastApplied, Plan},
    policy::{EffectivePolicy, Policy},
    reference::LocalReference,
    schema::{HTTP_URL, LANGUAGE_TAG, PLAIN_URL},
};

/// One bot experience: what all its channels have in common.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "digitalmessaging.io",
    version = "v1alpha1",
    kind = "DigitalMessagingInterface",
    namespaced,
    doc = "One bot experience: its name, the template operator for the accounts of customers, the base URL of the messaging application, and the configuration of the bot. Channels are assigned to it by ChannelConnections.",
    status = "DigitalMessagingInterfaceStatus",
    derive = "PartialEq",
    shortname = "dmi",
    category = "messaging",
    selectable = ".spec.credentialRef.name",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the manager holds the interface"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Synced")].reason"#,
        description = "Whether the manager holds what is declared, and why not"
    ),
    printcolumn(
        name = "Display name",
        type_ = "string",
        json_path = ".spec.displayName",
        description = "Name for people"
    ),
    printcolumn(
        name = "Connections",
        type_ = "integer",
        json_path = ".status.connections.ready",
        description = "Connections that are ready"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is ready or not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Credential",
        type_ = "string",
        json_path = ".spec.credentialRef.name",
        priority = 1,
        description = "The ManagerCredential in use"
    ),
    printcolumn(
        name = "ID",
        type_ = "string",
        json_path = ".status.id",
        priority = 1,
        description = "The manager's ID of the interface"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "Why it is ready or not, for people"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.adoption) || self.adoption.by == 'ID'")
        .message("an interface can be adopted by: ID only: it has no natural key such as a phone number. Set by: ID and id, the manager's own ID of the interface")
        .field_path(".adoption.by")
)]
pub struct DigitalMessagingInterfaceSpec {
    /// The `ManagerCredential` to use, in the same namespace. Cannot be changed.
    #[x_kube(
        validation = Rule::new("self.name == oldSelf.name")
            .message("credentialRef cannot be changed: the interface and its connections live in the account of these credentials. Create another interface for the other credentials")
            .reason(Reason::FieldValueForbidden)
    )]
    pub credential_ref: LocalReference,
    /// Name of the interface for people, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    pub display_name: String,
    /// What the interface is for, for people. At most 1000 characters. Absent: not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub description: Option<String>,
    /// The account that is the template for the account of each end customer, 1 to 128 characters. It must exist in the
    /// messaging application.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\S+$"))]
    pub template_operator: String,
    /// Root of the messaging application, such as `https://acme.example/prweb`; the manager delivers messages to a path
    /// below it. https, and reachable from the manager; http only where the operator was started with
    /// `--allow-insecure-endpoints`. No user information, query, fragment or slash at the end, at most 1024 characters.
    #[schemars(length(min = 1, max = 1024), regex(pattern = HTTP_URL))]
    #[x_kube(
        validation = Rule::new(PLAIN_URL)
            .message("baseUrl must be a URL without user information, query and fragment: the manager appends its callback path to it. Write it like https://acme.example/prweb")
    )]
    #[x_kube(
        validation = Rule::new("!self.endsWith('/')")
            .message("baseUrl must not end in a slash: the manager appends its callback path to it. Write it like https://acme.example/prweb")
    )]
    pub base_url: String,
    /// The configuration of the bot. What is absent from it is left to the manager and not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<Bot>,
    /// An interface at the manager to take over, by its ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
    /// What the operator may do with the interface at the manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Stops all changes to this interface at the manager. Conditions stay as they are, and deletion goes on.
    /// Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// The configuration of the bot. What is absent is left to the manager and not looked at.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bot {
    /// Languages the bot speaks, as BCP 47 tags such as `en` or `pt-BR`; the first is the one for everybody else.
    /// 1 to 32, each once. Absent: the manager's default, English, not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 2, max = 35), regex(pattern = LANGUAGE_TAG)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub languages: Option<Vec<String>>,
    /// Texts the bot says on its own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_responses: Option<SystemResponses>,
    /// What the bot answers to what, at most 64, each with a name of its own. Absent: not managed. Empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub response_commands: Option<Vec<ResponseCommand>>,
    /// When the bot hands over to a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}

/// Texts the bot says on its own account. One that is absent is the manager's own text, not managed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemResponses {
    /// At the start of a conversation. 1 to 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub welcome: Option<String>,
    /// When nothing matches what the customer said. 1 to 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub no_match: Option<String>,
    /// When more than one thing matches. 1 to 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub multiple_match: Option<String>,
    /// When the bot itself fails. 1 to 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub error: Option<String>,
    /// When the customer must sign in first. 1 to 1000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub authentication_prompt: Option<String>,
}

/// One thing the bot answers to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseCommand {
    /// Name of the command, unique in the interface, 1 to 64 characters.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What a customer says to set it off. 1 to 32 texts of 1 to 256 characters, each once.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub triggers: Vec<String>,
    /// What the bot answers, one message each. 1 to 16 texts of 1 to 1000 characters.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 1000)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub texts: Vec<String>,
    /// Choices offered with the answer, in this order. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub menu: Vec<MenuEntry>,
}

/// One choice of a menu.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MenuEntry {
    /// What the customer sees, 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    pub label: String,
    /// What is sent when it is chosen, 1 to 256 characters. Absent: the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub payload: Option<String>,
}

/// When the bot hands over to a person.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// After this many messages in a row that match nothing, 1 to 20. Absent: the manager's default, 3, not managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20), extend("format" = "int32"))]
    pub after_no_matches: Option<u32>,
}

impl DigitalMessagingInterfaceSpec {
    /// The policy that holds for this interface.
    pub fn policy(&self, defaults: &Policy) -> EffectivePolicy {
        self.policy.unwrap_or_default().or(defaults).effective()
    }
}

/// What the operator knows about the interface.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DigitalMessagingInterfaceStatus {
    /// The manager's ID of the interface. A cache: the interface is found again without it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 128))]
    pub id: Option<String>,
    /// The manager account the ID belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 1024))]
    pub account: Option<String>,
    /// Where the manager delivers messages, below the base URL.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 2048))]
    pub callback_url: Option<String>,
    /// How many connections are assigned to the interface, and how many of them are ready.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub connections: Option<ConnectionCounts>,
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

impl HasConditions for DigitalMessagingInterfaceStatus {
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

/// How many connections an interface has.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionCounts {
    /// Connections declared in Kubernetes.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub desired: u32,
    /// Those of them that are ready.
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub ready: u32,
}

// SPDX-License-Identifier: Apache-2.0

//! `ManagerCredential`: which manager, which Manager ID, and how to authenticate there.

use std::time;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    channel::ChannelType,
    condition::{Condition, HasConditions},
    lenient,
    policy::Policy,
    reference::SecretReference,
    schema::{self, HTTP_URL, PLAIN_URL},
};

/// Key of the Manager ID in the Secret.
pub const SECRET_MANAGER_ID: &str = "managerId";
/// Key of the Manager Key in the Secret.
pub const SECRET_MANAGER_KEY: &str = "managerKey";
/// Key of an optional certificate authority for the manager's certificate in the Secret, PEM.
pub const SECRET_CA_CERTIFICATE: &str = "ca.crt";
/// Key of an optional client certificate in the Secret, PEM.
pub const SECRET_CLIENT_CERTIFICATE: &str = "tls.crt";
/// Key of the client certificate's private key in the Secret, PEM.
pub const SECRET_CLIENT_KEY: &str = "tls.key";

/// Requests under way at one time where nothing else is said.
pub const DEFAULT_CONCURRENT_REQUESTS: u32 = 32;

const DEFAULT_OBSERVE_INTERVAL: time::Duration = time::Duration::from_mins(1);
const SHORTEST_OBSERVE_INTERVAL: time::Duration = time::Duration::from_secs(10);
const LONGEST_OBSERVE_INTERVAL: time::Duration = time::Duration::from_hours(1);

/// Which manager to use, and how to authenticate there.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "digitalmessaging.io",
    version = "v1alpha1",
    kind = "ManagerCredential",
    namespaced,
    doc = "A set of credentials for a messaging manager: which manager, Manager ID and Manager Key (in a Secret), and the authentication method. A set belongs to one application in one environment.",
    status = "ManagerCredentialStatus",
    derive = "PartialEq",
    shortname = "mgrcred",
    category = "messaging",
    selectable = ".spec.authentication.secretRef.name",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the manager accepts the credentials and can be reached"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Synced")].reason"#,
        description = "Whether the manager holds what is declared, and why not"
    ),
    printcolumn(
        name = "Manager",
        type_ = "string",
        json_path = ".spec.manager.digitalMessaging.endpoint",
        description = "Where the manager is"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is ready or not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Method",
        type_ = "string",
        json_path = ".spec.authentication.method",
        priority = 1,
        description = "How requests are authenticated"
    ),
    printcolumn(
        name = "Manager ID",
        type_ = "string",
        json_path = ".status.managerId",
        priority = 1,
        description = "The Manager ID that was authenticated"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "Why it is ready or not, for people"
    ),
    validation = Rule::new("size(self.metadata.name) <= 246")
        .message("choose a name of at most 246 characters: the operator keeps the key that was proven in a Secret named after this object, followed by -proven")
)]
#[serde(rename_all = "camelCase")]
pub struct ManagerCredentialSpec {
    /// The manager. Exactly one member, named after the kind of manager; which one cannot be changed.
    pub manager: Manager,
    /// How to authenticate there.
    pub authentication: Authentication,
    /// Name of the application the credentials were provisioned for, for people. At most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub application: Option<String>,
    /// How much traffic the manager is given. By default there is no rate: the operator slows down when the manager asks
    /// for it (429, `Retry-After`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Longest time between two looks at the manager, as a duration such as `90s` or `5m`. 10s to 1h, default 60s.
    /// A manager with a change feed reports changes at once, and this is how often the feed itself is renewed.
    #[serde(default = "default_observe_interval")]
    #[schemars(with = "String", length(min = 2, max = 16), regex(pattern = "^([0-9]+(ms|s|m|h))+$"))]
    #[x_kube(
        validation = Rule::new("!self.matches('^([0-9]+(ms|s|m|h))+$') || (duration(self) >= duration('10s') && duration(self) <= duration('1h'))")
            .message("observeInterval must be from 10s to 1h: shorter would burden the manager, longer would see changes too late. Write it like 90s or 5m")
    )]
    pub observe_interval: Duration,
    /// What interfaces and connections inherit that use these credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// Stops work on these credentials: a changed Secret or endpoint is not tried. An account that is open stays open, for
    /// interfaces and connections, until the operator restarts; suspend those to stop changes to them. Conditions stay as
    /// they are, and deletion goes on. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

fn default_observe_interval() -> Duration {
    DEFAULT_OBSERVE_INTERVAL.into()
}

/// A kind of manager, and where it is.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::union)]
pub enum Manager {
    /// A manager that implements the digital messaging manager contract of this project.
    DigitalMessaging(DigitalMessagingManager),
}

/// A manager that implements the digital messaging manager contract.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)")
        .message("region cannot be changed, added or removed: another region is another account, with none of the IDs in use. Create another ManagerCredential for it")
        .reason(Reason::FieldValueForbidden)
        .field_path(".region")
)]
pub struct DigitalMessagingManager {
    /// Base URL of the manager, such as `https://manager.example.com`. https; http only where the operator was started
    /// with `--allow-insecure-endpoints`. No user information, query or fragment, at most 1024 characters. The path and
    /// the scheme may change, host and port may not: the key would be sent to somebody else.
    #[schemars(length(min = 1, max = 1024), regex(pattern = HTTP_URL))]
    #[x_kube(
        validation = Rule::new(PLAIN_URL)
            .message("endpoint must be a URL without user information, query and fragment: credentials belong into the Secret, and the operator appends its own paths. Write it like https://manager.example.com/messaging")
    )]
    #[x_kube(
        validation = Rule::new("self.find('//[^/?#]+') == oldSelf.find('//[^/?#]+')")
            .message("the host and port of endpoint cannot be changed: the Manager Key would be sent to another party. Create another ManagerCredential for the other manager")
            .reason(Reason::FieldValueForbidden)
    )]
    pub endpoint: String,
    /// Region of the account, such as `eu-west-1`. If given, it must be the one the manager reports; otherwise the
    /// credentials are not used. Cannot be changed, added or removed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9][-A-Za-z0-9_.]*$"))]
    pub region: Option<String>,
}

/// How to authenticate at the manager.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// The method provisioned for this Manager ID; the manager refuses the other one. `JWT`: every request is signed with
    /// the Manager Key, which itself never travels. `APIKey`: the Manager Key is sent with every request. Default: `JWT`.
    #[serde(default)]
    pub method: AuthenticationMethod,
    /// The Secret with the keys `managerId` and `managerKey`, and optionally `ca.crt` (authority to trust for the
    /// manager's certificate, PEM), `tls.crt` and `tls.key` (client certificate, PEM).
    pub secret_ref: SecretReference,
}

/// How requests are authenticated.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuthenticationMethod {
    /// Each is signed with the Manager Key.
    #[default]
    #[serde(rename = "JWT")]
    Jwt,
    /// Each carries the Manager Key.
    #[serde(rename = "APIKey")]
    ApiKey,
}

/// How much traffic the manager is given.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.burst) || has(self.requestsPerSecond)")
        .message("burst needs requestsPerSecond: without a rate there is nothing to exceed. Add requestsPerSecond, or remove burst")
        .field_path(".burst")
)]
pub struct RateLimit {
    /// Requests per second on average, 1 to 10000. Default: no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("format" = "int32"))]
    pub requests_per_second: Option<u32>,
    /// Requests that may be sent at once above the rate, 1 to 10000. Default: as many as `requestsPerSecond`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("format" = "int32"))]
    pub burst: Option<u32>,
    /// Requests under way at one time, 1 to 256. Halved when the manager answers 429, and regained bit by bit.
    /// Default: 32.
    #[serde(default = "default_concurrent_requests", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256), extend("format" = "int32"))]
    pub max_concurrent_requests: Option<u32>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an Option")]
fn default_concurrent_requests() -> Option<u32> {
    Some(DEFAULT_CONCURRENT_REQUESTS)
}

/// What interfaces and connections inherit.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// The policy for whatever an interface or connection leaves out of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl ManagerCredentialSpec {
    /// Longest time between two looks at the manager; within its bounds, whatever the object says.
    pub fn observe_interval(&self) -> time::Duration {
        if self.observe_interval.is_negative() {
            return SHORTEST_OBSERVE_INTERVAL;
        }
        time::Duration::from(self.observe_interval).clamp(SHORTEST_OBSERVE_INTERVAL, LONGEST_OBSERVE_INTERVAL)
    }

    /// Requests under way at one time.
    pub fn max_concurrent_requests(&self) -> u32 {
        self.rate_limit
            .and_then(|limit| limit.max_concurrent_requests)
            .unwrap_or(DEFAULT_CONCURRENT_REQUESTS)
            .clamp(1, 256)
    }

    /// The policy that interfaces and connections inherit from.
    pub fn default_policy(&self) -> Policy {
        self.defaults.and_then(|defaults| defaults.policy).unwrap_or_default()
    }
}

/// What the operator knows about the credentials.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagerCredentialStatus {
    /// The Manager ID that was authenticated first. Another one in the Secret is refused (`AccountChanged`), because all
    /// IDs in use belong to this one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 256))]
    pub manager_id: Option<String>,
    /// The manager account these credentials open: kind of manager, host and Manager ID.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 1024))]
    pub account: Option<String>,
    /// What the manager says about the account.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub identity: Option<Identity>,
    /// The Manager Key in use. After a rotation this is the previous one until the new one is proven.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub active_key: Option<ActiveKey>,
    /// The channels the manager offers to this account.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub channels: Vec<OfferedChannel>,
    /// Whether the manager can be reached. All trouble with reaching it is told here, not at each connection.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    pub reachability: Option<Reachability>,
    /// Value of the annotation `digitalmessaging.io/retry` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(length(max = 256))]
    pub last_handled_retry: Option<String>,
    /// The `metadata.generation` that was looked at last, as tools want it that follow kstatus. Lower than the object's: that
    /// version was not looked at yet; -1: none ever was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::member")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
    /// What holds at present: `Ready`, `Synced`, `Authenticated`, and `Reconciling` or `Stalled` while they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

impl HasConditions for ManagerCredentialStatus {
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
}

/// What the manager says about the account.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// What the manager calls the account.
    #[schemars(length(max = 256))]
    pub name: String,
    /// Where the account lives.
    #[schemars(length(max = 64))]
    pub region: String,
    /// Version of the contract the manager implements.
    #[schemars(length(max = 32))]
    pub api_version: String,
}

/// The Manager Key in use, without the key.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveKey {
    /// Tells two keys apart. A keyed hash: it says nothing about the key, and is another one for the same key elsewhere.
    #[schemars(length(max = 128))]
    pub fingerprint: String,
    /// `metadata.resourceVersion` of the Secret the key was read from.
    #[schemars(length(max = 64))]
    pub secret_resource_version: String,
}

/// A channel the manager offers.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferedChannel {
    /// The channel, by its name in `spec.channel` of a connection.
    #[serde(rename = "type")]
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub channel_type: ChannelType,
    /// `Create`: connections can be made. `AdoptOnly`: they are made elsewhere and can be adopted.
    /// `Unsupported`: neither.
    #[schemars(with = "String", length(min = 1, max = 64))]
    pub support: ChannelSupport,
}

/// What can be done with a channel at the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChannelSupport {
    /// Connections can be made.
    Create,
    /// They are made elsewhere and can be adopted.
    AdoptOnly,
    /// Neither.
    Unsupported,
}

/// Whether the manager can be reached.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reachability {
    /// `Closed`: requests pass. `Open`: none do but one at a time, at growing intervals, to find out.
    #[schemars(with = "String", length(min = 1, max = 32))]
    pub breaker: Breaker,
    /// The fewest requests allowed at one time since the manager began to answer 429. Absent: as many as declared; so it is
    /// again after a minute without a 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub max_concurrent_requests: Option<u32>,
    /// No request before this time. Once it has passed, the manager is tried by itself again and again, at growing intervals
    /// of at most five minutes; not each of them is written here, but one that the manager itself asks to be longer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// What went wrong when it turned, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub cause: Option<String>,
}

/// Whether requests to the manager pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Breaker {
    /// They do.
    #[default]
    Closed,
    /// They do not.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &serde_json::Value) -> ManagerCredentialSpec {
        let mut spec = serde_json::json!({
            "manager": { "digitalMessaging": { "endpoint": "https://manager.example.com" } },
            "authentication": { "secretRef": { "name": "acme-manager" } },
        });
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn the_smallest_spec_has_its_defaults() {
        let spec = spec(&serde_json::json!({}));
        assert_eq!(spec.authentication.method, AuthenticationMethod::Jwt);
        assert_eq!(spec.observe_interval(), time::Duration::from_mins(1));
        assert_eq!(spec.max_concurrent_requests(), 32);
        assert_eq!(spec.default_policy(), Policy::default());
    }

    #[test]
    fn the_observe_interval_stays_within_its_bounds_whatever_the_object_says() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1ms", 10), ("-5m", 10), ("9h", 3600)] {
            let spec = spec(&serde_json::json!({ "observeInterval": text }));
            assert_eq!(spec.observe_interval(), time::Duration::from_secs(seconds), "{text}");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! What the policy of an object allows: nothing is written without approval, whoever only observes writes nothing, what
//! drifts is named, and who holds something keeps it.

mod admission;
mod approval;
mod claims;
mod drift;
mod matrix;
mod plans;
mod replacement;

use digital_messaging_operator::api::{HasConditions, Plan};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use crate::scene::{Conditioned, Scene};

/// The annotation that approves a plan.
pub const APPROVE: &str = "digitalmessaging.io/approve";

/// The object with a member of its spec set.
pub fn with(mut object: Value, member: &str, value: Value) -> Value {
    object["spec"][member] = value;
    object
}

/// The object, with all changes to be approved.
pub fn required(object: Value) -> Value {
    with(object, "policy", json!({ "approval": "Required" }))
}

/// Waits until a plan waits for approval, one other than that.
pub async fn plan_that_waits<K: Conditioned + HasStatus>(scene: &Scene, name: &str, than: Option<&Plan>) -> Plan {
    let api: Api<K> = Api::namespaced(scene.client.clone(), &scene.namespace);
    scene
        .eventually("a plan waits for approval", async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let plan = object.shown().and_then(|status| status.plan()).ok_or("no plan")?;
            if than.is_some_and(|than| than.hash == plan.hash) {
                return Err("still the plan before".to_owned());
            }
            Ok(plan.clone())
        })
        .await
}

/// An object whose status has conditions.
pub trait HasStatus {
    fn shown(&self) -> Option<&dyn Shown>;
}

/// What tests of policies look at in a status.
pub trait Shown {
    fn plan(&self) -> Option<&Plan>;
}

impl<S: HasConditions> Shown for S {
    fn plan(&self) -> Option<&Plan> {
        HasConditions::plan(self)
    }
}

impl HasStatus for digital_messaging_operator::api::ChannelConnection {
    fn shown(&self) -> Option<&dyn Shown> {
        self.status.as_ref().map(|status| status as &dyn Shown)
    }
}

impl HasStatus for digital_messaging_operator::api::DigitalMessagingInterface {
    fn shown(&self) -> Option<&dyn Shown> {
        self.status.as_ref().map(|status| status as &dyn Shown)
    }
}

/// A Web Messaging connection that somebody makes at the manager, past the operator; its ID.
pub async fn made_by_hand(scene: &Scene, account: &ManagerAccount, name: &str) -> String {
    let support = scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap();
    let spec = json!({ "interfaceId": support, "displayName": name, "channel": { "type": "webMessaging" } });
    account
        .create_connection(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap()
        .connection
        .id
}

impl Scene {
    /// What the operator wrote at the manager since a mark, such as `PATCH /v1/connections/cn_…`; not what was done by hand.
    pub fn operator_manager_writes(&self, since: usize) -> Vec<String> {
        let calls = self.manager_calls(since);
        let own = calls.iter().filter(|call| call.is_write() && call.operator_epoch.is_some());
        own.map(|call| format!("{} {}", call.method, call.path)).collect()
    }

    /// A sample of the operator's metrics, such as `digital_messaging_plans_waiting{kind="ChannelConnection"}`.
    pub fn metric(&self, sample: &str) -> Option<u64> {
        let text = self.metrics.encode().unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(sample)?.trim().parse::<u64>().ok())
    }

    /// Waits until a sample of the operator's metrics has this value.
    pub async fn metric_is(&self, sample: &str, value: u64) {
        self.eventually(&format!("{sample} is {value}"), async || {
            let found = self.metric(sample);
            if found == Some(value) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }

    /// Waits for an event about an object: its type and note.
    pub async fn told(&self, name: &str, reason: &str) -> (String, String) {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually(&format!("event {reason} about {name}"), async || {
            let events = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let found = events.items.into_iter().find(|event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(name)
            });
            let event = found.ok_or("none")?;
            Ok::<_, String>((event.type_.unwrap_or_default(), event.note.unwrap_or_default()))
        })
        .await
    }
}

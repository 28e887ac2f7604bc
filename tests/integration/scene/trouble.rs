// SPDX-License-Identifier: Apache-2.0

//! What bad input has to lead to, whatever it is: conditions that agree with each other, one event, no hot retry.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::ManagerCredential,
    controller::reason::{Gravity, Reason},
};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use messaging_manager::{Manager, config::Config, journal::Entry, server::Running};
use sandbox::Condition;
use serde::Serialize;

use super::{Conditioned, DEADLINE, Scene, expect, manager_credential};

/// Fails unless the object is not Ready for this reason.
#[track_caller]
pub fn assert_not_ready(object: &impl Serialize, reason: Reason) {
    expect(object, "Ready", "False", reason.as_str()).unwrap();
}

/// Fails unless the object is Ready, whatever else there is to say.
#[track_caller]
pub fn assert_serves(object: &impl Serialize) {
    expect(object, "Ready", "True", "Ready").unwrap();
}

/// Fails unless `Synced` says this reason, and `Reconciling` and `Stalled` agree with how grave that is.
#[track_caller]
pub fn assert_troubled(object: &impl Serialize, kind: &str, reason: Reason, hint: &str) {
    assert!(reason.kinds().contains(&kind), "{reason} is not a reason of {kind}");
    let synced = expect(object, "Synced", "False", reason.as_str()).unwrap();
    assert!(synced.message.contains(hint), "no {hint:?} in: {}", synced.message);
    let (expected, absent) = match reason.gravity() {
        Gravity::Waiting => ("Reconciling", "Stalled"),
        Gravity::Stalled => ("Stalled", "Reconciling"),
        Gravity::Fine => panic!("{reason} is no trouble"),
    };
    let found = expect(object, expected, "True", reason.as_str()).unwrap();
    assert_eq!(found.message, synced.message);
    assert_eq!(Condition::of(object, absent), None);
}

impl Scene {
    /// Waits until an object is not Synced for this reason, and checks that all that it says fits. `hint` is what a
    /// person needs of the message.
    pub async fn trouble<K: Conditioned>(&self, name: &str, reason: Reason, hint: &str) -> K {
        let (object, _) = self.condition::<K>(name, "Synced", "False", reason.as_str()).await;
        assert_troubled(&object, &K::kind(&()), reason, hint);
        object
    }

    /// Fails unless exactly one event ever warned of trouble with this object, for this reason; none if it only waited for
    /// another one, which tells of its own trouble.
    pub async fn assert_told_once<K: Conditioned>(&self, name: &str, reason: Reason) {
        self.assert_told_last::<K>(name, &[], reason).await;
    }

    /// The same, where what the manager has not told yet may have been missed before.
    pub async fn assert_told_last<K: Conditioned>(&self, name: &str, before: &[Reason], reason: Reason) {
        let expected = if reason.is_wait_for_another() {
            vec![]
        } else {
            vec![(reason.to_string(), false)]
        };
        let told = self
            .eventually(&format!("the event about {name}"), async || {
                let mut told = self.warnings::<K>(name).await.map_err(|error| error.to_string())?;
                told.retain(|(told, _)| !before.iter().any(|reason| reason.as_str() == told));
                if told.len() >= expected.len() {
                    Ok(told)
                } else {
                    Err("none".to_owned())
                }
            })
            .await;
        assert_eq!(told, expected);
    }

    /// Reasons of the warnings about an object, and whether they were repeated.
    async fn warnings<K: Conditioned>(&self, name: &str) -> kube::Result<Vec<(String, bool)>> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = api.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            let regarding = event.regarding.clone().unwrap_or_default();
            event.type_.as_deref() == Some("Warning")
                && regarding.kind.as_deref() == Some(&*K::kind(&()))
                && regarding.name.as_deref() == Some(name)
        });
        let told = events
            .into_iter()
            .map(|event| (event.reason.unwrap_or_default(), event.series.is_some()));
        Ok(told.collect())
    }

    /// Has the operator do something else from beginning to end, several times over, and returns what it asked of the
    /// manager meanwhile, but for the change feed.
    pub async fn meanwhile(&self) -> Vec<Entry> {
        let mark = self.journal.len();
        for _ in 0..5 {
            let name = format!("bystander-{}", uuid::Uuid::new_v4().simple());
            self.apply(manager_credential(&name, self.manager_url(), AuthenticationMethod::Jwt))
                .await;
            self.condition::<ManagerCredential>(&name, "Synced", "False", Reason::SecretNotFound.as_str())
                .await;
            self.delete::<ManagerCredential>(&name).await;
        }
        let mut calls = self.manager_calls(mark);
        calls.retain(|call| !call.is_change_feed());
        calls
    }

    /// Waits until the operator has made this call three times in vain, and fails unless it waited longer each time.
    pub async fn assert_backs_off(&self, is_attempt: impl Fn(&Entry) -> bool) {
        let of = |entries: &[Entry]| -> Vec<_> {
            entries
                .iter()
                .filter(|entry| is_attempt(entry))
                .map(|entry| entry.at)
                .collect()
        };
        let entries = self.journal.wait_until(DEADLINE, |entries| of(entries).len() >= 3).await;
        let at = of(&entries.expect("it is tried again"));
        let waited = |from: usize| at[from + 1].duration_since(at[from]).as_secs_f64();
        assert!(
            waited(0) > 0.9 && waited(1) > 1.9,
            "waited {} s and {} s",
            waited(0),
            waited(1)
        );
    }

    /// Another manager, on an address of the test's choice: to be stopped and started again, or with settings of its own.
    /// Each one has a database of that address.
    pub async fn start_manager(&self, address: &str, configure: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config::new(self.folder.path().join(format!("{}.sqlite", address.replace(':', "-"))));
        config.allow_insecure_urls = true;
        config.faults = Some(self.faults.clone());
        config.journal = Some(self.journal.clone());
        configure(&mut config);
        // A connection of another test may have the port for a moment.
        self.eventually("the manager listens again", async || {
            let manager = Manager::open(config.clone()).await.map_err(|error| error.to_string())?;
            manager.start(address).await.map_err(|error| error.to_string())
        })
        .await
    }
}

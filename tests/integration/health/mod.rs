// SPDX-License-Identifier: Apache-2.0

//! Never a flood, never a wedge: what trouble costs, who notices it, and that others go on unharmed.

mod offers;
mod outage_kinds;
mod retry;
mod settling;
mod sick_object;
mod staleness;
mod thousand;
mod throttling;

use digital_messaging_operator::api::{ManagerCredential, manager_credential::Reachability};
use kube::Api;
use messaging_manager::journal::Entry;
use sandbox::AuditMark;

use crate::{
    lifecycle::written,
    scene::{Conditioned, Scene},
};

impl Scene {
    /// The sample of a metric, such as `digital_messaging_accounts{state="up"}`; 0 if there is none.
    pub fn sample(&self, name: &str) -> f64 {
        let text = self.metrics.encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has this value.
    pub async fn metric_becomes(&self, sample: &str, value: f64) {
        self.eventually(&format!("{sample} is {value}"), async || {
            let found = self.sample(sample);
            if (found - value).abs() < 0.5 {
                Ok(())
            } else {
                Err(format!("it is {found}"))
            }
        })
        .await;
    }

    /// Waits until this `retry` token is on record as handled.
    pub async fn handled<K: Conditioned>(&self, name: &str, token: &str) {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually("the token is on record", async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            let handled = object["status"]["lastHandledRetry"].as_str().unwrap_or_default();
            if handled == token {
                Ok(())
            } else {
                Err(format!("{handled:?} is"))
            }
        })
        .await;
    }

    /// What the status of a credential says of how the account can be reached.
    pub async fn reachability(&self, credential: &str) -> Reachability {
        let credential: ManagerCredential = self.credentials().get(credential).await.unwrap();
        credential.status.unwrap().reachability.unwrap()
    }

    /// What the operator wrote to Kubernetes since then but for events, such as `update managercredentials/status acme`.
    pub fn object_writes(&self, since: AuditMark) -> Vec<String> {
        let writes = self.operator_writes(since);
        writes
            .iter()
            .filter(|write| write.resource != "events")
            .map(written)
            .collect()
    }
}

/// The most calls that were under way at the same time.
fn most_at_once(calls: &[Entry]) -> usize {
    let under_way = |at| {
        let is_under_way = |call: &&Entry| call.at <= at && call.answered.is_none_or(|answered| at < answered);
        calls.iter().filter(is_under_way).count()
    };
    calls.iter().map(|call| under_way(call.at)).max().unwrap_or_default()
}

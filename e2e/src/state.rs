// SPDX-License-Identifier: Apache-2.0

//! What the smallest example has at its manager, and what came out of it: who changed nothing leaves all of it as it was.

use anyhow::Result;
use sandbox::ManagerAccount;
use serde_json::Value;

use crate::Cluster;

/// As it is at one moment.
#[derive(Debug, PartialEq)]
pub struct State {
    interfaces: Value,
    connections: Value,
    /// With resource versions: writing the same again would show.
    outputs: String,
}

impl State {
    /// As it is now.
    ///
    /// # Errors
    /// When the manager or the API server does not say it.
    pub async fn now(cluster: &Cluster, namespace: &str, account: &ManagerAccount) -> Result<Self> {
        let outputs = ["get", "secret", "acme-web-connection", "-o", "json", "--namespace", namespace];
        Ok(Self {
            interfaces: serde_json::to_value(account.interfaces().await?)?,
            connections: serde_json::to_value(account.connections().await?)?,
            outputs: cluster.kubectl(&outputs)?,
        })
    }

    /// All but the interface, which tests give other names.
    #[must_use]
    pub fn but_the_interface(&self) -> (&Value, &str) {
        (&self.connections, &self.outputs)
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Builds the adapter that a credential asks for.

use std::sync::Arc;

use digital_messaging_contract::account::AuthenticationMethod;
use secrecy::SecretString;

use super::{
    Manager,
    digital_messaging::DigitalMessaging,
    error::Error,
    transport::{TlsMaterial, Transport},
    values::WebUrl,
};

/// Where a manager is, and what opens an account there.
#[derive(Clone)]
pub struct Access {
    /// Root of the manager's API.
    pub endpoint: WebUrl,
    /// How requests prove who sends them.
    pub method: AuthenticationMethod,
    /// Manager ID.
    pub manager_id: String,
    /// Manager Key.
    pub manager_key: SecretString,
    /// TLS material.
    pub tls: TlsMaterial,
}

/// The account that an [`Access`] opens, if it does: the same at the same manager for the same Manager ID.
///
/// The path is part of the key, but not of the name: behind one host there may be the managers of several parties, and what
/// answers below one path must not be able to claim the accounts of another. Yet a manager may move to another path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    name: String,
    path: String,
}

impl AccountKey {
    /// Key of an account: lower-case kind, the manager's host, the Manager ID; and the path.
    pub fn new(endpoint: &WebUrl, manager_id: &str) -> Self {
        Self {
            name: format!(
                "digitalMessaging/{}/{manager_id}",
                endpoint.origin().split("//").nth(1).unwrap_or_default()
            ),
            path: endpoint.path().to_owned(),
        }
    }

    /// As `status.account` shows it.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Builds the adapter. Calls nothing yet.
///
/// # Errors
/// If the host is not allowed, or the TLS material is not usable.
pub fn connect(transport: &Transport, access: Access) -> Result<Arc<dyn Manager>, Error> {
    transport.check(&access.endpoint)?;
    let client = transport.client(&access.tls)?;
    Ok(Arc::new(DigitalMessaging::new(client, access)))
}

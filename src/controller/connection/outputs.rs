// SPDX-License-Identifier: Apache-2.0

//! The outputs of a connection: what the manager generated for it, as the content of a Secret.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};

use crate::kubernetes::installation::Fingerprint;

/// Key of the secret that the manager generated.
pub(super) const JWT_SECRET: &str = "jwtSecret";

/// What the manager generated for a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    /// Key `connectionId`.
    pub(super) connection_id: String,
    /// Key `webhookUrl`.
    pub(super) webhook_url: Option<String>,
    /// Key `widgetId`.
    pub(super) widget_id: Option<String>,
    /// Key `scriptUrl`.
    pub(super) script_url: Option<String>,
    /// Key `jwtSecret`.
    pub(super) jwt_secret: Option<SecretString>,
}

impl Outputs {
    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let members = [
            ("connectionId", Some(self.connection_id.as_str())),
            ("webhookUrl", self.webhook_url.as_deref()),
            ("widgetId", self.widget_id.as_deref()),
            ("scriptUrl", self.script_url.as_deref()),
            (JWT_SECRET, self.jwt_secret.as_ref().map(ExposeSecret::expose_secret)),
        ];
        members
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), ByteString(value?.as_bytes().to_vec()))))
            .collect()
    }

    /// Changes whenever the content does, and says nothing about it.
    pub(super) fn content_hash(&self, fingerprint: &Fingerprint, owner: &str) -> String {
        Self::hash(&self.data(), fingerprint, owner)
    }

    /// The same, of content that is in a Secret.
    pub(super) fn hash(data: &BTreeMap<String, ByteString>, fingerprint: &Fingerprint, owner: &str) -> String {
        let parts = data.iter().flat_map(|(key, value)| [key.as_bytes(), value.0.as_slice()]);
        fingerprint.of(owner, parts)
    }
}

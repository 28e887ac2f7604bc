// SPDX-License-Identifier: Apache-2.0

//! Kubeconfig files: written for people and programs, read back as clients.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::certificates::{Identity, write_private};

/// Where an API server is and which authority vouches for it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    /// The authority's certificate, PEM.
    pub authority_pem: String,
}

impl Server {
    pub(crate) fn of(kubeconfig: &Path) -> Result<Self> {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let cluster = config
            .clusters
            .into_iter()
            .find_map(|named| named.cluster)
            .context("kubeconfig without cluster")?;
        let authority = cluster
            .certificate_authority_data
            .context("kubeconfig without certificate authority")?;
        Ok(Self {
            url: cluster.server.context("kubeconfig without server")?,
            authority_pem: String::from_utf8(STANDARD.decode(authority)?)?,
        })
    }

    /// Writes a kubeconfig for a client certificate, readable by this user only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_for_identity(&self, path: &Path, user: &str, identity: &Identity) -> Result<PathBuf> {
        let credentials = json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        });
        self.write(path, user, &credentials, "default")
    }

    pub(crate) fn write_for_token(&self, path: &Path, user: &str, token: &str, namespace: &str) -> Result<PathBuf> {
        self.write(path, user, &json!({ "token": token }), namespace)
    }

    fn write(&self, path: &Path, user: &str, credentials: &Value, namespace: &str) -> Result<PathBuf> {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "sandbox",
                "cluster": { "server": self.url, "certificate-authority-data": STANDARD.encode(&self.authority_pem) },
            }],
            "users": [{ "name": user, "user": credentials }],
            "contexts": [{ "name": "sandbox", "context": { "cluster": "sandbox", "user": user, "namespace": namespace } }],
            "current-context": "sandbox",
        });
        write_private(path, &serde_yaml::to_string(&kubeconfig)?)
    }
}

/// A client bound to the current runtime. It neither retries by itself nor uses a proxy: a test wants to see the first
/// answer.
///
/// # Errors
/// When the file is no kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

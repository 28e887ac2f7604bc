// SPDX-License-Identifier: Apache-2.0

//! The reference manager in a pod, beside the operator whose chart brings it.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use digital_messaging_contract::account::AuthenticationMethod;
use kube::Client;
use sandbox::{Certificates, Credential, Example, ManagerAccount, Manifests, OpensAccounts, program::project};
use serde_json::{Value, json};

use crate::Cluster;

/// Where it serves.
pub const MANAGER_PORT: u16 = 8443;

/// The manager of one release.
#[derive(Debug)]
pub struct ManagerInPod {
    cluster: Cluster,
    namespace: String,
    /// Of its Service, and of all that belongs to it.
    name: String,
    host: String,
    url: String,
    authority: String,
}

impl ManagerInPod {
    /// Puts what it needs into the namespace where the chart will be installed under this name: a certificate, and a volume,
    /// because nobody provides volumes on the node.
    ///
    /// # Errors
    /// When the namespace is not there, or has it already.
    pub async fn prepare(cluster: &Cluster, client: &Client, namespace: &str, release: &str) -> Result<Self> {
        let name = format!("{release}-manager");
        let host = format!("{name}.{namespace}.svc");
        let certificates = Certificates::issue(&cluster.run().folder().join(&name), &[&host])?;
        let tls = format!("{name}-tls");
        let certificate = format!("--cert={}", certificates.server.display());
        let key = format!("--key={}", certificates.server_key.display());
        cluster.kubectl(&["create", "secret", "tls", &tls, "--namespace", namespace, &certificate, &key])?;
        let volume = format!("{namespace}-{name}");
        let claim = json!({ "namespace": namespace, "name": format!("data-{name}-0") });
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": volume },
            "spec": {
                "capacity": { "storage": "1Gi" },
                "accessModes": ["ReadWriteOnce"],
                "hostPath": { "path": cluster.volume(&volume)? },
                "claimRef": claim,
            },
        });
        Manifests::parse(&volume.to_string())?.apply(client).await?;
        Ok(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name,
            url: format!("https://{host}:{MANAGER_PORT}"),
            host,
            authority: certificates.authority_pem.clone(),
        })
    }

    /// The chart's values that bring it, and let the operator call it: Services have private addresses.
    #[must_use]
    pub fn values(&self) -> Value {
        json!({
            "managers": { "allowedPrivateNetworks": ["10.96.0.0/16"] },
            "manager": { "enabled": true, "tlsSecretName": format!("{}-tls", self.name), "port": MANAGER_PORT },
        })
    }

    /// The authority that a client of it has to trust.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Reads an example, for a namespace, and gives it an account here.
    ///
    /// # Errors
    /// When the manager's pod does not run, or the example has parts that do not fit together.
    pub async fn example(&self, name: &str, namespace: &str) -> Result<Example> {
        let path = project().join("examples").join(name);
        let mut example = Example::prepare(Path::new(&path), namespace, self).await?;
        for object in example.manifests.objects_mut() {
            let data = object.data.get_mut("stringData").and_then(Value::as_object_mut);
            if let Some(data) = data.filter(|data| data.contains_key("managerKey")) {
                data.insert("ca.crt".to_owned(), self.authority.clone().into());
            }
        }
        Ok(example)
    }
}

impl OpensAccounts for ManagerInPod {
    fn url(&self) -> &str {
        &self.url
    }

    /// As its administrator does it: with the other program of the image, in its pod.
    fn create_credential(&self, method: AuthenticationMethod) -> Result<Credential> {
        let pod = format!("{}-0", self.name);
        let words = ["exec", &pod, "--namespace", &self.namespace, "--"];
        let program = ["messaging-manager", "credentials", "create"];
        let arguments = ["--output", "json", "--method", method.as_str()];
        let said = self.cluster.kubectl(&[&words[..], &program, &arguments].concat())?;
        serde_json::from_str(&said).context("read the new credential")
    }

    /// Through its Service, from the node.
    fn account(&self, credential: &Credential) -> Result<ManagerAccount> {
        let words = ["get", "service", &self.name, "--namespace", &self.namespace];
        let address = self
            .cluster
            .kubectl(&[&words[..], &["-o", "jsonpath={.spec.clusterIP}"]].concat())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .resolve(&self.host, SocketAddr::new(address.parse()?, MANAGER_PORT))
            .tls_certs_only([reqwest::Certificate::from_pem(self.authority.as_bytes())?])
            .build()?;
        Ok(ManagerAccount::with_client(client, &self.url, credential.clone()))
    }
}

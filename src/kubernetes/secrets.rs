// SPDX-License-Identifier: Apache-2.0

//! Reads Secrets that opted in.
//!
//! Only metadata is watched; a value is read when it is needed, and kept in memory for as long as its version is current.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};

use super::client;
use crate::{api::label, desired::node::Node};

/// The values of a Secret, and which version of it they are.
#[derive(Clone)]
pub struct SecretData {
    /// UID of the Secret.
    pub uid: String,
    /// Version of the Secret.
    pub resource_version: String,
    values: Arc<BTreeMap<String, SecretString>>,
}

impl SecretData {
    /// The values of a Secret that was read.
    pub fn of(secret: Secret) -> Self {
        Self {
            uid: secret.uid().unwrap_or_default(),
            resource_version: secret.resource_version().unwrap_or_default(),
            values: Arc::new(values(secret)),
        }
    }

    /// The value of a key, without the line break that files end with. `None` if it is missing, empty or not UTF-8.
    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.values.get(key)
    }

    fn size(&self) -> usize {
        self.values.values().map(|value| value.expose_secret().len()).sum()
    }
}

/// Why the watch does not show a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatched {
    /// There is none.
    Absent,
    /// It does not opt in.
    Unlabelled,
    /// It opts in; the watch is about to show it.
    NotYet,
}

fn opts_in(secret: &impl ResourceExt) -> bool {
    secret.labels().get(label::CREDENTIALS).map(String::as_str) == Some(label::TRUE)
}

/// Reads values of Secrets, each version once.
pub struct SecretReader {
    client: Client,
    cache: Mutex<HashMap<Node, SecretData>>,
}

/// Secrets whose values are kept at most; more start over.
const MAX_CACHED: usize = 1024;
/// Largest Secret whose values are kept, in bytes. With [`MAX_CACHED`] it bounds the memory that whoever makes Secrets can take.
const MAX_CACHED_BYTES: usize = 64 * 1024;

impl SecretReader {
    /// A reader.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            cache: Mutex::default(),
        }
    }

    /// The values of a Secret whose current version is `resource_version`. `None` if it is gone or does not opt in any more.
    ///
    /// # Errors
    /// If the Kubernetes API cannot be asked.
    pub async fn read(&self, node: &Node, resource_version: &str) -> kube::Result<Option<SecretData>> {
        if let Some(cached) = self
            .cache()
            .get(node)
            .filter(|cached| cached.resource_version == resource_version)
        {
            return Ok(Some(cached.clone()));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &node.namespace);
        let secret = client::read(api.get_opt(&node.name)).await?;
        // Between the watch and this read the label may have been taken away.
        let Some(secret) = secret.filter(opts_in) else {
            self.cache().remove(node);
            return Ok(None);
        };
        let data = SecretData::of(secret);
        if data.size() > MAX_CACHED_BYTES {
            return Ok(Some(data));
        }
        let mut cache = self.cache();
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(node.clone(), data.clone());
        Ok(Some(data))
    }

    /// Why the watch does not show a Secret: metadata only.
    ///
    /// # Errors
    /// If the Kubernetes API cannot be asked.
    pub async fn find_unwatched(&self, node: &Node) -> kube::Result<Unwatched> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &node.namespace);
        match client::read(api.get_metadata(&node.name)).await {
            Ok(meta) if opts_in(&meta) => Ok(Unwatched::NotYet),
            Ok(_) => Ok(Unwatched::Unlabelled),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Unwatched::Absent),
            Err(error) => Err(error),
        }
    }

    /// Drops all values but those of current versions; `version` is that of a Secret that opts in. They are overwritten as they go.
    pub fn keep(&self, version: impl Fn(&Node) -> Option<String>) {
        self.cache()
            .retain(|node, data| version(node).as_ref() == Some(&data.resource_version));
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<Node, SecretData>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn values(secret: Secret) -> BTreeMap<String, SecretString> {
    secret
        .data
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(key, mut value)| {
            let text = std::str::from_utf8(&value.0).unwrap_or_default();
            let text = text.trim_end_matches(['\r', '\n']);
            let secret = (!text.is_empty()).then(|| SecretString::from(text));
            value.0.zeroize();
            Some((key, secret?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;

    use super::*;
    use crate::desired::node::Kind;

    /// An API server that holds one Secret, and counts how often that is read.
    fn reader() -> (SecretReader, Arc<AtomicUsize>) {
        let reads = Arc::new(AtomicUsize::default());
        let counted = reads.clone();
        let service = tower::service_fn(move |_: http::Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let secret = serde_json::json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "acme", "resourceVersion": "7", "labels": { label::CREDENTIALS: label::TRUE } },
                "data": { "managerId": "bQ==" },
            });
            let answer = http::Response::new(Body::from(secret.to_string().into_bytes()));
            std::future::ready(Ok::<_, std::io::Error>(answer))
        });
        (SecretReader::new(Client::new(service, "shop")), reads)
    }

    #[tokio::test]
    async fn a_version_is_read_once_and_dropped_when_it_is_not_the_current_one_any_more() {
        let ((reader, reads), node) = (reader(), Node::new(Kind::Secret, "shop", "acme"));
        let read = async || reader.read(&node, "7").await.unwrap().unwrap();
        assert!(read().await.get("managerId").is_some());
        reader.keep(|_| Some("7".to_owned()));
        read().await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        for current in [Some("8".to_owned()), None] {
            reader.keep(|_| current.clone());
            assert!(reader.cache().is_empty());
            read().await;
        }
        assert_eq!(reads.load(Ordering::Relaxed), 3);
    }
}

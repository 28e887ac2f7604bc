//! Outputs: the Secret that hands out what the manager generated.
//!
//! Created, never merged into: a Secret of the name that we did not make belongs to someone else. Ours are known by an
//! annotation with the reference of the connection rather than its UID, so that a connection that is deleted and applied
//! again gets its outputs back.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    core::ObjectMeta,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    client::{Kubernetes, WriteError},
    installation::Fingerprint,
};
use crate::{api::label, desired::node::Node};

/// Annotation of a Secret with outputs: the reference of the connection it belongs to.
pub const OWNER: &str = "digitalmessaging.io/owner";
/// Annotation of a Secret with outputs: changes whenever the content does, for consumers that restart on change.
pub const CONTENT_HASH: &str = "digitalmessaging.io/content-hash";

/// What the manager generated for a connection.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Key `connectionId`.
    pub connection_id: String,
    /// Key `webhookUrl`.
    pub webhook_url: Option<String>,
    /// Key `widgetId`.
    pub widget_id: Option<String>,
    /// Key `scriptUrl`.
    pub script_url: Option<String>,
    /// Key `jwtSecret`.
    pub jwt_secret: Option<SecretString>,
}

impl Outputs {
    fn data(&self) -> BTreeMap<String, ByteString> {
        let members = [
            ("connectionId", Some(self.connection_id.as_str())),
            ("webhookUrl", self.webhook_url.as_deref()),
            ("widgetId", self.widget_id.as_deref()),
            ("scriptUrl", self.script_url.as_deref()),
            ("jwtSecret", self.jwt_secret.as_ref().map(ExposeSecret::expose_secret)),
        ];
        members
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), ByteString(value?.as_bytes().to_vec()))))
            .collect()
    }

    /// Changes whenever the content does, and says nothing about it.
    fn content_hash(&self, fingerprint: &Fingerprint, owner: &str) -> String {
        let data = self.data();
        let parts = data.iter().flat_map(|(key, value)| [key.as_bytes(), value.0.as_slice()]);
        fingerprint.of(owner, parts)
    }
}

/// What became of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The Secret holds the outputs.
    Done {
        /// Changes whenever the content does.
        content_hash: String,
        /// Version of the Secret.
        resource_version: String,
    },
    /// A Secret of the name is someone else's.
    Conflict,
}

/// Writes outputs into the Secret `node` for the connection with this reference.
///
/// # Errors
/// See [`WriteError`].
pub async fn publish(
    kubernetes: &Kubernetes,
    fingerprint: &Fingerprint,
    node: &Node,
    owner: &str,
    outputs: &Outputs,
) -> Result<Published, WriteError> {
    let content_hash = outputs.content_hash(fingerprint, owner);
    let api: Api<Secret> = Api::namespaced(kubernetes.client.clone(), &node.namespace);
    let mut secret = Secret {
        metadata: ObjectMeta {
            name: Some(node.name.to_string()),
            labels: Some(BTreeMap::from([(label::OUTPUTS.to_owned(), label::TRUE.to_owned())])),
            annotations: Some(BTreeMap::from([
                (OWNER.to_owned(), owner.to_owned()),
                (CONTENT_HASH.to_owned(), content_hash.clone()),
            ])),
            ..ObjectMeta::default()
        },
        data: Some(outputs.data()),
        ..Secret::default()
    };
    let params = PostParams::default();
    let written = match kubernetes.write("secrets", "create", api.create(&params, &secret)).await {
        Err(WriteError::AlreadyExists) => {
            let present = match api.get_metadata(&node.name).await {
                Ok(present) => present,
                // Gone again meanwhile: the next reconcile creates it.
                Err(kube::Error::Api(status)) if status.code == 404 => return Err(WriteError::Conflict),
                Err(error) => return Err(WriteError::Api(Box::new(error))),
            };
            if present.annotations().get(OWNER).map(String::as_str) != Some(owner) {
                return Ok(Published::Conflict);
            }
            secret.metadata.resource_version = present.resource_version();
            secret.metadata.uid = present.uid();
            kubernetes
                .write("secrets", "update", api.replace(&node.name, &params, &secret))
                .await?
        }
        written => written?,
    };
    Ok(Published::Done {
        content_hash,
        resource_version: written.resource_version().unwrap_or_default(),
    })
}

/// Deletes the Secret with the outputs of the connection with this reference, if it is ours.
///
/// # Errors
/// See [`WriteError`].
pub async fn delete(kubernetes: &Kubernetes, node: &Node, owner: &str) -> Result<(), WriteError> {
    let api: Api<Secret> = Api::namespaced(kubernetes.client.clone(), &node.namespace);
    let present = match api.get_metadata(&node.name).await {
        Ok(present) => present,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(WriteError::Api(Box::new(error))),
    };
    if present.annotations().get(OWNER).map(String::as_str) != Some(owner) {
        return Ok(());
    }
    let preconditions = Preconditions {
        uid: present.uid(),
        resource_version: present.resource_version(),
    };
    let params = DeleteParams::default().preconditions(preconditions);
    match kubernetes.write("secrets", "delete", api.delete(&node.name, &params)).await {
        Ok(_) | Err(WriteError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

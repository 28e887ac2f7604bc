// SPDX-License-Identifier: Apache-2.0

//! Secrets that the operator makes: outputs of connections, proven keys of credentials.
//!
//! Created, never merged into: a Secret of the name that we did not make belongs to someone else. Ours are known by an
//! annotation with the reference of their owner rather than its UID, so that an object that is deleted and applied again
//! gets its Secret back. All are watched, metadata only, by one label.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    core::{ObjectMeta, PartialObjectMeta},
};

use super::client::{self, Kubernetes, WriteError};
use crate::{
    api::{
        FINALIZER,
        annotation::{CONTENT_HASH, OWNER},
        label,
    },
    desired::node::Node,
};

/// A Secret as it is to be.
#[derive(Clone, Debug)]
pub struct MadeSecret<'a> {
    /// Namespace and name.
    pub node: &'a Node,
    /// Reference of the object it belongs to.
    pub owner: &'a str,
    /// Its content.
    pub data: BTreeMap<String, ByteString>,
    /// Changes whenever the content does.
    pub content_hash: String,
    /// With whom it goes, if it is not to outlive its owner.
    pub goes_with: Option<OwnerReference>,
    /// Whether it stays until we let it go.
    pub kept: bool,
}

/// What became of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The Secret is as it is to be; its version.
    Done(String),
    /// A Secret of the name is someone else's.
    Conflict,
    /// The namespace is being deleted, and takes nothing new any more.
    NamespaceEnds,
}

/// Whether a Secret belongs to the object with this reference.
pub fn is_owned(meta: &ObjectMeta, owner: &str) -> bool {
    annotation(meta, OWNER) == Some(owner)
}

/// The content hash that a Secret carries.
pub fn content_hash(meta: &ObjectMeta) -> Option<&str> {
    annotation(meta, CONTENT_HASH)
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Creates the Secret, or replaces it if it is ours.
///
/// # Errors
/// See [`WriteError`].
pub async fn publish(kubernetes: &Kubernetes, made: MadeSecret<'_>) -> Result<Published, WriteError> {
    let api: Api<Secret> = Api::namespaced(kubernetes.client.clone(), &made.node.namespace);
    let mut secret = Secret {
        metadata: ObjectMeta {
            name: Some(made.node.name.to_string()),
            labels: Some(BTreeMap::from([(label::OUTPUTS.to_owned(), label::TRUE.to_owned())])),
            annotations: Some(BTreeMap::from([
                (OWNER.to_owned(), made.owner.to_owned()),
                (CONTENT_HASH.to_owned(), made.content_hash),
            ])),
            owner_references: made.goes_with.map(|owner| vec![owner]),
            finalizers: made.kept.then(|| vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        data: Some(made.data),
        ..Secret::default()
    };
    let (name, params) = (&made.node.name, PostParams::default());
    let written = match kubernetes.write("secrets", "create", api.create(&params, &secret)).await {
        Err(WriteError::AlreadyExists) => {
            // Gone again meanwhile: the next reconcile creates it.
            let Some(present) = metadata(&api, name).await? else {
                return Err(WriteError::Conflict);
            };
            if !is_owned(&present.metadata, made.owner) {
                return Ok(Published::Conflict);
            }
            secret.metadata.resource_version = present.resource_version();
            secret.metadata.uid = present.uid();
            kubernetes
                .write("secrets", "update", api.replace(name, &params, &secret))
                .await?
        }
        Err(WriteError::Gone) => return Ok(Published::NamespaceEnds),
        written => written?,
    };
    Ok(Published::Done(written.resource_version().unwrap_or_default()))
}

/// Puts our finalizer on the Secret or takes it off, if it belongs to the object with this reference. Returns the versions
/// before and after, if it had to write.
///
/// # Errors
/// See [`WriteError`].
pub async fn protect(
    kubernetes: &Kubernetes,
    node: &Node,
    owner: &str,
    wanted: bool,
) -> Result<Option<(String, String)>, WriteError> {
    let api: Api<Secret> = Api::namespaced(kubernetes.client.clone(), &node.namespace);
    // Whole, because the rights on Secrets are without `patch`.
    let present = client::read(api.get_opt(&node.name)).await;
    let Some(mut secret) = present.map_err(|error| WriteError::Api(Box::new(error)))? else {
        return Ok(None);
    };
    let is_protected = secret.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let is_ending = secret.metadata.deletion_timestamp.is_some();
    if is_protected == wanted || (wanted && is_ending) || !is_owned(&secret.metadata, owner) {
        return Ok(None);
    }
    let over = secret.resource_version().unwrap_or_default();
    if wanted {
        secret.finalizers_mut().push(FINALIZER.to_owned());
    } else {
        secret.finalizers_mut().retain(|finalizer| finalizer != FINALIZER);
    }
    let written = kubernetes
        .write("secrets", "update", api.replace(&node.name, &PostParams::default(), &secret))
        .await?;
    Ok(Some((over, written.resource_version().unwrap_or_default())))
}

/// Deletes the Secret if it belongs to the object with this reference, and lets it go if it was kept.
///
/// # Errors
/// See [`WriteError`].
pub async fn delete(kubernetes: &Kubernetes, node: &Node, owner: &str) -> Result<(), WriteError> {
    let api: Api<Secret> = Api::namespaced(kubernetes.client.clone(), &node.namespace);
    let Some(mut present) = metadata(&api, &node.name).await? else {
        return Ok(());
    };
    if !is_owned(&present.metadata, owner) {
        return Ok(());
    }
    let is_protected = present.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if is_protected && let Some((_, version)) = protect(kubernetes, node, owner, false).await? {
        present.metadata.resource_version = Some(version);
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

/// Whether a Secret of the name is someone else's. Metadata only.
///
/// # Errors
/// If the Kubernetes API cannot be asked.
pub async fn is_foreign(client: &Client, node: &Node, owner: &str) -> Result<bool, WriteError> {
    let api = Api::namespaced(client.clone(), &node.namespace);
    let present = metadata(&api, &node.name).await?;
    Ok(present.is_some_and(|present| !is_owned(&present.metadata, owner)))
}

async fn metadata(api: &Api<Secret>, name: &str) -> Result<Option<PartialObjectMeta<Secret>>, WriteError> {
    match client::read(api.get_metadata(name)).await {
        Ok(present) => Ok(Some(present)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Our finalizer: there only while something must be cleaned up.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde_json::json;

use super::client::{Kubernetes, WriteError};
use crate::api::{FINALIZER, has_finalizer};

/// Whether an object carries our finalizer.
pub fn is_on(object: &impl Resource) -> bool {
    has_finalizer(object.meta())
}

/// Adds or removes our finalizer, over the version of `object`. Returns the version that left, if it had to write.
///
/// # Errors
/// [`WriteError::Conflict`] if the object has changed.
pub async fn set<K>(
    kubernetes: &Kubernetes,
    resource: &'static str,
    object: &K,
    wanted: bool,
) -> Result<Option<String>, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
{
    if is_on(object) == wanted {
        return Ok(None);
    }
    let mut finalizers: Vec<String> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch =
        json!({ "metadata": { "uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers } });
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(kubernetes.client.clone(), &object.namespace().unwrap_or_default());
    let name = object.name_any();
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    let write = api.patch_metadata(&name, &params, &patch);
    let written = kubernetes.write(resource, "patch", write).await?;
    Ok(written.metadata.resource_version)
}

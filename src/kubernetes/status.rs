// SPDX-License-Identifier: Apache-2.0

//! Writes a status: whole, and only over the version it was computed from.
//!
//! `PUT` with UID and resource version is the cheapest verb that gives a lock: a former leader or a stale cache gets a
//! conflict instead of overwriting. The spec stays out of the body; the API server keeps its own.

use kube::{
    Resource, ResourceExt,
    api::PostParams,
    core::{ObjectMeta, PartialObjectMeta, Request},
};
use serde::Serialize;

use super::client::{Kubernetes, WriteError};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, S> {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    status: &'a S,
}

/// Writes `status` over the version of `object`, and returns the version it left.
///
/// # Errors
/// [`WriteError::Conflict`] if the object has changed.
pub async fn write<K, S>(
    kubernetes: &Kubernetes,
    resource: &'static str,
    object: &K,
    status: &S,
) -> Result<Option<String>, WriteError>
where
    K: Resource<DynamicType = ()>,
    S: Serialize,
{
    let body = Body {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        metadata: ObjectMeta {
            name: object.meta().name.clone(),
            namespace: object.namespace(),
            uid: object.uid(),
            resource_version: object.resource_version(),
            ..ObjectMeta::default()
        },
        status,
    };
    let url = K::url_path(&(), object.namespace().as_deref());
    let serialized = serde_json::to_vec(&body).map_err(|error| WriteError::Api(Box::new(kube::Error::SerdeError(error))))?;
    let request = Request::new(url)
        .replace_subresource("status", &object.name_any(), &PostParams::default(), serialized)
        .map_err(|error| WriteError::Api(Box::new(kube::Error::BuildRequest(error))))?;
    let written = kubernetes
        .write(
            resource,
            "update_status",
            kubernetes.client.request::<PartialObjectMeta<K>>(request),
        )
        .await?;
    Ok(written.metadata.resource_version)
}

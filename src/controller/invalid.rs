// SPDX-License-Identifier: Apache-2.0

//! Objects that this version of the operator cannot read: says so on them, lets go of those that are to be abandoned, and does
//! nothing else.

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind, error_boundary::InvalidObject},
};
use serde_json::json;
use tokio::time::sleep;

use super::{Context, cleanup, reason::Reason, release};
use crate::{
    api::{FINALIZER, GROUP, VERSION, annotation, has_finalizer},
    desired::node::{Kind, Node},
    kubernetes::client::{self, WriteError},
    manager::error::one_line,
    session::health,
};

/// Reports objects that do not parse, one after the other, until it is dropped. What cannot be reported now is reported later.
pub async fn run(context: &Context) {
    let mut attempts = 0_u32;
    loop {
        let mut failed = false;
        for (node, invalid) in context.mirror.unreadable.take().await {
            tracing::warn!(object = %node, error = invalid.error, "an object cannot be read by this version");
            match report(&node, &invalid, context).await {
                // It has changed or gone, and the watch tells.
                Ok(()) | Err(WriteError::Conflict | WriteError::Gone) => {}
                Err(error) => {
                    tracing::warn!(object = %node, %error, "cannot report that an object cannot be read");
                    context.mirror.unreadable.put_back(node, invalid);
                    failed = true;
                }
            }
        }
        attempts = if failed { attempts.saturating_add(1) } else { 0 };
        if failed {
            sleep(health::wait(attempts, None)).await;
        }
    }
}

/// Takes our finalizer off, and leaves the manager as it is.
async fn let_go(node: &Node, object: &DynamicObject, api: &Api<DynamicObject>, context: &Context) -> Result<(), WriteError> {
    release::forget(context, node);
    let others: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .collect();
    let patch = Patch::Merge(json!({
        "metadata": { "uid": object.uid(), "resourceVersion": object.metadata.resource_version, "finalizers": others },
    }));
    let params = PatchParams::default();
    let write = api.patch_metadata(&node.name, &params, &patch);
    context.kubernetes.write(node.kind.plural(), "patch", write).await.map(drop)
}

async fn report(node: &Node, invalid: &InvalidObject, context: &Context) -> Result<(), WriteError> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, node.kind.as_str()), node.kind.plural());
    // Typed access would fail on the very answer.
    let api: Api<DynamicObject> = Api::namespaced_with(context.kubernetes.client.clone(), &node.namespace, &resource);
    let Some(object) = client::read(api.get_opt(&node.name)).await? else {
        return Ok(());
    };
    if object.metadata.resource_version != invalid.metadata.resource_version {
        return Ok(());
    }
    // A credential has nothing at the manager, and whoever depends on it needs it until the end.
    let may_be_let_go = node.kind != Kind::Credential;
    let is_ending = may_be_let_go && object.metadata.deletion_timestamp.is_some() && has_finalizer(&object.metadata);
    if is_ending
        && object
            .annotations()
            .get(annotation::ABANDON)
            .is_some_and(|value| value == "true")
    {
        return let_go(node, &object, &api, context).await;
    }
    let mut message = format!(
        "this version of the operator cannot read the object: {}",
        one_line(&invalid.error, 700)
    );
    if is_ending {
        message = format!(
            "{message}. It is being deleted, and cannot be cleaned up at the manager. {}",
            cleanup::way_out(node)
        );
    }
    let conditions = object
        .data
        .pointer("/status/conditions")
        .and_then(|conditions| conditions.as_array())
        .cloned()
        .unwrap_or_default();
    let reported = conditions
        .iter()
        .any(|condition| condition["type"] == "Stalled" && condition["message"] == message);
    if reported {
        return Ok(());
    }
    let generation = object.metadata.generation;
    let now = Timestamp::now().to_string();
    let ours = |kind: &str, status: &str| {
        json!({ "type": kind, "status": status, "reason": Reason::Unparsable.as_str(), "message": message,
                "lastTransitionTime": now, "observedGeneration": generation })
    };
    let mut conditions: Vec<_> = conditions
        .into_iter()
        .filter(|condition| {
            !["Ready", "Synced", "Stalled", "Reconciling"]
                .iter()
                .any(|kind| condition["type"] == *kind)
        })
        .collect();
    conditions.extend([ours("Ready", "False"), ours("Synced", "False"), ours("Stalled", "True")]);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": object.metadata.resource_version },
        "status": { "observedGeneration": generation, "conditions": conditions },
    }));
    let params = PatchParams::default();
    let write = api.patch_status(&node.name, &params, &patch);
    context
        .kubernetes
        .write(node.kind.plural(), "patch_status", write)
        .await
        .map(drop)
}

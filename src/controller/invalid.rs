//! Objects that this version of the operator cannot read: says so on them, and does nothing else.

use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind, error_boundary::InvalidObject},
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Context, reason::Reason};
use crate::{
    api::{GROUP, VERSION},
    desired::node::Node,
    kubernetes::client::WriteError,
    manager::error::one_line,
};

/// Reports objects that do not parse, one after the other. Ends with the pumps.
pub async fn run(mut found: mpsc::UnboundedReceiver<(Node, InvalidObject)>, context: &Context) {
    while let Some((node, invalid)) = found.recv().await {
        tracing::warn!(object = %node, error = invalid.error, "an object cannot be read by this version");
        if let Err(error) = report(&node, &invalid, context).await {
            tracing::warn!(object = %node, %error, "cannot report that an object cannot be read");
        }
    }
}

async fn report(node: &Node, invalid: &InvalidObject, context: &Context) -> kube::Result<()> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, node.kind.as_str()), node.kind.plural());
    // Typed access would fail on the very answer.
    let api: Api<DynamicObject> = Api::namespaced_with(context.kubernetes.client.clone(), &node.namespace, &resource);
    let Some(object) = api.get_opt(&node.name).await? else {
        return Ok(());
    };
    if object.metadata.resource_version != invalid.metadata.resource_version {
        return Ok(());
    }
    let message = format!(
        "this version of the operator cannot read the object: {}",
        one_line(&invalid.error, 700)
    );
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
        "status": { "conditions": conditions },
    }));
    let params = PatchParams::default();
    let write = api.patch_status(&node.name, &params, &patch);
    match context.kubernetes.write(node.kind.plural(), "patch_status", write).await {
        Err(WriteError::Api(error)) => Err(*error),
        // Written; or it has changed or gone, and the watch tells.
        Ok(_) | Err(_) => Ok(()),
    }
}

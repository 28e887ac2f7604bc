// SPDX-License-Identifier: Apache-2.0

//! What there is to do about a secret that the manager does not tell again: keep the one that was handed out, or say how to
//! get a new one.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::outputs::{JWT_SECRET, Outputs};
use crate::{
    api::{annotation, connection::OutputsStatus},
    controller::{
        Context, Subject,
        reason::Reason,
        trouble::{self, Stop, Trouble},
    },
    desired::node::Node,
    kubernetes::made_secret,
};

/// Puts the secret that was handed out before into `outputs`, if our Secret still holds it as `published` remembers it:
/// somebody may have edited the Secret, and publishing without that value would lose it.
pub(super) async fn keep_handed_out(
    outputs: &mut Outputs,
    published: &OutputsStatus,
    node: &Node,
    owner: &str,
    context: &Context,
) -> Result<(), Stop> {
    let api: Api<Secret> = Api::namespaced(context.kubernetes.client.clone(), &node.namespace);
    let present = api
        .get_opt(&node.name)
        .await
        .map_err(|error| trouble::kubernetes_trouble(&error))?;
    let Some(present) = present.filter(|secret| made_secret::is_owned(&secret.metadata, owner)) else {
        return Ok(());
    };
    let value = present.data.as_ref().and_then(|data| data.get(JWT_SECRET));
    let Some(value) = value.and_then(|value| String::from_utf8(value.0.clone()).ok()) else {
        return Ok(());
    };
    outputs.jwt_secret = Some(value.into());
    let fingerprint = &context.installation.fingerprint;
    let hashes = [
        outputs.content_hash(fingerprint, owner),
        Outputs::hash(&present.data.unwrap_or_default(), fingerprint, owner),
    ];
    if !hashes.contains(&published.content_hash) {
        outputs.jwt_secret = None;
    }
    Ok(())
}

/// Says what is missing, and how to get it.
pub(super) fn incomplete(subject: &Subject, outputs: &OutputsStatus) -> Option<Trouble> {
    (!outputs.missing.is_empty()).then(|| {
        let message = format!(
            "the manager tells the secret that it generated only when it makes it, so Secret {} lacks {}. To have a new one made and handed \
             out: kubectl annotate {} --namespace {} {} --overwrite {}=\"$(date +%s)\"",
            outputs.secret_name,
            outputs.missing.join(", "),
            subject.node.kind.as_str().to_lowercase(),
            subject.node.namespace,
            subject.node.name,
            annotation::ROTATE_SECRET,
        );
        Trouble::new(Reason::OutputsIncomplete, message)
    })
}

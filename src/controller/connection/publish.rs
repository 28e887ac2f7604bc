//! Hands out what the manager generated: keeps the Secret with the outputs as it should be.
//!
//! At rest nothing is read or written: the status remembers what was published, and the watch on our output Secrets tells
//! when one is gone or another than we left it.

use std::sync::{Arc, PoisonError};

use kube::ResourceExt;

use super::{apply::Applied, dereference::References};
use crate::{
    api::{ChannelConnection, connection::OutputsStatus},
    controller::{
        Context, Subject,
        reason::Reason,
        trouble::{Stop, Trouble},
    },
    desired::node::{Kind, Node},
    kubernetes::outputs::{self, CONTENT_HASH, OWNER, Outputs, Published},
    manager::observed::ObservedConnection,
};

/// What a reconcile came to.
pub(super) struct Done {
    pub(super) account: String,
    pub(super) applied: Applied,
    /// What the manager was sent of secrets.
    pub(super) sent: Option<crate::api::connection::SentSecrets>,
    /// Where the outputs are.
    pub(super) outputs: Option<OutputsStatus>,
}

pub(super) async fn publish(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    mut applied: Applied,
    context: &Context,
) -> Result<Done, Stop> {
    let sent = applied.intent.as_ref().and_then(|_| references.secrets.remember().cloned());
    let published = match applied.observed.clone() {
        None => Ok(None),
        Some(observed) => keep(subject, connection, references, &observed, applied.secret.take(), context).await,
    };
    // What was done at the manager is remembered even if publishing fails: only that is tried again.
    let outputs = match published {
        Ok(outputs) => outputs,
        Err(Stop::Trouble(trouble)) => {
            applied.trouble = Some(trouble);
            None
        }
        Err(stop) => return Err(stop),
    };
    Ok(Done {
        account: references.session.account().as_str().to_owned(),
        applied,
        sent,
        outputs,
    })
}

async fn keep(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    observed: &Arc<ObservedConnection>,
    secret: Option<secrecy::SecretString>,
    context: &Context,
) -> Result<Option<OutputsStatus>, Stop> {
    let node = subject.node.sibling(Kind::Output, &connection.output_secret_name());
    let status = connection.status.as_ref();
    let remembered = status
        .and_then(|status| status.outputs.as_ref())
        .filter(|outputs| *outputs.secret_name == *node.name);
    if let Some(remembered) = remembered
        && secret.is_none()
        && describes(connection, observed)
        && is_untouched(&node, references, &remembered.content_hash, context)
    {
        return Ok(Some(remembered.clone()));
    }
    let jwt_secret = match secret {
        Some(secret) => Some(secret),
        None if observed.has_generated_secret => Some(
            references
                .session
                .generated_secret(subject.requester(), observed.id.clone())
                .await?,
        ),
        None => None,
    };
    let outputs = Outputs {
        connection_id: observed.id.to_string(),
        webhook_url: observed.webhook_url.clone(),
        widget_id: observed.widget.as_ref().map(|widget| widget.id.clone()),
        script_url: observed.widget.as_ref().map(|widget| widget.script_url.clone()),
        jwt_secret,
    };
    let owner = references.mark.reference.as_str();
    let before = context
        .mirror
        .output(&node)
        .and_then(|meta| meta.resource_version())
        .unwrap_or_default();
    match outputs::publish(&context.kubernetes, &context.installation.fingerprint, &node, owner, &outputs).await? {
        Published::Done {
            content_hash,
            resource_version,
        } => {
            let mut published = context.memory.published.lock().unwrap_or_else(PoisonError::into_inner);
            published.insert(node.clone(), [before, resource_version]);
            Ok(Some(OutputsStatus {
                secret_name: node.name.to_string(),
                content_hash,
            }))
        }
        Published::Conflict => {
            let message = format!(
                "Secret {} exists and was not made by the operator; it is left alone. Choose another name in spec.outputs.secret.name, or delete that Secret",
                node.name
            );
            Err(Trouble::new(Reason::OutputConflict, message).into())
        }
    }
}

/// Whether the status says what is observed: it did when the outputs were published.
fn describes(connection: &ChannelConnection, observed: &ObservedConnection) -> bool {
    let Some(status) = &connection.status else { return false };
    let widget = status
        .widget
        .as_ref()
        .map(|widget| (widget.id.as_str(), widget.script_url.as_str()));
    status.id.as_deref() == Some(observed.id.as_str())
        && status.webhook_url == observed.webhook_url
        && widget
            == observed
                .widget
                .as_ref()
                .map(|widget| (widget.id.as_str(), widget.script_url.as_str()))
}

/// Whether the Secret is there, ours, and as we left it.
fn is_untouched(node: &Node, references: &References, content_hash: &str, context: &Context) -> bool {
    let mut published = context.memory.published.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(meta) = context.mirror.output(node) else {
        // Deleted; or just made, and the watch has not shown it yet.
        return published.get(node).is_some_and(|[before, _]| before.is_empty());
    };
    let annotation = |name: &str| meta.annotations().get(name).map(String::as_str);
    let version = meta.resource_version().unwrap_or_default();
    match published.get_mut(node) {
        // The watch still shows what we have just written over.
        Some([before, _]) if *before == version => true,
        Some([before, left]) if *left == version => {
            before.clone_from(left);
            true
        }
        Some(_) => false,
        None => annotation(OWNER) == Some(references.mark.reference.as_str()) && annotation(CONTENT_HASH) == Some(content_hash),
    }
}

//! Hands out what the manager generated: keeps the Secret with the outputs as it should be.
//!
//! At rest nothing is read or written: the status remembers what was published, and the watch on our output Secrets tells
//! when one is gone or another than we left it.

use std::sync::Arc;

use super::{apply::Applied, dereference::References, outputs::Outputs};
use crate::{
    api::{ChannelConnection, connection::OutputsStatus},
    controller::{Context, Subject, made, trouble::Stop},
    desired::node::Kind,
    kubernetes::made_secret::MadeSecret,
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
        && made::is_untouched(&node, references.mark.reference.as_str(), &remembered.content_hash, context)
    {
        return Ok(Some(remembered.clone()));
    }
    let owner = references.mark.reference.as_str();
    let jwt_secret = match secret {
        Some(secret) => Some(secret),
        // Whoever may only look at a connection is not handed its secret.
        None if observed.has_generated_secret && observed.claim.reference.as_deref() == Some(owner) => {
            made::refuse_foreign(&node, owner, context).await?;
            let (requester, id) = (subject.requester(), observed.id.clone());
            Some(references.session.generated_secret(requester, id).await?)
        }
        None => None,
    };
    let outputs = Outputs {
        connection_id: observed.id.to_string(),
        webhook_url: observed.webhook_url.clone(),
        widget_id: observed.widget.as_ref().map(|widget| widget.id.clone()),
        script_url: observed.widget.as_ref().map(|widget| widget.script_url.clone()),
        jwt_secret,
    };
    let content_hash = outputs.content_hash(&context.installation.fingerprint, owner);
    let made = MadeSecret {
        node: &node,
        owner,
        data: outputs.data(),
        content_hash: content_hash.clone(),
        // Web sites live on the outputs, longer than the resource may.
        goes_with: None,
        kept: false,
    };
    made::publish(made, context).await?;
    Ok(Some(OutputsStatus {
        secret_name: node.name.to_string(),
        content_hash,
    }))
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

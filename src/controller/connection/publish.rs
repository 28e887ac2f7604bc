// SPDX-License-Identifier: Apache-2.0

//! Hands out what the manager generated: keeps the Secret with the outputs as it should be.
//!
//! At rest nothing is read or written: the status remembers what was published, and the watch on our output Secrets tells
//! when one is gone or another than we left it.

use std::sync::Arc;

use kube::ResourceExt;
use secrecy::SecretString;

use super::{
    apply::Applied,
    dereference::References,
    outputs::{JWT_SECRET, Outputs},
    rotate::Rotated,
    withheld,
};
use crate::{
    api::{ChannelConnection, ChannelConnectionStatus, annotation, connection::OutputsStatus},
    controller::{Context, Subject, made, report, trouble::Stop},
    desired::node::Kind,
    kubernetes::made_secret::MadeSecret,
    manager::{
        error::{Class, Error},
        observed::ObservedConnection,
    },
    session::Failure,
};

/// What a reconcile came to.
pub(super) struct Done {
    pub(super) account: String,
    pub(super) applied: Applied,
    /// What the manager was sent of secrets.
    pub(super) sent: Option<crate::api::connection::SentSecrets>,
    /// Where the outputs are.
    pub(super) outputs: Option<OutputsStatus>,
    /// The rotation that was asked for, if it was made and its secret handed out.
    pub(super) rotated: Option<Rotated>,
    /// What ended the reconcile early without being trouble.
    pub(super) interrupted: Option<Stop>,
}

/// What was done at the manager is remembered even if the rest fails: only that is tried again.
pub(super) async fn publish(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    applied: Applied,
    rotated: Result<Option<Rotated>, Stop>,
    context: &Context,
) -> Done {
    let mut done = Done {
        account: references.session.account().as_str().to_owned(),
        sent: applied.intent.as_ref().and_then(|_| references.secrets.remember().cloned()),
        applied,
        outputs: None,
        rotated: None,
        interrupted: None,
    };
    match rotated {
        Ok(rotated) => done.rotated = rotated,
        Err(stop) => {
            if !done.applied.wrote {
                // The approval was for that alone, and is still to be used.
                done.applied.approved = None;
            }
            done.stop(stop);
        }
    }
    let was_being_made = connection.status.as_ref().is_some_and(|status| status.creation.is_some());
    if was_being_made && done.applied.observed.is_some() {
        // The ID is known before anything is handed out.
        done.stop(Stop::Stale);
    }
    if let (Some(observed), None) = (done.applied.observed.clone(), &done.interrupted) {
        let secret = done.applied.secret.take();
        match keep(subject, connection, references, &observed, secret, context).await {
            Ok(outputs) => {
                let trouble = &mut done.applied.trouble;
                *trouble = trouble.take().or_else(|| withheld::incomplete(subject, &outputs));
                done.outputs = Some(outputs);
            }
            Err(stop) => {
                done.rotated = None;
                done.stop(stop);
            }
        }
    }
    done
}

impl Done {
    /// Makes trouble of handing out that again and again finds that what it was based on has changed.
    pub(super) fn end_staleness(mut self, subject: &Subject, context: &Context) -> Self {
        let interrupted = self.interrupted.take();
        if let Err(stop) = report::end_staleness(context, subject, interrupted.map_or(Ok(()), Err)) {
            self.stop(stop);
        }
        self
    }

    fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::Trouble(trouble) => self.applied.trouble = Some(trouble),
            stop => self.interrupted = Some(stop),
        }
    }
}

async fn keep(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    observed: &Arc<ObservedConnection>,
    secret: Option<SecretString>,
    context: &Context,
) -> Result<OutputsStatus, Stop> {
    let node = subject.node.sibling(Kind::Output, &connection.output_secret_name());
    let owner = references.mark.reference.as_str();
    let status = connection.status.as_ref();
    let remembered = status
        .and_then(|status| status.outputs.as_ref())
        .filter(|outputs| *outputs.secret_name == *node.name);
    if let Some(remembered) = remembered
        && secret.is_none()
        && describes(connection, observed, remembered)
        && (remembered.missing.is_empty() || !is_retried(connection))
        && made::is_untouched(&node, owner, &remembered.content_hash, context)
    {
        return Ok(remembered.clone());
    }
    if context.memory.is_closed(subject) {
        return Err(Stop::Quiet);
    }
    let mut outputs = Outputs {
        connection_id: observed.id.to_string(),
        webhook_url: observed.webhook_url.clone(),
        widget_id: observed.widget.as_ref().map(|widget| widget.id.clone()),
        script_url: observed.widget.as_ref().map(|widget| widget.script_url.clone()),
        jwt_secret: secret,
    };
    // Whoever may only look at a connection is not handed its secret.
    let hands_out = observed.has_generated_secret && observed.claim.reference.as_deref() == Some(owner);
    if hands_out && outputs.jwt_secret.is_none() {
        made::refuse_foreign(&node, owner, context).await?;
        let (requester, id) = (subject.requester(), observed.id.clone());
        match references.session.generated_secret(requester, id).await {
            Ok(secret) => outputs.jwt_secret = Some(secret),
            Err(Failure::Manager(Error {
                class: Class::Withheld, ..
            })) => {
                if let Some(published) = remembered.filter(|outputs| outputs.secret_rotation == observed.rotation) {
                    withheld::keep_handed_out(&mut outputs, published, &node, owner, context).await?;
                }
            }
            Err(failure) => return Err(failure.into()),
        }
    }
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
    made::publish(subject, made, context).await?;
    let is_missing = hands_out && outputs.jwt_secret.is_none();
    Ok(OutputsStatus {
        secret_name: node.name.to_string(),
        content_hash,
        secret_rotation: observed.rotation.clone(),
        missing: is_missing.then(|| JWT_SECRET.to_owned()).into_iter().collect(),
    })
}

/// Whether a new `retry` asks to look again for what the manager did not hand out.
fn is_retried(connection: &ChannelConnection) -> bool {
    let retry = connection.annotations().get(annotation::RETRY);
    let handled = connection
        .status
        .as_ref()
        .and_then(|status| status.last_handled_retry.as_deref());
    retry.is_some_and(|retry| Some(retry.chars().take(256).collect::<String>().as_str()) != handled)
}

/// Whether the status says what is observed, and the outputs that it remembers are of that.
fn describes(connection: &ChannelConnection, observed: &ObservedConnection, published: &OutputsStatus) -> bool {
    published.secret_rotation == observed.rotation && connection.status.as_ref().is_some_and(|status| says(status, observed))
}

/// Whether the status says what is observed of all that is handed out.
pub(super) fn says(status: &ChannelConnectionStatus, observed: &ObservedConnection) -> bool {
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

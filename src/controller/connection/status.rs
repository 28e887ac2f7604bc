// SPDX-License-Identifier: Apache-2.0

//! What the status says. Computed purely, then written once if it differs.

use super::publish::{self, Done};
use crate::{
    api::{
        ChannelConnection, ChannelConnectionStatus,
        connection::{ConnectionState as ApiState, Widget},
    },
    controller::{
        Context, Next, Subject, drift, holding, object_reference,
        reason::Reason,
        report::{self, Readiness},
        retry,
        trouble::{Stop, Trouble},
    },
    manager::observed::{ConnectionState, ObservedConnection},
};

pub(super) async fn report(
    subject: &Subject,
    connection: &ChannelConnection,
    context: &Context,
    outcome: Result<Done, Stop>,
) -> Next {
    let mut status = connection.status.clone().unwrap_or_default();
    let mut news = Vec::new();
    let next = match outcome {
        Err(Stop::Quiet) => return Next::Wait,
        Err(Stop::Stale) => return Next::Stale,
        Err(Stop::Trouble(trouble)) => {
            holding::report_trouble(&mut status, subject, &trouble);
            report::next_after(Some(&trouble))
        }
        Ok(mut done) => {
            let rotated = done.rotated.as_mut().and_then(|rotated| rotated.news.take());
            news.extend(rotated.map(|news| (Reason::SecretRotated, news)));
            news.extend(moved(connection, &done).map(|news| (Reason::OutputsMoved, news)));
            describe(&mut status, subject, done)
        }
    };
    status.channel_type = Some(connection.spec.channel.channel_type());
    status.last_drift = drift::last(context, &subject.node, status.last_drift.take());
    if let Some(token) = retry::token(connection) {
        status.last_handled_retry = Some(token);
    }
    let came_to = report::write(context, subject, connection, connection.status.as_ref(), &status, next).await;
    // Told once it is remembered: a status that was not written is computed, and its news told, again.
    for (reason, news) in news.iter().filter(|_| came_to == next) {
        let regarding = object_reference(connection);
        context.events.publish(regarding, false, reason.as_str(), news);
    }
    came_to
}

/// That the outputs are in another Secret than before.
fn moved(connection: &ChannelConnection, done: &Done) -> Option<String> {
    let before = &connection.status.as_ref()?.outputs.as_ref()?.secret_name;
    let now = &done.outputs.as_ref()?.secret_name;
    (before != now).then(|| {
        format!(
            "the outputs are kept in Secret {now} now; Secret {before} stays as it was, and follows nothing any more: delete it once nothing \
             reads it"
        )
    })
}

pub(super) async fn suspended(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Next {
    let mut status = connection.status.clone().unwrap_or_default();
    // Approving it would change nothing, and ending the suspension makes it another plan.
    status.plan = None;
    report::set_suspended(&mut status, subject.generation);
    report::write(context, subject, connection, connection.status.as_ref(), &status, Next::Wait).await
}

fn describe(status: &mut ChannelConnectionStatus, subject: &Subject, done: Done) -> Next {
    let Done {
        account,
        applied,
        sent,
        outputs,
        rotated,
        interrupted,
    } = done;
    let readiness = match &applied.observed {
        Some(observed) => {
            status.account = Some(account);
            status.creation = None;
            if !publish::says(status, observed) {
                // What was handed out is of something else; nothing is remembered of it until the right is.
                status.outputs = None;
            }
            observe(status, observed);
            readiness(observed)
        }
        None => Readiness::Unchanged,
    };
    if let Some(intent) = applied.intent {
        status.last_applied = Some(holding::last_applied(intent));
        status.sent_secrets = sent;
    }
    if outputs.is_some() {
        status.outputs = outputs;
    }
    if applied.approved.is_some() {
        status.last_approved_plan = applied.approved;
    }
    if let Some(rotated) = rotated {
        status.last_handled_rotation = Some(rotated.request);
    }
    match interrupted {
        None => {}
        Some(Stop::Quiet) => return Next::Wait,
        // The conditions are for whoever gets to the end.
        Some(_) => return Next::Stale,
    }
    status.plan = applied.trouble.as_ref().and_then(|trouble| trouble.plan.as_deref().cloned());
    drift::show(status, subject, applied.drifted);
    let trouble = applied.trouble.or_else(|| match &readiness {
        // Not a difference: the manager holds what is declared.
        Readiness::NotReady(Reason::AwaitingAuthorization | Reason::ChannelFailed, _) => None,
        Readiness::NotReady(reason, message) => Some(Trouble::new(*reason, message)),
        _ => None,
    });
    report::set_conditions(status, subject.generation, readiness, trouble.as_ref());
    report::next_after(trouble.as_ref())
}

fn observe(status: &mut ChannelConnectionStatus, observed: &ObservedConnection) {
    status.id = Some(observed.id.to_string());
    status.state = Some(match observed.state {
        ConnectionState::Active => ApiState::Active,
        ConnectionState::PendingAuthorization => ApiState::PendingAuthorization,
        ConnectionState::Failed => ApiState::Failed,
    });
    status.webhook_url.clone_from(&observed.webhook_url);
    status.widget = observed.widget.as_ref().map(|widget| Widget {
        id: widget.id.clone(),
        script_url: widget.script_url.clone(),
    });
}

fn readiness(observed: &ObservedConnection) -> Readiness {
    let message = |default: &str| observed.state_message.clone().unwrap_or_else(|| default.to_owned());
    match observed.state {
        ConnectionState::Active => Readiness::Ready,
        ConnectionState::PendingAuthorization => Readiness::NotReady(
            Reason::AwaitingAuthorization,
            message("a person must authorise the channel at the provider"),
        ),
        ConnectionState::Failed => Readiness::NotReady(Reason::ChannelFailed, message("the provider refuses the channel")),
    }
}

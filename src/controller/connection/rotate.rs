// SPDX-License-Identifier: Apache-2.0

//! Has the manager generate a new secret when a person asks for it by annotation.
//!
//! Once for each value of the annotation, whatever happens in between: the manager is given a token that follows from the
//! value, and answers a second call with it like the first. So a crash or a lost answer is got over by asking again, and the
//! value counts as acted on only with the status that tells of the new outputs.

use kube::ResourceExt;

use super::{apply::Applied, dereference::References};
use crate::{
    api::{ChannelConnection, Management, annotation},
    controller::{
        Context, Subject, made,
        reason::Reason,
        trouble::{self, Stop, Trouble},
    },
    desired::node::Kind,
    manager::{
        error::Class,
        observed::ObservedConnection,
        values::{Mark, RotationToken},
        write::{ConnectionOutcome, ConnectionWrite},
    },
    session::Failure,
};

/// Most characters of the annotation that count: as many as the status remembers.
const MAX_REQUEST: usize = 256;

/// A rotation that was asked for.
pub(super) struct Request {
    value: String,
    token: RotationToken,
}

impl Request {
    /// By what the manager knows it.
    pub(super) fn token(&self) -> &RotationToken {
        &self.token
    }
}

/// A request that has been acted on.
pub(super) struct Rotated {
    /// What the status remembers of it.
    pub(super) request: String,
    /// For people, if there is something to tell: nobody knows a secret that was just made with its connection.
    pub(super) news: Option<String>,
}

/// The value of the annotation, if it was not acted on yet.
pub(super) fn asked_for(connection: &ChannelConnection) -> Option<String> {
    let asked = connection.annotations().get(annotation::ROTATE_SECRET)?;
    let asked: String = asked.chars().take(MAX_REQUEST).collect();
    let status = connection.status.as_ref();
    let handled = status.and_then(|status| status.last_handled_rotation.as_ref());
    (!asked.is_empty() && handled != Some(&asked)).then_some(asked)
}

/// The rotation to plan. One who may only look asks for none of the manager.
pub(super) fn requested(connection: &ChannelConnection, mark: &Mark) -> Option<Request> {
    asked_for(connection).map(|value| Request {
        token: RotationToken::of(mark, &value),
        value,
    })
}

/// Rotates, after all else that the plan changes. What it learns goes into `applied`.
pub(super) async fn rotate(
    subject: &Subject,
    connection: &ChannelConnection,
    references: &References,
    request: Option<Request>,
    applied: &mut Applied,
    context: &Context,
) -> Result<Option<Rotated>, Stop> {
    let (Some(request), Some(observed)) = (request, applied.observed.clone()) else {
        return Ok(None);
    };
    if let Some(refused) = refuse(subject, references, &observed) {
        let says_less = |trouble: &Trouble| trouble.reason == Reason::Differs;
        if applied.trouble.as_ref().is_none_or(says_less) {
            applied.trouble = Some(refused);
        }
        return Ok(None);
    }
    let is_held_back = applied.intent.is_none();
    if is_held_back {
        return Ok(None);
    }
    let mut rotated = Rotated {
        request: request.value,
        news: None,
    };
    let was_just_made = applied.secret.is_some();
    if was_just_made {
        return Ok(Some(rotated));
    }
    // A secret that cannot be handed out would only end the one that is in use.
    let outputs = subject.node.sibling(Kind::Output, &connection.output_secret_name());
    made::refuse_foreign(&outputs, references.mark.reference.as_str(), context).await?;
    let write = ConnectionWrite::RotateSecret {
        observed: observed.clone(),
        token: request.token,
    };
    let (requester, interface) = (subject.requester(), references.interface.clone());
    match references.session.write_connection(requester, interface, write).await {
        Ok(ConnectionOutcome::Rotated {
            observed,
            secret,
            previous_valid_until,
        }) => {
            let grace = previous_valid_until.map_or_else(
                || "the one before is not honoured any more".to_owned(),
                |until| format!("the one before is honoured until {until:.0}"),
            );
            rotated.news = Some(format!(
                "the manager has made a new JWT secret, and Secret {} holds it; {grace}",
                outputs.name
            ));
            applied.observed = Some(observed);
            applied.secret = Some(secret);
            Ok(Some(rotated))
        }
        Ok(ConnectionOutcome::Present { .. } | ConnectionOutcome::Gone) => Err(Stop::Stale),
        Err(failure) => Err(stop(failure, references, &observed)),
    }
}

/// What is asked for cannot be done, and everything else goes on.
fn refuse(subject: &Subject, references: &References, observed: &ObservedConnection) -> Option<Trouble> {
    let why = if references.policy.management == Management::Observe {
        "management: Observe lets the operator change nothing at the manager"
    } else if observed.has_generated_secret {
        return None;
    } else {
        "the manager generates no secret for this channel"
    };
    let message = format!(
        "{} asks for a new secret, but {why}. To take the request back: kubectl annotate {} --namespace {} {} {}-",
        annotation::ROTATE_SECRET,
        subject.node.kind.as_str().to_lowercase(),
        subject.node.namespace,
        subject.node.name,
        annotation::ROTATE_SECRET,
    );
    Some(Trouble::new(Reason::RotationRefused, message))
}

/// A manager that does not find what it holds has no rotation to offer: looking again does not help.
fn stop(failure: Failure, references: &References, observed: &ObservedConnection) -> Stop {
    match failure {
        Failure::Manager(error)
            if error.class == Class::NotFound && references.session.mirror().connection(&observed.id).is_some() =>
        {
            trouble::manager_trouble(&error).into()
        }
        failure => failure.into(),
    }
}

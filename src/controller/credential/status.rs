// SPDX-License-Identifier: Apache-2.0

//! What the status says. Computed purely, then written once if it differs.

use super::advice;
use crate::{
    api::{
        ChannelType, ConditionType, HasConditions, ManagerCredential, ManagerCredentialStatus, annotation,
        manager_credential::{ActiveKey, Breaker, ChannelSupport, Identity, OfferedChannel, Reachability},
    },
    controller::{
        Context, Next, Subject,
        accounts::{Proven, Verdict},
        object_reference,
        reason::Reason,
        report::{self, Readiness},
        retry,
        trouble::{self, Retry, Stop, Trouble},
    },
    desired::node::Node,
    manager::{
        capabilities::{ChannelKind, Support},
        error::one_line,
    },
    session::{
        Session,
        health::{self, Health},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) async fn report(
    subject: &Subject,
    credential: &ManagerCredential,
    context: &Context,
    outcome: Result<Proven, Stop>,
) -> Next {
    let mut status = credential.status.clone().unwrap_or_default();
    if let Some(token) = new_retry(credential) {
        status.last_handled_retry = Some(token);
    }
    judge(subject, context, &outcome);
    let given = match outcome {
        Err(Stop::Quiet) => return Next::Wait,
        Err(Stop::Stale) => return Next::Stale,
        Ok(_) => None,
        Err(Stop::Trouble(trouble)) => Some(advice::add(trouble, credential)),
    };
    // Credentials that were proven serve on while those that are given do not work.
    let (readiness, trouble) = if let Some(proven) = context.accounts.proven(&subject.node) {
        describe(&mut status, &proven);
        tell_if_shared(subject, credential, context, &proven.session);
        let advised = |trouble| advice::add(trouble, credential);
        let account = account_trouble(&proven.session, &subject.node, &context.installation.name).map(advised);
        set_authenticated(&mut status, subject, account.as_ref(), given.as_ref());
        let readiness = match reachable_trouble(&proven.session).map(advised) {
            None => Readiness::Ready,
            Some(trouble) => Readiness::NotReady(trouble.reason, trouble.message),
        };
        (readiness, account.or(given))
    } else {
        let shown = status.reachability.take();
        status.reachability = given.as_ref().and_then(|trouble| unproven(shown, trouble, &status));
        if let Some(refused) = given.as_ref().filter(|trouble| is_refusal(trouble)) {
            refuse(&mut status, subject, refused);
        }
        (Readiness::Unchanged, given)
    };
    let readiness = match (readiness, &trouble) {
        // Without an account nothing is ready, whatever was before.
        (Readiness::Unchanged, Some(trouble)) => Readiness::NotReady(trouble.reason, trouble.message.clone()),
        (readiness, _) => readiness,
    };
    report::set_conditions(&mut status, subject.generation, readiness, trouble.as_ref());
    let next = report::next_after(trouble.as_ref());
    report::write(context, subject, credential, credential.status.as_ref(), &status, next).await
}

/// Tells once if somebody else uses the account, too: two installations know of each other only by what each has claimed there.
fn tell_if_shared(subject: &Subject, credential: &ManagerCredential, context: &Context, session: &Session) {
    let installation = &context.installation.name;
    let (is_complete, others) = {
        let mirror = session.mirror();
        (mirror.is_complete(), mirror.claimed_elsewhere(installation))
    };
    if is_complete && others > 0 && context.memory.is_news_that_shared(subject) {
        let note = format!(
            "{others} object(s) of the account are claimed by another client than installation {installation}; they are left alone. A set of \
             credentials belongs to one application in one environment, but for the time that resources move to another cluster"
        );
        let regarding = object_reference(credential);
        context.events.publish(regarding, true, Reason::AccountShared.as_str(), &note);
    }
}

/// Tells dependants what to think of the credential.
pub(super) fn judge(subject: &Subject, context: &Context, outcome: &Result<Proven, Stop>) {
    let (verdict, may_recover) = match outcome {
        Ok(proven) => (Verdict::Ready(proven.session.clone()), true),
        Err(Stop::Quiet | Stop::Stale) => return,
        // Credentials that were proven serve on while a change of them does not work.
        Err(Stop::Trouble(trouble)) => {
            if let Some(proven) = context.accounts.proven(&subject.node) {
                (Verdict::Ready(proven.session), true)
            } else {
                let verdict = Verdict::NotReady(trouble.reason, trouble.message.clone());
                (verdict, trouble.retry != Retry::OnChange)
            }
        }
    };
    context.accounts.judge(&subject.node, verdict, may_recover);
}

pub(super) async fn suspended(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Next {
    // What was proven serves on; nothing new is tried.
    let verdict = match context.accounts.proven(&subject.node) {
        Some(proven) => Verdict::Ready(proven.session),
        None => Verdict::NotReady(Reason::Suspended, "spec.suspend is set".to_owned()),
    };
    context.accounts.judge(&subject.node, verdict, false);
    let mut status = credential.status.clone().unwrap_or_default();
    report::set_suspended(&mut status, subject.generation);
    report::write(context, subject, credential, credential.status.as_ref(), &status, Next::Wait).await
}

/// The `retry` token, if it was not acted on yet.
pub(super) fn new_retry(credential: &ManagerCredential) -> Option<String> {
    let handled = credential
        .status
        .as_ref()
        .and_then(|status| status.last_handled_retry.as_ref());
    retry::new_token(credential, handled)
}

fn describe(status: &mut ManagerCredentialStatus, proven: &Proven) {
    let identity = &proven.identity;
    status.manager_id = Some(identity.manager_id.clone());
    status.account = Some(proven.session.account().as_str().to_owned());
    status.identity = Some(Identity {
        name: identity.name.clone(),
        region: identity.region.clone(),
        api_version: identity.api_version.clone(),
    });
    let same_key = status.active_key.as_ref().is_some_and(|key| key.fingerprint == proven.access);
    if !same_key {
        status.active_key = Some(ActiveKey {
            fingerprint: proven.access.clone(),
            secret_resource_version: proven.secret_version.clone(),
        });
    }
    status.channels = identity
        .channels
        .iter()
        .map(|(kind, support)| OfferedChannel {
            channel_type: channel_type(*kind),
            support: channel_support(*support),
        })
        .collect();
    status.reachability = Some(reachability(&proven.session));
}

/// What a session says. It says another thing only when something turns, not at each attempt of an outage, so that an
/// outage is one write however long it lasts.
fn reachability(session: &Session) -> Reachability {
    match (session.health(), session.throttled()) {
        (Health::Starting | Health::Up, None) => Reachability {
            breaker: Breaker::Closed,
            max_concurrent_requests: None,
            next_attempt_time: None,
            cause: None,
        },
        (Health::Starting | Health::Up, Some(throttled)) => Reachability {
            breaker: Breaker::Closed,
            max_concurrent_requests: Some(throttled.least),
            next_attempt_time: Some(Time(throttled.until)),
            cause: Some("RateLimited: the manager asks for fewer requests; changes take longer".to_owned()),
        },
        (Health::Down { cause, next_time, .. }, _) => Reachability {
            breaker: Breaker::Open,
            max_concurrent_requests: None,
            next_attempt_time: Some(Time(next_time)),
            cause: Some(cause.message),
        },
        (Health::Refused { cause }, _) => Reachability {
            breaker: Breaker::Open,
            max_concurrent_requests: None,
            next_attempt_time: None,
            cause: Some(cause.message),
        },
    }
}

/// The same while nothing is proven yet: there is no session, and the reconciler itself tries again.
fn unproven(shown: Option<Reachability>, trouble: &Trouble, status: &ManagerCredentialStatus) -> Option<Reachability> {
    let wait = match trouble.retry {
        Retry::After(wait) => wait,
        Retry::BackOff => health::FIRST_WAIT,
        Retry::OnChange | Retry::OnRecovery => return None,
    };
    if matches!(trouble.reason, Reason::KubernetesUnavailable | Reason::NeverSettles) {
        return shown;
    }
    if !trouble.reason.ends_by_itself() {
        return None;
    }
    let told = status.condition(ConditionType::Synced).map(|synced| synced.reason.as_str());
    let is_same_outage = told == Some(trouble.reason.as_str()) && wait <= health::MAX_WAIT;
    shown
        .filter(|shown| is_same_outage && shown.breaker == Breaker::Open)
        .or_else(|| {
            Some(Reachability {
                breaker: Breaker::Open,
                max_concurrent_requests: None,
                next_attempt_time: Some(Time(health::timestamp(wait))),
                cause: Some(one_line(&trouble.message, 512)),
            })
        })
}

/// What is wrong with reaching the account.
fn reachable_trouble(session: &Session) -> Option<Trouble> {
    match session.health() {
        Health::Starting | Health::Up => None,
        // The session tries again by itself, and wakes the credential when that changes anything.
        Health::Down { cause, .. } | Health::Refused { cause } => {
            let reason = trouble::reason(&cause.class);
            Some(Trouble {
                retry: trouble::retry_of_account(reason),
                ..Trouble::new(reason, &cause.message)
            })
        }
    }
}

/// What is wrong with the account as such.
pub(super) fn account_trouble(session: &Session, node: &Node, installation: &str) -> Option<Trouble> {
    let superseded = || {
        session.superseded().map(|_| {
            let message = format!(
                "the manager refuses the writes of this operator, because another one that goes by the installation name \
                 {installation} began to write to the account later; one of the two is rather a restored or cloned cluster. \
                 Nothing is changed at the manager until this is put right: stop one of them, or start this one with a name of \
                 its own (--installation), which then has to adopt what it is to manage. If the other one is gone already, \
                 restart this one"
            );
            Trouble::new(Reason::Superseded, message)
        })
    };
    reachable_trouble(session).or_else(superseded).or_else(|| {
        session.frozen().map(|lost| {
            let message = format!(
                "{} of {} objects vanished from the account at once, so writes are frozen. Look at the manager; if this is right: \
                 kubectl annotate managercredential --namespace {} {} --overwrite {}=\"$(date +%s)\"",
                lost.vanished,
                lost.of,
                node.namespace,
                node.name,
                annotation::RETRY
            );
            Trouble::new(Reason::ObservationSuspicious, message)
        })
    })
}

/// Whether the manager refused to authenticate, or must not be asked to.
pub(super) fn is_refusal(trouble: &Trouble) -> bool {
    matches!(
        trouble.reason,
        Reason::InvalidCredentials
            | Reason::CredentialsRevoked
            | Reason::MethodNotConfigured
            | Reason::ClockSkew
            | Reason::AuthenticationRefused
            | Reason::AccountChanged
    )
}

fn refuse(status: &mut ManagerCredentialStatus, subject: &Subject, trouble: &Trouble) {
    let (generation, kind) = (subject.generation, ConditionType::Authenticated);
    report::set_condition(status, generation, kind, false, trouble.reason, &trouble.message);
}

/// Says whether the account is open, with which key, and why the given one is not it.
fn set_authenticated(
    status: &mut ManagerCredentialStatus,
    subject: &Subject,
    account: Option<&Trouble>,
    given: Option<&Trouble>,
) {
    if let Some(refused) = account.filter(|trouble| is_refusal(trouble)) {
        return refuse(status, subject, refused);
    }
    let active = status.active_key.as_ref().map_or("", |key| key.fingerprint.as_str());
    let message = match given {
        None => String::new(),
        Some(given) => format!(
            "the key proven last ({active}) serves on; what is given now does not work: {}: {}",
            given.reason, given.message
        ),
    };
    let (generation, kind) = (subject.generation, ConditionType::Authenticated);
    report::set_condition(
        status,
        generation,
        kind,
        true,
        Reason::Authenticated,
        &one_line(&message, 1000),
    );
}

fn channel_support(support: Support) -> ChannelSupport {
    match support {
        Support::Create => ChannelSupport::Create,
        Support::AdoptOnly => ChannelSupport::AdoptOnly,
        Support::Unsupported => ChannelSupport::Unsupported,
    }
}

/// The resource's word for a channel.
pub(crate) fn channel_type(kind: ChannelKind) -> ChannelType {
    match kind {
        ChannelKind::WebMessaging => ChannelType::WebMessaging,
        ChannelKind::ClientChannel => ChannelType::ClientChannel,
        ChannelKind::FacebookMessenger => ChannelType::FacebookMessenger,
        ChannelKind::WhatsApp => ChannelType::WhatsApp,
        ChannelKind::Sms => ChannelType::Sms,
        ChannelKind::AppleMessages => ChannelType::AppleMessages,
        ChannelKind::TwitterDirectMessage => ChannelType::TwitterDirectMessage,
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Why an object is not as declared, and when it is tried again.
//!
//! The error class alone decides both; this is the only place that maps it.

use std::time::Duration;

use crate::{
    api,
    kubernetes::client::WriteError,
    manager::error::{AuthenticationFault, ClaimedBy, Class, Error, Outage, one_line},
    session::{Failure, health},
};

use super::reason::Reason;

/// Least wait before another attempt, whatever the manager says.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// What stopped a reconcile.
#[derive(Clone, Debug)]
pub enum Stop {
    /// Something to report.
    Trouble(Trouble),
    /// Not known yet, or not this object's business: leave the status alone. Whatever changes that wakes the object.
    Quiet,
    /// What the reconcile was based on has changed: do it again soon.
    Stale,
}

/// Something to report.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Why.
    pub reason: Reason,
    /// For people: what, why, how to put it right.
    pub message: String,
    /// When to try again.
    pub retry: Retry,
    /// The plan that waits for approval.
    pub plan: Option<Box<api::Plan>>,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// When something changes; and, rarely, without.
    OnChange,
    /// When the manager can be reached again: the session tells.
    OnRecovery,
    /// With growing waits.
    BackOff,
    /// After this time.
    After(Duration),
}

impl Trouble {
    /// Trouble that ends when something changes.
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Self {
            reason,
            message: one_line(message.as_ref(), 1000),
            retry: Retry::OnChange,
            plan: None,
        }
    }
}

/// When an object goes on that is held up by its account, for this reason.
pub fn retry_of_account(reason: Reason) -> Retry {
    if reason.ends_by_itself() {
        Retry::OnRecovery
    } else {
        Retry::OnChange
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The reason for a manager's error.
pub fn reason(class: &Class) -> Reason {
    match class {
        Class::Unauthenticated(AuthenticationFault::WrongKey) => Reason::InvalidCredentials,
        Class::Unauthenticated(AuthenticationFault::Revoked) => Reason::CredentialsRevoked,
        Class::Unauthenticated(AuthenticationFault::WrongMethod) => Reason::MethodNotConfigured,
        Class::Unauthenticated(AuthenticationFault::ClockSkew) => Reason::ClockSkew,
        Class::Unauthenticated(AuthenticationFault::Refused) => Reason::AuthenticationRefused,
        Class::Forbidden => Reason::Forbidden,
        Class::Withheld => Reason::OutputsIncomplete,
        Class::Invalid { .. } | Class::NotFound => Reason::Rejected,
        Class::CredentialsRejected { .. } => Reason::ChannelCredentialsRejected,
        Class::AlreadyClaimed { .. } => Reason::AlreadyClaimed,
        Class::InUse => Reason::InterfaceNotEmpty,
        Class::QuotaExceeded => Reason::QuotaExceeded,
        Class::RateLimited { .. } => Reason::RateLimited,
        Class::ReplaceRequired { .. } => Reason::ReplaceRequired,
        Class::Unsupported => Reason::ChannelUnsupported,
        Class::NotAllowed => Reason::HostNotAllowed,
        Class::Unavailable(Outage::Unreachable) => Reason::ManagerUnreachable,
        Class::Unavailable(Outage::Timeout) => Reason::ManagerTimeout,
        Class::Unavailable(Outage::Tls) => Reason::TLSFailed,
        Class::Unavailable(Outage::ServerError { .. }) | Class::Stale => Reason::ManagerUnavailable,
        Class::Superseded => Reason::Superseded,
        Class::Unavailable(Outage::UnexpectedResponse) => Reason::UnexpectedResponse,
    }
}

/// Trouble from a manager's error.
pub fn manager_trouble(error: &Error) -> Trouble {
    let retry = match health::retry_after(error) {
        Some(wait) => Retry::After(health::spread(wait.max(LEAST_WAIT))),
        None if error.class.is_transient() => Retry::BackOff,
        None => Retry::OnChange,
    };
    Trouble {
        retry,
        ..Trouble::new(reason(&error.class), &error.message)
    }
}

/// What a failed request to a session means for the object that made it.
impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Manager(Error {
                class:
                    Class::Stale
                    | Class::NotFound
                    | Class::AlreadyClaimed {
                        by: ClaimedBy::Reference,
                        holder: Some(_),
                    },
                ..
            }) => Self::Stale,
            // Without the holder nothing can be learnt from it.
            Failure::Manager(
                error @ Error {
                    class:
                        Class::AlreadyClaimed {
                            by: ClaimedBy::Reference,
                            holder: None,
                        },
                    ..
                },
            ) => Trouble {
                retry: Retry::BackOff,
                ..manager_trouble(&error)
            }
            .into(),
            Failure::Manager(error) => manager_trouble(&error).into(),
            // The session wakes whom it turned away.
            Failure::Down(error) => Trouble {
                retry: retry_of_account(reason(&error.class)),
                ..Trouble::new(
                    Reason::CredentialNotReady,
                    format!("{}: {}", reason(&error.class), error.message),
                )
            }
            .into(),
            Failure::Superseded(_) => {
                let message =
                    "Superseded: another operator of the same installation writes to this account; see the ManagerCredential";
                Trouble::new(Reason::CredentialNotReady, message).into()
            }
            Failure::Frozen => {
                let message = "ObservationSuspicious: much of the account vanished at once, so writes are frozen; see the ManagerCredential";
                Trouble::new(Reason::CredentialNotReady, message).into()
            }
            Failure::NotLeading => Self::Quiet,
        }
    }
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict | WriteError::AlreadyExists => Self::Stale,
            WriteError::Gone | WriteError::NotLeading => Self::Quiet,
            WriteError::Timeout => {
                let trouble = Trouble::new(
                    Reason::KubernetesUnavailable,
                    "the Kubernetes API did not answer a write in time",
                );
                Trouble {
                    retry: Retry::BackOff,
                    ..trouble
                }
                .into()
            }
            WriteError::Api(error) => kubernetes_trouble(&error).into(),
        }
    }
}

/// Trouble from an error of the Kubernetes API.
pub fn kubernetes_trouble(error: &kube::Error) -> Trouble {
    let message = match error {
        kube::Error::Api(status) => format!("the Kubernetes API answered {}: {}", status.code, status.message),
        other => format!("the Kubernetes API cannot be asked: {other}"),
    };
    Trouble {
        retry: Retry::BackOff,
        ..Trouble::new(Reason::KubernetesUnavailable, message)
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The closed error classes. The class alone decides condition, event, metric label and requeue.

use std::time::Duration;

use thiserror::Error as ThisError;

use super::values::RemoteId;

/// What went wrong with a call to a manager. The texts never contain a secret.
#[derive(Clone, Debug, ThisError)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub class: Class,
    /// For people; bounded and free of control characters.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The manager does not accept the credentials.
    Unauthenticated(AuthenticationFault),
    /// The credentials do not allow it.
    Forbidden,
    /// The manager does not tell the secret that it generated: it told it once.
    Withheld,
    /// There is no such object.
    NotFound,
    /// The manager refuses a value.
    Invalid {
        /// Pointer of the field in the words of the resource, if the manager said.
        field: Option<String>,
    },
    /// The provider refused the channel's secrets.
    CredentialsRejected {
        /// Name of the secret, if the manager said.
        field: Option<String>,
    },
    /// Another object has the natural key or the reference.
    AlreadyClaimed {
        /// The object that has it, if the manager said.
        holder: Option<RemoteId>,
        /// What is taken.
        by: ClaimedBy,
    },
    /// The object still has dependants at the manager.
    InUse,
    /// The account is full.
    QuotaExceeded,
    /// Too many requests.
    RateLimited {
        /// When to go on.
        retry_after: Option<Duration>,
    },
    /// The field can only be changed by replacing the object.
    ReplaceRequired {
        /// Pointers of the fields.
        fields: Vec<String>,
    },
    /// The manager does not offer it.
    Unsupported,
    /// The object has changed since it was looked at: look again.
    Stale,
    /// A successor of this process has written: stop.
    Superseded,
    /// The operator's own settings forbid to call that host.
    NotAllowed,
    /// No usable answer.
    Unavailable(Outage),
}

/// Why credentials are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationFault {
    /// Unknown Manager ID, or wrong key.
    WrongKey,
    /// The key was revoked.
    Revoked,
    /// The method provisioned for this Manager ID is the other one.
    WrongMethod,
    /// The clocks are too far apart.
    ClockSkew,
    /// Refused for another reason.
    Refused,
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimedBy {
    /// The external reference.
    Reference,
    /// Page, number, business ID, handle or name.
    NaturalKey,
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No connection, or it broke.
    Unreachable,
    /// No complete answer in time.
    Timeout,
    /// TLS failed: a certificate that is not trusted, expired or for another name.
    Tls,
    /// 5xx.
    ServerError {
        /// When to try again, if the manager said.
        retry_after: Option<Duration>,
    },
    /// Not an answer of the contract: HTML, broken JSON, a redirect, too large.
    UnexpectedResponse,
}

impl Class {
    /// Whether trying again without any change can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unavailable(_))
    }

    /// Label of metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Withheld => "withheld",
            Self::NotFound => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::CredentialsRejected { .. } => "credentials_rejected",
            Self::AlreadyClaimed { .. } => "already_claimed",
            Self::InUse => "in_use",
            Self::QuotaExceeded => "quota_exceeded",
            Self::RateLimited { .. } => "rate_limited",
            Self::ReplaceRequired { .. } => "replace_required",
            Self::Unsupported => "unsupported",
            Self::Stale => "stale",
            Self::Superseded => "superseded",
            Self::NotAllowed => "not_allowed",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl Error {
    /// An error whose message is made safe to show: one line, at most 512 characters.
    pub fn new(class: Class, message: impl AsRef<str>) -> Self {
        Self {
            class,
            message: one_line(message.as_ref(), 512),
        }
    }
}

/// Text from elsewhere made safe to show: control characters, and those that break lines or turn the order of others around
/// without being seen, become spaces, and it has at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let safe = text.chars().map(|c| if is_unsafe(c) { ' ' } else { c });
    if text.chars().nth(limit).is_none() {
        return safe.collect();
    }
    safe.take(limit.saturating_sub(1)).chain(['…']).collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\nb\u{1b}[31m", 20), "a b [31m");
        assert_eq!(one_line("a\u{2028}b\u{202e}c\u{feff}", 20), "a b c ");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert_eq!(one_line("äöüß!", 4), "äöü…");
    }
}

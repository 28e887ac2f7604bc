// SPDX-License-Identifier: Apache-2.0

//! Every refusal as a problem document. What went wrong inside is logged, not told.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{
    header::PROBLEM_JSON,
    problem::{Code, FieldProblem, Problem},
};
use tracing::error;

use crate::{authentication::Refused, store::WriteError, token::RandomError};

/// An answer that is not a success.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    code: Code,
    detail: String,
    errors: Vec<FieldProblem>,
    existing_id: Option<String>,
    retry_after_seconds: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            existing_id: None,
            retry_after_seconds: None,
        }
    }

    /// With the fields that are wrong.
    pub(crate) fn fields(code: Code, errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.detail),
            several => format!("{} fields of the request are wrong", several.len()),
        };
        Self {
            errors,
            ..Self::new(code, detail)
        }
    }

    /// With one field that is wrong.
    pub(crate) fn field(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(
            code,
            vec![FieldProblem {
                pointer: pointer.into(),
                detail: detail.into(),
            }],
        )
    }

    pub(crate) fn held_by(mut self, id: String) -> Self {
        self.existing_id = Some(id);
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what} in this account"))
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::MalformedRequest, detail)
    }

    pub(crate) fn internal() -> Self {
        Self::new(Code::Internal, "the manager failed; its log says why")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let name = code_name(self.code);
        let problem = Problem {
            problem_type: format!("urn:digitalmessaging:problem:{name}"),
            title: title(self.code).to_owned(),
            status,
            detail: Some(self.detail),
            code: self.code,
            errors: self.errors,
            existing_id: self.existing_id,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
        let mut response = (status, content_type, body).into_response();
        let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        if let Some(seconds) = self.retry_after_seconds {
            set(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, ApiKey"));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so the connection cannot be used again.
            set(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::new(Code::Unavailable, "the manager is overloaded").retry_after(1);
        }
        error!(error = &error as &dyn std::error::Error, "the database failed");
        Self::internal()
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::EpochSuperseded { .. } => Self::new(Code::EpochSuperseded, error.to_string()),
            WriteError::TooManyInstallations => Self::new(Code::QuotaExceeded, error.to_string()),
            WriteError::Database(source) => source.into(),
        }
    }
}

impl From<RandomError> for Refusal {
    fn from(error: RandomError) -> Self {
        error!(%error, "cannot make a secret");
        Self::internal()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        use digital_messaging_contract::signing::VerifyError;
        let code = match refused {
            Refused::Revoked => Code::RevokedCredentials,
            Refused::OtherMethod(_) => Code::MethodNotConfigured,
            Refused::Token(VerifyError::ClockSkew) => Code::ClockSkew,
            Refused::Token(VerifyError::Mismatch(_)) => Code::TokenMismatch,
            Refused::Missing | Refused::Invalid | Refused::TokenId | Refused::Token(_) => Code::InvalidCredentials,
        };
        Self::new(code, refused.to_string())
    }
}

/// The name on the wire.
fn code_name(code: Code) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "internal".to_owned(),
    }
}

fn title(code: Code) -> &'static str {
    match code {
        Code::MalformedRequest => "Malformed request",
        Code::InvalidCredentials => "Invalid credentials",
        Code::RevokedCredentials => "Revoked credentials",
        Code::MethodNotConfigured => "Authentication method not configured",
        Code::ClockSkew => "Clock skew",
        Code::TokenReplayed => "Token replayed",
        Code::TokenMismatch => "Token made for another request",
        Code::Forbidden => "Forbidden",
        Code::QuotaExceeded => "Quota exceeded",
        Code::SecretWithheld => "Secret withheld",
        Code::NotFound => "Not found",
        Code::MethodNotAllowed => "Method not allowed",
        Code::ReferenceExists => "External reference exists",
        Code::NaturalKeyClaimed => "Natural key claimed",
        Code::InterfaceNotEmpty => "Interface not empty",
        Code::RevisionCompacted => "Revision compacted",
        Code::RevisionMismatch => "Revision mismatch",
        Code::EpochSuperseded => "Epoch superseded",
        Code::BodyTooLarge => "Body too large",
        Code::UnsupportedMediaType => "Unsupported media type",
        Code::ValidationFailed => "Validation failed",
        Code::CredentialsRejected => "Credentials rejected",
        Code::ChannelUnsupported => "Channel unsupported",
        Code::ReplaceRequired => "Replace required",
        Code::RateLimited => "Rate limited",
        Code::Internal => "Internal error",
        Code::Unavailable => "Unavailable",
    }
}

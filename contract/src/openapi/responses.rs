// SPDX-License-Identifier: Apache-2.0

//! Problem responses, one component for each HTTP status, and the headers of responses.

use serde_json::json;
use utoipa::openapi::{
    Components, ContentBuilder, Header, Ref, Response, ResponseBuilder, Type,
    header::HeaderBuilder,
    schema::{ObjectBuilder, Schema},
};

use super::examples::sorted;
use crate::{
    header::PROBLEM_JSON,
    problem::{Code, FieldProblem, Problem},
};

/// A problem response that operations refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    Gone,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    Unprocessable,
    RateLimited,
    Internal,
    Unavailable,
}

impl Refusal {
    const ALL: [Self; 13] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Unprocessable,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Its name among the components.
    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::Unauthenticated => "Unauthenticated",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Unprocessable => "Unprocessable",
            Self::RateLimited => "RateLimited",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Malformed => "`malformed_request`: not JSON, an unknown query parameter, a bad header.",
            Self::Unauthenticated => {
                "`invalid_credentials` to whoever has no key of the Manager ID. With the right key: `revoked_credentials`, \
                 `method_not_configured`, `clock_skew`, `token_replayed`, `token_mismatch`."
            }
            Self::Forbidden => {
                "`forbidden`; `quota_exceeded`: the account holds as many objects as it may; `secret_withheld`: this manager tells \
                 a generated secret only when it makes it."
            }
            Self::NotFound => "`not_found`: there is no such object in this account.",
            Self::Conflict => {
                "`reference_exists` or `natural_key_claimed`, with the `existingId` of the holder; `interface_not_empty`."
            }
            Self::Gone => "`revision_compacted`: the change feed does not reach back that far. Walk the lists again.",
            Self::PreconditionFailed => {
                "`revision_mismatch`: `If-Match` names another revision. `epoch_superseded`: a higher `Operator-Epoch` of the \
                 same installation was seen."
            }
            Self::BodyTooLarge => "`body_too_large`.",
            Self::UnsupportedMediaType => "`unsupported_media_type`: neither JSON nor a merge patch.",
            Self::Unprocessable => {
                "`validation_failed`, `credentials_rejected`, `channel_unsupported` or `replace_required`; `errors` says which \
                 fields."
            }
            Self::RateLimited => "`rate_limited`: too many requests of this account.",
            Self::Internal => "`internal`: the manager failed. It is safe to repeat the request.",
            Self::Unavailable => "`unavailable`: not now.",
        }
    }

    /// The code that the example has, and the status of all.
    fn code(self) -> Code {
        match self {
            Self::Malformed => Code::MalformedRequest,
            Self::Unauthenticated => Code::InvalidCredentials,
            Self::Forbidden => Code::QuotaExceeded,
            Self::NotFound => Code::NotFound,
            Self::Conflict => Code::ReferenceExists,
            Self::Gone => Code::RevisionCompacted,
            Self::PreconditionFailed => Code::RevisionMismatch,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::UnsupportedMediaType => Code::UnsupportedMediaType,
            Self::Unprocessable => Code::ValidationFailed,
            Self::RateLimited => Code::RateLimited,
            Self::Internal => Code::Internal,
            Self::Unavailable => Code::Unavailable,
        }
    }

    /// The HTTP status as documents write it.
    pub(super) fn status(self) -> String {
        self.code().status().to_string()
    }

    /// A reference to the component.
    pub(super) fn reference(self) -> Ref {
        Ref::from_response_name(self.name())
    }

    fn response(self) -> Response {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .example(Some(sorted(json!(self.example()))))
            .build();
        let response = ResponseBuilder::new()
            .description(self.description())
            .content(PROBLEM_JSON, content);
        match self {
            Self::RateLimited | Self::Unavailable => response.header_ref("Retry-After", header_reference("Retry-After")),
            Self::Unauthenticated => response
                .header_ref("WWW-Authenticate", header_reference("WWW-Authenticate"))
                .header_ref("Date", header_reference("Date")),
            _ => response,
        }
        .build()
    }

    fn example(self) -> Problem {
        let code = self.code();
        let name = serde_json::to_value(code)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default();
        let field = |pointer: &str, detail: &str| {
            vec![FieldProblem {
                pointer: pointer.to_owned(),
                detail: detail.to_owned(),
            }]
        };
        Problem {
            problem_type: format!("urn:digitalmessaging:problem:{name}"),
            title: self.title().to_owned(),
            status: code.status(),
            detail: None,
            code,
            errors: match self {
                Self::Conflict => field(
                    "/externalReference",
                    "another object of this account has this external reference",
                ),
                Self::Unprocessable => field("/secrets/authToken", "missing: sms needs it"),
                _ => Vec::new(),
            },
            existing_id: (self == Self::Conflict).then(|| "cn_0f8fad5bd9cb469fa16570867728950e".to_owned()),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed request",
            Self::Unauthenticated => "Invalid credentials",
            Self::Forbidden => "Quota exceeded",
            Self::NotFound => "Not found",
            Self::Conflict => "External reference exists",
            Self::Gone => "Revision compacted",
            Self::PreconditionFailed => "Revision mismatch",
            Self::BodyTooLarge => "Body too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Unprocessable => "Validation failed",
            Self::RateLimited => "Rate limited",
            Self::Internal => "Internal error",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// Adds the responses and headers.
pub(super) fn add_to(mut components: Components) -> Components {
    for refusal in Refusal::ALL {
        components
            .responses
            .insert(refusal.name().to_owned(), refusal.response().into());
    }
    for (name, schema_type, description) in [
        ("ETag", Type::String, "The object's revision, quoted: what `If-Match` takes."),
        ("Location", Type::String, "URL of the new object."),
        ("Retry-After", Type::Integer, "Seconds to wait before the next request."),
        ("WWW-Authenticate", Type::String, "The schemes: `Bearer, ApiKey`."),
        ("Date", Type::String, "The manager's clock. On every answer."),
    ] {
        components
            .headers
            .insert(name.to_owned(), header(schema_type, description).into());
    }
    components
}

/// A reference to a header component.
pub(super) fn header_reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

fn header(schema_type: Type, description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(schema_type).build();
    HeaderBuilder::new()
        .schema(Some(Schema::from(schema)))
        .description(Some(description))
        .build()
}

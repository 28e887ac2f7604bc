// SPDX-License-Identifier: Apache-2.0

//! One signed request, and its answer as a value or an error class.

use std::time::Duration;

use contract::{account::AuthenticationMethod, problem::Code, secret::SecretValue, signing};
use digital_messaging_contract as contract;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    manager::{
        connect::Access,
        error::{AuthenticationFault, ClaimedBy, Class, Error, Outage, one_line},
        transport::{Answer, Bounds, MAX_LIST, MAX_OBJECT, exchange},
        write::Fence,
    },
    telemetry::traces,
};

/// A request that is not signed yet.
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    if_match: Option<u64>,
    fence: Option<Fence>,
    bounds: Bounds,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            if_match: None,
            fence: None,
            bounds: Bounds {
                wait: Duration::ZERO,
                body: MAX_OBJECT,
            },
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn query(mut self, name: &'static str, value: String) -> Self {
        self.query.push((name, value));
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn if_match(mut self, revision: u64) -> Self {
        self.if_match = Some(revision);
        self
    }

    pub(super) fn fenced(mut self, fence: &Fence) -> Self {
        self.fence = Some(fence.clone());
        self
    }

    pub(super) fn waiting(mut self, wait: Duration) -> Self {
        self.bounds.wait = wait;
        self
    }

    /// The answer lists objects.
    pub(super) fn listing(mut self) -> Self {
        self.bounds.body = MAX_LIST;
        self
    }

    /// The secrets in the body.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let secrets = self.body.as_ref().and_then(|body| body.get("secrets"));
        secrets
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(_, secret)| secret.as_str())
    }
}

/// `contract::account::Account`, lenient towards channel types that this version does not know.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LenientAccount {
    pub(super) manager_id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) region: String,
    #[serde(default)]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) channels: Vec<Value>,
    /// The contract asks for it; only who cannot says so.
    #[serde(default)]
    pub(super) unique_references: Option<bool>,
}

pub(super) struct Caller {
    client: reqwest::Client,
    access: Access,
    key: SecretValue,
}

impl Caller {
    pub(super) fn new(client: reqwest::Client, access: Access) -> Self {
        let key = SecretValue::from(access.manager_key.expose_secret());
        Self { client, access, key }
    }

    /// Sends a call whose answer is a value.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let answer = self.send(call).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            // The text of a serde error names fields and types; `invalid value: string "…"` would repeat a value, so only its place is told.
            let place = format!("line {} column {}", error.line(), error.column());
            Error::new(
                Class::Unavailable(Outage::UnexpectedResponse),
                format!(
                    "the manager's answer is not the JSON of the contract ({place}, {})",
                    content_type(&answer.headers)
                ),
            )
        })
    }

    /// Sends a call that makes something disappear: it is a success that it is not there.
    pub(super) async fn gone(&self, call: Call) -> Result<(), Error> {
        match self.send(call).await {
            Ok(_)
            | Err(Error {
                class: Class::NotFound, ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, call: Call) -> Result<Answer, Error> {
        let bounds = call.bounds;
        let mut sent: Vec<String> = call.secrets().map(str::to_owned).collect();
        let request = self.request(call)?;
        let authorization = request.headers().get(header::AUTHORIZATION);
        let token = authorization.and_then(|value| value.to_str().ok()?.split_once(' '));
        sent.extend(token.map(|(_, token)| token.to_owned()));
        let answer = exchange(&self.client, request, bounds).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(failure(&answer, &sent))
        }
    }

    fn request(&self, call: Call) -> Result<reqwest::Request, Error> {
        let unsendable = |what: &str| Error::new(Class::Invalid { field: None }, format!("the request cannot be sent: {what}"));
        let mut url =
            url::Url::parse(&format!("{}{}", self.access.endpoint.as_str(), call.path)).map_err(|_| unsendable("bad URL"))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut headers = HeaderMap::new();
        self.authenticate(&mut headers, &call.method, &url, &body)?;
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, application/problem+json"),
        );
        if call.body.is_some() {
            let media_type = if call.method == Method::PATCH {
                contract::header::MERGE_PATCH_JSON
            } else {
                "application/json"
            };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        traces::inject(&mut headers);
        let mut insert = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value).map_err(|_| unsendable(name))?;
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        if let Some(revision) = call.if_match {
            insert("if-match", format!("\"{revision}\""))?;
        }
        if let Some(fence) = &call.fence {
            insert(
                contract::header::OPERATOR_EPOCH,
                format!("{}/{}", fence.installation, fence.epoch),
            )?;
        }
        let mut request = reqwest::Request::new(call.method, url);
        *request.headers_mut() = headers;
        if call.body.is_some() {
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }

    fn authenticate(&self, headers: &mut HeaderMap, method: &Method, url: &url::Url, body: &str) -> Result<(), Error> {
        let invalid = |what: &str| {
            Error::new(
                Class::Invalid { field: None },
                format!("{what} contains characters that cannot be sent in a header"),
            )
        };
        let authorization = match self.access.method {
            AuthenticationMethod::ApiKey => {
                let id = HeaderValue::from_str(&self.access.manager_id).map_err(|_| invalid("the Manager ID"))?;
                headers.insert(contract::header::MANAGER_ID, id);
                format!("ApiKey {}", self.key.expose())
            }
            AuthenticationMethod::Jwt => {
                let audience = self.access.endpoint.origin();
                let request = signing::Request {
                    method: method.as_str(),
                    url: url.as_str(),
                    audience: &audience,
                    body: body.as_bytes(),
                };
                let token = signing::sign(&self.access.manager_id, &self.key, &request, Timestamp::now())
                    .map_err(|error| Error::new(Class::Invalid { field: None }, error.to_string()))?;
                format!("Bearer {token}")
            }
        };
        let mut value = HeaderValue::try_from(authorization).map_err(|_| invalid("the Manager Key"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

/// What a failed answer means. Only a problem of the contract is believed: a 404 from something in between that
/// does not know the path must never look like a connection that is gone.
///
/// What was `sent` of secrets is taken out of the words: a manager that repeats it must not get it into a status.
fn failure(answer: &Answer, sent: &[String]) -> Error {
    let retry_after = retry_after(&answer.headers);
    let Ok(mut problem) = serde_json::from_slice::<Problem>(&answer.body) else {
        return unexplained(answer, retry_after);
    };
    problem.errors.truncate(MAX_FIELDS);
    for error in &mut problem.errors {
        error.pointer = one_line(&without(&error.pointer, sent), 256);
    }
    let message = match (&problem.detail, problem.errors.as_slice()) {
        (_, [first, ..]) => format!("{}: {}", first.pointer.clone(), first.detail),
        (Some(detail), []) => detail.clone(),
        (None, []) => problem.title.clone(),
    };
    let message = without(&message, sent);
    let field = || problem.errors.first().map(|error| error.pointer.clone());
    let code: Option<Code> = serde_json::from_value(Value::String(problem.code.clone())).ok();
    let Some(code) = code else {
        return Error {
            message: Error::new(Class::Forbidden, message).message,
            ..unexplained(answer, retry_after)
        };
    };
    let holder = || problem.existing_id.as_deref().and_then(|id| id.parse().ok());
    let class = match code {
        Code::InvalidCredentials => Class::Unauthenticated(AuthenticationFault::WrongKey),
        Code::RevokedCredentials => Class::Unauthenticated(AuthenticationFault::Revoked),
        Code::MethodNotConfigured => Class::Unauthenticated(AuthenticationFault::WrongMethod),
        Code::ClockSkew => Class::Unauthenticated(AuthenticationFault::ClockSkew),
        // Each request has a token of its own: this very request has been there before, delivered twice on its way.
        Code::TokenReplayed => Class::Unavailable(Outage::UnexpectedResponse),
        Code::TokenMismatch => Class::Unauthenticated(AuthenticationFault::Refused),
        Code::Forbidden => Class::Forbidden,
        Code::QuotaExceeded => Class::QuotaExceeded,
        Code::SecretWithheld => Class::Withheld,
        Code::NotFound => Class::NotFound,
        Code::ReferenceExists => Class::AlreadyClaimed {
            holder: holder(),
            by: ClaimedBy::Reference,
        },
        Code::NaturalKeyClaimed => Class::AlreadyClaimed {
            holder: holder(),
            by: ClaimedBy::NaturalKey,
        },
        Code::InterfaceNotEmpty => Class::InUse,
        Code::RevisionCompacted | Code::RevisionMismatch => Class::Stale,
        Code::EpochSuperseded => Class::Superseded,
        Code::ValidationFailed
        | Code::MalformedRequest
        | Code::BodyTooLarge
        | Code::UnsupportedMediaType
        | Code::MethodNotAllowed => Class::Invalid { field: field() },
        Code::CredentialsRejected => Class::CredentialsRejected { field: field() },
        Code::ChannelUnsupported => Class::Unsupported,
        Code::ReplaceRequired => Class::ReplaceRequired {
            fields: problem.errors.iter().map(|error| error.pointer.clone()).collect(),
        },
        Code::RateLimited => Class::RateLimited { retry_after },
        Code::Internal | Code::Unavailable => Class::Unavailable(Outage::ServerError { retry_after }),
    };
    Error::new(class, message)
}

/// Fields that a refusal names at most.
const MAX_FIELDS: usize = 20;

/// A text without the secrets in it. What is shorter than a secret can be stays: it would be found in any text.
fn without(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret.as_str(), "[secret]");
    }
    text
}

/// A failure without a problem of the contract: only the status is known.
fn unexplained(answer: &Answer, retry_after: Option<Duration>) -> Error {
    let status = answer.status;
    let class = match status {
        StatusCode::TOO_MANY_REQUESTS => Class::RateLimited { retry_after },
        StatusCode::UNAUTHORIZED => Class::Unauthenticated(AuthenticationFault::Refused),
        StatusCode::FORBIDDEN => Class::Forbidden,
        status if status.is_server_error() => Class::Unavailable(Outage::ServerError { retry_after }),
        _ => Class::Unavailable(Outage::UnexpectedResponse),
    };
    let redirect = if status.is_redirection() {
        "; redirects are not followed: put the final address into the endpoint"
    } else {
        ""
    };
    Error::new(
        class,
        format!(
            "the manager answered {status} without a problem of the contract ({}){redirect}",
            content_type(&answer.headers)
        ),
    )
}

/// `contract::problem::Problem`, lenient towards codes that this version does not know.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    title: String,
    detail: Option<String>,
    code: String,
    #[serde(default)]
    errors: Vec<contract::problem::FieldProblem>,
    existing_id: Option<String>,
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("no content type");
    one_line(value, 64)
}

/// `Retry-After` as seconds or as a date, at most an hour.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default()
    };
    Some(wait.min(Duration::from_hours(1)))
}

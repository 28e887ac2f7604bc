// SPDX-License-Identifier: Apache-2.0

//! Reading requests: bodies, query parameters, preconditions and authorship, each refused as a problem document.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use digital_messaging_contract::{change::MAX_PAGE, header::OPERATOR_EPOCH, problem::Code};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{admission::Caller, problem::Refusal};
use crate::store::{Author, Epoch};

/// Longest name of an operator installation.
const MAX_INSTALLATION: usize = 128;

/// A JSON object, of media type JSON or merge patch.
pub(crate) struct JsonObject(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonObject {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let detail = "send application/json, or application/merge-patch+json for an update";
            return Err(Refusal::new(Code::UnsupportedMediaType, detail));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| Refusal::malformed("the body broke off"))?;
        // The error of the parser says where, and never quotes what it read.
        let value: Value = serde_json::from_slice(&body).map_err(|error| {
            Refusal::malformed(format!(
                "the body is not JSON at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err(Refusal::malformed("the body is not a JSON object"))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "application/merge-patch+json")
}

/// Query parameters.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(parameters) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Refusal::malformed(format!("query parameters: {}", rejection.body_text())))?;
        Ok(Self(parameters))
    }
}

/// Query parameters of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListParameters {
    cursor: Option<String>,
    limit: Option<u32>,
    pub(crate) external_reference: Option<String>,
}

impl ListParameters {
    /// The ID to go on after.
    pub(crate) fn after(&self) -> Result<String, Refusal> {
        let Some(cursor) = &self.cursor else {
            return Ok(String::new());
        };
        URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Refusal::malformed("this cursor is not from a list of this manager"))
    }

    pub(crate) fn limit(&self) -> Result<u32, Refusal> {
        page_limit(self.limit)
    }
}

/// The cursor of the page after this ID.
pub(crate) fn cursor_after(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// The page size, within bounds.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit.unwrap_or(MAX_PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit),
        _ => Err(Refusal::malformed(format!("limit is from 1 to {MAX_PAGE}"))),
    }
}

/// What `If-Match` demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// One of these revisions. An entity tag that is not of this manager matches nothing.
    Revisions(Vec<u64>),
}

impl Precondition {
    pub(crate) fn check(&self, revision: u64) -> Result<(), Refusal> {
        match self {
            Self::Revisions(revisions) if !revisions.contains(&revision) => Err(Refusal::new(
                Code::RevisionMismatch,
                format!("the object has changed; its revision is {revision}"),
            )),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut revisions = Vec::new();
        let mut present = false;
        for value in parts.headers.get_all(header::IF_MATCH) {
            let value = value
                .to_str()
                .map_err(|_| Refusal::malformed("If-Match is not a list of entity tags"))?;
            if value.trim() == "*" {
                return Ok(Self::None);
            }
            present = true;
            revisions.extend(value.split(',').filter_map(|tag| revision_of(tag.trim())));
        }
        Ok(if present { Self::Revisions(revisions) } else { Self::None })
    }
}

fn revision_of(tag: &str) -> Option<u64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// The entity tag of a revision.
pub(crate) fn entity_tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

impl<S: Send + Sync> FromRequestParts<S> for Author {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let sender = parts
            .extensions
            .get::<Caller>()
            .map(|caller| caller.sender.clone())
            .ok_or_else(Refusal::internal)?;
        let epoch = parts.headers.get(OPERATOR_EPOCH).map(|value| {
            value
                .to_str()
                .ok()
                .and_then(parse_epoch)
                .ok_or_else(|| Refusal::malformed("Operator-Epoch is <installation>/<epoch>, e.g. production/7"))
        });
        Ok(Self {
            account: sender.manager_id,
            method: parts.method.to_string(),
            epoch: epoch.transpose()?,
            token: sender.token,
        })
    }
}

fn parse_epoch(value: &str) -> Option<Epoch> {
    let (installation, number) = value.rsplit_once('/')?;
    let number = number.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok())?;
    let fits = (1..=MAX_INSTALLATION).contains(&installation.len());
    fits.then(|| Epoch {
        installation: installation.to_owned(),
        number,
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_an_installation_and_a_number() {
        let epoch = |installation: &str, number| {
            Some(Epoch {
                installation: installation.to_owned(),
                number,
            })
        };
        assert_eq!(parse_epoch("production/7"), epoch("production", 7));
        assert_eq!(parse_epoch("cluster/production/7"), epoch("cluster/production", 7));
        for wrong in [
            "7",
            "/7",
            "production/",
            "production/x",
            "production/-1",
            "production/99999999999999999999",
        ] {
            assert_eq!(parse_epoch(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn entity_tags_are_quoted_revisions() {
        assert_eq!(revision_of(&entity_tag(12)), Some(12));
        for wrong in ["12", "W/\"12\"", "\"x\"", "\"\"", "*"] {
            assert_eq!(revision_of(wrong), None, "{wrong}");
        }
    }
}

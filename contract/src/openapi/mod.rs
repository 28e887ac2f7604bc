// SPDX-License-Identifier: Apache-2.0

//! The contract as an OpenAPI 3.1 document, `contract/openapi.yaml`.
//!
//! | Module | Holds |
//! |---|---|
//! | `schemas` | the wire types, and what a merge patch of them looks like |
//! | `operations` | paths, methods, parameters, bodies |
//! | `responses` | problem responses and headers |
//! | `examples` | values that a reader can copy |
//!
//! Regenerate with `cargo run -p digital-messaging-contract > contract/openapi.yaml`; a test fails when the file differs.

mod examples;
mod operations;
mod responses;
mod schemas;

use thiserror::Error;
use utoipa::openapi::{
    Info, License, OpenApi, OpenApiBuilder, Server,
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    tag::Tag,
};

use crate::API_VERSION;

/// Why the document cannot be made. Each is a mistake in this package.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// A schema of the wire types has a form that is not known here.
    #[error("cannot work on the schemas of the wire types")]
    Schema(#[from] serde_json::Error),
    /// It cannot be written as YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(String),
}

const DESCRIPTION: &str = "\
What a messaging manager offers to those who configure it: the account that a Manager ID opens, its interfaces (one bot
experience each) and their connections (one channel each), and a feed of changes.

This contract is the project's own. It is not, and does not claim to be, the interface of any vendor's manager.

**Reading.** Walk `/v1/interfaces` and `/v1/connections` page by page, remember the `revision` of the very first page, then ask
`/v1/changes?since=<revision>&wait=<seconds>` again and again with the `next` of the answer before. `410 revision_compacted`
means that the feed does not reach back that far: walk again.

**Writing.** `externalReference` is the client's own name for an object and unique in the account. Creating a second one is
`409 reference_exists` with the ID of the first: a client that lost an answer asks again and finds what it made.
Updates are merge patches (RFC 7396); `null` returns a member to the manager's default. `If-Match` guards against
overwriting what somebody else changed, `Operator-Epoch` against a former leader whose request was late.

**Secrets.** Secrets of a channel are written and never read back. Secrets that the manager generates are in the answer to the
creation or rotation and otherwise only in `/v1/connections/{id}/jwt-secret`. A rotation has a token of the client's: a second
call with the same one rotates nothing and answers like the first.

**Errors** are problem details (RFC 9457) with a `code` for programs and pointers to the fields that are wrong. What a refusal
of credentials tells depends on what the sender has proven: without a key of the Manager ID it is always `invalid_credentials`.
";

const JWT_DESCRIPTION: &str = "\
A JWT signed by the Manager Key (HS256), made for one request. The key never travels. Claims: `iss` the Manager ID, `aud` the
manager's origin (scheme and authority), `iat`, `exp` at most 5 minutes later, `jti` used once, `htm` the method, `htu` the URL
with its query, `bodySha256` the base64url (without padding) of the SHA-256 of the body, of no bytes if there is none.
Clocks may be 60 seconds apart; beyond that it is `clock_skew`, and the `Date` header tells the manager's time.";

const API_KEY_DESCRIPTION: &str = "\
`ApiKey <Manager Key>`, together with the `Manager-Id` header. Only for Manager IDs that are provisioned for it.";

/// The document.
///
/// # Errors
/// See [`DocumentError`].
pub fn document() -> Result<OpenApi, DocumentError> {
    let mut info = Info::new("Messaging manager contract", API_VERSION);
    info.description = Some(DESCRIPTION.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let mut components = responses::add_to(schemas::components()?);
    components.parameters = operations::parameters();
    components.add_security_scheme("jwt", jwt());
    let api_key = ApiKeyValue::with_description("Authorization", API_KEY_DESCRIPTION);
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(api_key)));
    let manager_id = ApiKeyValue::with_description("Manager-Id", "The Manager ID that the API key belongs to.");
    components.add_security_scheme("managerId", SecurityScheme::ApiKey(ApiKey::Header(manager_id)));
    let mut server = Server::new("https://manager.example");
    server.description = Some("Wherever the manager is; the origin is what tokens are made for.".to_owned());
    Ok(OpenApiBuilder::new()
        .info(info)
        .servers(Some([server]))
        .paths(operations::paths())
        .components(Some(components))
        .security(Some([
            none_of("jwt"),
            none_of("apiKey").add("managerId", Vec::<String>::new()),
        ]))
        .tags(Some([
            tag("account", "What the credentials of a request open."),
            tag("interfaces", "One bot experience each."),
            tag(
                "connections",
                "One channel each, assigned to an interface; one list for the whole account.",
            ),
            tag("changes", "What happened since a revision."),
        ]))
        .build())
}

/// The document as it stands in `contract/openapi.yaml`.
///
/// # Errors
/// See [`DocumentError`].
pub fn to_yaml() -> Result<String, DocumentError> {
    let yaml = document()?
        .to_yaml()
        .map_err(|error| DocumentError::Yaml(error.to_string()))?;
    let command = "cargo run -p digital-messaging-contract > contract/openapi.yaml";
    Ok(format!("# Generated by: {command}\n{yaml}"))
}

fn jwt() -> SecurityScheme {
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.bearer_format = Some("JWT".to_owned());
    scheme.description = Some(JWT_DESCRIPTION.to_owned());
    SecurityScheme::Http(scheme)
}

fn none_of(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, Vec::<String>::new())
}

fn tag(name: &str, description: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(description.to_owned());
    tag
}

/// Header names as documents write them: `Operator-Epoch` for `operator-epoch`.
fn title_case(name: &str) -> String {
    let capitalise = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').map(capitalise).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header;

    #[test]
    fn header_names_are_written_as_in_documents() {
        assert_eq!(title_case(header::OPERATOR_EPOCH), "Operator-Epoch");
        assert_eq!(title_case(header::MANAGER_ID), "Manager-Id");
    }
}

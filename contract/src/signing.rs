// SPDX-License-Identifier: Apache-2.0

//! Authentication of a request: API key, or a JWT that covers method, URL and body.
//!
//! With a JWT the Manager Key never travels. The claims follow RFC 9449 where it has a word for it:
//! `htm` and `htu` bind the token to the method and the URL (here with its query), `jti` makes it good for one use;
//! `bodySha256` binds it to the body, so that a request that carries private data is signed, not just authenticated.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::secret::SecretValue;

/// Longest life of a token: `exp - iat`.
pub const MAX_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// How far the clocks of client and manager may be apart.
pub const CLOCK_LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Life of the tokens this module makes. Short: a token is good for one request.
const LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// What is signed: the parts of a request that must not change on the way.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Scheme, authority, path and query.
    pub url: &'a str,
    /// Origin of the manager: scheme and authority.
    pub audience: &'a str,
    /// The body's bytes, empty if there is none.
    pub body: &'a [u8],
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Manager ID.
    pub iss: String,
    /// Origin of the manager.
    pub aud: String,
    /// Issued at, seconds since the epoch.
    pub iat: i64,
    /// Expires at, at most [`MAX_LIFETIME`] after `iat`.
    pub exp: i64,
    /// Good for one use.
    pub jti: String,
    /// HTTP method.
    pub htm: String,
    /// URL with query.
    pub htu: String,
    /// base64url of the SHA-256 of the body.
    #[serde(rename = "bodySha256")]
    pub body_sha256: String,
}

/// Why a token could not be made.
#[derive(Debug, Error)]
#[error("cannot sign the request")]
pub struct SignError(#[source] jsonwebtoken::errors::Error);

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Not a JWT of this contract.
    #[error("the bearer token is not a JWT (HS256) with the claims of this contract")]
    Malformed,
    /// Signed with another key.
    #[error("the signature does not belong to this Manager ID's key")]
    Signature,
    /// `iat` or `exp` are off by the client's clock.
    #[error("the token is not valid at the manager's time: check the client's clock against the Date header")]
    ClockSkew,
    /// `exp - iat` is longer than [`MAX_LIFETIME`].
    #[error("the token lives longer than 5 minutes")]
    Lifetime,
    /// Made for another manager, method or URL, or for another body.
    #[error("the token was made for another {0}")]
    Mismatch(Part),
}

/// The part of a request that a token does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `aud`
    Audience,
    /// `htm`
    Method,
    /// `htu`
    Url,
    /// `bodySha256`
    Body,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Audience => "audience",
            Self::Method => "method",
            Self::Url => "URL",
            Self::Body => "body",
        })
    }
}

/// Makes the bearer token for one request.
///
/// # Errors
/// If the cryptography library refuses to sign.
pub fn sign(manager_id: &str, manager_key: &SecretValue, request: &Request<'_>, now: Timestamp) -> Result<String, SignError> {
    let issued = now.as_second();
    let claims = Claims {
        iss: manager_id.to_owned(),
        aud: request.audience.to_owned(),
        iat: issued,
        exp: issued.saturating_add(LIFETIME.as_secs()),
        jti: uuid::Uuid::new_v4().to_string(),
        htm: request.method.to_owned(),
        htu: request.url.to_owned(),
        body_sha256: body_digest(request.body),
    };
    let key = EncodingKey::from_secret(manager_key.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(SignError)
}

/// The Manager ID a token says it comes from. Not verified: good for looking up the key, for nothing else.
///
/// # Errors
/// [`VerifyError::Malformed`].
pub fn claimed_issuer(token: &str) -> Result<String, VerifyError> {
    let data = jsonwebtoken::dangerous::insecure_decode::<Claims>(token).map_err(|_| VerifyError::Malformed)?;
    Ok(data.claims.iss)
}

/// Checks a token against the request it came with. Replay (`jti`) is for the caller to check, who has the memory.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(token: &str, manager_key: &SecretValue, request: &Request<'_>, now: Timestamp) -> Result<Claims, VerifyError> {
    // Times are checked below: the library cannot tell a skewed clock from a token that is too old.
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(manager_key.expose().as_bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => VerifyError::Signature,
            _ => VerifyError::Malformed,
        })?
        .claims;
    let leeway = CLOCK_LEEWAY.as_secs();
    let now = now.as_second();
    if claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME.as_secs() || claims.exp < claims.iat {
        return Err(VerifyError::Lifetime);
    }
    if claims.iat > now.saturating_add(leeway) || claims.exp < now.saturating_sub(leeway) {
        return Err(VerifyError::ClockSkew);
    }
    for (claimed, actual, part) in [
        (claims.aud.as_str(), request.audience, Part::Audience),
        (&claims.htm, request.method, Part::Method),
        (&claims.htu, request.url, Part::Url),
        (&claims.body_sha256, &body_digest(request.body), Part::Body),
    ] {
        if claimed != actual {
            return Err(VerifyError::Mismatch(part));
        }
    }
    Ok(claims)
}

fn body_digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"displayName":"Support"}"#;

    fn request() -> Request<'static> {
        Request {
            method: "POST",
            url: "https://manager.example/v1/connections?x=1",
            audience: "https://manager.example",
            body: BODY,
        }
    }

    fn key() -> SecretValue {
        "0123456789abcdef0123456789abcdef".into()
    }

    fn token_at(now: Timestamp) -> String {
        sign("acme", &key(), &request(), now).unwrap()
    }

    #[test]
    fn a_token_is_good_for_the_request_it_was_made_for() {
        let now = Timestamp::now();
        let claims = verify(&token_at(now), &key(), &request(), now).unwrap();
        assert_eq!(claims.iss, "acme");
        assert_eq!(claimed_issuer(&token_at(now)).unwrap(), "acme");
    }

    #[test]
    fn a_token_is_bound_to_every_part_of_the_request() {
        let now = Timestamp::now();
        let token = token_at(now);
        for (changed, part) in [
            (
                Request {
                    method: "PATCH",
                    ..request()
                },
                Part::Method,
            ),
            (
                Request {
                    url: "https://manager.example/v1/interfaces",
                    ..request()
                },
                Part::Url,
            ),
            (
                Request {
                    audience: "https://other.example",
                    ..request()
                },
                Part::Audience,
            ),
            (
                Request {
                    body: b"{}",
                    ..request()
                },
                Part::Body,
            ),
        ] {
            assert_eq!(verify(&token, &key(), &changed, now), Err(VerifyError::Mismatch(part)));
        }
    }

    #[test]
    fn another_key_does_not_verify() {
        let now = Timestamp::now();
        assert_eq!(
            verify(&token_at(now), &"another".into(), &request(), now),
            Err(VerifyError::Signature)
        );
        assert_eq!(verify("rubbish", &key(), &request(), now), Err(VerifyError::Malformed));
    }

    #[test]
    fn a_skewed_clock_is_told_apart_from_a_wrong_key() {
        let now = Timestamp::now();
        for seconds in [-600, 600] {
            let there = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            assert_eq!(verify(&token_at(there), &key(), &request(), now), Err(VerifyError::ClockSkew));
        }
    }

    #[test]
    fn a_token_that_lives_too_long_is_refused() {
        let now = Timestamp::now();
        let claims = Claims {
            exp: now.as_second() + 301,
            ..verify(&token_at(now), &key(), &request(), now).unwrap()
        };
        let encoding = EncodingKey::from_secret(key().expose().as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &encoding).unwrap();
        assert_eq!(verify(&token, &key(), &request(), now), Err(VerifyError::Lifetime));
    }

    #[test]
    fn a_token_with_another_algorithm_is_refused() {
        let now = Timestamp::now();
        let claims = verify(&token_at(now), &key(), &request(), now).unwrap();
        let encoding = EncodingKey::from_secret(key().expose().as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &encoding).unwrap();
        assert_eq!(verify(&token, &key(), &request(), now), Err(VerifyError::Malformed));
    }
}

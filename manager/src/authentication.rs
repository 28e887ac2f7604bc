// SPDX-License-Identifier: Apache-2.0

//! Who sends a request: decided from its headers and what is provisioned, without I/O.
//!
//! What a refusal tells depends on what the sender has proven. Without a key of the Manager ID every answer is the
//! same `invalid_credentials`, so nobody learns which Manager IDs exist, which method they use or whether they were
//! revoked. With the right key, or a token it signed, the sender learns what is wrong: revoked key, other method,
//! skewed clock, or a token that was made for something else.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use digital_messaging_contract::secret::SecretValue;
use digital_messaging_contract::{
    account::AuthenticationMethod,
    header::MANAGER_ID,
    signing::{self, CLOCK_LEEWAY, Claims, VerifyError},
};
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    credentials::{MAX_MANAGER_ID, Provisioned},
    replay,
    store::TokenUse,
};

/// Longest `jti`; a UUID has 36 characters.
const MAX_JTI: usize = 256;

/// What a request presents.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    ApiKey { manager_id: String, key: SecretValue },
    Token { issuer: String, token: SecretValue },
}

/// A request whose sender is known. The token's single use is not accounted for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) manager_id: String,
    pub(crate) token: Option<TokenUse>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("no Authorization header: send ApiKey with Manager-Id, or Bearer with a token")]
    Missing,
    #[error("the Manager ID or the Manager Key is not valid")]
    Invalid,
    #[error("this Manager Key was revoked or its grace period after a rotation is over")]
    Revoked,
    #[error("this Manager ID is provisioned for the method {}", .0.as_str())]
    OtherMethod(AuthenticationMethod),
    #[error("{0}")]
    Token(VerifyError),
    #[error("the token has no jti, or one of more than {MAX_JTI} characters")]
    TokenId,
}

impl Proof {
    /// Reads the headers of a request.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Refused> {
        let authorization = headers.get(AUTHORIZATION).ok_or(Refused::Missing)?;
        let (scheme, value) = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or(Refused::Invalid)?;
        let value = value.trim();
        let proof = if scheme.eq_ignore_ascii_case("ApiKey") {
            let manager_id = headers
                .get(MANAGER_ID)
                .and_then(|id| id.to_str().ok())
                .ok_or(Refused::Invalid)?;
            Self::ApiKey {
                manager_id: manager_id.to_owned(),
                key: value.into(),
            }
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            let issuer = signing::claimed_issuer(value).map_err(|_| Refused::Invalid)?;
            Self::Token {
                issuer,
                token: value.into(),
            }
        } else {
            return Err(Refused::Missing);
        };
        if proof.manager_id().len() > MAX_MANAGER_ID {
            Err(Refused::Invalid)
        } else {
            Ok(proof)
        }
    }

    /// Who it says it is from. Not verified.
    pub(crate) fn manager_id(&self) -> &str {
        match self {
            Self::ApiKey { manager_id, .. } => manager_id,
            Self::Token { issuer, .. } => issuer,
        }
    }

    /// Verifies it against what is provisioned for that Manager ID.
    pub(crate) fn verify(
        &self,
        provisioned: Option<&Provisioned>,
        request: &signing::Request<'_>,
        now: Timestamp,
    ) -> Result<Sender, Refused> {
        let provisioned = provisioned.ok_or(Refused::Invalid)?;
        match self {
            Self::ApiKey { manager_id, key } => {
                let held = provisioned
                    .keys
                    .iter()
                    .find(|held| held.value == *key)
                    .ok_or(Refused::Invalid)?;
                admit(provisioned, held.valid, AuthenticationMethod::ApiKey)?;
                Ok(Sender {
                    manager_id: manager_id.clone(),
                    token: None,
                })
            }
            Self::Token { token, .. } => {
                let (valid, verified) = provisioned
                    .keys
                    .iter()
                    .map(|held| (held.valid, signing::verify(token.expose(), &held.value, request, now)))
                    .find(|(_, verified)| !matches!(verified, Err(VerifyError::Signature | VerifyError::Malformed)))
                    .ok_or(Refused::Invalid)?;
                admit(provisioned, valid, AuthenticationMethod::Jwt)?;
                sender(verified.map_err(Refused::Token)?)
            }
        }
    }
}

fn admit(provisioned: &Provisioned, valid: bool, method: AuthenticationMethod) -> Result<(), Refused> {
    if !valid {
        Err(Refused::Revoked)
    } else if provisioned.method != method {
        Err(Refused::OtherMethod(provisioned.method))
    } else {
        Ok(())
    }
}

fn sender(claims: Claims) -> Result<Sender, Refused> {
    if !(1..=MAX_JTI).contains(&claims.jti.len()) {
        return Err(Refused::TokenId);
    }
    let digest = replay::fingerprint(&claims.iss, &claims.jti);
    let expires_at = claims.exp.saturating_add(CLOCK_LEEWAY.as_secs());
    Ok(Sender {
        manager_id: claims.iss,
        token: Some(TokenUse { digest, expires_at }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Key;

    const REQUEST: signing::Request<'static> = signing::Request {
        method: "GET",
        url: "https://m.example/v1/manager",
        audience: "https://m.example",
        body: b"",
    };

    fn provisioned(method: AuthenticationMethod, keys: &[(&str, bool)]) -> Provisioned {
        let keys = keys
            .iter()
            .map(|(value, valid)| Key {
                value: (*value).into(),
                valid: *valid,
            })
            .collect();
        Provisioned {
            name: "Acme".to_owned(),
            method,
            keys,
        }
    }

    fn api_key(key: &str) -> Proof {
        Proof::ApiKey {
            manager_id: "acme".to_owned(),
            key: key.into(),
        }
    }

    fn token(key: &str) -> Proof {
        let token = signing::sign("acme", &key.into(), &REQUEST, Timestamp::now()).unwrap();
        Proof::Token {
            issuer: "acme".to_owned(),
            token: token.into(),
        }
    }

    fn outcome(proof: &Proof, provisioned: Option<&Provisioned>) -> Result<String, Refused> {
        proof
            .verify(provisioned, &REQUEST, Timestamp::now())
            .map(|sender| sender.manager_id)
    }

    #[test]
    fn each_valid_key_opens_the_account_by_the_provisioned_method() {
        let keys = [("new", true), ("old", true), ("older", false)];
        for key in ["new", "old"] {
            assert_eq!(
                outcome(&api_key(key), Some(&provisioned(AuthenticationMethod::ApiKey, &keys))),
                Ok("acme".to_owned())
            );
            assert_eq!(
                outcome(&token(key), Some(&provisioned(AuthenticationMethod::Jwt, &keys))),
                Ok("acme".to_owned())
            );
        }
    }

    #[test]
    fn without_a_key_every_answer_is_the_same() {
        let jwt = provisioned(AuthenticationMethod::Jwt, &[("right", false)]);
        let key = provisioned(AuthenticationMethod::ApiKey, &[("right", true)]);
        for proof in [api_key("wrong"), token("wrong")] {
            for provisioned in [None, Some(&jwt), Some(&key)] {
                assert_eq!(outcome(&proof, provisioned), Err(Refused::Invalid));
            }
        }
    }

    #[test]
    fn with_the_key_the_sender_learns_what_is_wrong() {
        let jwt = provisioned(AuthenticationMethod::Jwt, &[("right", true), ("revoked", false)]);
        let key = provisioned(AuthenticationMethod::ApiKey, &[("right", true), ("revoked", false)]);
        assert_eq!(
            outcome(&api_key("right"), Some(&jwt)),
            Err(Refused::OtherMethod(AuthenticationMethod::Jwt))
        );
        assert_eq!(
            outcome(&token("right"), Some(&key)),
            Err(Refused::OtherMethod(AuthenticationMethod::ApiKey))
        );
        for provisioned in [&jwt, &key] {
            assert_eq!(outcome(&api_key("revoked"), Some(provisioned)), Err(Refused::Revoked));
            assert_eq!(outcome(&token("revoked"), Some(provisioned)), Err(Refused::Revoked));
        }
    }

    #[test]
    fn a_debug_print_shows_no_key() {
        for proof in [api_key("s3cret"), token("s3cret")] {
            assert!(!format!("{proof:?}").contains("s3cret"));
        }
        assert!(!format!("{:?}", provisioned(AuthenticationMethod::Jwt, &[("s3cret", true)])).contains("s3cret"));
    }
}

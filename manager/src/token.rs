// SPDX-License-Identifier: Apache-2.0

//! Random values: keys, secrets and IDs.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use digital_messaging_contract::secret::SecretValue;
use thiserror::Error;

/// Prefix of Manager Keys. Recognisable, for secret scanners.
pub(crate) const MANAGER_KEY_PREFIX: &str = "mk_";

/// Prefix of generated JWT secrets.
pub(crate) const JWT_SECRET_PREFIX: &str = "whk_";

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// 256 random bits behind a prefix.
pub(crate) fn secret(prefix: &str) -> Result<SecretValue, RandomError> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(SecretValue::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// An ID nobody has, behind a prefix.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::new_v4().simple())
}

// SPDX-License-Identifier: Apache-2.0

//! Rotations of a connection's JWT secret.

use digital_messaging_contract::{connection::JwtSecretRotation, problem::Code};
use serde_json::Value;

use super::{decode::decode, findings::Findings};
use crate::http::problem::Refusal;

/// Reads and checks a rotation.
pub(crate) fn rotation(value: Value) -> Result<JwtSecretRotation, Refusal> {
    let rotation: JwtSecretRotation = decode(value, "")?;
    let mut findings = Findings::default();
    findings.length("/token", &rotation.token, 1, 128);
    let is_visible = rotation.token.bytes().all(|byte| byte.is_ascii_graphic());
    findings.require(is_visible, "/token", "must have visible ASCII characters only");
    findings.into_result(Code::ValidationFailed)?;
    Ok(rotation)
}

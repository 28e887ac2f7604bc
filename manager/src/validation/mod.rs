// SPDX-License-Identifier: Apache-2.0

//! What a manager refuses in a body, with a pointer to the field and how to put it right.
//!
//! Pure: plain values in, a specification or the problems out. First the shape (`decode`), then the values, all
//! problems at once. No text quotes what was sent, for that may be a secret in the wrong place.

mod connection;
mod decode;
mod findings;
mod interface;
mod rotation;
mod text;

pub(crate) use connection::{connection, forget_unneeded_secrets, natural_key_pointer, refuse_replacement};
pub(crate) use interface::interface;
pub(crate) use rotation::rotation;

use serde_json::Value;

use crate::config::Config;

/// What depends on how the manager is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    allow_insecure_urls: bool,
}

impl Rules {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            allow_insecure_urls: config.allow_insecure_urls,
        }
    }
}

/// A claim ends with the reference: a patch that takes the reference away need not name the claimant.
pub(crate) fn release_claimant(target: &mut Value, patch: &Value) {
    if patch.get("externalReference").is_some_and(Value::is_null)
        && patch.get("claimant").is_none()
        && let Some(target) = target.as_object_mut()
    {
        target.remove("claimant");
    }
}

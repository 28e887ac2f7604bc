// SPDX-License-Identifier: Apache-2.0

//! The annotation `retry`: each new token is one try, now. Which was acted on last is remembered in the status, so that a
//! restart does not repeat it.

use kube::{Resource, ResourceExt};

use super::{Context, Subject, accounts::Verdict};
use crate::{api::annotation, desired::node::Node};

/// Length of a token at most; the rest is cut off.
const MAX_TOKEN: usize = 256;

/// The token on an object, whether it was acted on or not.
pub fn token(object: &impl Resource) -> Option<String> {
    let token = object.annotations().get(annotation::RETRY)?;
    Some(token.chars().take(MAX_TOKEN).collect())
}

/// The token on an object, if it was not acted on yet.
pub fn new_token(object: &impl Resource, handled: Option<&String>) -> Option<String> {
    token(object).filter(|token| handled != Some(token))
}

/// Has the account tried now, although it may not be reachable, and lets one call for this object through.
pub fn now(subject: &Subject, credential: &Node, context: &Context) {
    if let Verdict::Ready(session) = context.accounts.verdict(credential) {
        session.retry(Some(subject.requester()));
    }
}

// SPDX-License-Identifier: Apache-2.0

//! `ManagerCredential`: proves that a set of credentials opens an account, and holds that account.

mod advice;
mod deletion;
mod dereference;
mod prove;
mod proven_key;
mod status;
mod validate;

use std::sync::Arc;

use kube::Resource;

use crate::api::ManagerCredential;

use super::{
    Context, Next, Subject,
    accounts::Proven,
    reason::Reason,
    report,
    trouble::{Retry, Stop, Trouble},
};
use crate::desired::node::Kind;

/// Brings one credential forward.
pub async fn reconcile(credential: Arc<ManagerCredential>, context: Arc<Context>) -> Next {
    let subject = Subject::of(Kind::Credential, &*credential);
    context.accounts.release_former(&subject.node, &subject.uid);
    go_on_if_asked(&subject, &credential, &context);
    if credential.meta().deletion_timestamp.is_some() {
        return deletion::finish(&subject, &credential, &context).await;
    }
    if let Err(stop) = deletion::keep_finalizer(&subject, &credential, &context).await {
        return report_stop(&subject, &credential, &context, stop).await;
    }
    if credential.spec.suspend {
        return status::suspended(&subject, &credential, &context).await;
    }
    let outcome = advance(&subject, &credential, &context).await;
    let outcome = report::end_staleness(&context, &subject, outcome);
    status::report(&subject, &credential, &context, outcome).await
}

/// A new `retry` token: prove the key anew, look now, and let frozen writes go on; once, even if that cannot be remembered in
/// the status.
fn go_on_if_asked(subject: &Subject, credential: &ManagerCredential, context: &Context) {
    let is_held_up = credential.spec.suspend && credential.meta().deletion_timestamp.is_none();
    let asked = status::new_retry(credential).filter(|_| !is_held_up);
    if !asked.is_some_and(|token| context.memory.is_first(subject, &token)) {
        return;
    }
    context.accounts.distrust(&subject.node);
    context.memory.forgive(&subject.node);
    if let Some(proven) = context.accounts.proven(&subject.node) {
        proven.session.unfreeze();
        proven.session.retry(None);
    }
}

async fn advance(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<Proven, Stop> {
    let mut outcome = use_given_key(subject, credential, context).await;
    if let Err(Stop::Trouble(given)) = &mut outcome
        && let Some(retry) = proven_key::fall_back(subject, credential, context).await
        && given.retry == Retry::OnChange
    {
        // What is given waits for a change, but the key that was proven last may only have met an outage.
        given.retry = retry;
    }
    outcome
}

async fn use_given_key(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<Proven, Stop> {
    let secret = dereference::secret(subject, credential, context).await?;
    let access = validate::access(credential, &secret, context)?;
    validate::same_account(credential, &access)?;
    prove::prove(subject, credential, access, secret.resource_version, context).await
}

async fn report_stop(subject: &Subject, credential: &ManagerCredential, context: &Context, stop: Stop) -> Next {
    status::report(subject, credential, context, Err(stop)).await
}

/// The reconciler panicked.
pub async fn panicked(credential: Arc<ManagerCredential>, context: Arc<Context>) {
    let subject = Subject::of(Kind::Credential, &*credential);
    let trouble = Trouble::new(
        Reason::InternalError,
        "the operator failed on this object; its log has the details",
    );
    let _ = status::report(&subject, &credential, &context, Err(trouble.into())).await;
}

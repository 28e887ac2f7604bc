// SPDX-License-Identifier: Apache-2.0

//! A credential stays until what it opens is cleaned up.

use super::proven_key;
use crate::{
    api::{Deletion, ManagerCredential},
    controller::{
        Context, Next, Subject, cleanup, report,
        trouble::{Stop, Trouble},
    },
    desired::node::Kind,
};

/// Whether something below must be cleaned up at the manager one day. An interface with connections that must be carries
/// the finalizer itself, so looking one step down is enough.
fn is_needed(subject: &Subject, credential: &ManagerCredential, context: &Context) -> bool {
    let interfaces = context.mirror.sum(&subject.node, Kind::Interface);
    let by_default = credential.spec.default_policy().deletion == Some(Deletion::Delete);
    interfaces.finalizers > 0
        || interfaces.want_deletion > 0
        || (by_default && interfaces.inherit_deletion > 0)
        || cleanup::may_be_needed(credential, subject, Kind::Interface, context)
}

/// Puts the finalizer on or takes it off, as the dependants need it; that of the proven key first. So that is on before
/// anything is made that must be cleaned up, and never left behind.
pub(super) async fn keep_finalizer(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<(), Stop> {
    let wanted = is_needed(subject, credential, context);
    proven_key::protect(subject, wanted, context).await?;
    report::keep_finalizer(context, subject, credential, wanted).await
}

/// It is being deleted: waits for dependants that must be cleaned up, then lets go.
pub(super) async fn finish(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Next {
    let clean_up = Box::pin(async {
        let Err(waiting) = cleanup::wait_for(Kind::Interface, subject, context) else {
            return proven_key::forget(subject, context).await;
        };
        // They still need the account.
        let outcome = Box::pin(super::advance(subject, credential, context)).await;
        super::status::judge(subject, context, &outcome);
        // Whoever waits says: see the ManagerCredential. So it says what is wrong with the account, whatever became of the Secret.
        let session = context.accounts.proven(&subject.node).map(|proven| proven.session);
        let account = session.and_then(|it| super::status::account_trouble(&it, &subject.node, &context.installation.name));
        let waiting = account.map_or(waiting, Stop::from);
        Err(match outcome {
            Err(tried) => tried_again(waiting, tried),
            Ok(_) => waiting,
        })
    });
    cleanup::finish(context, subject, credential, credential.status.as_ref(), clean_up).await
}

/// What it waits for, but the account is tried again when the trouble with opening it says.
fn tried_again(waiting: Stop, tried: Stop) -> Stop {
    match (waiting, tried) {
        (Stop::Trouble(waiting), Stop::Trouble(tried)) => Trouble {
            retry: tried.retry,
            ..waiting
        }
        .into(),
        (_, Stop::Stale) => Stop::Stale,
        (waiting, _) => waiting,
    }
}

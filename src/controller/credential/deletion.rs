//! A credential stays until what it opens is cleaned up.

use crate::{
    api::{Deletion, ManagerCredential},
    controller::{
        Context, Next, Subject,
        reason::Reason,
        report::{self, Readiness},
        trouble::{Stop, Trouble},
    },
    desired::node::Kind,
    kubernetes::finalizer,
};

/// Whether something below must be cleaned up at the manager one day. An interface with connections that must be carries
/// the finalizer itself, so looking one step down is enough.
fn is_needed(subject: &Subject, credential: &ManagerCredential, context: &Context) -> bool {
    let interfaces = context.mirror.sum(&subject.node, Kind::Interface);
    let by_default = credential.spec.default_policy().deletion == Some(Deletion::Delete);
    interfaces.finalizers > 0 || interfaces.want_deletion > 0 || (by_default && interfaces.inherit_deletion > 0)
}

/// Puts the finalizer on or takes it off, as the dependants need it.
pub(super) async fn keep_finalizer(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Result<(), Stop> {
    let wanted = is_needed(subject, credential, context);
    report::keep_finalizer(context, subject, credential, wanted).await
}

/// It is being deleted: waits for dependants that must be cleaned up, then lets go.
pub(super) async fn wait_for_dependants(subject: &Subject, credential: &ManagerCredential, context: &Context) -> Next {
    if !finalizer::is_on(credential) {
        return Next::Wait;
    }
    let waiting = context.mirror.sum(&subject.node, Kind::Interface).finalizers;
    if waiting > 0 {
        let message = format!(
            "waits for {waiting} DigitalMessagingInterface(s) that must be cleaned up first: {}",
            names(subject, context)
        );
        let trouble = Trouble::new(Reason::DependantsRemain, message);
        let mut status = credential.status.clone().unwrap_or_default();
        report::set_conditions(&mut status, subject.generation, Readiness::Unchanged, Some(&trouble));
        // They still need the account.
        let outcome = super::advance(subject, credential, context).await;
        super::status::judge(subject, context, &outcome);
        return report::write(
            context,
            subject,
            credential,
            credential.status.as_ref(),
            &status,
            Next::Recheck,
        )
        .await;
    }
    match finalizer::set(&context.kubernetes, subject.node.kind.plural(), credential, false).await {
        Ok(_) => Next::Wait,
        Err(error) => match Stop::from(error) {
            Stop::Quiet => Next::Wait,
            Stop::Stale => Next::Stale,
            Stop::Trouble(_) => Next::BackOff,
        },
    }
}

/// A few names, for people.
fn names(subject: &Subject, context: &Context) -> String {
    let dependants = context.mirror.dependants(&subject.node);
    let kept = dependants.iter().filter(|node| {
        context
            .mirror
            .interface(node)
            .is_some_and(|interface| finalizer::is_on(&*interface))
    });
    kept.take(5).map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ")
}

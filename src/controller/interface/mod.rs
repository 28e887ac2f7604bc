// SPDX-License-Identifier: Apache-2.0

//! `DigitalMessagingInterface`: one bot experience at the manager.

mod apply;
mod deletion;
mod dereference;
mod status;
mod validate;

use std::sync::Arc;

use kube::Resource;

use super::{
    Context, Next, Subject, holding,
    reason::Reason,
    report, retry,
    trouble::{Stop, Trouble},
};
use crate::{
    api::DigitalMessagingInterface,
    desired::node::Kind,
    plan::interface::{self as planner, Desired},
};

/// Brings one interface forward.
pub async fn reconcile(interface: Arc<DigitalMessagingInterface>, context: Arc<Context>) -> Next {
    let subject = Subject::of(Kind::Interface, &*interface);
    if !interface.spec.suspend || interface.meta().deletion_timestamp.is_some() {
        retry_now(&subject, &interface, &context);
    }
    if interface.meta().deletion_timestamp.is_some() {
        return deletion::finish(&subject, &interface, &context).await;
    }
    if let Err(stop) = deletion::protect(&subject, &interface, &context).await {
        return status::report(&subject, &interface, &context, Err(stop)).await;
    }
    if interface.spec.suspend {
        return status::suspended(&subject, &interface, &context).await;
    }
    let outcome = advance(&subject, &interface, &context).await;
    let outcome = report::end_staleness(&context, &subject, outcome);
    status::report(&subject, &interface, &context, outcome).await
}

fn retry_now(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) {
    let handled = interface
        .status
        .as_ref()
        .and_then(|status| status.last_handled_retry.as_ref());
    if retry::new_token(interface, handled).is_some() {
        let credential = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
        retry::now(subject, &credential, context);
    }
}

async fn advance(subject: &Subject, interface: &DigitalMessagingInterface, context: &Context) -> Result<apply::Applied, Stop> {
    let references = dereference::references(subject, interface, context).await?;
    let settings = validate::settings(interface, context.transport.policy().insecure)?;
    let status = interface.status.as_ref();
    let applied = status.and_then(|status| status.last_applied.as_ref());
    let desired = Desired {
        mark: &references.mark,
        settings: &settings,
        owned: applied.map_or(&[], |applied| &applied.fields),
        applied: applied.map(|applied| applied.hash.as_str()),
    };
    let plan = planner::plan(&desired, references.holding.clone(), &references.capabilities())
        .map_err(|refusal| holding::trouble(&refusal, subject))?;
    apply::apply(subject, interface, &references, plan, context).await
}

/// The reconciler panicked.
pub async fn panicked(interface: Arc<DigitalMessagingInterface>, context: Arc<Context>) {
    let subject = Subject::of(Kind::Interface, &*interface);
    let trouble = Trouble::new(
        Reason::InternalError,
        "the operator failed on this object; its log has the details",
    );
    status::report(&subject, &interface, &context, Err(trouble.into())).await;
}

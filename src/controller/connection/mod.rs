// SPDX-License-Identifier: Apache-2.0

//! `ChannelConnection`: one channel assigned to an interface, and the Secret with what the manager generated for it.

mod apply;
mod deletion;
mod dereference;
mod outputs;
mod publish;
mod rotate;
mod status;
mod validate;
mod withheld;

use std::sync::Arc;

use kube::Resource;

use super::{
    Context, Next, Subject, holding, parent,
    reason::Reason,
    report, retry,
    trouble::{Stop, Trouble},
};
use crate::{
    api::ChannelConnection,
    desired::node::Kind,
    plan::{
        Refusal,
        connection::{self as planner, Desired},
        identity::Holding,
    },
};

/// Brings one connection forward.
pub async fn reconcile(connection: Arc<ChannelConnection>, context: Arc<Context>) -> Next {
    let subject = Subject::of(Kind::Connection, &*connection);
    if !connection.spec.suspend || connection.meta().deletion_timestamp.is_some() {
        retry_now(&subject, &connection, &context);
    }
    if connection.meta().deletion_timestamp.is_some() {
        return deletion::finish(&subject, &connection, &context).await;
    }
    if let Err(stop) = deletion::protect(&subject, &connection, &context).await {
        return status::report(&subject, &connection, &context, Err(stop)).await;
    }
    if connection.spec.suspend {
        return status::suspended(&subject, &connection, &context).await;
    }
    let outcome = match advance(&subject, &connection, &context).await {
        Ok(done) => Ok(done.end_staleness(&subject, &context)),
        stopped => report::end_staleness(&context, &subject, stopped),
    };
    status::report(&subject, &connection, &context, outcome).await
}

fn retry_now(subject: &Subject, connection: &ChannelConnection, context: &Context) {
    let handled = connection
        .status
        .as_ref()
        .and_then(|status| status.last_handled_retry.as_ref());
    if retry::new_token(connection, handled).is_some()
        && let Ok(credential) = parent::credential_of(&subject.node, &connection.spec.interface_ref.name, context)
    {
        retry::now(subject, &credential, context);
    }
}

async fn advance(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<publish::Done, Stop> {
    let references = dereference::references(subject, connection, context).await?;
    let settings = validate::settings(connection, &references, context.transport.policy().insecure)?;
    let holding = dereference::holding(subject, connection, context, &references, &settings).await?;
    stays_with_its_interface(subject, &holding, &references)?;
    let rotation = rotate::requested(connection, &references.mark);
    let status = connection.status.as_ref();
    let applied = status.and_then(|status| status.last_applied.as_ref());
    let desired = Desired {
        mark: &references.mark,
        settings: &settings,
        secrets: references.secrets.to_plan(),
        support: references.support,
        owned: applied.map_or(&[], |applied| &applied.fields),
        applied: applied.map(|applied| applied.hash.as_str()),
        rotation: rotation.as_ref().map(rotate::Request::token),
    };
    let plan = planner::plan(&desired, holding.clone(), &references.capabilities())
        .map_err(|refusal| holding::trouble(&refusal, subject))?;
    let mut applied = apply::apply(subject, connection, &references, holding, plan, context).await?;
    let rotated = rotate::rotate(subject, connection, &references, rotation, &mut applied, context).await;
    Ok(publish::publish(subject, connection, &references, applied, rotated, context).await)
}

/// A connection is assigned to its interface for life: one to adopt must be of the right one.
fn stays_with_its_interface(
    subject: &Subject,
    holding: &Holding<crate::manager::observed::ObservedConnection>,
    references: &dereference::References,
) -> Result<(), Stop> {
    match holding {
        Holding::Held(observed) | Holding::ToAdopt { target: observed, .. } if observed.interface_id != references.interface => {
            let refusal = Refusal::ReplaceRequired {
                fields: vec!["/interfaceRef".to_owned()],
            };
            Err(holding::trouble(&refusal, subject).into())
        }
        _ => Ok(()),
    }
}

/// The reconciler panicked.
pub async fn panicked(connection: Arc<ChannelConnection>, context: Arc<Context>) {
    let subject = Subject::of(Kind::Connection, &*connection);
    let trouble = Trouble::new(
        Reason::InternalError,
        "the operator failed on this object; its log has the details",
    );
    status::report(&subject, &connection, &context, Err(trouble.into())).await;
}

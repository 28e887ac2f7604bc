// SPDX-License-Identifier: Apache-2.0

//! Finds the account, and the remote object that the interface holds. The only step that looks something up.

use std::sync::Arc;

use kube::ResourceExt;

use crate::{
    api::{AdoptionMode, DigitalMessagingInterface, EffectivePolicy, Management, annotation},
    controller::{Context, Subject, creation, holding, parent, trouble::Stop},
    desired::node::Kind,
    kubernetes::finalizer,
    manager::{capabilities::Capabilities, observed::ObservedInterface, values::Mark},
    plan::{
        Refusal,
        identity::{Adoption, Evidence, Holding, hold},
    },
    session::Session,
};

pub(super) struct References {
    pub(super) session: Arc<Session>,
    pub(super) policy: EffectivePolicy,
    pub(super) mark: Mark,
    pub(super) holding: Holding<ObservedInterface>,
    /// Whether the credential stays until this interface is cleaned up.
    pub(super) credential_stays: bool,
}

impl References {
    /// What can be done at the manager, by this policy.
    pub(super) fn capabilities(&self) -> Capabilities {
        let capabilities = self.session.capabilities();
        match self.policy.management {
            Management::Full => capabilities.clone(),
            Management::Observe => capabilities.to_look(),
        }
    }
}

pub(super) async fn references(
    subject: &Subject,
    interface: &DigitalMessagingInterface,
    context: &Context,
) -> Result<References, Stop> {
    let node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let status = interface.status.as_ref();
    let settled = holding::is_settled(status, subject.generation);
    let credential = parent::credential(&node, context, settled)?;
    let session = parent::session(&node, context, !settled)?;
    let policy = interface.spec.policy(&credential.spec.default_policy());
    let mark = Mark {
        reference: subject.node.reference(&context.installation.name),
        claimant: Some(subject.uid.clone()),
    };
    if session.mirror().interface_by_reference(mark.reference.as_str()).is_none() {
        let creation = status.and_then(|status| status.creation.as_ref());
        creation::look_first(subject, creation, &session, context).await?;
    }
    let evidence = evidence(interface, &mark, &session)?;
    let holding = find(subject, interface, context, &session, policy, &mark, evidence).await?;
    Ok(References {
        session,
        policy,
        mark,
        holding,
        credential_stays: finalizer::is_on(&*credential),
    })
}

fn evidence(interface: &DigitalMessagingInterface, mark: &Mark, session: &Session) -> Result<Evidence<ObservedInterface>, Stop> {
    let status = interface.status.as_ref();
    let id = status.and_then(|status| status.id.as_ref());
    let account = status.and_then(|status| status.account.as_ref());
    let remembered = holding::remembered(id, account, session.account().as_str())?;
    let mirror = session.mirror();
    Ok(Evidence {
        by_reference: mirror.interface_by_reference(mark.reference.as_str()),
        remembered: remembered.map(|id| (id.clone(), mirror.interface(&id))),
        adoption: interface.spec.adoption.as_ref().map(|adoption| Adoption {
            target: adoption.id.as_ref().and_then(|id| mirror.interface(&id.parse().ok()?)),
            only_if_equal: adoption.mode == AdoptionMode::Match,
        }),
        same_natural_key: None,
        was_held: status.is_some_and(|status| status.last_applied.is_some()),
        take_over: interface
            .annotations()
            .get(annotation::TAKE_OVER)
            .and_then(|id| id.parse().ok()),
        recreate: interface
            .annotations()
            .get(annotation::RECREATE)
            .and_then(|id| id.parse().ok()),
    })
}

async fn find(
    subject: &Subject,
    interface: &DigitalMessagingInterface,
    context: &Context,
    session: &Session,
    policy: EffectivePolicy,
    mark: &Mark,
    evidence: Evidence<ObservedInterface>,
) -> Result<Holding<ObservedInterface>, Stop> {
    if policy.management == Management::Observe {
        let seen = evidence
            .by_reference
            .or(evidence.remembered.and_then(|(_, object)| object))
            .or(evidence.adoption.and_then(|it| it.target));
        return seen
            .map(Holding::Held)
            .ok_or_else(|| holding::trouble(&Refusal::NothingToObserve, subject).into());
    }
    let alive = holding::Alive {
        mirror: &context.mirror,
        installation: &context.installation.name,
    };
    match hold(mark, evidence, &alive) {
        Ok(holding) => Ok(holding),
        Err(Refusal::RemoteMissing { id }) => {
            if session.frozen().is_some() {
                return Err(Stop::Quiet);
            }
            let known = holding::is_known_missing(interface.status.as_ref());
            if known || session.interface_is_gone(subject.requester(), id.clone()).await? {
                Err(holding::trouble(&Refusal::RemoteMissing { id }, subject).into())
            } else {
                Err(Stop::Stale)
            }
        }
        Err(refusal) => Err(holding::trouble(&refusal, subject).into()),
    }
}

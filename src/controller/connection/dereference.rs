// SPDX-License-Identifier: Apache-2.0

//! Finds the interface, the account, the secrets, the targets of switching, and the remote connection that is held.
//! The only step that looks something up.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::rotate;
use crate::{
    api::{
        AdoptionKey, AdoptionMode, ChannelConnection, DigitalMessagingInterface, EffectivePolicy, Management, Policy, annotation,
        connection::SentSecrets,
    },
    controller::{
        Context, Subject, creation, holding, parent,
        reason::Reason,
        trouble::{Stop, Trouble},
    },
    desired::node::{Kind, Node},
    kubernetes::finalizer,
    manager::{
        capabilities::{Capabilities, ChannelKind, Support},
        observed::ObservedConnection,
        settings::ConnectionSettings,
        values::{Mark, RemoteId},
        write::ChannelSecrets,
    },
    plan::{
        Refusal, connection as planner,
        identity::{Adoption, Evidence, Holding, hold},
    },
    session::Session,
};

pub(super) struct References {
    pub(super) session: Arc<Session>,
    pub(super) policy: EffectivePolicy,
    pub(super) mark: Mark,
    /// The interface at the manager.
    pub(super) interface: RemoteId,
    pub(super) support: Support,
    pub(super) secrets: Secrets,
    pub(super) targets: Targets,
    /// Whether interface and credential stay until this connection is cleaned up.
    pub(super) parents_stay: bool,
}

/// The secrets of the channel.
pub(super) enum Secrets {
    /// The channel has none.
    None,
    /// The manager has what the Secret holds.
    Sent(SentSecrets),
    /// The manager has something else, or we do not remember.
    ToSend {
        values: ChannelSecrets,
        /// What to remember once they are sent.
        sent: SentSecrets,
    },
}

impl Secrets {
    pub(super) fn to_plan(&self) -> planner::Secrets<'_> {
        match self {
            Self::None | Self::Sent(_) => planner::Secrets::Sent,
            Self::ToSend { values, .. } => planner::Secrets::ToSend(values),
        }
    }

    /// What the status remembers once the plan is applied.
    pub(super) fn remember(&self) -> Option<&SentSecrets> {
        match self {
            Self::None => None,
            Self::Sent(sent) | Self::ToSend { sent, .. } => Some(sent),
        }
    }
}

/// The targets of channel switching.
#[derive(Default)]
pub(super) struct Targets {
    /// Those that exist at the manager, by name.
    pub(super) found: BTreeMap<String, RemoteId>,
    /// Names of those that do not, yet.
    pub(super) pending: Vec<String>,
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

pub(super) async fn references(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<References, Stop> {
    let settled = holding::is_settled(connection.status.as_ref(), subject.generation) && rotate::asked_for(connection).is_none();
    let interface_node = subject.node.sibling(Kind::Interface, &connection.spec.interface_ref.name);
    let Some(interface) = context.mirror.interface(&interface_node) else {
        return Err(parent::missing(&interface_node, context, settled));
    };
    let credential_node = subject.node.sibling(Kind::Credential, &interface.spec.credential_ref.name);
    let Some(credential) = context.mirror.credential(&credential_node) else {
        if settled {
            return Err(Stop::Quiet);
        }
        let message = format!(
            "its interface waits for ManagerCredential {}, which does not exist",
            credential_node.name
        );
        return Err(Trouble::new(Reason::InterfaceNotReady, message).into());
    };
    let session = parent::session(&credential_node, context, !settled)?;
    let defaults = credential.spec.default_policy();
    let interface_id = remote_interface(&interface, &interface_node, &session, defaults, context, settled)?;
    let secrets = secrets(subject, connection, context).await?;
    let support = support(&credential_node, connection, context);
    Ok(References {
        policy: connection.spec.policy(&defaults),
        mark: Mark {
            reference: subject.node.reference(&context.installation.name),
            claimant: Some(subject.uid.clone()),
        },
        interface: interface_id,
        support,
        secrets,
        targets: targets(connection, &subject.node, &session, defaults, context),
        parents_stay: finalizer::is_on(&*interface) && finalizer::is_on(&*credential),
        session,
    })
}

/// The interface at the manager: the one that carries its mark, or the one it observes. Of any other the status alone proves
/// nothing: whoever may write it could have connections assigned to interfaces of others.
fn remote_interface(
    interface: &DigitalMessagingInterface,
    node: &Node,
    session: &Session,
    defaults: Policy,
    context: &Context,
    settled: bool,
) -> Result<RemoteId, Stop> {
    let mirror = session.mirror();
    let marked = mirror.interface_by_reference(node.reference(&context.installation.name).as_str());
    let observed = || {
        let status = interface.status.as_ref()?;
        let looks_only = interface.spec.policy(&defaults).management == Management::Observe;
        let ours = looks_only && status.account.as_deref() == Some(session.account().as_str());
        mirror.interface(&status.id.as_ref().filter(|_| ours)?.parse().ok()?)
    };
    match marked.or_else(observed) {
        Some(_) if interface.meta().deletion_timestamp.is_some() && !settled => Err(Trouble::new(
            Reason::InterfaceNotReady,
            format!("DigitalMessagingInterface {} is being deleted", node.name),
        )
        .into()),
        Some(found) => Ok(found.id.clone()),
        None if settled => Err(Stop::Quiet),
        None => {
            let message = format!(
                "DigitalMessagingInterface {} does not exist at the manager yet; see its conditions",
                node.name
            );
            Err(Trouble::new(Reason::InterfaceNotReady, message).into())
        }
    }
}

/// Reads the channel's Secret only if it is another one, or another version, than what the manager was sent.
async fn secrets(subject: &Subject, connection: &ChannelConnection, context: &Context) -> Result<Secrets, Stop> {
    let Some(reference) = connection.spec.channel.secret_ref() else {
        return Ok(Secrets::None);
    };
    let status = connection.status.as_ref();
    // What is made in place of a lost object has been sent nothing.
    let recreated = connection.annotations().get(annotation::RECREATE);
    let is_new = recreated.is_some() && recreated == status.and_then(|status| status.id.as_ref());
    let sent = status.and_then(|status| status.sent_secrets.as_ref()).filter(|_| !is_new);
    let node = subject.node.sibling(Kind::Secret, &reference.name);
    if let (Some(sent), Some(meta)) = (sent, context.mirror.secret(&node)) {
        let same =
            meta.uid().as_deref() == Some(&sent.secret_uid) && meta.resource_version().as_deref() == Some(&sent.resource_version);
        let required = required_fingerprint(connection);
        let comparable = sent.key_id == context.installation.fingerprint.key_id();
        if same && comparable && sent.hmac.ends_with(&required) {
            return Ok(Secrets::Sent(sent.clone()));
        }
    }
    let data = parent::secret(&subject.node, &reference.name, context).await?;
    let mut values = ChannelSecrets::new();
    for key in connection.spec.channel.required_secrets() {
        values.insert((*key).to_owned(), parent::value(&data, &reference.name, key)?.clone());
    }
    let fingerprint = &context.installation.fingerprint;
    let parts = values
        .iter()
        .flat_map(|(key, value)| [key.as_bytes(), value.expose_secret().as_bytes()]);
    let fresh = SentSecrets {
        secret_uid: data.uid,
        resource_version: data.resource_version,
        key_id: fingerprint.key_id().to_owned(),
        hmac: format!("{}.{}", fingerprint.of(&subject.uid, parts), required_fingerprint(connection)),
    };
    Ok(match sent {
        Some(sent) if sent.key_id == fresh.key_id && sent.hmac == fresh.hmac => Secrets::Sent(fresh),
        // Our key was lost, but the Secret is as it was: the manager has its values. Only the fingerprint is new.
        Some(sent)
            if sent.key_id != fresh.key_id
                && is_same_version(sent, &fresh)
                && sent.hmac.ends_with(&required_fingerprint(connection)) =>
        {
            Secrets::Sent(fresh)
        }
        _ => Secrets::ToSend { values, sent: fresh },
    })
}

fn is_same_version(one: &SentSecrets, two: &SentSecrets) -> bool {
    one.secret_uid == two.secret_uid && one.resource_version == two.resource_version
}

/// Which keys are sent: a change of the provider needs others of the same Secret.
fn required_fingerprint(connection: &ChannelConnection) -> String {
    connection.spec.channel.required_secrets().join("+")
}

fn support(credential: &Node, connection: &ChannelConnection, context: &Context) -> Support {
    let wanted = connection.spec.channel.channel_type().as_str();
    let offered = context
        .accounts
        .proven(credential)
        .map(|proven| proven.identity.channels)
        .unwrap_or_default();
    let known = |kind: &ChannelKind| kind.as_str() == wanted;
    offered
        .iter()
        .find(|(kind, _)| known(kind))
        .map_or(Support::Unsupported, |(_, support)| *support)
}

/// A target that does not exist yet holds nothing up: two connections may switch to each other.
fn targets(connection: &ChannelConnection, node: &Node, session: &Session, defaults: Policy, context: &Context) -> Targets {
    let mirror = session.mirror();
    let mut targets = Targets::default();
    for target in connection.spec.channel.switch_targets() {
        let target_node = node.sibling(Kind::Connection, &target.name);
        let marked = mirror.connection_by_reference(target_node.reference(&context.installation.name).as_str());
        let observed = || {
            let target = context.mirror.connection(&target_node)?;
            let status = target.status.as_ref()?;
            let looks_only = target.spec.policy(&defaults).management == Management::Observe;
            let ours = looks_only && status.account.as_deref() == Some(session.account().as_str());
            mirror.connection(&status.id.as_ref().filter(|_| ours)?.parse().ok()?)
        };
        match marked.or_else(observed) {
            Some(found) => drop(targets.found.insert(target.name.clone(), found.id.clone())),
            None => targets.pending.push(target.name.clone()),
        }
    }
    targets
}

/// The remote connection that is held.
pub(super) async fn holding(
    subject: &Subject,
    connection: &ChannelConnection,
    context: &Context,
    references: &References,
    settings: &ConnectionSettings,
) -> Result<Holding<ObservedConnection>, Stop> {
    let (session, reference) = (&references.session, references.mark.reference.as_str());
    if session.mirror().connection_by_reference(reference).is_none() {
        let creation = connection.status.as_ref().and_then(|status| status.creation.as_ref());
        creation::look_first(subject, creation, session, context).await?;
    }
    let evidence = evidence(connection, references, settings)?;
    if references.policy.management == Management::Observe {
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
    match hold(&references.mark, evidence, &alive) {
        Ok(holding) => Ok(holding),
        Err(Refusal::RemoteMissing { id }) => {
            if references.session.frozen().is_some() {
                return Err(Stop::Quiet);
            }
            let known = holding::is_known_missing(connection.status.as_ref());
            if known || references.session.connection_is_gone(subject.requester(), id.clone()).await? {
                Err(holding::trouble(&Refusal::RemoteMissing { id }, subject).into())
            } else {
                Err(Stop::Stale)
            }
        }
        Err(refusal) => Err(holding::trouble(&refusal, subject).into()),
    }
}

fn evidence(
    connection: &ChannelConnection,
    references: &References,
    settings: &ConnectionSettings,
) -> Result<Evidence<ObservedConnection>, Stop> {
    let status = connection.status.as_ref();
    let id = status.and_then(|status| status.id.as_ref());
    let account = status.and_then(|status| status.account.as_ref());
    let remembered = holding::remembered(id, account, references.session.account().as_str())?;
    let mirror = references.session.mirror();
    let same_natural_key = settings.natural_key().and_then(|key| mirror.connection_by_natural_key(&key));
    let adoption = connection.spec.adoption.as_ref().map(|adoption| Adoption {
        target: match adoption.by {
            AdoptionKey::Id => adoption.id.as_ref().and_then(|id| mirror.connection(&id.parse().ok()?)),
            AdoptionKey::NaturalKey => same_natural_key.clone(),
        },
        only_if_equal: adoption.mode == AdoptionMode::Match,
    });
    Ok(Evidence {
        by_reference: mirror.connection_by_reference(references.mark.reference.as_str()),
        remembered: remembered.map(|id| (id.clone(), mirror.connection(&id))),
        adoption,
        same_natural_key,
        was_held: status.is_some_and(|status| status.last_applied.is_some()),
        take_over: connection
            .annotations()
            .get(annotation::TAKE_OVER)
            .and_then(|id| id.parse().ok()),
        recreate: connection
            .annotations()
            .get(annotation::RECREATE)
            .and_then(|id| id.parse().ok()),
    })
}

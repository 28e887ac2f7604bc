// SPDX-License-Identifier: Apache-2.0

//! The closed set of reasons: what a condition, an event or a person at three in the morning is told.
//!
//! One table declares each reason with its kinds, its gravity and what it means; conditions, events and the page
//! `docs/reference/conditions.md` all come from it.

use std::fmt;

/// What a reason means for the one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// All is well.
    Fine,
    /// Goes on by itself as soon as something else happens (`Reconciling=True`).
    Waiting,
    /// A person must do something (`Stalled=True`).
    Stalled,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident [$($kind:ident)+] $gravity:ident $(=> $text:literal)?;)+) => {
        /// A reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The reason as conditions and events show it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => reasons!(@name $name $($text)?),)+
                }
            }

            /// What it means for the one who waits.
            pub fn gravity(self) -> Gravity {
                match self {
                    $(Self::$name => Gravity::$gravity,)+
                }
            }

            /// The kinds that use it.
            pub fn kinds(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$(reasons!(@kind $kind),)+],)+
                }
            }

            /// What it means and what to do, in one paragraph.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc,)+),)+
                }
            }
        }
    };
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $text:literal) => { $text };
    (@kind C) => { "ManagerCredential" };
    (@kind I) => { "DigitalMessagingInterface" };
    (@kind X) => { "ChannelConnection" };
}

reasons! {
    /// It works: the account can be reached, or the manager holds the object and it serves.
    Ready [C I X] Fine;
    /// The manager holds exactly what is declared.
    Synced [C I X] Fine;
    /// The manager accepts the credentials.
    Authenticated [C] Fine;
    /// Only in events: somebody had changed fields at the manager, and they were put right. `status.lastDrift` keeps which, and when.
    DriftCorrected [I X] Fine;
    /// `spec.suspend` is set: nothing is changed at the manager until it is taken away. Deletion still works.
    Suspended [C I X] Fine;

    /// There is no Secret of the name in `secretRef`. Create it, with the label `digitalmessaging.io/credentials=true`.
    SecretNotFound [C X] Waiting;
    /// The Secret is there, but does not let the operator read it. The message is the command that sets the label.
    SecretNotLabelled [C X] Waiting;
    /// The Secret lacks a key, or its value is empty. The message says which.
    SecretKeyMissing [C X] Waiting;
    /// There is no `ManagerCredential` of the name in `credentialRef`.
    CredentialNotFound [I] Waiting;
    /// The credential that it depends on is not ready, and it needs the manager. The message repeats the credential's reason.
    CredentialNotReady [I X] Waiting;
    /// There is no `DigitalMessagingInterface` of the name in `interfaceRef`.
    InterfaceNotFound [X] Waiting;
    /// The interface does not exist at the manager yet.
    InterfaceNotReady [X] Waiting;
    /// The connection serves, but one that it should switch to does not exist at the manager yet. It is added as soon as it does.
    SwitchTargetPending [X] Waiting;
    /// There is a plan in `status.plan`, and the policy wants it approved: annotate with its hash.
    AwaitingApproval [I X] Waiting;
    /// A person must authorise the channel at the provider first, e.g. the administrator of a page.
    AwaitingAuthorization [X] Waiting;
    /// An earlier attempt to make it may still arrive at the manager, and that would not refuse a second one. The operator waits, looks, and makes it if it is not there.
    CreationUnsettled [I X] Waiting;
    /// The object that `spec.adoption` names is not at the manager (yet).
    AdoptionTargetNotFound [I X] Waiting;
    /// It is to be deleted and waits for others that still need it to be cleaned up. The message names some of them.
    DependantsRemain [C I] Waiting;
    /// The manager answers with a server error.
    ManagerUnavailable [C I X] Waiting;
    /// No connection to the manager.
    ManagerUnreachable [C I X] Waiting;
    /// The manager did not answer in time.
    ManagerTimeout [C I X] Waiting;
    /// TLS with the manager failed: a certificate that is not trusted, expired, or for another name. A private CA goes into key `ca.crt` of the Secret.
    TLSFailed [C I X] Waiting;
    /// What answers is not a manager of the contract: HTML, broken JSON, a redirect, or far too much. Check the endpoint.
    UnexpectedResponse [C I X] Waiting;
    /// The manager asks for fewer calls. The operator slows down by itself.
    RateLimited [C I X] Waiting;
    /// The Kubernetes API did not answer a read. Tried again by itself.
    KubernetesUnavailable [C I X] Waiting;
    /// Again and again what was read was no longer so when it was acted on: another writer changes it all the time, or what the manager lists and what it answers contradict each other. Tried on by itself, ever more slowly.
    NeverSettles [C I X] Waiting;
    /// Only in an event: work has been due for longer than `--stale-after` without coming to an end. The conditions say what it waits for.
    ReconcileOverdue [C I X] Waiting;

    /// The spec holds a value that cannot be, which the schema let pass. The message says where.
    InvalidSpec [C I X] Stalled;
    /// The object cannot be read by this version of the operator at all. Nothing is done for it or because of it.
    Unparsable [C I X] Stalled;
    /// The endpoint is http, and this operator only calls https.
    InsecureEndpoint [C] Stalled;
    /// This operator may not call that host. The message names the flag.
    HostNotAllowed [C] Stalled;
    /// The manager does not know the Manager ID, or the Manager Key does not belong to it.
    InvalidCredentials [C] Stalled;
    /// The Manager Key was revoked.
    CredentialsRevoked [C] Stalled;
    /// The method provisioned for this Manager ID is the other one: change `spec.authentication.method`.
    MethodNotConfigured [C] Stalled;
    /// The clocks of operator and manager are too far apart for signed requests.
    ClockSkew [C] Stalled;
    /// The manager refuses to authenticate the request for another reason.
    AuthenticationRefused [C] Stalled;
    /// The credentials are good, but do not allow what was asked.
    Forbidden [C I X] Stalled;
    /// Another `ManagerCredential` uses the same Manager ID at the same manager and holds it. Two would break the routing of messages. Takes over by itself when the other lets go.
    ManagerIDInUse [C] Waiting;
    /// The Secret (or the parent) now leads to another account than the one whose IDs are in use. Put the old Manager ID back, or create new resources for the new account.
    AccountChanged [C I X] Stalled;
    /// The manager is in another region than `spec` says.
    RegionMismatch [C] Stalled;
    /// Another operator that goes by the same installation name began to write to this account after this one did, so the manager refuses this one's writes: rather a cluster that was restored or cloned while the other one still runs. The message says what to do.
    Superseded [C] Stalled;
    /// Much of the account vanished at once, so writes are frozen. Look at the manager; if it is right, annotate the credential with `digitalmessaging.io/retry`.
    ObservationSuspicious [C] Stalled;

    /// The object was deleted at the manager by someone else. A new one would have new IDs and secrets, so it is only made on demand: the message is the command.
    RemoteMissing [I X] Stalled;
    /// The object at the manager does not carry our mark any more: someone else has taken it, or removed the mark. To take it back, delete and apply the resource with `spec.adoption`.
    ClaimLost [I X] Stalled;
    /// A number, page, name or object is held by someone else. Takes over by itself when it is free; an object that nobody holds can be adopted.
    AlreadyClaimed [I X] Stalled;
    /// The object to adopt differs from the spec, and `mode: Match` was asked for. The message lists the fields.
    AdoptionMismatch [I X] Stalled;
    /// The manager lets connections of this channel only be adopted. Make it there, then set `spec.adoption`.
    AdoptionRequired [X] Stalled;
    /// The change can only be made by deleting the object and making a new one, with a new ID. That is never done unasked: the message lists the fields and the recipe.
    ReplaceRequired [I X] Stalled;
    /// The manager does not offer this channel (any more).
    ChannelUnsupported [X] Stalled;
    /// The manager refused a value. The message says which.
    Rejected [C I X] Stalled;
    /// The provider refused the channel's secrets.
    ChannelCredentialsRejected [X] Stalled;
    /// The provider refuses the channel. The message is the manager's.
    ChannelFailed [X] Stalled;
    /// The account holds as many objects as it may.
    QuotaExceeded [I X] Stalled;
    /// The manager still holds connections of the interface that no resource here stands for.
    InterfaceNotEmpty [I] Stalled;
    /// A Secret of the output's name exists that the operator did not make. It is left alone: choose another name in `spec.outputs.secret.name`, or delete it.
    OutputConflict [X] Stalled;
    /// The manager does not hand out the secret that it generated, because it tells one only when it makes it; the other outputs are there. It serves. To have a new secret made and handed out: annotate with `digitalmessaging.io/rotate-secret`; the message is the command.
    OutputsIncomplete [X] Stalled;
    /// `digitalmessaging.io/rotate-secret` asks for what cannot be done: the channel has no generated secret, or the policy is `management: Observe`. The message says which. Everything else goes on; take the annotation away.
    RotationRefused [X] Stalled;
    /// The manager has made a new JWT secret on demand, and the outputs hold it. The message says until when the one before is honoured.
    SecretRotated [X] Fine;
    /// Objects of the account are claimed by another client: perhaps another installation of this operator, in another cluster.
    /// Each leaves alone what the other holds. That is how resources move from one cluster to another; otherwise a set of
    /// credentials belongs to one application in one environment, and messages may go astray.
    AccountShared [C] Fine;
    /// `spec.outputs.secret.name` was changed: the outputs are kept in the new Secret from now on. The one before stays as it was,
    /// because somebody may still read it, until it is deleted by hand or with a connection of `deletion: Delete`.
    OutputsMoved [X] Fine;
    /// `management: Observe`, and there is nothing at the manager to observe.
    NothingToObserve [I X] Waiting;
    /// `management: Observe`: the manager holds something else than what is declared. Nothing is changed; the message lists the fields.
    Differs [I X] Fine;
    /// The operator itself failed on this object. The log has the details; other objects go on.
    InternalError [C I X] Stalled;
}

impl Reason {
    /// Whether it only says that another object is not there or not ready yet. Such waits are normal while things are
    /// applied, in whatever order; the trouble, if there is any, is told of the other object.
    pub fn is_wait_for_another(self) -> bool {
        matches!(
            self,
            Self::CredentialNotFound
                | Self::CredentialNotReady
                | Self::InterfaceNotFound
                | Self::InterfaceNotReady
                | Self::SwitchTargetPending
        )
    }
}

impl Reason {
    /// Whether it may end without anybody doing anything to our objects: an outage, or too much at once.
    pub fn ends_by_itself(self) -> bool {
        matches!(
            self,
            Self::ManagerUnavailable
                | Self::ManagerUnreachable
                | Self::ManagerTimeout
                | Self::TLSFailed
                | Self::UnexpectedResponse
                | Self::RateLimited
                | Self::KubernetesUnavailable
                | Self::NeverSettles
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_unique_and_explained() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(
            Reason::ALL
                .iter()
                .all(|reason| reason.meaning().len() > 20 && !reason.kinds().is_empty())
        );
    }
}

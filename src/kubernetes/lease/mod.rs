// SPDX-License-Identifier: Apache-2.0

//! Leader election by Lease.
//!
//! Our own, because the right to write must end by the clock and not by a message: [`Leadership::permit`] looks at a
//! monotonic deadline before every write, so a process that was stopped and goes on stops writing by itself, before it
//! has even noticed. The second in which a term began is the epoch that fences late writes at the manager: it also grows
//! when somebody deletes the Lease, which a count of transitions would not survive.

mod leadership;
mod standing;
mod timing;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

pub use leadership::Leadership;
use standing::{Observed, Standing};
pub use timing::{Timing, TimingError};

/// Name of the Lease.
pub const LEASE: &str = "digital-messaging-operator";

/// After the end of another one's lease, so that it is past for sure.
const AFTER_THE_END: Duration = Duration::from_millis(50);

/// Why this process does not lead any more.
#[derive(Debug, Error)]
pub enum Lost {
    /// Another process holds the lease.
    #[error("another process ({0}) has taken the lease")]
    Taken(String),
    /// A process of the same name has begun a term of its own.
    #[error(
        "another process goes by the same name ({0}) and has taken the lease; names must be unique: leave --identity out, or \
         give each replica another one"
    )]
    Namesake(String),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed for {:.1} s: {failure}", .since.as_secs_f64())]
    Expired {
        /// Since the last renewal.
        since: Duration,
        /// The last failure.
        failure: String,
    },
}

/// The present term of this process.
struct Term {
    acquired: MicroTime,
    transitions: i32,
    /// The Lease as it was last stored.
    stored: Lease,
}

impl Term {
    fn epoch(&self) -> u64 {
        u64::try_from(self.acquired.0.as_second()).unwrap_or_default()
    }
}

/// A candidate for leadership.
pub struct Candidate<'a> {
    api: Api<Lease>,
    identity: String,
    timing: Timing,
    leadership: &'a Leadership,
    observed: Observed,
    term: Option<Term>,
}

impl<'a> Candidate<'a> {
    /// A candidate with an identity that no other process has. The client should serve nothing else: what others wait for
    /// must not cost the lease.
    pub fn new(client: Client, namespace: &str, identity: String, timing: Timing, leadership: &'a Leadership) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            timing,
            leadership,
            observed: Observed::default(),
            term: None,
        }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            let asked = Instant::now();
            match timeout(self.timing.attempt(), self.try_acquire()).await {
                Ok(Ok(Some(term))) => {
                    let epoch = term.epoch();
                    tracing::info!(identity = self.identity, epoch, "leading");
                    self.term = Some(term);
                    return self.leadership.begin(epoch, asked + self.timing.renew_deadline);
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot ask for the lease"),
                Err(_) => tracing::warn!("asking for the lease timed out"),
            }
            sleep(self.until_next_look()).await;
        }
    }

    /// As long as a standby waits, or less if the lease ends before: who is killed is replaced as soon as may be.
    fn until_next_look(&self) -> Duration {
        let look = self.timing.look();
        let end = self.observed.until().map(|until| until + AFTER_THE_END);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(look, |left| left.min(look))
    }

    async fn try_acquire(&mut self) -> kube::Result<Option<Term>> {
        let present = self.api.get_opt(LEASE).await?;
        let spec = present.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let standing = self.observed.look(spec.as_ref(), &self.identity, self.timing, Instant::now());
        if let Standing::Held { .. } = standing {
            return Ok(None);
        }
        let acquired = MicroTime(self.observed.next_term(Timestamp::now()));
        let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or(0).saturating_add(1);
        let spec = self.spec(acquired.clone(), transitions);
        let stored = match present {
            Some(lease) => self.replace(lease, spec).await?,
            None => self.create(spec).await?,
        };
        Ok(stored.map(|stored| Term {
            acquired,
            transitions,
            stored,
        }))
    }

    /// Renews the lease for as long as that works.
    pub async fn hold(&mut self) -> Lost {
        let (mut renewed, mut asked) = (Instant::now(), Instant::now());
        let mut failure = "this process did not run in the meantime".to_owned();
        loop {
            sleep_until(asked + self.timing.retry_period).await;
            asked = Instant::now();
            // Looked at before anything is sent: this process may have been stopped.
            let Some(until) = self.leadership.until(asked) else { break };
            match timeout_at(until.min(asked + self.timing.attempt()), self.renew()).await {
                Ok(Ok(())) => {
                    self.leadership.extend(asked + self.timing.renew_deadline, Instant::now());
                    renewed = asked;
                }
                Ok(Err(Unrenewed::Lost(lost))) => {
                    self.leadership.end();
                    return lost;
                }
                Ok(Err(Unrenewed::Failed(error))) => failure = error,
                Err(_) => "the Kubernetes API did not answer in time".clone_into(&mut failure),
            }
        }
        self.leadership.end();
        Lost::Expired {
            since: renewed.elapsed(),
            failure,
        }
    }

    async fn renew(&mut self) -> Result<(), Unrenewed> {
        let Some(term) = &self.term else {
            return Err(Lost::Taken(String::new()).into());
        };
        let spec = self.spec(term.acquired.clone(), term.transitions);
        // Over the version that we left: nobody has touched it since.
        let stored = match self.replace(term.stored.clone(), spec.clone()).await {
            Ok(Some(stored)) => Some(stored),
            Ok(None) => self.insist(spec).await?,
            Err(kube::Error::Api(status)) if status.code == 404 => self.insist(spec).await?,
            Err(error) => return Err(error.into()),
        };
        match (stored, &mut self.term) {
            (Some(stored), Some(term)) => {
                term.stored = stored;
                Ok(())
            }
            _ => Err(Unrenewed::Failed("the Lease changes all the time".to_owned())),
        }
    }

    /// Somebody has changed or deleted the Lease. Unless a candidate has taken it, it is still ours.
    async fn insist(&self, spec: LeaseSpec) -> Result<Option<Lease>, Unrenewed> {
        let Some(lease) = self.api.get_opt(LEASE).await? else {
            tracing::warn!("somebody has deleted the Lease; it is made again");
            return Ok(self.create(spec).await?);
        };
        let present = lease.spec.clone().unwrap_or_default();
        match standing::holder(&present) {
            Some(holder) if holder != self.identity => return Err(Lost::Taken(holder.to_owned()).into()),
            Some(holder) if present.acquire_time > spec.acquire_time => return Err(Lost::Namesake(holder.to_owned()).into()),
            // A renewal of ours, whose answer was lost.
            Some(_) if present.acquire_time == spec.acquire_time => {}
            _ => tracing::warn!("somebody has changed the Lease; it is put right"),
        }
        Ok(self.replace(lease, spec).await?)
    }

    /// Gives the lease back, so that another process need not wait for its end.
    pub async fn release(&mut self) {
        if !self.leadership.is_leading() {
            return;
        }
        self.leadership.end();
        let Some(term) = self.term.take() else { return };
        let spec = LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: Some(1),
            ..self.spec(term.acquired, term.transitions)
        };
        let released = async {
            match self.replace(term.stored, spec.clone()).await? {
                Some(_) => Ok(()),
                // The answer to the last renewal may not have been waited for.
                None => self.insist(spec).await.map(drop),
            }
        };
        match timeout(self.timing.attempt(), released).await {
            Ok(Ok(())) => tracing::info!("gave the lease back"),
            Ok(Err(Unrenewed::Lost(lost))) => tracing::info!("there is no lease to give back: {lost}"),
            Ok(Err(Unrenewed::Failed(error))) => tracing::warn!(error, "cannot give the lease back; it ends by itself"),
            Err(_) => tracing::warn!("cannot give the lease back in time; it ends by itself"),
        }
    }

    fn spec(&self, acquired: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// `None` if somebody has changed it meanwhile.
    async fn replace(&self, mut lease: Lease, spec: LeaseSpec) -> kube::Result<Option<Lease>> {
        lease.spec = Some(spec);
        unless_conflict(self.api.replace(LEASE, &PostParams::default(), &lease).await)
    }

    /// `None` if somebody was faster.
    async fn create(&self, spec: LeaseSpec) -> kube::Result<Option<Lease>> {
        let metadata = ObjectMeta {
            name: Some(LEASE.to_owned()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        unless_conflict(self.api.create(&PostParams::default(), &lease).await)
    }
}

/// Why a renewal did not happen.
enum Unrenewed {
    Lost(Lost),
    Failed(String),
}

impl From<Lost> for Unrenewed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<kube::Error> for Unrenewed {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn unless_conflict(result: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

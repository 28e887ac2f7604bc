//! Leader election by Lease.
//!
//! Our own, because the right to write must end by the clock and not by a message: [`Leadership::permit`] looks at a
//! monotonic deadline before every write, so a process that was stopped and goes on stops writing by itself, before it
//! has even noticed. The second in which the lease was acquired is the epoch that fences late writes at the manager: it
//! also grows when somebody deletes the Lease, which a count of transitions would not survive.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};

use crate::manager::write::Fence;

/// Name of the Lease.
pub const LEASE: &str = "digital-messaging-operator";

/// How long a lease lasts without renewal.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews.
const PERIOD: Duration = Duration::from_secs(2);
/// How often a standby looks: what it has not seen renewed for the lease's duration is free, so this is the most that it is late.
const LOOK: Duration = Duration::from_secs(1);
/// Time before the end of the lease from which on no write is started: one that is under way then still ends in time.
const MARGIN: Duration = Duration::from_secs(5);

/// Whether this process may write.
#[derive(Debug)]
pub struct Leadership {
    installation: String,
    term: Mutex<Option<Term>>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: u64,
    until: Instant,
}

impl Leadership {
    /// Not leading yet.
    pub fn new(installation: String) -> Self {
        Self {
            installation,
            term: Mutex::new(None),
        }
    }

    /// The right to write, if it is there.
    pub fn permit(&self) -> Option<Fence> {
        let term = (*self.term.lock().unwrap_or_else(PoisonError::into_inner))?;
        (Instant::now() < term.until).then(|| Fence {
            installation: self.installation.clone(),
            epoch: term.epoch,
        })
    }

    /// Whether this process leads.
    pub fn is_leading(&self) -> bool {
        self.permit().is_some()
    }

    fn extend(&self, epoch: u64, asked: Instant) {
        let until = asked + DURATION.saturating_sub(MARGIN);
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = Some(Term { epoch, until });
    }

    fn end(&self) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Why this process does not lead any more.
#[derive(Debug, Error)]
pub enum Lost {
    /// Another process holds the lease.
    #[error("another process ({0}) has taken the lease")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed in time: {0}")]
    Expired(String),
}

/// A candidate for leadership.
pub struct Candidate<'a> {
    api: Api<Lease>,
    identity: String,
    leadership: &'a Leadership,
    /// The lease as last seen, and when it was first seen so: other processes' clocks are not to be trusted.
    seen: Option<(Option<MicroTime>, Option<String>, Instant)>,
}

impl<'a> Candidate<'a> {
    /// A candidate with an identity that no other process has.
    pub fn new(client: Client, namespace: &str, identity: String, leadership: &'a Leadership) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            leadership,
            seen: None,
        }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            let asked = Instant::now();
            match self.try_acquire().await {
                Ok(Some(epoch)) => {
                    tracing::info!(identity = self.identity, epoch, "leading");
                    return self.leadership.extend(epoch, asked);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot ask for the lease"),
            }
            sleep(self.until_next_look()).await;
        }
    }

    /// A second, or less if the lease as last seen ends before: who is killed is replaced as soon as may be.
    fn until_next_look(&self) -> Duration {
        let end = self
            .seen
            .as_ref()
            .map(|(.., since)| (DURATION + Duration::from_millis(50)).saturating_sub(since.elapsed()));
        end.filter(|end| !end.is_zero() && *end < LOOK).unwrap_or(LOOK)
    }

    /// Renews the lease for as long as that works.
    pub async fn hold(&mut self) -> Lost {
        let mut failure = "no answer".to_owned();
        while self.leadership.is_leading() {
            sleep(PERIOD).await;
            let asked = Instant::now();
            match timeout(PERIOD, self.renew()).await {
                // What lapsed meanwhile stays lapsed: writes were refused in between, and nobody would make up for them.
                Ok(Ok(Ok(epoch))) if self.leadership.is_leading() => self.leadership.extend(epoch, asked),
                Ok(Ok(Ok(_))) => "the answer came too late".clone_into(&mut failure),
                Ok(Ok(Err(holder))) => {
                    self.leadership.end();
                    return Lost::Taken(holder);
                }
                Ok(Err(error)) => failure = error.to_string(),
                Err(_) => "timed out".clone_into(&mut failure),
            }
        }
        self.leadership.end();
        Lost::Expired(failure)
    }

    /// Gives the lease back, so that another process need not wait for its end.
    pub async fn release(&mut self) {
        if !self.leadership.is_leading() {
            return;
        }
        self.leadership.end();
        let released = async {
            let mut lease = self.api.get(LEASE).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.api.replace(LEASE, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(PERIOD, released).await {
            Ok(Ok(())) => tracing::info!("gave the lease back"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the lease back; it ends by itself"),
            Err(_) => tracing::warn!("cannot give the lease back in time; it ends by itself"),
        }
    }

    async fn try_acquire(&mut self) -> kube::Result<Option<u64>> {
        let Some(mut lease) = self.api.get_opt(LEASE).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(LEASE.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(1, MicroTime(Timestamp::now()))),
            };
            let stored = stored(self.api.create(&PostParams::default(), &lease).await)?;
            return Ok(stored.as_ref().map(epoch));
        };
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let free = match &holder {
            None => true,
            Some(holder) if *holder == self.identity => true,
            Some(_) => self.has_expired(&spec),
        };
        if !free {
            return Ok(None);
        }
        let transitions = spec.lease_transitions.unwrap_or(0).saturating_add(1);
        let now = Timestamp::now();
        let after_last = spec
            .acquire_time
            .and_then(|last| last.0.checked_add(SignedDuration::from_secs(1)).ok());
        let acquired = after_last.map_or(now, |after_last| after_last.max(now));
        lease.spec = Some(self.spec(transitions, MicroTime(acquired)));
        let stored = stored(self.api.replace(LEASE, &PostParams::default(), &lease).await)?;
        Ok(stored.as_ref().map(epoch))
    }

    /// Whether the holder has not renewed for the lease's duration, by our own clock.
    fn has_expired(&mut self, spec: &LeaseSpec) -> bool {
        let now = Instant::now();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs);
        let same = self
            .seen
            .as_ref()
            .filter(|(renewed, holder, _)| *renewed == spec.renew_time && *holder == spec.holder_identity);
        let Some((_, _, since)) = same else {
            self.seen = Some((spec.renew_time.clone(), spec.holder_identity.clone(), now));
            return false;
        };
        now.duration_since(*since) > duration
    }

    async fn renew(&mut self) -> kube::Result<Result<u64, String>> {
        let mut lease = self.api.get(LEASE).await?;
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder != self.identity {
            return Ok(Err(holder));
        }
        let transitions = spec.lease_transitions.unwrap_or(1);
        let acquired = spec.acquire_time.unwrap_or_else(|| MicroTime(Timestamp::now()));
        lease.spec = Some(self.spec(transitions, acquired));
        let stored = self.api.replace(LEASE, &PostParams::default(), &lease).await?;
        Ok(Ok(epoch(&stored)))
    }

    fn spec(&self, transitions: i32, acquired: MicroTime) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// The term of a lease.
fn epoch(lease: &Lease) -> u64 {
    let acquired = lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref());
    acquired
        .and_then(|acquired| u64::try_from(acquired.0.as_second()).ok())
        .unwrap_or_default()
}

/// A conflict means that another candidate was faster.
fn stored(result: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

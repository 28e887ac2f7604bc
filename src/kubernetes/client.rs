// SPDX-License-Identifier: Apache-2.0

//! The client, and the one gate that all writes pass.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, header::USER_AGENT};
use kube::{Client, Config, client::ClientBuilder};
use thiserror::Error;
use tokio::time::timeout;
use tower::limit::GlobalConcurrencyLimitLayer;
use tracing::Instrument;

use super::{lease::Leadership, requests::Counting};
use crate::telemetry::{metrics::Metrics, traces::TARGET};

/// Why a write did not happen.
#[derive(Debug, Error)]
pub enum WriteError {
    /// This process does not lead (any more).
    #[error("this process is not the leader")]
    NotLeading,
    /// The object has changed since it was read: what was computed from it is stale.
    #[error("the object has changed meanwhile")]
    Conflict,
    /// The object, or its namespace, is going or gone: nothing to do.
    #[error("the object or its namespace is being deleted")]
    Gone,
    /// There is an object of that name already.
    #[error("an object of that name exists already")]
    AlreadyExists,
    /// No answer in time.
    #[error("the Kubernetes API did not answer a write in time")]
    Timeout,
    /// Anything else.
    #[error("the Kubernetes API refused a write: {0}")]
    Api(#[source] Box<kube::Error>),
}

/// Time for one write. One that is given up may still arrive: every write is over a version, so it does no harm.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for one read.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a read has no answer, where the library has no word for it.
#[derive(Debug, Error)]
#[error("no answer to a read within {0:?}")]
struct NoAnswer(Duration);

/// Makes a read, which gets an answer or an error in time. Not for watches and lists.
///
/// # Errors
/// Those of the read; [`kube::Error::Service`] if there is no answer.
pub async fn read<T>(read: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    read_within(READ_TIMEOUT, read).await
}

async fn read_within<T>(limit: Duration, read: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    timeout(limit, read)
        .await
        .unwrap_or_else(|_elapsed| Err(kube::Error::Service(Box::new(NoAnswer(limit)))))
}

/// A client and what every write needs.
#[derive(Clone)]
pub struct Kubernetes {
    /// The client.
    pub client: Client,
    /// Whether this process may write.
    pub leadership: Arc<Leadership>,
    /// Where writes are counted.
    pub metrics: Arc<Metrics>,
}

impl Kubernetes {
    /// Makes a write if this process leads, and sorts its errors.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write<T>(
        &self,
        resource: &'static str,
        verb: &'static str,
        write: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        if self.leadership.permit().is_none() {
            return Err(WriteError::NotLeading);
        }
        let span = tracing::trace_span!(
            target: TARGET,
            "kubernetes_write",
            otel.name = format!("{verb} {resource}"),
            otel.kind = "client",
            resource,
            verb,
            result = tracing::field::Empty,
        );
        let outcome = timeout(WRITE_TIMEOUT, write)
            .instrument(span.clone())
            .await
            .map_or(Err(WriteError::Timeout), |written| written.map_err(sort));
        let result = match &outcome {
            Ok(_) => "ok",
            Err(WriteError::Conflict | WriteError::AlreadyExists) => "conflict",
            Err(WriteError::Gone) => "gone",
            Err(_) => "error",
        };
        span.record("result", result);
        self.metrics.kubernetes_write(resource, verb, result);
        outcome
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        sort(error)
    }
}

fn sort(error: kube::Error) -> WriteError {
    let kube::Error::Api(status) = &error else {
        return WriteError::Api(Box::new(error));
    };
    let terminating = status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    match (status.code, status.reason.as_str()) {
        (404, _) => WriteError::Gone,
        (403, _) if terminating => WriteError::Gone,
        (409, "AlreadyExists") => WriteError::AlreadyExists,
        (409, _) => WriteError::Conflict,
        // A precondition on the UID that does not hold: another object of the name.
        (422, "Invalid") if status.message.contains("uid") && status.message.contains("Precondition") => WriteError::Gone,
        _ => WriteError::Api(Box::new(error)),
    }
}

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// For everything but the Lease.
    pub general: Client,
    /// For the Lease alone, with connections of its own: requests that wait or hang elsewhere never cost the lease.
    pub lease: Client,
    make: Arc<dyn Fn() -> kube::Result<Client> + Send + Sync>,
}

impl Clients {
    /// Clients that name `identity` in the API server's audit log. At most `concurrent` requests of the general one are
    /// under way at a time. All are counted. None retries by itself: retries of the library go on for minutes, behind the
    /// back of back-off and deadlines.
    ///
    /// # Errors
    /// If TLS or authentication cannot be set up.
    pub fn new(mut config: Config, concurrent: usize, identity: &str, metrics: &Arc<Metrics>) -> kube::Result<Self> {
        config.default_retry = false;
        if let Ok(agent) = HeaderValue::try_from(format!("{AGENT} ({identity})")) {
            config.headers.push((USER_AGENT, agent));
        }
        let counting = Counting::new(metrics.clone(), &config.cluster_url);
        let lease = ClientBuilder::try_from(config.clone())?.with_layer(&counting).build();
        let limit = GlobalConcurrencyLimitLayer::new(concurrent);
        let make = move || {
            let client = ClientBuilder::try_from(config.clone())?;
            Ok(client.with_layer(&counting).with_layer(&limit).build())
        };
        Ok(Self {
            general: make()?,
            lease,
            make: Arc::new(make),
        })
    }

    /// The same with something around the general client.
    #[must_use]
    pub fn wrapped(self, wrap: impl Fn(Client) -> Client + Send + Sync + 'static) -> Self {
        let make = self.make;
        Self {
            general: wrap(self.general),
            lease: self.lease,
            make: Arc::new(move || make().map(&wrap)),
        }
    }

    /// Another general client, with the same limit and no connection of the first.
    ///
    /// # Errors
    /// If TLS or authentication cannot be set up.
    pub fn again(&self) -> kube::Result<Client> {
        (self.make)()
    }
}

const AGENT: &str = concat!("digital-messaging-operator/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::{Api, client::Body};

    use super::*;

    #[tokio::test]
    async fn a_read_that_is_never_answered_ends_and_says_so() {
        let never =
            tower::service_fn(|_: http::Request<Body>| std::future::pending::<Result<http::Response<Body>, std::io::Error>>());
        let secrets: Api<Secret> = Api::namespaced(Client::new(never, "shop"), "shop");
        let read = read_within(Duration::from_millis(20), secrets.get_opt("acme"));
        let error = read.await.unwrap_err();
        assert!(error.to_string().contains("no answer to a read within 20ms"), "{error}");
    }
}

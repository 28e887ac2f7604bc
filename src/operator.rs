// SPDX-License-Identifier: Apache-2.0

//! Puts the parts together and runs them: pumps, leader election, controllers, health endpoints.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture};
use kube::runtime::reflector::store::Writer;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    controller::{
        Context, Memory, accounts::Accounts, census, connection, credential, interface, invalid, run as run_controller, staleness,
    },
    desired::{
        Mirror, Stores, Wakers,
        node::Kind,
        pump::{Scope, Source, pump_resource, pump_secrets},
    },
    kubernetes::{
        client::{Clients, Kubernetes},
        events::Events,
        installation::{self, InstallationError},
        lease::{Candidate, Leadership, Lost, Timing},
        preflight::{self, PreflightError},
        secrets::SecretReader,
    },
    manager::transport::{HostPolicy, Lookup, Transport},
    telemetry::{Telemetry, health, metrics::Metrics},
};

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch.
    pub scope: Scope,
    /// The operator's own namespace: Lease and installation Secret.
    pub namespace: String,
    /// Name of the installation; default: generated once and kept in the own namespace.
    pub installation: Option<String>,
    /// Who this process is among the replicas.
    pub identity: String,
    /// Leader election.
    pub lease: Timing,
    /// Which managers may be called.
    pub hosts: HostPolicy,
    /// How their addresses are found.
    pub lookup: Arc<dyn Lookup>,
    /// How often something that waits is looked at again although nothing is known to have changed.
    pub recheck: Duration,
    /// How long an object may have work due before that is reported.
    pub stale_after: Duration,
    /// How long nothing at all may be finished, while there is something to do, before the process counts as wedged.
    pub wedged_after: Duration,
    /// How long after an attempt to make something at a manager that would make it twice, and without an answer, the attempt
    /// may still arrive there.
    pub settles: Duration,
}

/// Why the operator ended by itself.
#[derive(Debug, Error)]
pub enum RunError {
    /// It cannot work here.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Its own Secret cannot be used.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// Another process leads now. Ending is how this one starts over.
    #[error("lost leadership: {0}")]
    LeadershipLost(#[source] Lost),
    /// A part that must not end has ended.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// What Kubernetes holds could not be read. Ending is how it starts over.
    #[error("took the lease, but could not read anew what Kubernetes holds: {0}")]
    Unread(String),
    /// The health endpoints cannot be served.
    #[error("cannot serve health and metrics: {0}")]
    Serve(#[source] std::io::Error),
}

/// How long what is under way may take to finish at the end: a call to a manager takes at most 20 s.
const GRACE: Duration = Duration::from_secs(25);

/// What was read longer ago than this is read anew before it is worked on: nobody tells a standby that its watches are dead.
const FRESH: Duration = Duration::from_secs(2);
/// How long that may take.
const READING: Duration = Duration::from_mins(1);

/// Runs until `stop`, then finishes what is under way and gives the lease back.
///
/// # Errors
/// See [`RunError`].
pub async fn run(
    settings: Settings,
    clients: Clients,
    listener: TcpListener,
    telemetry: impl Into<Telemetry>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let health = health::Health::default();
    let serving = stop.child_token();
    let telemetry = telemetry.into();
    let metrics = telemetry.metrics.clone();
    let server = tokio::spawn(health::serve(listener, health.clone(), telemetry, serving.clone()));
    let outcome = Box::pin(lead(settings, clients, health, metrics, &stop)).await;
    serving.cancel();
    let ended = server.await.unwrap_or(Ok(()));
    outcome.and(ended.map_err(RunError::Serve))
}

async fn lead(
    settings: Settings,
    clients: Clients,
    health: health::Health,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    preflight::check(&clients.general, &settings.scope, &settings.namespace).await?;
    let installation = installation::load(&clients.general, &settings.namespace, settings.installation.as_deref()).await?;
    tracing::info!(installation = installation.name, identity = settings.identity, "starting");
    let leadership = Arc::new(Leadership::new(installation.name.clone()));

    let (source, sources) = watch::channel((0, clients.general.clone()));
    let (mirror, woken, pumps) = mirror(&settings.scope, &sources, &metrics);
    let mut background: JoinSet<&'static str> = JoinSet::new();
    for pump in pumps {
        background.spawn(pump);
    }
    tokio::select! {
        ready = mirror.ready() => if !ready { return Err(RunError::Ended("a watch")) },
        ended = background.join_next() => return Err(RunError::Ended(ended.and_then(Result::ok).unwrap_or("a watch"))),
        () = stop.cancelled() => return Ok(()),
    }
    health.set_ready();
    let read = Instant::now();
    let (watched, limit) = (mirror.clone(), settings.wedged_after);
    health.watch(move || watched.progress.is_wedged(limit, std::time::Instant::now()));

    let mut candidate = Candidate::new(
        clients.lease.clone(),
        &settings.namespace,
        settings.identity.clone(),
        settings.lease,
        &leadership,
    );
    tokio::select! {
        () = candidate.acquire() => metrics.set_leader(true),
        ended = background.join_next() => return Err(RunError::Ended(ended.and_then(Result::ok).unwrap_or("a watch"))),
        () = stop.cancelled() => return Ok(()),
    }
    let client = match read_anew(clients, read, &mirror, &source, &mut candidate, stop).await {
        Ok(client) => client,
        Err(failure) => {
            metrics.set_leader(false);
            candidate.release().await;
            return Err(failure);
        }
    };

    let kubernetes = Kubernetes {
        client: client.clone(),
        leadership: leadership.clone(),
        metrics: metrics.clone(),
    };
    let (events, send_events) = Events::new(client.clone(), settings.identity.clone(), leadership.clone(), metrics.clone());
    background.spawn(async move {
        send_events.await;
        "sending events"
    });
    let tasks = TaskTracker::new();
    let leader = leadership.clone();
    let accounts = Accounts::new(
        mirror.clone(),
        installation.name.clone(),
        Arc::new(move || leader.permit()),
        metrics.clone(),
        tasks.clone(),
        settings.recheck,
    );
    let context = Arc::new(Context {
        mirror: mirror.clone(),
        accounts: accounts.clone(),
        secrets: SecretReader::new(client.clone()),
        kubernetes,
        events,
        installation,
        transport: Transport::new(settings.hosts, settings.lookup),
        metrics: metrics.clone(),
        memory: Memory::new(settings.recheck, settings.settles),
    });
    let finish = CancellationToken::new();
    let controllers = controllers(woken, settings.stale_after, &context, &finish);
    tokio::pin!(controllers);
    count_when_read(&mirror, &metrics);
    mirror.start_waking();
    for kind in [Kind::Interface, Kind::Connection] {
        mirror.tell_plans_waiting(kind, |count| metrics.set_plans_waiting(kind.as_str(), count));
    }

    let outcome = tokio::select! {
        lost = candidate.hold() => Err(RunError::LeadershipLost(lost)),
        ended = background.join_next() => Err(RunError::Ended(ended.and_then(Result::ok).unwrap_or("a watch"))),
        () = &mut controllers => Err(RunError::Ended("a controller")),
        () = stop.cancelled() => Ok(()),
    };
    let outcome = if outcome.is_ok() {
        finish.cancel();
        let finished = async {
            (&mut controllers).await;
            accounts.close();
            tasks.close();
            tasks.wait().await;
        };
        let_finish(finished, &mut candidate).await
    } else {
        outcome
    };
    metrics.set_leader(false);
    outcome
}

/// Has metrics show the controllers, and count what there is whenever they are read.
fn count_when_read(mirror: &Arc<Mirror>, metrics: &Metrics) {
    for kind in [Kind::Credential, Kind::Interface, Kind::Connection] {
        metrics.begin(kind.plural());
    }
    let counted = Arc::downgrade(mirror);
    metrics.before_reading(move |metrics| {
        if let Some(mirror) = counted.upgrade() {
            census::take(&mirror, metrics);
        }
    });
}

/// Lets what is under way finish, and gives the lease back.
async fn let_finish(finished: impl Future<Output = ()>, candidate: &mut Candidate<'_>) -> Result<(), RunError> {
    tracing::info!("finishing what is under way");
    let drained = async {
        tokio::select! {
            () = finished => Ok(()),
            // The lease must not end meanwhile.
            lost = candidate.hold() => Err(RunError::LeadershipLost(lost)),
        }
    };
    match timeout(GRACE, drained).await {
        Ok(Ok(())) => candidate.release().await,
        Ok(Err(lost)) => return Err(lost),
        // Whoever took the lease now might write beside what is still under way.
        Err(_) => tracing::warn!("not everything that was under way has finished; the lease is kept until it ends by itself"),
    }
    Ok(())
}

/// Reads everything anew if it has been read long ago, and returns the client to go on with.
async fn read_anew(
    clients: Clients,
    read: Instant,
    mirror: &Mirror,
    source: &watch::Sender<Source>,
    candidate: &mut Candidate<'_>,
    stop: &CancellationToken,
) -> Result<kube::Client, RunError> {
    if read.elapsed() < FRESH {
        return Ok(clients.general);
    }
    // By connections of its own: those of a standby may be dead as well.
    let client = clients.again().map_err(|error| RunError::Unread(error.to_string()))?;
    let reading = timeout(READING, mirror.read_anew(source, client.clone()));
    tokio::select! {
        read = reading => read.map_err(|_| RunError::Unread("the Kubernetes API did not answer in time".to_owned()))?,
        lost = candidate.hold() => return Err(RunError::LeadershipLost(lost)),
        () = stop.cancelled() => {}
    }
    Ok(client)
}

/// Wake-ups, by controller.
struct Woken {
    credentials: mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<crate::api::ManagerCredential>>,
    interfaces: mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<crate::api::DigitalMessagingInterface>>,
    connections: mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<crate::api::ChannelConnection>>,
}

type Pump = BoxFuture<'static, &'static str>;

fn mirror(scope: &Scope, sources: &watch::Receiver<Source>, metrics: &Arc<Metrics>) -> (Arc<Mirror>, Woken, Vec<Pump>) {
    let (credentials, interfaces, connections) = (Writer::new(()), Writer::new(()), Writer::new(()));
    let (secrets, outputs) = (Writer::new(()), Writer::new(()));
    let stores = Stores {
        credentials: credentials.as_reader(),
        interfaces: interfaces.as_reader(),
        connections: connections.as_reader(),
        secrets: secrets.as_reader(),
        outputs: outputs.as_reader(),
    };
    let ((wake_credentials, woken_credentials), (wake_interfaces, woken_interfaces)) =
        (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let (wake_connections, woken_connections) = mpsc::unbounded_channel();
    let wakers = Wakers {
        credentials: wake_credentials,
        interfaces: wake_interfaces,
        connections: wake_connections,
    };
    let mirror = Arc::new(Mirror::new(scope.clone(), stores, wakers, metrics.clone()));
    let named = |name: &'static str, pump: BoxFuture<'static, ()>| -> Pump {
        Box::pin(async move {
            pump.await;
            name
        })
    };
    let parts = || (scope.clone(), sources.clone(), mirror.clone(), metrics.clone());
    let pumps = vec![
        named("the watch of ManagerCredentials", {
            let (s, c, m, t) = parts();
            Box::pin(async move { pump_resource(Kind::Credential, &s, c, credentials, m, t).await })
        }),
        named("the watch of DigitalMessagingInterfaces", {
            let (s, c, m, t) = parts();
            Box::pin(async move { pump_resource(Kind::Interface, &s, c, interfaces, m, t).await })
        }),
        named("the watch of ChannelConnections", {
            let (s, c, m, t) = parts();
            Box::pin(async move { pump_resource(Kind::Connection, &s, c, connections, m, t).await })
        }),
        named("the watch of Secrets", {
            let (s, c, m, t) = parts();
            Box::pin(async move { pump_secrets(Kind::Secret, &s, c, secrets, m, t).await })
        }),
        named("the watch of outputs", {
            let (s, c, m, t) = parts();
            Box::pin(async move { pump_secrets(Kind::Output, &s, c, outputs, m, t).await })
        }),
    ];
    let woken = Woken {
        credentials: woken_credentials,
        interfaces: woken_interfaces,
        connections: woken_connections,
    };
    (mirror, woken, pumps)
}

/// All controllers; ends when `finish` is asked for and what is under way has finished.
fn controllers(
    woken: Woken,
    stale_after: Duration,
    context: &Arc<Context>,
    finish: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let credentials = run_controller(
        Kind::Credential,
        context.mirror.credentials.clone(),
        woken.credentials,
        finish.clone(),
        context.clone(),
        credential::reconcile,
        credential::panicked,
    );
    let interfaces = run_controller(
        Kind::Interface,
        context.mirror.interfaces.clone(),
        woken.interfaces,
        finish.clone(),
        context.clone(),
        interface::reconcile,
        interface::panicked,
    );
    let connections = run_controller(
        Kind::Connection,
        context.mirror.connections.clone(),
        woken.connections,
        finish.clone(),
        context.clone(),
        connection::reconcile,
        connection::panicked,
    );
    let (context, finish) = (context.clone(), finish.clone());
    let others = async move {
        let reports = async { tokio::join!(invalid::run(&context), staleness::run(stale_after, &context)) };
        finish.run_until_cancelled(reports).await
    };
    async move {
        tokio::join!(
            credentials.for_each(|()| async {}),
            interfaces.for_each(|()| async {}),
            connections.for_each(|()| async {}),
            others
        );
    }
}

/// The name of this process among the replicas: the pod's name and something that another process does not have.
pub fn default_identity() -> String {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let host = environment
        .get("POD_NAME")
        .or_else(|| environment.get("HOSTNAME"))
        .map_or("operator", String::as_str);
    format!("{host}_{}", uuid::Uuid::new_v4().simple())
}

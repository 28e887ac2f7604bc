// SPDX-License-Identifier: Apache-2.0

//! Metrics, with names that stock dashboards know where there are such names.
//!
//! Labels are closed sets: nothing that a user or a manager writes ever becomes a label. Whoever installs the operator says
//! where the Kubernetes API is, which is one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry, Unit},
};

use super::{
    load::Load,
    process::{self, Process},
    text::without_open_metrics,
};
use crate::manager::error::Class;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    resource: &'static str,
    verb: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    code: String,
    method: &'static str,
    host: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Drifted {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resource {
    kind: &'static str,
    reason: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The objects of one kind that wait to be reconciled, or are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Objects that wait.
    pub depth: usize,
    /// Reconciles under way.
    pub active: usize,
    /// How long these have been under way, all together.
    pub unfinished: Duration,
    /// How long the one that began first has been under way.
    pub longest: Duration,
}

/// What became of drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftOutcome {
    /// It was put right.
    Corrected,
    /// It waits for approval.
    Waiting,
    /// It is only reported.
    Reported,
    /// The manager did not let it be put right.
    Failed,
}

impl DriftOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Waiting => "waiting",
            Self::Reported => "reported",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Account {
    state: &'static str,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

/// From half a second to more than four hours: some channels wait for a person.
fn long_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.5, 2.0, 16))
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Nothing left to do until something changes.
    Success,
    /// To be done again by itself.
    Requeue,
    /// Failed.
    Error,
}

impl ReconcileResult {
    /// All of them.
    const ALL: [Self; 3] = [Self::Success, Self::Requeue, Self::Error];

    /// As metrics and traces show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeue => "requeue_after",
            Self::Error => "error",
        }
    }
}

/// All metrics of one operator.
pub struct Metrics {
    registry: Registry,
    manager_requests: Family<Call, Counter>,
    manager_seconds: Family<Operation, Histogram, fn() -> Histogram>,
    reconciles: Family<Reconcile, Counter>,
    reconcile_errors: Family<Controller, Counter>,
    reconcile_seconds: Family<Controller, Histogram, fn() -> Histogram>,
    active: Family<Controller, Gauge>,
    most_at_once: Family<Controller, Seconds>,
    panics: Family<Controller, Counter>,
    queue_depth: Family<Named, Gauge>,
    queue_adds: Family<Named, Counter>,
    queue_retries: Family<Named, Counter>,
    queue_seconds: Family<Named, Histogram, fn() -> Histogram>,
    work_seconds: Family<Named, Histogram, fn() -> Histogram>,
    unfinished: Family<Named, Seconds>,
    longest: Family<Named, Seconds>,
    resources: Family<Resource, Gauge>,
    first_ready: Family<OfKind, Histogram, fn() -> Histogram>,
    writes: Family<Write, Counter>,
    requests: Family<Request, Counter>,
    watch_errors: Family<Watched, Counter>,
    events_dropped: Counter,
    leader: Gauge,
    sessions: Gauge,
    plans_waiting: Family<OfKind, Gauge>,
    drift: Family<Drifted, Counter>,
    accounts: Family<Account, Gauge>,
    in_flight: Gauge,
    allowed: Gauge,
    waiting: Gauge,
    pauses: Counter,
    breaker_opened: Counter,
    stale: Family<Controller, Gauge>,
    /// Brings up to date what is known elsewhere.
    before_reading: Mutex<Option<Look>>,
}

type Look = Box<dyn Fn(&Metrics) + Send + Sync>;

/// A metric as the registry knows it and as the reference page in docs/ shows it.
#[derive(Debug)]
pub struct Description {
    /// Name in the registry; see [`Description::exposed_name`].
    pub name: &'static str,
    /// What kind of metric.
    pub kind: MetricKind,
    /// Names of its labels; see [`LABELS`].
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub help: &'static str,
}

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, in buckets.
    Seconds,
}

impl Description {
    /// The name that a query uses; of a histogram the part before `_bucket`, `_sum` and `_count`.
    pub fn exposed_name(&self) -> String {
        match self.kind {
            MetricKind::Counter => format!("{}_total", self.name),
            MetricKind::Gauge => self.name.to_owned(),
            MetricKind::Seconds => format!("{}_seconds", self.name),
        }
    }

    fn register(&self, registry: &mut Registry, metric: impl Metric) {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => registry.register(self.name, self.help, metric),
            MetricKind::Seconds => registry.register_with_unit(self.name, self.help, Unit::Seconds, metric),
        }
    }

    /// Writes what is not in the registry, as the registry would.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder, metric: &impl EncodeMetric) -> Result<(), std::fmt::Error> {
        let help = format!("{}.", self.help);
        metric.encode(encoder.encode_descriptor(self.name, &help, None, metric.metric_type())?)
    }
}

const MANAGER_REQUESTS: Description = Description {
    name: "digital_messaging_manager_requests",
    kind: MetricKind::Counter,
    labels: &["operation", "class"],
    help: "Calls to managers by operation and error class (`ok` for none)",
};
const MANAGER_SECONDS: Description = Description {
    name: "digital_messaging_manager_request_duration",
    kind: MetricKind::Seconds,
    labels: &["operation"],
    help: "Time of calls to managers; `watch` is meant to wait",
};
const RECONCILES: Description = Description {
    name: "controller_runtime_reconcile",
    kind: MetricKind::Counter,
    labels: &["controller", "result"],
    help: "Reconciles by controller and result",
};
const RECONCILE_SECONDS: Description = Description {
    name: "controller_runtime_reconcile_time",
    kind: MetricKind::Seconds,
    labels: &["controller"],
    help: "Time of reconciles by controller",
};
const RECONCILE_ERRORS: Description = Description {
    name: "controller_runtime_reconcile_errors",
    kind: MetricKind::Counter,
    labels: &["controller"],
    help: "Reconciles that failed and are tried again with growing waits",
};
const ACTIVE: Description = Description {
    name: "controller_runtime_active_workers",
    kind: MetricKind::Gauge,
    labels: &["controller"],
    help: "Reconciles under way",
};
const MOST_AT_ONCE: Description = Description {
    name: "controller_runtime_max_concurrent_reconciles",
    kind: MetricKind::Gauge,
    labels: &["controller"],
    help: "Reconciles that may be under way at the same time: `+Inf`, for what they ask of managers and of Kubernetes is bounded instead",
};
const QUEUE_DEPTH: Description = Description {
    name: "workqueue_depth",
    kind: MetricKind::Gauge,
    labels: &["name"],
    help: "Objects that wait for their reconcile; those that wait for the time of their next try are not among them",
};
const QUEUE_ADDS: Description = Description {
    name: "workqueue_adds",
    kind: MetricKind::Counter,
    labels: &["name"],
    help: "Times that an object came to wait for its reconcile; one that is woken again meanwhile counts once",
};
const QUEUE_SECONDS: Description = Description {
    name: "workqueue_queue_duration",
    kind: MetricKind::Seconds,
    labels: &["name"],
    help: "Time from when an object was woken, or was to be tried again, until its reconcile began",
};
const WORK_SECONDS: Description = Description {
    name: "workqueue_work_duration",
    kind: MetricKind::Seconds,
    labels: &["name"],
    help: "Time that an object was under way, also where there was nothing to do because a newer version of it was on its way",
};
const QUEUE_RETRIES: Description = Description {
    name: "workqueue_retries",
    kind: MetricKind::Counter,
    labels: &["name"],
    help: "Times that a reconcile came to no end and is to be done again by itself",
};
const UNFINISHED: Description = Description {
    name: "workqueue_unfinished_work_seconds",
    kind: MetricKind::Gauge,
    labels: &["name"],
    help: "How long the reconciles under way have taken so far, all together",
};
const LONGEST: Description = Description {
    name: "workqueue_longest_running_processor_seconds",
    kind: MetricKind::Gauge,
    labels: &["name"],
    help: "How long the reconcile under way that began first has taken so far",
};
const RESOURCES: Description = Description {
    name: "digital_messaging_resources",
    kind: MetricKind::Gauge,
    labels: &["kind", "reason"],
    help: "Objects by the reason of their condition `Ready`, as the leader knows them",
};
const FIRST_READY: Description = Description {
    name: "digital_messaging_time_to_ready",
    kind: MetricKind::Seconds,
    labels: &["kind"],
    help: "Time from the creation of an object until it was ready for the first time; not of objects that were not ready yet when this process began to lead",
};
const PANICS: Description = Description {
    name: "controller_runtime_reconcile_panics",
    kind: MetricKind::Counter,
    labels: &["controller"],
    help: "Reconciles that panicked",
};
const WRITES: Description = Description {
    name: "digital_messaging_kubernetes_writes",
    kind: MetricKind::Counter,
    labels: &["resource", "verb", "result"],
    help: "Writes to the Kubernetes API by resource, verb and result (`ok`, `conflict`, `gone`, `error`), the Lease apart",
};
const REQUESTS: Description = Description {
    name: "rest_client_requests",
    kind: MetricKind::Counter,
    labels: &["code", "method", "host"],
    help: "Requests to the Kubernetes API by how they were answered, reads, watches and the Lease among them",
};
const WATCH_ERRORS: Description = Description {
    name: "digital_messaging_watch_errors",
    kind: MetricKind::Counter,
    labels: &["resource"],
    help: "Errors of watches, which start again by themselves",
};
const EVENTS_DROPPED: Description = Description {
    name: "digital_messaging_events_dropped",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Kubernetes events that were not sent because too many waited",
};
const LEADER: Description = Description {
    name: "leader_election_master_status",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Whether this process leads (1) or stands by (0)",
};
const SESSIONS: Description = Description {
    name: "digital_messaging_sessions",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Manager accounts with an open session",
};

const PLANS_WAITING: Description = Description {
    name: "digital_messaging_plans_waiting",
    kind: MetricKind::Gauge,
    labels: &["kind"],
    help: "Objects with a plan that waits for approval, as the leader knows them",
};
const DRIFT: Description = Description {
    name: "digital_messaging_drift",
    kind: MetricKind::Counter,
    labels: &["kind", "outcome"],
    help: "Times that an object was found changed at the manager, by what became of it",
};
const ACCOUNTS: Description = Description {
    name: "digital_messaging_accounts",
    kind: MetricKind::Gauge,
    labels: &["state"],
    help: "Manager accounts by how they are; which ones says the status of their ManagerCredentials",
};
const IN_FLIGHT: Description = Description {
    name: "digital_messaging_manager_requests_in_flight",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Calls to managers under way, observation apart, over all accounts",
};
const ALLOWED: Description = Description {
    name: "digital_messaging_manager_requests_allowed",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Calls allowed at the same time at present, over all accounts",
};
const WAITING: Description = Description {
    name: "digital_messaging_manager_requests_waiting",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Requests in the mailboxes of all accounts, which wait for their turn",
};
const PAUSES: Description = Description {
    name: "digital_messaging_manager_pauses",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Times that an account was not called for a while because its manager answered 429",
};
const BREAKER_OPENED: Description = Description {
    name: "digital_messaging_breaker_opened",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Times that an account turned from reachable to not reachable, or was refused",
};
const STALE: Description = Description {
    name: "digital_messaging_stale_objects",
    kind: MetricKind::Gauge,
    labels: &["controller"],
    help: "Objects with work due that have not been reconciled to an end for longer than `--stale-after`; those that wait for a person are not among them",
};

/// All metrics.
pub const DESCRIPTIONS: &[&Description] = &[
    &MANAGER_REQUESTS,
    &MANAGER_SECONDS,
    &SESSIONS,
    &PLANS_WAITING,
    &DRIFT,
    &ACCOUNTS,
    &BREAKER_OPENED,
    &IN_FLIGHT,
    &ALLOWED,
    &WAITING,
    &PAUSES,
    &STALE,
    &RESOURCES,
    &FIRST_READY,
    &RECONCILES,
    &RECONCILE_ERRORS,
    &RECONCILE_SECONDS,
    &ACTIVE,
    &MOST_AT_ONCE,
    &PANICS,
    &QUEUE_DEPTH,
    &QUEUE_ADDS,
    &QUEUE_SECONDS,
    &WORK_SECONDS,
    &QUEUE_RETRIES,
    &UNFINISHED,
    &LONGEST,
    &WRITES,
    &REQUESTS,
    &WATCH_ERRORS,
    &EVENTS_DROPPED,
    &LEADER,
    &process::PROCESSOR,
    &process::RESIDENT,
    &process::VIRTUAL,
    &process::OPEN_FILES,
    &process::MOST_OPEN_FILES,
    &process::STARTED,
];

/// All labels, and what their values are.
pub const LABELS: &[(&str, &str)] = &[
    (
        "operation",
        "What is asked of the manager: `probe` tries credentials, `walk` reads a whole account, `watch` waits for changes, the others \
         are named after what they do, such as `create_connection`",
    ),
    (
        "class",
        "`ok`, or the class of the error, which decides what happens next: `unavailable` and `rate_limited` are tried again by \
         themselves, all others wait for a change",
    ),
    (
        "kind",
        "`ManagerCredential`, `DigitalMessagingInterface` or `ChannelConnection`; only the last two have plans and can drift",
    ),
    (
        "reason",
        "The reasons of [conditions](conditions.md): `Ready` for objects that are, and why not for all others; `Unknown` while there \
         is no condition yet",
    ),
    (
        "outcome",
        "Of drift: `corrected`; `waiting` for approval; `reported` (`management: Observe`); `failed` (the manager did not let it be \
         put right). What waits or fails first and is put right later counts under both",
    ),
    ("controller", "The kind, by its plural name, such as `channelconnections`"),
    ("name", "Of a queue: as `controller`. Each controller has one"),
    (
        "result",
        "Of a reconcile: `success`, `requeue_after` (goes on by itself), `error`. Of a write: `ok`; `conflict` (the object had \
         changed: looked at again); `gone` (the object or its namespace is going); `error`",
    ),
    (
        "state",
        "`starting`: not known yet; `up`; `throttled`: called less than declared, because the manager answered 429; `down`: not \
         reachable, tried by one call at a time, ever more slowly; `refused`: the manager does not accept the credentials, or \
         forbids what is asked",
    ),
    (
        "resource",
        "What is written or watched, by its plural name; `secrets` and `events` among them",
    ),
    (
        "verb",
        "`create`, `update`, `patch` or `delete`; `update_status` and `patch_status` for a status",
    ),
    (
        "code",
        "Of a request to the Kubernetes API: the status of HTTP that answered it, or `<error>` if none came. A watch counts when it \
         begins",
    ),
    (
        "method",
        "`GET`, `POST`, `PUT`, `PATCH`, `DELETE` or `other`; a watch is a `GET`",
    ),
    (
        "host",
        "Where this process finds the Kubernetes API, such as `10.96.0.1:443`: the same in all its series",
    ),
];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let manager_requests = Family::<Call, Counter>::default();
        MANAGER_REQUESTS.register(&mut registry, manager_requests.clone());
        let manager_seconds = Family::<Operation, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        MANAGER_SECONDS.register(&mut registry, manager_seconds.clone());
        let sessions = Gauge::default();
        SESSIONS.register(&mut registry, sessions.clone());
        let plans_waiting = Family::<OfKind, Gauge>::default();
        PLANS_WAITING.register(&mut registry, plans_waiting.clone());
        let drift = Family::<Drifted, Counter>::default();
        DRIFT.register(&mut registry, drift.clone());
        let reconciles = Family::<Reconcile, Counter>::default();
        RECONCILES.register(&mut registry, reconciles.clone());
        let reconcile_errors = Family::<Controller, Counter>::default();
        RECONCILE_ERRORS.register(&mut registry, reconcile_errors.clone());
        let reconcile_seconds = Family::<Controller, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        RECONCILE_SECONDS.register(&mut registry, reconcile_seconds.clone());
        let active = Family::<Controller, Gauge>::default();
        ACTIVE.register(&mut registry, active.clone());
        let most_at_once = Family::<Controller, Seconds>::default();
        MOST_AT_ONCE.register(&mut registry, most_at_once.clone());
        let (queue_depth, queue_adds, queue_retries) = (Family::default(), Family::default(), Family::default());
        QUEUE_DEPTH.register(&mut registry, Family::<Named, Gauge>::clone(&queue_depth));
        QUEUE_ADDS.register(&mut registry, Family::<Named, Counter>::clone(&queue_adds));
        QUEUE_RETRIES.register(&mut registry, Family::<Named, Counter>::clone(&queue_retries));
        let queue_seconds = Family::<Named, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        QUEUE_SECONDS.register(&mut registry, queue_seconds.clone());
        let work_seconds = Family::<Named, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        WORK_SECONDS.register(&mut registry, work_seconds.clone());
        let (unfinished, longest) = (Family::default(), Family::default());
        UNFINISHED.register(&mut registry, Family::<Named, Seconds>::clone(&unfinished));
        LONGEST.register(&mut registry, Family::<Named, Seconds>::clone(&longest));
        let resources = Family::<Resource, Gauge>::default();
        RESOURCES.register(&mut registry, resources.clone());
        let first_ready = Family::<OfKind, Histogram, fn() -> Histogram>::new_with_constructor(long_seconds);
        FIRST_READY.register(&mut registry, first_ready.clone());
        let panics = Family::<Controller, Counter>::default();
        PANICS.register(&mut registry, panics.clone());
        let writes = Family::<Write, Counter>::default();
        WRITES.register(&mut registry, writes.clone());
        let requests = Family::<Request, Counter>::default();
        REQUESTS.register(&mut registry, requests.clone());
        let watch_errors = Family::<Watched, Counter>::default();
        WATCH_ERRORS.register(&mut registry, watch_errors.clone());
        let events_dropped = Counter::default();
        EVENTS_DROPPED.register(&mut registry, events_dropped.clone());
        let leader = Gauge::default();
        LEADER.register(&mut registry, leader.clone());
        let accounts = Family::<Account, Gauge>::default();
        ACCOUNTS.register(&mut registry, accounts.clone());
        let (in_flight, allowed, waiting) = (Gauge::default(), Gauge::default(), Gauge::default());
        IN_FLIGHT.register(&mut registry, in_flight.clone());
        ALLOWED.register(&mut registry, allowed.clone());
        WAITING.register(&mut registry, waiting.clone());
        let (pauses, breaker_opened) = (Counter::default(), Counter::default());
        PAUSES.register(&mut registry, pauses.clone());
        BREAKER_OPENED.register(&mut registry, breaker_opened.clone());
        let stale = Family::<Controller, Gauge>::default();
        STALE.register(&mut registry, stale.clone());
        registry.register_collector(Box::new(Process::new()));
        Self {
            registry,
            manager_requests,
            manager_seconds,
            reconciles,
            reconcile_errors,
            reconcile_seconds,
            active,
            most_at_once,
            panics,
            queue_depth,
            queue_adds,
            queue_retries,
            queue_seconds,
            work_seconds,
            unfinished,
            longest,
            resources,
            first_ready,
            writes,
            requests,
            watch_errors,
            events_dropped,
            leader,
            sessions,
            plans_waiting,
            drift,
            accounts,
            in_flight,
            allowed,
            waiting,
            pauses,
            breaker_opened,
            stale,
            before_reading: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Has a controller appear with what it counts, before it begins: a counter whose first sample is not 0 has no increase.
    pub fn begin(&self, controller: &'static str) {
        for result in ReconcileResult::ALL {
            let result = result.label();
            drop(self.reconciles.get_or_create(&Reconcile { controller, result }));
        }
        drop(self.reconcile_errors.get_or_create(&Controller { controller }));
        drop(self.reconcile_seconds.get_or_create(&Controller { controller }));
        drop(self.panics.get_or_create(&Controller { controller }));
        self.most_at_once.get_or_create(&Controller { controller }).set(f64::INFINITY);
        let name = Named { name: controller };
        drop(self.queue_adds.get_or_create(&name));
        drop(self.queue_retries.get_or_create(&name));
        drop(self.queue_seconds.get_or_create(&name));
        drop(self.work_seconds.get_or_create(&name));
        self.set_queue(controller, &Queue::default());
    }

    /// Has `look` tell what is known elsewhere each time that metrics are read. Takes the place of the last one.
    pub fn before_reading(&self, look: impl Fn(&Self) + Send + Sync + 'static) {
        *self.before_reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(look));
    }

    /// An object came to wait for its reconcile.
    pub fn queue_added(&self, name: &'static str) {
        self.queue_adds.get_or_create(&Named { name }).inc();
    }

    /// The reconcile of an object that was waited for begins.
    pub fn queue_left(&self, name: &'static str, waited: Duration) {
        self.queue_seconds
            .get_or_create(&Named { name })
            .observe(waited.as_secs_f64());
    }

    /// An object is not under way any more.
    pub fn queue_worked(&self, name: &'static str, took: Duration) {
        self.work_seconds.get_or_create(&Named { name }).observe(took.as_secs_f64());
    }

    /// An object is to be reconciled again by itself.
    pub fn queue_retried(&self, name: &'static str) {
        self.queue_retries.get_or_create(&Named { name }).inc();
    }

    /// How the queue of a controller is.
    pub fn set_queue(&self, controller: &'static str, queue: &Queue) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let name = Named { name: controller };
        self.queue_depth.get_or_create(&name).set(number(queue.depth));
        self.active
            .get_or_create(&Controller { controller })
            .set(number(queue.active));
        self.unfinished.get_or_create(&name).set(queue.unfinished.as_secs_f64());
        self.longest.get_or_create(&name).set(queue.longest.as_secs_f64());
    }

    /// How many objects there are, by kind and reason: all of them.
    pub fn set_resources(&self, counts: &[(&'static str, BTreeMap<&'static str, usize>)]) {
        self.resources.clear();
        for &(kind, ref reasons) in counts {
            for (&reason, &count) in reasons {
                let gauge = self.resources.get_or_create(&Resource { kind, reason });
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// An object was ready for the first time, so long after its creation.
    pub fn first_ready(&self, kind: &'static str, took: Duration) {
        self.first_ready.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }

    /// A call to a manager has ended.
    pub fn manager_call(&self, operation: &'static str, failure: Option<&Class>, took: Duration) {
        let class = failure.map_or("ok", Class::label);
        self.manager_requests.get_or_create(&Call { operation, class }).inc();
        self.manager_seconds
            .get_or_create(&Operation { operation })
            .observe(took.as_secs_f64());
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, controller: &'static str, result: ReconcileResult, took: Duration) {
        if result == ReconcileResult::Error {
            self.reconcile_errors.get_or_create(&Controller { controller }).inc();
        }
        self.reconciles
            .get_or_create(&Reconcile {
                controller,
                result: result.label(),
            })
            .inc();
        self.reconcile_seconds
            .get_or_create(&Controller { controller })
            .observe(took.as_secs_f64());
    }

    /// A reconcile has panicked.
    pub fn panicked(&self, controller: &'static str) {
        self.panics.get_or_create(&Controller { controller }).inc();
    }

    /// A write to the Kubernetes API has ended.
    pub fn kubernetes_write(&self, resource: &'static str, verb: &'static str, result: &'static str) {
        self.writes.get_or_create(&Write { resource, verb, result }).inc();
    }

    /// A request to the API server was answered, or will not be.
    pub fn api_request(&self, method: &'static str, answer: Option<StatusCode>, host: &Arc<str>) {
        let code = answer.map_or_else(|| "<error>".to_owned(), |status| status.as_str().to_owned());
        let host = host.clone();
        self.requests.get_or_create(&Request { code, method, host }).inc();
    }

    /// A watch has failed and starts again.
    pub fn watch_error(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&Watched { resource }).inc();
    }

    /// An event was not sent.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// Whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many accounts have a session.
    pub fn set_sessions(&self, count: usize) {
        self.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many objects of a kind have a plan that waits for approval.
    pub fn set_plans_waiting(&self, kind: &'static str, count: usize) {
        let gauge = self.plans_waiting.get_or_create(&OfKind { kind });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An object was found changed at the manager.
    pub fn drifted(&self, kind: &'static str, outcome: DriftOutcome) {
        let outcome = outcome.label();
        self.drift.get_or_create(&Drifted { kind, outcome }).inc();
    }

    /// Adds what an account contributes to the sums, or takes it away.
    pub(super) fn add_load(&self, load: &Load, sign: i64) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(sign);
        let state = load.state.label();
        self.accounts.get_or_create(&Account { state }).inc_by(sign);
        self.in_flight.inc_by(number(load.under_way));
        self.allowed.inc_by(i64::from(load.allowed).saturating_mul(sign));
        self.waiting.inc_by(number(load.waiting));
    }

    /// An account is not called for a while, because its manager asked for that.
    pub fn paused(&self) {
        self.pauses.inc();
    }

    /// An account turned from reachable to not reachable.
    pub fn breaker_opened(&self) {
        self.breaker_opened.inc();
    }

    /// How many objects of a kind are stale.
    pub fn set_stale(&self, controller: &'static str, count: usize) {
        self.stale
            .get_or_create(&Controller { controller })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// If they cannot be written into a string, which does not happen.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        // Held until all is written: what one reader has counted anew is not counted anew by another one meanwhile.
        let look = self.before_reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = &*look {
            look(self);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The same in the older text format of Prometheus, which everything that reads metrics understands.
    ///
    /// # Errors
    /// See [`Self::encode`].
    pub fn encode_plain(&self) -> Result<String, std::fmt::Error> {
        self.encode().map(|text| without_open_metrics(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::telemetry::load::AccountLoad;

    /// Labels of a sample line such as `name{a="1",le="5"} 3`, those of buckets left out.
    fn labels(line: &str) -> BTreeSet<&str> {
        let inner = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map_or("", |(inner, _)| inner);
        let names = inner
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name);
        names.filter(|name| *name != "le").collect()
    }

    #[test]
    fn what_is_exposed_is_what_is_described() {
        let metrics = Arc::new(Metrics::default());
        metrics.manager_call("probe", None, Duration::ZERO);
        metrics.reconciled("channelconnections", ReconcileResult::Success, Duration::ZERO);
        metrics.panicked("channelconnections");
        metrics.kubernetes_write("secrets", "create", "ok");
        metrics.api_request("POST", Some(StatusCode::CREATED), &"10.96.0.1:443".into());
        metrics.watch_error("secrets");
        metrics.set_plans_waiting("ChannelConnection", 1);
        metrics.drifted("ChannelConnection", DriftOutcome::Corrected);
        metrics.event_dropped();
        metrics.set_stale("channelconnections", 0);
        metrics.begin("channelconnections");
        metrics.set_resources(&[("ChannelConnection", [("Ready", 1)].into())]);
        metrics.first_ready("ChannelConnection", Duration::ZERO);
        let _account = AccountLoad::new(metrics.clone());
        let text = metrics.encode().unwrap();
        let is_here = |it: &&&Description| cfg!(target_os = "linux") || !it.name.starts_with("process_");
        let here: Vec<_> = DESCRIPTIONS.iter().filter(is_here).collect();
        for description in &here {
            let name = description.exposed_name();
            let sample = text
                .lines()
                .find(|line| line.starts_with(&name) && !line.starts_with(&format!("{name}_created")))
                .unwrap_or_else(|| panic!("{name} is not exposed:\n{text}"));
            assert_eq!(labels(sample), description.labels.iter().copied().collect(), "{sample}");
        }
        let exposed = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(exposed, here.len(), "a metric is missing in DESCRIPTIONS:\n{text}");
    }

    #[test]
    fn what_is_not_there_any_more_is_not_shown_with_its_last_count() {
        let metrics = Metrics::default();
        metrics.set_resources(&[("ChannelConnection", [("Ready", 1), ("ManagerUnavailable", 2)].into())]);
        metrics.set_resources(&[("ChannelConnection", [("Ready", 3)].into())]);
        let text = metrics.encode().unwrap();
        let shown: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("digital_messaging_resources{"))
            .collect();
        assert_eq!(
            shown,
            [r#"digital_messaging_resources{kind="ChannelConnection",reason="Ready"} 3"#]
        );
    }

    #[test]
    fn a_controller_that_begins_shows_zeros() {
        let metrics = Metrics::default();
        metrics.begin("channelconnections");
        let text = metrics.encode().unwrap();
        for expected in [
            r#"controller_runtime_reconcile_total{controller="channelconnections",result="error"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="channelconnections"} 0"#,
            r#"controller_runtime_reconcile_panics_total{controller="channelconnections"} 0"#,
            r#"controller_runtime_active_workers{controller="channelconnections"} 0"#,
            r#"workqueue_depth{name="channelconnections"} 0"#,
            r#"workqueue_retries_total{name="channelconnections"} 0"#,
        ] {
            assert!(text.contains(expected), "no {expected} in {text}");
        }
        metrics.reconciled("channelconnections", ReconcileResult::Error, Duration::ZERO);
        metrics.reconciled("channelconnections", ReconcileResult::Success, Duration::ZERO);
        let text = metrics.encode().unwrap();
        let errors = r#"controller_runtime_reconcile_errors_total{controller="channelconnections"} 1"#;
        assert!(text.contains(errors), "{text}");
    }

    #[test]
    fn every_label_is_explained() {
        let used: BTreeSet<&str> = DESCRIPTIONS.iter().flat_map(|it| it.labels).copied().collect();
        assert_eq!(used, LABELS.iter().map(|(name, _)| *name).collect());
    }
}

//! Metrics, with names that stock dashboards know where there are such names.
//!
//! Labels are closed sets: nothing that a user or a manager writes ever becomes a label.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry, Unit},
};

use super::load::Load;
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
    fn label(self) -> &'static str {
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
    reconcile_seconds: Family<Controller, Histogram, fn() -> Histogram>,
    panics: Family<Controller, Counter>,
    writes: Family<Write, Counter>,
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
}

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
    &RECONCILES,
    &RECONCILE_SECONDS,
    &PANICS,
    &WRITES,
    &WATCH_ERRORS,
    &EVENTS_DROPPED,
    &LEADER,
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
    ("kind", "`DigitalMessagingInterface` or `ChannelConnection`"),
    (
        "outcome",
        "Of drift: `corrected`; `waiting` for approval; `reported` (`management: Observe`); `failed` (the manager did not let it be \
         put right). What waits or fails first and is put right later counts under both",
    ),
    ("controller", "The kind, by its plural name, such as `channelconnections`"),
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
        let reconcile_seconds = Family::<Controller, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        RECONCILE_SECONDS.register(&mut registry, reconcile_seconds.clone());
        let panics = Family::<Controller, Counter>::default();
        PANICS.register(&mut registry, panics.clone());
        let writes = Family::<Write, Counter>::default();
        WRITES.register(&mut registry, writes.clone());
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
        Self {
            registry,
            manager_requests,
            manager_seconds,
            reconciles,
            reconcile_seconds,
            panics,
            writes,
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
        }
    }
}

impl Metrics {
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
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

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
        metrics.watch_error("secrets");
        metrics.set_plans_waiting("ChannelConnection", 1);
        metrics.drifted("ChannelConnection", DriftOutcome::Corrected);
        metrics.event_dropped();
        metrics.set_stale("channelconnections", 0);
        let _account = AccountLoad::new(metrics.clone());
        let text = metrics.encode().unwrap();
        for description in DESCRIPTIONS {
            let name = description.exposed_name();
            let sample = text
                .lines()
                .find(|line| line.starts_with(&name) && !line.starts_with(&format!("{name}_created")))
                .unwrap_or_else(|| panic!("{name} is not exposed:\n{text}"));
            assert_eq!(labels(sample), description.labels.iter().copied().collect(), "{sample}");
        }
        let exposed = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(exposed, DESCRIPTIONS.len(), "a metric is missing in DESCRIPTIONS:\n{text}");
    }

    #[test]
    fn every_label_is_explained() {
        let used: BTreeSet<&str> = DESCRIPTIONS.iter().flat_map(|it| it.labels).copied().collect();
        assert_eq!(used, LABELS.iter().map(|(name, _)| *name).collect());
    }
}

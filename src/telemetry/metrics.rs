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
    registry::{Registry, Unit},
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
struct Watched {
    resource: &'static str,
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
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let manager_requests = Family::<Call, Counter>::default();
        registry.register(
            "digital_messaging_manager_requests",
            "Calls to managers by operation and error class (`ok` for none)",
            manager_requests.clone(),
        );
        let manager_seconds = Family::<Operation, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register_with_unit(
            "digital_messaging_manager_request_duration",
            "Time of calls to managers; `watch` is meant to wait",
            Unit::Seconds,
            manager_seconds.clone(),
        );
        let reconciles = Family::<Reconcile, Counter>::default();
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by controller and result",
            reconciles.clone(),
        );
        let reconcile_seconds = Family::<Controller, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register_with_unit(
            "controller_runtime_reconcile_time",
            "Time of reconciles by controller",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        let panics = Family::<Controller, Counter>::default();
        registry.register(
            "controller_runtime_reconcile_panics",
            "Reconciles that panicked",
            panics.clone(),
        );
        let writes = Family::<Write, Counter>::default();
        registry.register(
            "digital_messaging_kubernetes_writes",
            "Writes to the Kubernetes API by resource, verb and result (`ok`, `conflict`, `error`)",
            writes.clone(),
        );
        let watch_errors = Family::<Watched, Counter>::default();
        registry.register(
            "digital_messaging_watch_errors",
            "Errors of watches, which start again by themselves",
            watch_errors.clone(),
        );
        let events_dropped = Counter::default();
        registry.register(
            "digital_messaging_events_dropped",
            "Kubernetes events that were not sent because too many waited",
            events_dropped.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader_election_master_status",
            "Whether this process leads (1) or stands by (0)",
            leader.clone(),
        );
        let sessions = Gauge::default();
        registry.register(
            "digital_messaging_sessions",
            "Manager accounts with an open session",
            sessions.clone(),
        );
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

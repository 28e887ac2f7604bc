// SPDX-License-Identifier: Apache-2.0

//! Drift: what the status says of it while it stands, and what is kept and told once it is put right.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;

use crate::{
    api::{self, ConditionType, CorrectedDrift, Drift, HasConditions},
    desired::node::Node,
    manager::error::one_line,
    telemetry::metrics::DriftOutcome,
};

use super::{Context, Subject, object_reference, reason::Reason, report};

/// Says which fields differ without anyone having changed the spec, and since when; none: that nothing does.
pub fn show(status: &mut impl HasConditions, subject: &Subject, fields: Vec<String>) {
    if fields.is_empty() {
        status.clear_condition(ConditionType::Drifted);
        status.set_drift(None);
        return;
    }
    let message = format!("changed at the manager: {}", fields.join(", "));
    report::set_condition(
        status,
        subject.generation,
        ConditionType::Drifted,
        true,
        Reason::Differs,
        &one_line(&message, 1000),
    );
    let since = status.drift().map_or_else(now, |before| before.since.clone());
    let fields = shown(fields);
    status.set_drift(Some(Drift { fields, since }));
}

/// Tells that drift was put right, and keeps it for the status that is written next. No field: there was none.
pub fn corrected<K>(context: &Context, subject: &Subject, object: &K, status: Option<&impl HasConditions>, fields: Vec<String>)
where
    K: Resource<DynamicType = ()>,
{
    if fields.is_empty() {
        return;
    }
    let note = format!(
        "changed at the manager without the spec, and put right: {}",
        fields.join(", ")
    );
    tracing::info!(object = %subject.node, fields = fields.join(", "), "drift was put right");
    context.metrics.drifted(subject.node.kind.as_str(), DriftOutcome::Corrected);
    context
        .events
        .publish(object_reference(object), false, Reason::DriftCorrected.as_str(), &note);
    let correction = CorrectedDrift {
        fields: shown(fields),
        detected_at: status
            .and_then(HasConditions::drift)
            .map_or_else(now, |before| before.since.clone()),
        corrected_at: now(),
    };
    context.memory.corrections().insert(subject.node.clone(), correction);
}

/// The correction to show: one that no status tells of yet, or else the one that it shows already.
pub fn last(context: &Context, node: &Node, shown: Option<CorrectedDrift>) -> Option<CorrectedDrift> {
    context.memory.corrections().get(node).cloned().or(shown)
}

/// Counts drift that stands, once for each time it is another.
pub fn count<S: HasConditions>(context: &Context, kind: &'static str, before: Option<&S>, after: &S) {
    let fields = |status: &S| status.drift().map(|drift| drift.fields.clone());
    let Some(stands) = fields(after).filter(|stands| before.and_then(fields).as_ref() != Some(stands)) else {
        return;
    };
    tracing::info!(kind, fields = stands.join(", "), "drift was found");
    let synced = after
        .condition(ConditionType::Synced)
        .map_or("", |synced| synced.reason.as_str());
    let outcome = if synced == Reason::Differs.as_str() {
        DriftOutcome::Reported
    } else if synced == Reason::AwaitingApproval.as_str() {
        DriftOutcome::Waiting
    } else {
        DriftOutcome::Failed
    };
    context.metrics.drifted(kind, outcome);
}

fn shown(fields: Vec<String>) -> Vec<String> {
    fields.into_iter().take(api::plan::MAX_CHANGES).collect()
}

/// As precise as Kubernetes keeps it.
fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

// SPDX-License-Identifier: Apache-2.0

//! Counts what there is when metrics are read: objects by what their status says, and how the queues are.

use std::{collections::BTreeMap, time::Instant};

use super::reason::Reason;
use crate::{
    api::{ConditionStatus, ConditionType, HasConditions},
    desired::{Mirror, node::Kind},
    telemetry::metrics::Metrics,
};

/// The reason of an object without a condition `Ready`, or with one that nobody here gave it.
const UNKNOWN: &str = "Unknown";

/// Counts, and tells the metrics.
pub fn take(mirror: &Mirror, metrics: &Metrics) {
    let now = Instant::now();
    for kind in [Kind::Credential, Kind::Interface, Kind::Connection] {
        metrics.set_queue(kind.plural(), &mirror.progress.queue(kind, now));
    }
    let credentials = mirror.credentials.state();
    let interfaces = mirror.interfaces.state();
    let connections = mirror.connections.state();
    metrics.set_resources(&[
        (
            Kind::Credential.as_str(),
            by_reason(credentials.iter().map(|it| it.status.as_ref())),
        ),
        (
            Kind::Interface.as_str(),
            by_reason(interfaces.iter().map(|it| it.status.as_ref())),
        ),
        (
            Kind::Connection.as_str(),
            by_reason(connections.iter().map(|it| it.status.as_ref())),
        ),
    ]);
}

/// How many there are by the reason of their condition `Ready`. What is no reason of ours is no label: whoever may write a
/// status could make up others without end.
fn by_reason<'a, S: HasConditions + 'a>(statuses: impl Iterator<Item = Option<&'a S>>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for status in statuses {
        let count: &mut usize = counts.entry(status.map_or(UNKNOWN, reason)).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

fn reason(status: &impl HasConditions) -> &'static str {
    let Some(ready) = status.condition(ConditionType::Ready) else {
        return UNKNOWN;
    };
    if ready.status == ConditionStatus::True {
        return Reason::Ready.as_str();
    }
    let known = Reason::ALL.iter().map(|reason| reason.as_str());
    known
        .filter(|reason| *reason != Reason::Ready.as_str())
        .find(|reason| *reason == ready.reason)
        .unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::connection::ChannelConnectionStatus, controller::report::set_condition};

    fn status(holds: bool, reason: Reason) -> ChannelConnectionStatus {
        let mut status = ChannelConnectionStatus::default();
        set_condition(&mut status, 1, ConditionType::Ready, holds, reason, "");
        status
    }

    #[test]
    fn objects_are_counted_by_reason_and_what_somebody_made_up_is_none() {
        let (ready, waits) = (status(true, Reason::Ready), status(false, Reason::ManagerUnavailable));
        let mut forged = status(false, Reason::ManagerUnavailable);
        let mut condition = forged.condition(ConditionType::Ready).unwrap().clone();
        condition.reason = "confidential-4711".to_owned();
        forged.set_condition(condition);
        let mut ready_in_name_only = status(false, Reason::Ready);
        ready_in_name_only.id = Some("cn_1".to_owned());
        let empty = ChannelConnectionStatus::default();
        let all = [&ready, &ready, &waits, &forged, &ready_in_name_only, &empty];
        let counted = by_reason(all.into_iter().map(Some).chain([None]));
        let expected = [("ManagerUnavailable", 1), ("Ready", 2), (UNKNOWN, 4)];
        assert_eq!(counted, expected.into());
    }
}

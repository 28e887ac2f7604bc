// SPDX-License-Identifier: Apache-2.0

//! The reference of metrics.

use std::fmt::Write;

use super::markdown::{cell, code};
use crate::telemetry::metrics::{DESCRIPTIONS, LABELS, MetricKind};

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `/metrics` on the address of `--listen`, in the OpenMetrics text format, or in the older one of Prometheus for \
         whoever does not ask for that. No label holds anything that a user or a \
         manager wrote: no names, no IDs, no messages.\n\n\
         A histogram has its name with `_bucket`, `_sum` and `_count`. A metric with labels appears with its first sample, \
         those of controllers and queues when the process begins to lead. [Observability](../observability.md) says how they \
         differ from those of other operators.\n\n\
         | Name | Type | Labels | Meaning |\n|---|---|---|---|\n",
    );
    for description in DESCRIPTIONS {
        let labels: Vec<String> = description.labels.iter().map(|label| code(label)).collect();
        let kind = match description.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Seconds => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| {} | {kind} | {} | {}. |",
            code(&description.exposed_name()),
            labels.join(", "),
            cell(description.help)
        );
    }
    page.push_str("\n| Label | Values |\n|---|---|\n");
    for (label, values) in LABELS {
        let _ = writeln!(page, "| {} | {}. |", code(label), cell(values));
    }
    page
}

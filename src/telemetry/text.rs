// SPDX-License-Identifier: Apache-2.0

//! The text format of Prometheus that was there before OpenMetrics.

use std::fmt::Write;

/// Content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of the older format.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether who sends this `Accept` header understands OpenMetrics.
pub fn takes_open_metrics(accept: &str) -> bool {
    accept
        .split(',')
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case("application/openmetrics-text"))
}

/// Text in the OpenMetrics format, in the older one: a counter is named as its samples are, there are no units apart from
/// the names, and no mark at the end.
pub fn without_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // `# HELP` comes right before the `# TYPE` that tells how the samples are named.
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if let Some((name, rest)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help = Some((name, rest));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                // Writing to a string cannot fail.
                let _ = writeln!(plain, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(plain, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(plain, "{line}");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_metrics_gets_what_it_understands() {
        for (accept, expected) in [
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", true),
            ("text/plain;version=0.0.4, Application/OpenMetrics-Text; version=0.0.1", true),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(takes_open_metrics(accept), expected, "{accept}");
        }
    }

    #[test]
    fn counters_are_named_as_their_samples_and_nothing_else_changes() {
        let text = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"# TYPE x\"} 1\n\
                    # HELP time_seconds Time.\n# TYPE time_seconds histogram\n# UNIT time_seconds seconds\n\
                    time_seconds_sum 0.5\ntime_seconds_count 1\ntime_seconds_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let plain = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"# TYPE x\"} 1\n\
                     # HELP time_seconds Time.\n# TYPE time_seconds histogram\n\
                     time_seconds_sum 0.5\ntime_seconds_count 1\ntime_seconds_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(without_open_metrics(text), plain);
    }
}

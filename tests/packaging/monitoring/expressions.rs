// SPDX-License-Identifier: Apache-2.0

//! What an expression of `PromQL` asks for. promtool says whether it is one; this only finds the names in it.

use std::{collections::BTreeSet, sync::LazyLock};

use digital_messaging_operator::telemetry::metrics::{DESCRIPTIONS, MetricKind};
use regex::Regex;

/// What Prometheus itself adds to every series.
const OF_THE_TARGET: &[&str] = &["job", "namespace", "pod", "instance"];

static SELECTOR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*\{([^}]*)\}").unwrap());
static MATCHER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)\s*"[^"]*""#).unwrap());
static GROUPING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)").unwrap());
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*(\s*\()?").unwrap());

/// What an expression asks for.
pub struct Expression {
    /// Metrics, each with the labels that it is selected by.
    selected: Vec<(String, BTreeSet<String>)>,
    /// Labels that results are grouped by.
    grouped: BTreeSet<String>,
}

impl Expression {
    pub fn read(text: &str) -> Self {
        let mut grouped = BTreeSet::new();
        let names = |list: &str| -> Vec<String> { list.split(',').map(|name| name.trim().to_owned()).collect() };
        for grouping in GROUPING.captures_iter(text) {
            grouped.extend(names(&grouping[1]));
        }
        let rest = GROUPING.replace_all(text, " ");
        let mut selected = Vec::new();
        for selector in SELECTOR.captures_iter(&rest) {
            let metric = selector.get(1).map(|name| name.as_str().to_owned()).unwrap_or_default();
            let labels = MATCHER.captures_iter(&selector[2]).map(|matcher| matcher[1].to_owned());
            selected.push((metric, labels.collect()));
        }
        // Durations and what stands in quotes are no names.
        let rest = SELECTOR.replace_all(&rest, " ");
        let rest = Regex::new(r#""[^"]*"|\[[^\]]*\]"#).unwrap().replace_all(&rest, " ");
        for word in WORD.captures_iter(&rest) {
            let is_function = word.get(1).is_some();
            if !is_function && !["and", "or", "unless", "bool", "offset"].contains(&&word[0]) {
                selected.push((word[0].to_owned(), BTreeSet::new()));
            }
        }
        Self { selected, grouped }
    }

    pub fn metrics(&self) -> Vec<String> {
        self.selected.iter().map(|(metric, _)| metric.clone()).collect()
    }

    /// Compares with what the operator exposes.
    pub fn check(&self) -> Result<(), String> {
        if self.selected.is_empty() {
            return Err("no metric".to_owned());
        }
        let mut there: BTreeSet<&str> = BTreeSet::new();
        for (metric, labels) in &self.selected {
            let known = labels_of(metric).ok_or_else(|| format!("there is no metric {metric}"))?;
            if let Some(label) = labels.iter().find(|label| !known.contains(label.as_str())) {
                return Err(format!("{metric} has no label {label}"));
            }
            there.extend(known);
        }
        match self.grouped.iter().find(|label| !there.contains(label.as_str())) {
            Some(label) => Err(format!("nothing has the label {label}")),
            None => Ok(()),
        }
    }
}

/// The labels of a series that Prometheus has of the operator.
fn labels_of(series: &str) -> Option<BTreeSet<&'static str>> {
    let mut labels: BTreeSet<&'static str> = OF_THE_TARGET.iter().copied().collect();
    // Made by Prometheus for each target.
    if series == "up" {
        return Some(labels);
    }
    let description = DESCRIPTIONS.iter().find(|it| match it.kind {
        MetricKind::Seconds => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| series.strip_suffix(part) == Some(it.exposed_name().as_str())),
        MetricKind::Counter | MetricKind::Gauge => it.exposed_name() == series,
    })?;
    labels.extend(description.labels);
    if series.ends_with("_bucket") {
        labels.insert("le");
    }
    Some(labels)
}

#[test]
fn names_are_found_in_all_places() {
    let text = r#"sum by (kind, le) (rate(a_bucket{x="y",z=~"1|2"}[5m])) / on(job) b offset 5m > 3 or vector(0)"#;
    let found = Expression::read(text);
    assert_eq!(found.metrics(), ["a_bucket", "b"]);
    assert_eq!(found.selected[0].1, ["x", "z"].map(str::to_owned).into());
    assert_eq!(found.grouped, ["kind", "le", "job"].map(str::to_owned).into());
}

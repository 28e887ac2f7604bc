// SPDX-License-Identifier: Apache-2.0

//! The values of the chart: all described, all in the schema, all options of the program among them.

use std::{collections::BTreeSet, fs};

use clap::CommandFactory;
use digital_messaging_operator::cli::Cli;
use sandbox::{
    packaging::{CHART, DEFINITIONS_CHART},
    program::project,
};
use serde_json::{Value, json};

use crate::{
    chart::{refusal, render},
    combinations,
};

fn read(chart: &str, name: &str) -> Value {
    let text = fs::read_to_string(project().join(chart).join(name)).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// Compares names as deep as the schema lists them.
fn compare(path: &str, schema: &Value, values: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
    let described: BTreeSet<&String> = properties.keys().filter(|name| *name != "global").collect();
    let present: BTreeSet<&String> = values.as_object().unwrap().keys().collect();
    assert_eq!(described, present, "{path}");
    for (name, schema) in properties {
        compare(&format!("{path}.{name}"), schema, &values[name]);
    }
}

#[test]
fn the_schema_has_the_values_that_there_are() {
    for chart in [CHART, DEFINITIONS_CHART] {
        compare(chart, &read(chart, "values.schema.json"), &read(chart, "values.yaml"));
    }
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (values, place) in [
        (json!({ "replica": 2 }), "replica"),
        (json!({ "replicas": "two" }), "/replicas"),
        (json!({ "watchNamespaces": "messaging" }), "/watchNamespaces"),
        (json!({ "watchNamespaces": ["Messaging"] }), "/watchNamespaces/0"),
        (json!({ "watchNamespaces": ["a", "a"] }), "/watchNamespaces"),
        (json!({ "installation": "a/b" }), "/installation"),
        (
            json!({ "managers": { "allowedHosts": ["https://manager.example"] } }),
            "/managers/allowedHosts/0",
        ),
        (
            json!({ "managers": { "allowedPrivateNetworks": ["10.0.0.0"] } }),
            "/managers/allowedPrivateNetworks/0",
        ),
        (json!({ "recheckInterval": "soon" }), "/recheckInterval"),
        (json!({ "maxKubernetesRequests": 1 }), "/maxKubernetesRequests"),
        (json!({ "log": { "format": "xml" } }), "/log/format"),
        (json!({ "http": { "port": 80 } }), "/http/port"),
        (
            json!({ "tracing": { "otlpEndpoint": "collector:4317" } }),
            "/tracing/otlpEndpoint",
        ),
        (json!({ "image": { "digest": "latest" } }), "/image/digest"),
        (json!({ "image": { "repository": "" } }), "/image/repository"),
        (
            json!({ "prometheusRule": { "runbookUrl": "runbooks" } }),
            "/prometheusRule/runbookUrl",
        ),
        (
            json!({ "prometheusRule": { "disabled": ["A", "A"] } }),
            "/prometheusRule/disabled",
        ),
        (json!({ "dashboard": { "labels": { "a": "b c" } } }), "/dashboard/labels/a"),
        (json!({ "approvalPolicy": { "enabled": "yes" } }), "/approvalPolicy/enabled"),
        (
            json!({ "podDisruptionBudget": { "maxUnavailable": "half" } }),
            "/podDisruptionBudget/maxUnavailable",
        ),
        (json!({ "networkPolicy": { "egress": [] } }), "networkPolicy"),
        (
            json!({ "manager": { "persistence": { "size": "large" } } }),
            "/manager/persistence/size",
        ),
        (json!({ "commonLabels": { "team": "a b" } }), "/commonLabels/team"),
        (
            json!({ "serviceAccount": { "create": false } }),
            "serviceAccount.name is needed",
        ),
    ] {
        let said = refusal(&values);
        assert!(said.contains(place), "{values}: no {place} in {said}");
    }
}

/// Those that the chart sets by itself, or leaves to the program.
const WITHOUT_VALUE: &[&str] = &["namespace", "identity", "help"];

#[test]
fn every_option_of_the_program_has_a_value() {
    let objects = render(&combinations::everything("messaging"));
    let given: BTreeSet<&str> = objects
        .arguments()
        .into_iter()
        .filter_map(|argument| Some(argument.strip_prefix("--")?.split('=').next().unwrap()))
        .collect();
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let options: BTreeSet<&str> = run
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|name| !WITHOUT_VALUE.contains(name))
        .collect();
    assert_eq!(
        given, options,
        "left: what the chart gives when all is set; right: the options of `run`"
    );
}

#[test]
fn the_program_takes_what_the_chart_gives_it() {
    for (name, values) in combinations::all("messaging") {
        let objects = render(&values);
        let pods = objects.pods();
        for (_, pod) in pods.iter().filter(|(name, _)| !name.ends_with("-manager")) {
            let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap().clone();
            let line = std::iter::once("digital-messaging-operator".to_owned())
                .chain(arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()));
            if let Err(error) = Cli::command().try_get_matches_from(line) {
                panic!("{name}: {error}");
            }
        }
    }
}

#[test]
fn what_the_chart_starts_with_is_what_the_program_does_without_options() {
    let run = |arguments: Vec<&str>| {
        let line = std::iter::once("digital-messaging-operator").chain(arguments);
        let cli = <Cli as clap::Parser>::try_parse_from(line).unwrap();
        format!("{:?}", cli.command)
    };
    assert_eq!(run(render(&json!({})).arguments()), run(vec!["run"]));
}

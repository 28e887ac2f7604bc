// SPDX-License-Identifier: Apache-2.0

//! Alerts and the dashboard: `promtool` takes them, each alert fires when it should and only then, each has a page for
//! whoever is woken by it, and all of them ask only for metrics and labels that there are.

mod expressions;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use sandbox::{
    packaging::CHART,
    program::{self, project},
};
use serde_json::{Value, json};

use crate::chart::{Objects, render, render_in};
use expressions::Expression;

/// Runs promtool in a folder. Returns what it says.
fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let file = folder.join("input");
    fs::write(&file, input).unwrap();
    let output = Command::new(program::promtool().unwrap())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok(said.concat())
    } else {
        Err(said.concat())
    }
}

fn source() -> String {
    fs::read_to_string(project().join(CHART).join("files/rules.yaml")).unwrap()
}

/// The alerts of a rule file or of a `PrometheusRule`.
fn alerts(rules: &Value) -> Vec<Value> {
    let groups = rules["groups"].as_array().unwrap();
    let alerts = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    alerts.cloned().collect()
}

fn names(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect()
}

fn shipped() -> Vec<Value> {
    alerts(&serde_yaml::from_str(&source()).unwrap())
}

fn with_rules(more: &Value) -> Objects {
    let mut values = json!({ "enabled": true });
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    render(&json!({ "prometheusRule": values }))
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let cases = fs::read_to_string(project().join("tests/packaging/monitoring/alerts.yaml")).unwrap();
    fs::write(folder.path().join("rules.yaml"), source()).unwrap();
    fs::write(folder.path().join("alerts.yaml"), &cases).unwrap();
    promtool(folder.path(), &["test", "rules", "alerts.yaml"], "").unwrap_or_else(|said| panic!("{said}"));

    let cases: Value = serde_yaml::from_str(&cases).unwrap();
    let mut tested = BTreeSet::new();
    for case in cases["tests"].as_array().unwrap() {
        for asked in case["alert_rule_test"].as_array().unwrap() {
            let fires = !asked["exp_alerts"].as_array().unwrap().is_empty();
            tested.insert((asked["alertname"].as_str().unwrap().to_owned(), fires));
        }
    }
    let shipped = shipped();
    let expected = names(&shipped)
        .into_iter()
        .flat_map(|name| [(name.to_owned(), true), (name.to_owned(), false)]);
    assert_eq!(tested, expected.collect(), "left: tested; right: every alert, firing and not");
}

/// The cases in which something fires, with nothing that is to fire.
fn firing_elsewhere() -> String {
    let cases = fs::read_to_string(project().join("tests/packaging/monitoring/alerts.yaml")).unwrap();
    let mut cases: Value = serde_yaml::from_str(&cases).unwrap();
    cases["tests"].as_array_mut().unwrap().retain_mut(|case| {
        let asked = &mut case["alert_rule_test"][0];
        // What is not there is missed by every release.
        let fires = !asked["exp_alerts"].as_array().unwrap().is_empty() && asked["alertname"] != "DigitalMessagingOperatorDown";
        asked["exp_alerts"] = json!([]);
        fires
    });
    assert!(cases["tests"].as_array().unwrap().len() > 10);
    serde_yaml::to_string(&cases).unwrap()
}

#[test]
fn what_happens_to_one_release_fires_no_alert_of_another() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("alerts.yaml"), firing_elsewhere()).unwrap();
    let named = |namespace: &str, release: &str| {
        let values = json!({ "prometheusRule": { "enabled": true }, "fullnameOverride": release });
        let objects = render_in(namespace, &values);
        fs::write(
            folder.path().join("rules.yaml"),
            serde_yaml::to_string(&objects.one("PrometheusRule")["spec"]).unwrap(),
        )
        .unwrap();
        promtool(folder.path(), &["test", "rules", "alerts.yaml"], "")
    };
    for (namespace, release) in [("messaging", "digital-messaging-operator"), ("digital-messaging", "another")] {
        named(namespace, release).unwrap_or_else(|said| panic!("{namespace}/{release}: {said}"));
    }
    let said = named("digital-messaging", "digital-messaging-operator").unwrap_err();
    assert!(said.contains("DigitalMessagingNotReady"), "its own it hears: {said}");
}

#[test]
fn a_test_of_an_alert_that_does_not_hold_fails() {
    let folder = tempfile::tempdir().unwrap();
    let cases = fs::read_to_string(project().join("tests/packaging/monitoring/alerts.yaml")).unwrap();
    fs::write(folder.path().join("rules.yaml"), source().replace("== 0", "== 2")).unwrap();
    fs::write(folder.path().join("alerts.yaml"), cases).unwrap();
    let said = promtool(folder.path(), &["test", "rules", "alerts.yaml"], "").unwrap_err();
    assert!(said.contains("DigitalMessagingNoLeader"), "{said}");
}

#[test]
fn what_the_chart_makes_of_the_rules_is_taken_by_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    for more in [
        json!({}),
        json!({ "runbookUrl": "https://docs.example/runbooks.html", "alertLabels": { "team": "messaging" }, "labels": { "release": "prometheus" } }),
    ] {
        let objects = with_rules(&more);
        let rule = objects.one("PrometheusRule");
        let text = serde_yaml::to_string(&rule["spec"]).unwrap();
        fs::write(folder.path().join("rules.yaml"), &text).unwrap();
        let said = promtool(
            folder.path(),
            &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"],
            "",
        );
        assert!(said.as_ref().is_ok_and(|said| said.contains("SUCCESS")), "{said:?}\n{text}");
        assert_eq!(names(&alerts(&rule["spec"])), names(&shipped()));
    }
    let broken = source().replace("max by (namespace)", "max of (namespace)");
    fs::write(folder.path().join("rules.yaml"), broken).unwrap();
    let said = promtool(folder.path(), &["check", "rules", "rules.yaml"], "").unwrap_err();
    assert!(said.contains("DigitalMessagingNoLeader"), "{said}");
}

#[test]
fn alerts_ask_for_the_job_of_their_release_and_say_where_the_runbook_is() {
    let objects = with_rules(&json!({
        "runbookUrl": "https://docs.example/runbooks.html", "alertLabels": { "team": "messaging", "severity": "ours" },
        "labels": { "release": "prometheus" }, "disabled": ["DigitalMessagingPlanWaiting"],
    }));
    let rule = objects.one("PrometheusRule");
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let alerts = alerts(&rule["spec"]);
    assert_eq!(alerts.len(), shipped().len() - 1);
    assert!(!names(&alerts).contains(&"DigitalMessagingPlanWaiting"));
    let service = objects.one("Service")["metadata"]["name"].as_str().unwrap();
    for alert in &alerts {
        let expression = alert["expr"].as_str().unwrap();
        let own = format!("{{job=\"{service}\",namespace=\"messaging\"");
        let metrics = Expression::read(expression).metrics().len();
        assert_eq!(expression.matches(&own).count(), metrics, "{expression}");
        let anchor = alert["alert"].as_str().unwrap().to_lowercase();
        let link = format!("https://docs.example/runbooks.html#{anchor}");
        assert_eq!(alert["annotations"]["runbook_url"], link);
        assert_eq!(alert["labels"]["team"], "messaging");
        assert_ne!(alert["labels"]["severity"], "ours", "the severity is the rule's");
    }
    let without = with_rules(&json!({}));
    for alert in self::alerts(&without.one("PrometheusRule")["spec"]) {
        assert_eq!(alert["annotations"]["runbook_url"], Value::Null);
    }
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let page = fs::read_to_string(project().join("docs/runbooks.md")).unwrap();
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let shipped = shipped();
    assert_eq!(headings, names(&shipped), "left: docs/runbooks.md; right: files/rules.yaml");
    for (heading, section) in headings.iter().zip(page.split("\n## ").skip(1)) {
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            assert!(section.contains(part), "{heading} has no {part}");
        }
    }
}

fn dashboard() -> Value {
    let objects = render(&json!({ "dashboard": { "enabled": true } }));
    let data = objects.one("ConfigMap")["data"].as_object().unwrap().clone();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["release-digital-messaging-operator.json"]);
    let text = data.values().next().unwrap().as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

/// The expressions of the dashboard as Grafana sends them.
fn asked_by_the_dashboard() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let with_values = |expression: &str| {
        expression
            .replace("$__rate_interval", "5m")
            .replace("$namespace", "messaging")
            .replace("$job", "a|b")
    };
    targets.map(|target| with_values(target["expr"].as_str().unwrap())).collect()
}

#[test]
fn the_dashboard_is_found_by_its_label_and_every_expression_is_one() {
    let objects = render(
        &json!({ "dashboard": { "enabled": true, "labels": { "dashboards": "mine" }, "annotations": { "folder": "Messaging" } } }),
    );
    let metadata = &objects.one("ConfigMap")["metadata"];
    assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
    assert_eq!(
        (&metadata["labels"]["dashboards"], &metadata["annotations"]["folder"]),
        (&json!("mine"), &json!("Messaging"))
    );

    let asked = asked_by_the_dashboard();
    assert!(asked.len() > 30, "{}", asked.len());
    let record = |(number, expression): (usize, &String)| json!({ "record": format!("panel:{number}"), "expr": expression });
    let rules: Vec<Value> = asked.iter().enumerate().map(record).collect();
    let folder = tempfile::tempdir().unwrap();
    let text = serde_yaml::to_string(&json!({ "groups": [{ "name": "dashboard", "rules": rules }] })).unwrap();
    fs::write(folder.path().join("rules.yaml"), text).unwrap();
    promtool(folder.path(), &["check", "rules", "rules.yaml"], "").unwrap_or_else(|said| panic!("{said}"));

    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have the same id");
    for panel in panels {
        let source = &panel["datasource"]["uid"];
        assert!(panel["type"] == "row" || source == "${datasource}", "{panel}");
    }
}

#[test]
fn alerts_and_panels_ask_only_for_metrics_and_labels_that_there_are() {
    let shipped = shipped();
    let alerts = shipped.iter().map(|alert| alert["expr"].as_str().unwrap().to_owned());
    let asked: Vec<String> = alerts.chain(asked_by_the_dashboard()).collect();
    for text in &asked {
        Expression::read(text)
            .check()
            .unwrap_or_else(|wrong| panic!("{wrong} in {text}"));
    }
    let used: BTreeSet<String> = asked.iter().flat_map(|text| Expression::read(text).metrics()).collect();
    assert!(used.len() > 25, "{used:?}");
    for wrong in [
        "sum(digital_messaging_session)",
        "rate(controller_runtime_reconcile_time_seconds[5m])",
        "sum by (host) (digital_messaging_accounts)",
        r#"digital_messaging_accounts{account="a"}"#,
    ] {
        assert!(Expression::read(wrong).check().is_err(), "{wrong}");
    }
}

/// What promtool has to say of the names, types and help of real metrics. Those named as controller-runtime and client-go
/// name theirs are as they are.
#[tokio::test(flavor = "multi_thread")]
async fn promtool_takes_the_metrics_of_a_process() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    sandbox::Manifests::read(&project().join("crds"))
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    let own = control_plane.create_namespace("own").await.unwrap();
    let kubeconfig = sandbox::grant_operator_rights(control_plane, &own).await.unwrap();
    let arguments = ["--namespaces", &own, "--namespace", &own];
    let operator = sandbox::Operator::start(control_plane.run(), &kubeconfig, arguments).unwrap();
    operator.wait_until_ready().await.unwrap();
    let metrics = sandbox::wait_for("the process leads", crate::chart::DEADLINE, async || {
        let metrics = operator.metrics().await.map_err(|error| format!("{error:#}"))?;
        if metrics.contains("workqueue_depth{") {
            Ok(metrics)
        } else {
            Err(metrics)
        }
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let said = promtool(folder.path(), &["check", "metrics"], &metrics);
    assert_eq!(said, Ok(String::new()), "{metrics}");
    let nonsense = metrics.replace(
        "# TYPE digital_messaging_sessions gauge",
        "# TYPE digital_messaging_sessions counter",
    );
    let said = promtool(folder.path(), &["check", "metrics"], &nonsense).unwrap_err();
    assert!(said.contains("digital_messaging_sessions"), "{said}");
    operator.process().terminate(crate::chart::DEADLINE).await.unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! What is there when nothing is set, and what one switch adds.

use serde_json::{Value, json};

use crate::chart::render;

const USUAL: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "Deployment",
    "Pod",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
];

#[test]
fn nothing_optional_is_there_unasked() {
    let objects = render(&json!({}));
    assert_eq!(objects.kinds(), USUAL);
    assert_eq!(objects.one("Deployment")["spec"]["replicas"], 1);
    assert_eq!(objects.one("Pod")["metadata"]["annotations"]["helm.sh/hook"], "test");
    let arguments = objects.arguments().join(" ");
    assert!(!arguments.contains("--allow-"), "{arguments}");
}

#[test]
fn each_switch_adds_its_kinds_and_nothing_else() {
    for (values, more) in [
        (json!({ "replicas": 2 }), vec!["PodDisruptionBudget"]),
        (json!({ "networkPolicy": { "enabled": true } }), vec!["NetworkPolicy"]),
        (json!({ "serviceMonitor": { "enabled": true } }), vec!["ServiceMonitor"]),
        (json!({ "prometheusRule": { "enabled": true } }), vec!["PrometheusRule"]),
        (json!({ "dashboard": { "enabled": true } }), vec!["ConfigMap"]),
        (
            json!({ "approvalPolicy": { "enabled": true } }),
            vec!["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
        ),
        (json!({ "manager": { "enabled": true } }), vec!["StatefulSet"]),
    ] {
        let mut expected = [USUAL, &more].concat();
        expected.sort_unstable();
        assert_eq!(render(&values).kinds(), expected, "{values}");
    }
}

#[test]
fn a_budget_is_made_only_where_it_is_not_in_the_way() {
    let budget = |replicas: u8| render(&json!({ "replicas": replicas })).of_kind("PodDisruptionBudget").len();
    assert_eq!([0, 1, 2, 3].map(budget), [0, 0, 1, 1]);
    let switched_off = render(&json!({ "replicas": 2, "podDisruptionBudget": { "enabled": false } }));
    assert!(switched_off.of_kind("PodDisruptionBudget").is_empty());
}

#[test]
fn metrics_are_found_by_their_service() {
    let objects = render(&json!({ "serviceMonitor": { "enabled": true, "labels": { "release": "prometheus" } } }));
    let monitor = objects.one("ServiceMonitor");
    let service = objects.one("Service");
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    for (label, value) in wanted {
        assert_eq!(&service["metadata"]["labels"][label], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        service["spec"]["selector"],
        objects.one("Deployment")["spec"]["selector"]["matchLabels"]
    );
}

#[test]
fn roles_can_be_left_to_somebody_else() {
    let objects = render(&json!({ "rbac": { "create": false }, "serviceAccount": { "create": false, "name": "theirs" } }));
    assert_eq!(objects.kinds(), ["Deployment", "Pod", "Service"]);
    for (name, pod) in objects.pods() {
        assert_eq!(pod["spec"]["serviceAccountName"], "theirs", "{name}");
    }
}

#[test]
fn the_pod_has_no_secret_but_its_token() {
    let objects = render(&json!({}));
    let pod = &objects.one("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], true);
    assert_eq!(pod["volumes"], Value::Null);
    assert_eq!(objects.one("ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(objects.container()["envFrom"], Value::Null);
    assert!(!objects.container()["env"].to_string().contains("secretKeyRef"));
}

// SPDX-License-Identifier: Apache-2.0

//! The network policy: what is let through, and who decides.

use serde_json::{Value, json};

use crate::{chart::render, combinations};

fn policy(values: &Value) -> Value {
    let mut values = values.clone();
    values["networkPolicy"]["enabled"] = true.into();
    render(&values).one("NetworkPolicy")["spec"].clone()
}

fn ports(rule: &Value) -> Vec<&Value> {
    rule["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect()
}

#[test]
fn it_lets_nothing_through_but_what_the_operator_does() {
    let policy = policy(&json!({}));
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let (ingress, egress) = (policy["ingress"].as_array().unwrap(), policy["egress"].as_array().unwrap());
    assert_eq!(ingress.len(), 1);
    assert_eq!(ports(&ingress[0]), ["http"]);
    assert_eq!(
        egress.iter().map(ports).collect::<Vec<_>>(),
        [vec![53, 53], vec![443, 6443], vec![443]]
    );
    assert!(
        egress
            .iter()
            .chain(ingress)
            .all(|rule| rule["to"].is_null() && rule["from"].is_null())
    );
}

#[test]
fn each_direction_can_be_narrowed() {
    let values = combinations::everything("messaging");
    let policy = policy(&values);
    let configured = &values["networkPolicy"];
    assert_eq!(policy["ingress"][0]["from"][0], configured["metrics"]["from"][0]);
    for (rule, part) in [(0, "dns"), (1, "apiServer"), (2, "managers")] {
        assert_eq!(policy["egress"][rule]["to"], configured[part]["to"], "{part}");
    }
    assert_eq!(policy["egress"][4], configured["extraEgress"][0]);
}

#[test]
fn the_pod_of_helm_test_comes_through() {
    let from = json!([{ "ipBlock": { "cidr": "192.0.2.1/32" } }]);
    let values = json!({ "networkPolicy": { "enabled": true, "metrics": { "from": from } } });
    let objects = render(&values);
    let let_in = &objects.one("NetworkPolicy")["spec"]["ingress"][0]["from"][1]["podSelector"]["matchLabels"];
    let labels = &objects.one("Pod")["metadata"]["labels"];
    for (label, value) in let_in.as_object().unwrap() {
        assert_eq!(&labels[label], value);
    }
}

#[test]
fn the_reference_manager_is_reached_where_it_listens() {
    let objects = render(&json!({ "networkPolicy": { "enabled": true }, "manager": { "enabled": true } }));
    let rule = &objects.one("NetworkPolicy")["spec"]["egress"][3];
    assert_eq!(ports(rule), ["http"]);
    assert_eq!(rule["to"][0]["podSelector"], objects.one("StatefulSet")["spec"]["selector"]);
}

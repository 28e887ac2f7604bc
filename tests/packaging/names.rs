// SPDX-License-Identifier: Apache-2.0

//! Names, labels, selectors and images: what an upgrade must not trip over.

use std::collections::BTreeSet;

use sandbox::packaging::CHART;
use serde_json::{Value, json};

use crate::{
    chart::{HELM, Objects, render},
    combinations::{self, DIGEST},
};

#[test]
fn an_image_is_named_by_digest_or_tag() {
    let image = |image: Value| {
        let objects = render(&json!({ "image": image }));
        let images: Vec<String> = objects
            .pods()
            .iter()
            .map(|(_, pod)| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            images.iter().all(|image| *image == images[0]),
            "the test has the operator's image: {images:?}"
        );
        images[0].clone()
    };
    assert_eq!(
        image(json!({ "repository": "registry.example:5000/operator", "tag": "1.2.3", "digest": DIGEST })),
        format!("registry.example:5000/operator@{DIGEST}")
    );
    assert_eq!(image(json!({ "tag": "1.2.3" })), "digital-messaging-operator:1.2.3");
    assert_eq!(
        image(json!({})),
        concat!("digital-messaging-operator:", env!("CARGO_PKG_VERSION"))
    );
}

/// Unquoted, YAML takes these names for numbers.
#[test]
fn a_name_that_looks_like_a_number_stays_a_name() {
    let odd = "1e3";
    let mut seen = BTreeSet::new();
    for persistence in [
        json!({ "existingClaim": odd }),
        json!({ "storageClassName": odd, "size": "10" }),
    ] {
        let values = json!({
            "watchNamespaces": [odd],
            "pod": { "priorityClassName": odd },
            "networkPolicy": { "enabled": true },
            "podDisruptionBudget": { "enabled": true },
            "manager": { "enabled": true, "tlsSecretName": odd, "persistence": persistence },
        });
        for rendered in HELM.template(CHART, "0", odd, &values).unwrap() {
            let object = serde_json::to_value(rendered.object).unwrap();
            look_for_names(&object, &mut seen);
        }
    }
    let all = NAMES.iter().chain(&["labels", "matchLabels"]).copied();
    assert_eq!(seen, all.collect(), "all of these are in the chart");
}

/// Members that name something, and the size of a volume, which the API server takes for text, too.
const NAMES: [&str; 9] = [
    "name",
    "namespace",
    "serviceAccountName",
    "serviceName",
    "secretName",
    "claimName",
    "storageClassName",
    "priorityClassName",
    "storage",
];

/// Fails if a name or a label is anything but text.
fn look_for_names(value: &Value, seen: &mut BTreeSet<&'static str>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if let Some(name) = NAMES.iter().find(|name| *name == key) {
                    assert!(value.is_string(), "{key}: {value}");
                    seen.insert(name);
                }
                if let Some(labels) = ["labels", "matchLabels"].into_iter().find(|labels| labels == key) {
                    assert!(value.as_object().unwrap().values().all(Value::is_string), "{key}: {value}");
                    seen.insert(labels);
                }
                look_for_names(value, seen);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look_for_names(item, seen)),
        _ => {}
    }
}

/// Selectors cannot be changed once they are there: an upgrade that tried would fail.
#[test]
fn selectors_do_not_depend_on_anything_that_changes() {
    let selectors = |objects: &Objects| -> Vec<Value> {
        ["Deployment", "StatefulSet"]
            .iter()
            .map(|kind| objects.one(kind)["spec"]["selector"]["matchLabels"].clone())
            .collect()
    };
    let plain = selectors(&render(&json!({ "manager": { "enabled": true } })));
    assert_eq!(plain, selectors(&render(&combinations::everything("messaging"))));
    for (selector, component) in plain.iter().zip(["operator", "manager"]) {
        let expected = json!({
            "app.kubernetes.io/name": "digital-messaging-operator",
            "app.kubernetes.io/instance": "release",
            "app.kubernetes.io/component": component,
        });
        assert_eq!(*selector, expected);
    }
}

#[test]
fn every_selector_finds_its_pods_whatever_labels_are_added() {
    for (name, values) in combinations::all("messaging") {
        let objects = render(&values);
        for object in objects
            .0
            .iter()
            .filter(|object| ["Deployment", "StatefulSet"].contains(&object["kind"].as_str().unwrap()))
        {
            let labels = &object["spec"]["template"]["metadata"]["labels"];
            for (label, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(&labels[label], value, "{name}: {}", object["metadata"]["name"]);
            }
        }
        for kind in ["NetworkPolicy", "PodDisruptionBudget"] {
            for object in objects.of_kind(kind) {
                let selector = object["spec"].get("podSelector").unwrap_or(&object["spec"]["selector"]);
                assert_eq!(selector, &objects.one("Deployment")["spec"]["selector"], "{name}: {kind}");
            }
        }
    }
}

/// Else every release of the chart would restart pods that did not change, and claims could not be upgraded at all.
#[test]
fn the_version_of_the_chart_is_not_on_pods_and_claims() {
    let objects = render(&json!({ "manager": { "enabled": true } }));
    for object in &objects.0 {
        assert!(object["metadata"]["labels"]["helm.sh/chart"].is_string(), "{object}");
        for place in ["/spec/template", "/spec/volumeClaimTemplates"] {
            let text = object.pointer(place).map(Value::to_string).unwrap_or_default();
            assert!(
                !text.contains("helm.sh/chart") && !text.contains("app.kubernetes.io/version"),
                "{text}"
            );
        }
    }
}

#[test]
fn what_is_added_for_all_is_on_all() {
    let objects = render(&combinations::everything("messaging"));
    let pods = objects.pods();
    for metadata in objects
        .0
        .iter()
        .chain(pods.iter().map(|(_, pod)| pod))
        .map(|object| &object["metadata"])
    {
        assert_eq!(metadata["labels"]["team"], "messaging", "{metadata}");
        assert_eq!(metadata["annotations"]["example.com/owner"], "messaging", "{metadata}");
        assert_eq!(
            metadata["labels"]["app.kubernetes.io/name"], "digital-messaging-operator",
            "ours wins: {metadata}"
        );
    }
    let template = &objects.one("Deployment")["spec"]["template"]["metadata"];
    assert_eq!(template["labels"]["zone"], "a");
    assert_eq!(template["labels"]["app.kubernetes.io/component"], "operator", "ours wins");
    assert_eq!(template["annotations"]["example.com/pod"], "x");
}

#[test]
fn two_releases_do_not_share_a_name() {
    let names = |values: Value| -> Vec<String> {
        let objects = render(&values).0;
        objects
            .iter()
            .map(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]))
            .collect()
    };
    let one = names(json!({ "manager": { "enabled": true } }));
    let other = names(json!({ "manager": { "enabled": true }, "fullnameOverride": "other" }));
    assert!(one.iter().all(|name| !other.contains(name)), "{one:?} {other:?}");
}

#[test]
fn a_constraint_without_selector_gets_that_of_the_pods() {
    let own = json!({ "matchLabels": { "a": "b" } });
    let constraint = json!({ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" });
    let mut with_selector = constraint.clone();
    with_selector["labelSelector"] = own.clone();
    let objects = render(&json!({ "pod": { "topologySpreadConstraints": [constraint, with_selector] } }));
    let deployment = objects.one("Deployment");
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(
        spread[0]["labelSelector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    assert_eq!(spread[1]["labelSelector"], own);
}

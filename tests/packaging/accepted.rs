// SPDX-License-Identifier: Apache-2.0

//! The API server takes everything that the chart renders, with every combination of values: unknown and wrong fields are
//! errors. Nothing is kept.

use kube::Client;
use sandbox::{
    Manifests,
    packaging::{DEFINITIONS_CHART, RELEASE},
    program,
};
use serde_json::json;

use crate::{
    chart::{HELM, dry_run, render_in},
    combinations,
};

/// Has the server know `ServiceMonitor` and `PrometheusRule`, as the Prometheus operator defines them.
async fn define_monitoring(client: &Client) {
    let definitions = Manifests::read(&program::monitoring_definitions().unwrap()).unwrap();
    assert_eq!(definitions.objects().len(), 2);
    definitions.apply(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_every_combination_is_taken() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    define_monitoring(&client).await;
    let own = control_plane.create_namespace("own").await.unwrap();
    let watched = control_plane.create_namespace("watched").await.unwrap();
    for account in [
        "default",
        "release-digital-messaging-operator",
        "operator",
        "theirs",
        "a-name-that-is-longer-than-what-the-names-of-service",
    ] {
        control_plane.kubeconfig_for_service_account(&own, account).await.unwrap();
    }
    let (mut taken, mut refused) = (0, Vec::new());
    for (name, values) in combinations::all(&watched) {
        for object in render_in(&own, &values).0 {
            match dry_run(&client, &object).await {
                Ok(()) => taken += 1,
                Err(error) => refused.push(format!("{name}: {} {}: {error}", object["kind"], object["metadata"]["name"])),
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(taken > 150, "{taken} objects");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_prometheus_operator_does_not_know_is_refused() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    define_monitoring(&client).await;
    let own = control_plane.create_namespace("own").await.unwrap();
    let values = json!({ "serviceMonitor": { "enabled": true }, "prometheusRule": { "enabled": true } });
    let objects = render_in(&own, &values);
    let endpoint = ("ServiceMonitor", "/spec/endpoints/0");
    let rule = ("PrometheusRule", "/spec/groups/0/rules/0");
    for ((kind, part), field, value, said) in [
        (endpoint, "ports", json!("http"), "field not declared"),
        (endpoint, "interval", json!("soon"), "should match"),
        (rule, "labels", json!(["a"]), "expected map"),
        (rule, "for", json!("a while"), "should match"),
    ] {
        let mut object = objects.one(kind).clone();
        dry_run(&client, &object).await.unwrap();
        object.pointer_mut(part).unwrap()[field] = value;
        let refusal = dry_run(&client, &object).await.unwrap_err();
        assert!(refusal.contains(said) && refusal.contains(field), "{field}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_are_taken_as_their_chart_renders_them() {
    let client = sandbox::shared().await.client().await.unwrap();
    for values in [
        json!({}),
        json!({ "keep": false }),
        json!({
            "commonLabels": { "team": "messaging", "app.kubernetes.io/name": "not-ours", "helm.sh/chart": "not-ours" },
            "commonAnnotations": { "example.com/owner": "messaging", "helm.sh/resource-policy": "not-ours" },
        }),
    ] {
        let rendered = HELM.template(DEFINITIONS_CHART, RELEASE, "messaging", &values).unwrap();
        assert_eq!(rendered.len(), 3);
        for definition in rendered {
            let object = serde_json::to_value(definition.object).unwrap();
            let annotations = &object["metadata"]["annotations"];
            let kept = values["keep"] != false;
            assert_eq!(annotations["helm.sh/resource-policy"] == "keep", kept, "{annotations}");
            if values.get("commonLabels").is_some() {
                let labels = &object["metadata"]["labels"];
                assert_eq!(labels["team"], "messaging");
                assert_eq!(labels["app.kubernetes.io/name"], "digital-messaging-operator", "ours wins");
                assert_ne!(labels["helm.sh/chart"], "not-ours", "ours wins");
                assert_eq!(annotations["example.com/owner"], "messaging");
            }
            dry_run(&client, &object).await.unwrap();
        }
    }
}

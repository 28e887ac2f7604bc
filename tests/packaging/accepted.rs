// SPDX-License-Identifier: Apache-2.0

//! The API server takes everything that the chart renders, with every combination of values: unknown and wrong fields are
//! errors. Nothing is kept.

use sandbox::{
    Manifests,
    packaging::{DEFINITIONS_CHART, RELEASE},
};
use serde_json::json;

use crate::{
    chart::{HELM, dry_run, render_in},
    combinations,
};

/// The fields of a `ServiceMonitor` that the chart may use, as the API reference of the Prometheus operator has them.
const SERVICE_MONITOR: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: servicemonitors.monitoring.coreos.com }
spec:
  group: monitoring.coreos.com
  names: { kind: ServiceMonitor, plural: servicemonitors }
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [endpoints, selector]
              properties:
                selector: { type: object, properties: { matchLabels: { type: object, additionalProperties: { type: string } } } }
                endpoints:
                  type: array
                  items:
                    type: object
                    properties:
                      port: { type: string }
                      path: { type: string }
                      interval: { type: string, pattern: '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$' }
                      scrapeTimeout: { type: string, pattern: '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$' }
                      relabelings: &relabelings
                        type: array
                        items:
                          type: object
                          properties:
                            action: { type: string }
                            regex: { type: string }
                            replacement: { type: string }
                            sourceLabels: { type: array, items: { type: string } }
                            targetLabel: { type: string }
                      metricRelabelings: *relabelings
";

/// The fields of a `PrometheusRule` that the chart may use, from the same reference.
const PROMETHEUS_RULE: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: prometheusrules.monitoring.coreos.com }
spec:
  group: monitoring.coreos.com
  names: { kind: PrometheusRule, plural: prometheusrules }
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                groups:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties:
                      name: { type: string, minLength: 1 }
                      rules:
                        type: array
                        items:
                          type: object
                          required: [expr]
                          properties:
                            alert: { type: string }
                            expr: { x-kubernetes-int-or-string: true, anyOf: [{ type: integer }, { type: string }] }
                            for: { type: string, pattern: '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$' }
                            labels: { type: object, additionalProperties: { type: string } }
                            annotations: { type: object, additionalProperties: { type: string } }
";

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_every_combination_is_taken() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    for definition in [SERVICE_MONITOR, PROMETHEUS_RULE] {
        Manifests::parse(definition).unwrap().apply(&client).await.unwrap();
    }
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

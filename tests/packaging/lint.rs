// SPDX-License-Identifier: Apache-2.0

//! Both charts pass `helm lint --strict`.

use std::fs;

use sandbox::{
    packaging::{CHART, DEFINITIONS_CHART, Helm},
    program::project,
};
use serde_json::{Value, json};

use crate::{
    chart::{HELM, own_control_plane},
    combinations,
    life::DEFINITIONS,
};

#[test]
fn the_charts_have_nothing_that_helm_complains_about() {
    HELM.run(["lint", "--strict", DEFINITIONS_CHART], "").unwrap();
    for (name, values) in combinations::all("messaging") {
        let said = HELM.run(["lint", "--strict", CHART, "--values", "-"], &values.to_string());
        said.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

#[test]
fn the_charts_have_the_version_of_the_program() {
    for chart in [CHART, DEFINITIONS_CHART] {
        let text = fs::read_to_string(project().join(chart).join("Chart.yaml")).unwrap();
        let metadata: Value = serde_yaml::from_str(&text).unwrap();
        for field in ["version", "appVersion"] {
            assert_eq!(metadata[field], env!("CARGO_PKG_VERSION"), "{field} of {chart}");
        }
        assert_eq!(metadata["kubeVersion"], ">=1.33.0-0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notes_say_what_to_do_next() {
    let _alone = DEFINITIONS.lock().await;
    let control_plane = own_control_plane().await;
    // Helm 3 wants a cluster for a dry run, and asks it for the definitions.
    let helm = Helm::on(control_plane.run(), control_plane.kubeconfig()).unwrap();
    let notes = |values: Value| {
        let arguments = ["install", "r", CHART, "--namespace", "n", "--dry-run=client", "--values", "-"];
        helm.run(arguments, &values.to_string()).unwrap()
    };
    let usual = notes(json!({}));
    for part in [
        "all namespaces",
        "DEFINITIONS ARE MISSING",
        "rollout status deployment/r-digital-messaging-operator",
        "helm --namespace n test r",
    ] {
        assert!(usual.contains(part), "no {part} in {usual}");
    }
    assert!(!usual.contains("reference manager"), "{usual}");
    let with_manager = notes(json!({ "watchNamespaces": ["one", "two"], "manager": { "enabled": true } }));
    for part in [
        "namespaces one, two",
        "exec r-digital-messaging-operator-manager-0 -- messaging-manager credentials create",
        "http://r-digital-messaging-operator-manager.n.svc:8080",
        "managers.allowPrivateHosts=true",
        "Set manager.tlsSecretName",
    ] {
        assert!(with_manager.contains(part), "no {part} in {with_manager}");
    }
}

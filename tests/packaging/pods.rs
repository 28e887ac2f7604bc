// SPDX-License-Identifier: Apache-2.0

//! All pods of the chart are taken where the Pod Security Standard "restricted" is enforced, by the API server itself.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    chart::{dry_run, render_in},
    combinations,
};

/// A namespace that enforces it, with the service accounts that pods name.
async fn restricted(accounts: &[&str]) -> String {
    let control_plane = sandbox::shared().await;
    let namespace = control_plane.create_namespace("restricted").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(control_plane.client().await.unwrap());
    let labels = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let patch = Patch::Merge(&labels);
    namespaces.patch(&namespace, &PatchParams::default(), &patch).await.unwrap();
    for account in accounts {
        control_plane
            .kubeconfig_for_service_account(&namespace, account)
            .await
            .unwrap();
    }
    namespace
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_is_taken_where_only_restricted_ones_are() {
    let client = sandbox::shared().await.client().await.unwrap();
    let accounts = ["default", "release-digital-messaging-operator", "operator", "theirs"];
    let namespace = restricted(&accounts).await;
    let mut seen = 0;
    for (name, values) in combinations::all(&namespace) {
        if name == "names" || name.contains("security contexts") {
            continue;
        }
        for (pod, object) in render_in(&namespace, &values).pods() {
            if let Err(refusal) = dry_run(&client, &object).await {
                panic!("{name}: {pod}: {refusal}");
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} pods");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_its_contexts_would_be_refused() {
    let client = sandbox::shared().await.client().await.unwrap();
    let namespace = restricted(&["release-digital-messaging-operator"]).await;
    for taken_away in [
        "/spec/securityContext",
        "/spec/containers/0/securityContext/capabilities",
        "/spec/containers/0/securityContext/allowPrivilegeEscalation",
    ] {
        let (_, mut pod) = render_in(&namespace, &json!({})).pods().remove(0);
        *pod.pointer_mut(taken_away).unwrap() = Value::Null;
        let refusal = dry_run(&client, &pod).await.unwrap_err();
        assert!(
            refusal.contains("violates PodSecurity \"restricted"),
            "{taken_away}: {refusal}"
        );
    }
}

#[test]
fn no_pod_may_write_to_its_root() {
    let objects = crate::chart::render(&json!({ "manager": { "enabled": true } }));
    for (name, pod) in objects.pods() {
        let context = &pod["spec"]["containers"][0]["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(pod["spec"]["enableServiceLinks"], false, "{name}");
    }
}

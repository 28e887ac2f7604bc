// SPDX-License-Identifier: Apache-2.0

//! `digital-messaging-operator check`, which the pod of `helm test` runs: what it finds, and what it says when it does not.

use std::{
    path::Path,
    process::{Command, Output},
};

use digital_messaging_operator::desired::pump::Scope;
use sandbox::{Manifests, Operator, program};
use serde_json::json;

use crate::{
    chart::{DEADLINE, expanded, render_in},
    rights::{grant, wait_until_in_effect},
};

fn check(kubeconfig: &Path, arguments: &[&str]) -> Output {
    Command::new(program::workspace_binary("digital-messaging-operator").unwrap())
        .arg("check")
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helm_test_runs_finds_an_operator_that_is_ready() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    Manifests::read(&program::project().join("crds"))
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    let own = control_plane.create_namespace("own").await.unwrap();
    let objects = render_in(&own, &json!({ "watchNamespaces": [own] }));
    let kubeconfig = grant(control_plane, &own, &objects).await;
    wait_until_in_effect(&kubeconfig, &Scope::Namespaces([own.clone()].into()), &own).await;

    let pod = objects.one("Pod")["spec"]["containers"][0]["args"].as_array().unwrap();
    let pod: Vec<String> = pod
        .iter()
        .map(|argument| expanded(argument.as_str().unwrap(), &own))
        .collect();
    let [command, namespaces, url] = &pod[..] else {
        panic!("{pod:?}")
    };
    assert_eq!(command, "check");
    assert_eq!(*namespaces, format!("--namespaces={own}"));
    assert_eq!(
        *url,
        format!("--url=http://release-digital-messaging-operator-metrics.{own}.svc:8080/readyz")
    );

    let operator = Operator::start(control_plane.run(), &kubeconfig, [namespaces, "--namespace", &own]).unwrap();
    let ready = format!("--url={}/readyz", operator.url());
    let output = check(&kubeconfig, &[namespaces, "--namespace", &own, &ready]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("is ready"), "{}", said(&output));

    operator.process().terminate(DEADLINE).await.unwrap();
    let output = check(&kubeconfig, &[namespaces, "--namespace", &own, &ready, "--within", "1s"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("was not ready within 1s"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_the_rights_that_are_missing() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    Manifests::read(&program::project().join("crds"))
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    let own = control_plane.create_namespace("own").await.unwrap();
    let kubeconfig = control_plane.kubeconfig_for_service_account(&own, "powerless").await.unwrap();
    let output = check(&kubeconfig, &["--namespaces", &own]);
    assert!(!output.status.success());
    for part in [
        &format!("watch channelconnections.digitalmessaging.io in namespace {own}"),
        &format!("get secrets in namespace {own} (digital-messaging-operator-installation)"),
        "upgrade the Helm chart",
    ] {
        assert!(said(&output).contains(part), "no {part} in {}", said(&output));
    }
}

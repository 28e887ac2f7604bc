// SPDX-License-Identifier: Apache-2.0

//! A first installation, from nothing to channels that are ready.

use std::fs;

use e2e::Cluster;
use sandbox::{packaging::RELEASE, program::project};
use serde_json::json;

use crate::installation::Installation;

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn what_helm_installs_gets_the_examples_ready() {
    let image = Cluster::image().unwrap();
    let installation = Installation::new("first", &json!({ "watchNamespaces": [], "image": image })).await;
    let running = installation.kubectl_here("get pods -o jsonpath={.items[*].spec.containers[*].image}");
    let by_digest = format!("@{}", image["digest"].as_str().unwrap());
    assert!(running.split(' ').all(|name| name.ends_with(&by_digest)), "{running}");
    installation.helm(&format!("test {RELEASE} --namespace {}", installation.namespace), &json!({}));

    let entries = fs::read_dir(project().join("examples")).unwrap();
    let folders = entries.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
    let names: Vec<String> = folders.map(|folder| folder.file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name == "full"), "{names:?}");
    for name in &names {
        let namespace = format!("example-{name}");
        installation.kubectl(&format!("create namespace {namespace}"));
        let example = installation.example_in(&namespace, name).await;
        example.manifests.apply(&installation.client).await.unwrap();
        installation.wait_until_ready(&example.manifests).await;
        if name != "full" {
            continue;
        }
        // The manager answers through its Service, and holds what is declared.
        let account = &example.accounts[0];
        let interfaces = account.interfaces().await.unwrap();
        let names: Vec<_> = interfaces.iter().map(|it| it.spec.display_name.as_str()).collect();
        assert_eq!(names, ["Acme support"]);
        assert_eq!(account.connections().await.unwrap().len(), 7);
        let id = installation.kubectl(&format!(
            "get secret acme-web-widget --namespace {namespace} -o jsonpath={{.data.connectionId}}"
        ));
        assert!(!id.is_empty(), "no output");
    }
    for name in &names {
        installation.kubectl(&format!("delete namespace example-{name} --timeout=2m"));
    }
}

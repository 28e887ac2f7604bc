//! A first installation, from nothing to channels that are ready.

use sandbox::packaging::RELEASE;
use serde_json::json;

use crate::installation::Installation;

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn what_helm_installs_gets_the_examples_ready() {
    let installation = Installation::new("first", &json!({})).await;
    installation.helm(&format!("test {RELEASE} --namespace {}", installation.namespace), &json!({}));

    let example = installation.example("full").await;
    example.manifests.apply(&installation.client).await.unwrap();
    installation.wait_until_ready(&example.manifests).await;

    // The manager answers through its Service, and holds what is declared.
    let account = &example.accounts[0];
    let interfaces = account.interfaces().await.unwrap();
    let names: Vec<&str> = interfaces
        .iter()
        .map(|interface| interface.spec.display_name.as_str())
        .collect();
    assert_eq!(names, ["Acme support"]);
    assert_eq!(account.connections().await.unwrap().len(), 7);
    let id = installation.kubectl_here("get secret acme-web-widget -o jsonpath={.data.connectionId}");
    assert!(!id.is_empty(), "no output");
}

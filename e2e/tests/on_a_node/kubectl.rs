// SPDX-License-Identifier: Apache-2.0

//! Without Helm: a kustomization of one's own over one of ours, and the single file.

use std::{fs, path::Path};

use sandbox::{
    packaging::{self, NAMESPACE, RELEASE},
    program::project,
};
use serde_json::json;

use crate::installation::Installation;

const IMAGE: &str = "localhost/digital-messaging-operator";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn what_kubectl_applies_gets_an_example_ready() {
    // Helm brings the manager; its operator steps aside.
    let installation = Installation::new("kubectl", &json!({})).await;
    installation.kubectl_here(&format!("scale deployment/{RELEASE} --replicas=0"));

    let own = "by-kustomize";
    let folder = installation.cluster.run().folder().join(own);
    fs::create_dir_all(&folder).unwrap();
    let overlay = relative(&folder, &project().join("deploy/overlays/cluster-wide"));
    let kustomization = json!({
        "resources": [overlay],
        "namespace": own,
        "images": [{ "name": RELEASE, "newName": IMAGE, "newTag": VERSION }],
    });
    fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    installation.kubectl(&format!("create namespace {own}"));
    installation.kubectl(&format!(
        "label namespace {own} pod-security.kubernetes.io/enforce=restricted"
    ));
    installation.kubectl(&format!("apply -k {}", folder.display()));
    see_it_work(&installation, own).await;
    installation.kubectl(&format!("delete -k {} --timeout=1m", folder.display()));

    let file = installation.cluster.run().folder().join("install.yaml");
    let text = packaging::single_file(&installation.helm, Some(&format!("{IMAGE}:{VERSION}"))).unwrap();
    fs::write(&file, text).unwrap();
    installation.kubectl(&format!("apply --server-side --force-conflicts -f {}", file.display()));
    see_it_work(&installation, NAMESPACE).await;
    // Not with the file, which has the definitions.
    installation.kubectl(&format!("delete deployment/{RELEASE} --namespace {NAMESPACE}"));
}

/// Has the operator of this namespace look after another one.
async fn see_it_work(installation: &Installation, operator: &str) {
    // Services of the cluster.
    installation.kubectl(&format!(
        "set env deployment/{RELEASE} --namespace {operator} ALLOWED_PRIVATE_NETWORKS=10.96.0.0/16"
    ));
    installation.kubectl(&format!(
        "rollout status deployment/{RELEASE} --namespace {operator} --timeout=2m"
    ));
    let namespace = format!("{operator}-example");
    installation.kubectl(&format!("create namespace {namespace}"));
    let example = installation.example_in(&namespace, "minimal").await;
    example.manifests.apply(&installation.client).await.unwrap();
    installation.wait_until_ready(&example.manifests).await;
    installation.kubectl(&format!("delete namespace {namespace} --timeout=2m"));
}

/// Kustomize takes no absolute path.
fn relative(from: &Path, to: &Path) -> String {
    let up = "../".repeat(from.canonicalize().unwrap().components().count() - 1);
    format!(
        "{up}{}",
        to.canonicalize().unwrap().display().to_string().trim_start_matches('/')
    )
}

// SPDX-License-Identifier: Apache-2.0

//! The life of a release with real Helm on a real API server: installed, upgraded, rolled back, uninstalled. There is no
//! kubelet, so nothing waits for pods.

use std::{collections::BTreeSet, fmt::Debug, fs};

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::Secret,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, Role},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use sandbox::{
    packaging::{CHART, DEFINITIONS_CHART, Helm},
    program::project,
    wait_for,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    chart::{DEADLINE, own_control_plane},
    kustomize::kubectl,
};

/// Definitions are there once for the whole control plane. Whoever holds this finds none, and leaves none.
pub static DEFINITIONS: Mutex<()> = Mutex::const_new(());

struct Cluster {
    helm: Helm,
    client: Client,
}

impl Cluster {
    async fn new() -> Self {
        let control_plane = own_control_plane().await;
        Self {
            helm: Helm::on(control_plane.run(), control_plane.kubeconfig()).unwrap(),
            client: control_plane.client().await.unwrap(),
        }
    }

    fn run(&self, line: &str, values: &Value) -> String {
        self.helm.run(line.split_whitespace(), &values.to_string()).unwrap()
    }

    async fn definitions(&self) -> BTreeSet<String> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let all = api.list(&ListParams::default()).await.unwrap();
        let names = all.items.iter().map(ResourceExt::name_any);
        names.filter(|name| name.ends_with(".digitalmessaging.io")).collect()
    }

    async fn wait_for_definitions(&self, count: usize) {
        wait_for("the definitions come or go", DEADLINE, async || {
            match self.definitions().await {
                found if found.len() == count => Ok(()),
                found => Err(format!("{found:?}")),
            }
        })
        .await
        .unwrap();
    }
}

/// Waits until the definitions can be used, and deleted: the API server fails to delete one whose storage it is still setting
/// up, and tries that again only after minutes.
pub async fn wait_until_served(client: &Client) {
    async fn list<K>(client: &Client) -> kube::Result<()>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        Api::<K>::all(client.clone()).list(&ListParams::default()).await.map(drop)
    }
    wait_for("the definitions are served", DEADLINE, async || {
        list::<ManagerCredential>(client).await?;
        list::<DigitalMessagingInterface>(client).await?;
        list::<ChannelConnection>(client).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_comes_changes_and_goes_and_leaves_the_installation_behind() {
    let cluster = Cluster::new().await;
    let namespace = own_control_plane().await.create_namespace("release").await.unwrap();
    let name = format!("op-{namespace}");
    let at = format!("--namespace {namespace} --values -");
    let values = json!({ "fullnameOverride": name });
    let said = cluster.run(&format!("install op {CHART} {at}"), &values);
    assert!(
        said.contains("STATUS: deployed") && said.contains("See that it runs"),
        "{said}"
    );

    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &namespace);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.client.clone(), &namespace);
    let cluster_roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let roles: Api<Role> = Api::namespaced(cluster.client.clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &namespace);
    let first = deployments.get(&name).await.unwrap();
    assert_eq!(first.spec.as_ref().unwrap().replicas, Some(1));
    assert!(cluster_roles.get_opt(&name).await.unwrap().is_some());
    // The operator makes it at its first start.
    let installation: Secret = serde_json::from_value(
        json!({ "metadata": { "name": "digital-messaging-operator-installation" }, "stringData": { "installation": "x" } }),
    )
    .unwrap();
    secrets.create(&PostParams::default(), &installation).await.unwrap();

    let mut changed = values.clone();
    changed["replicas"] = 2.into();
    changed["watchNamespaces"] = json!([namespace]);
    changed["pod"] = json!({ "labels": { "zone": "a" }, "annotations": { "a": "b" } });
    cluster.run(&format!("upgrade op {CHART} {at}"), &changed);
    let second = deployments.get(&name).await.unwrap();
    assert_eq!(second.uid(), first.uid(), "changed in place");
    assert_eq!(second.spec.as_ref().unwrap().replicas, Some(2));
    assert!(budgets.get_opt(&name).await.unwrap().is_some());
    assert!(roles.get_opt(&name).await.unwrap().is_some());
    assert!(
        cluster_roles.get_opt(&name).await.unwrap().is_none(),
        "the narrower mode takes the wider rights away"
    );

    cluster.run(&format!("rollback op 1 --namespace {namespace}"), &Value::Null);
    let third = deployments.get(&name).await.unwrap();
    assert_eq!((third.uid(), third.spec.as_ref().unwrap().replicas), (first.uid(), Some(1)));
    assert!(cluster_roles.get_opt(&name).await.unwrap().is_some());
    assert!(budgets.get_opt(&name).await.unwrap().is_none());

    // Nothing collects garbage here: what is deleted with its dependants in the background goes at once all the same.
    cluster.run(&format!("uninstall op --namespace {namespace}"), &Value::Null);
    assert!(deployments.get_opt(&name).await.unwrap().is_none());
    assert!(cluster_roles.get_opt(&name).await.unwrap().is_none());
    let left: Vec<String> = secrets
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(
        left,
        ["digital-messaging-operator-installation"],
        "who it was is kept for the next installation"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_and_what_is_declared_outlive_their_release_unless_asked() {
    let _alone = DEFINITIONS.lock().await;
    let cluster = Cluster::new().await;
    let namespace = own_control_plane().await.create_namespace("definitions").await.unwrap();
    let at = format!("--namespace {namespace} --values -");
    cluster.run(
        &format!("upgrade --install crds {DEFINITIONS_CHART} --take-ownership {at}"),
        &json!({}),
    );
    wait_until_served(&cluster.client).await;
    let credentials: Api<ManagerCredential> = Api::namespaced(cluster.client.clone(), &namespace);
    let declared = json!({
        "apiVersion": "digitalmessaging.io/v1alpha1", "kind": "ManagerCredential", "metadata": { "name": "kept" },
        "spec": { "manager": { "digitalMessaging": { "endpoint": "https://manager.example" } }, "authentication": { "secretRef": { "name": "kept" } } },
    });
    credentials
        .create(&PostParams::default(), &serde_json::from_value(declared).unwrap())
        .await
        .unwrap();

    let said = cluster.run(&format!("uninstall crds --namespace {namespace}"), &Value::Null);
    assert!(said.contains("kept due to the resource policy"), "{said}");
    assert_eq!(cluster.definitions().await.len(), 3);
    assert!(credentials.get_opt("kept").await.unwrap().is_some());

    // Another release of the same name takes them back; this one is told to let go.
    cluster.run(&format!("install crds {DEFINITIONS_CHART} {at}"), &json!({ "keep": false }));
    assert_eq!(cluster.definitions().await.len(), 3);
    cluster.run(&format!("uninstall crds --namespace {namespace}"), &Value::Null);
    cluster.wait_for_definitions(0).await;
}

/// With the options that docs/install.md names.
#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_kubectl_applied_are_taken_over_although_they_are_older() {
    let _alone = DEFINITIONS.lock().await;
    let cluster = Cluster::new().await;
    let control_plane = own_control_plane().await;
    let namespace = control_plane.create_namespace("taken").await.unwrap();
    let (today, before) = ("Whether the channel carries messages", "Whether it works");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(project().join("crds")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace(today, before);
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    let older = folder.path().to_str().unwrap();
    kubectl(
        control_plane.kubeconfig(),
        &["apply", "--server-side", "--force-conflicts", "-f", older],
    );
    let connections = async || {
        let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
        let definition = api.get("channelconnections.digitalmessaging.io").await.unwrap();
        serde_json::to_string(&definition.spec).unwrap()
    };
    assert!(connections().await.contains(before));

    let is_3 = cluster.run("version --short", &Value::Null).starts_with("v3");
    let options = if is_3 {
        "--take-ownership"
    } else {
        "--take-ownership --force-conflicts"
    };
    let at = format!("--namespace {namespace} --values -");
    cluster.run(&format!("install crds {DEFINITIONS_CHART} {options} {at}"), &json!({}));
    let now = connections().await;
    assert!(now.contains(today) && !now.contains(before), "{now}");
    // What changes later goes the usual way.
    cluster.run(&format!("upgrade crds {DEFINITIONS_CHART} {at}"), &json!({ "keep": false }));
    wait_until_served(&cluster.client).await;
    cluster.run(&format!("uninstall crds --namespace {namespace}"), &Value::Null);
    cluster.wait_for_definitions(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_a_server_side_dry_run_is_taken_without_a_trace() {
    let cluster = Cluster::new().await;
    let namespace = own_control_plane().await.create_namespace("dry").await.unwrap();
    let values = json!({ "fullnameOverride": namespace });
    let said = cluster.run(
        &format!("install op {CHART} --namespace {namespace} --dry-run=server --values -"),
        &values,
    );
    assert!(said.contains("kind: Deployment"), "{said}");
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &namespace);
    assert!(deployments.list(&ListParams::default()).await.unwrap().items.is_empty());
}

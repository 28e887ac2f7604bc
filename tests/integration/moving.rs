// SPDX-License-Identifier: Apache-2.0

//! docs/moving.md does what it says: its very commands, run on two clusters with an operator each and one manager.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{Api, Client, api::PostParams};
use sandbox::{
    ControlPlane, Example, ManagerAccount, Manifests, Operator, ReferenceManager, grant_operator_rights,
    program::{self, project},
    wait_for,
};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_mins(2);
const OWN: &str = "digital-messaging";

/// Two clusters, and the folder that the commands are run in.
struct Clusters {
    old: ControlPlane,
    new: ControlPlane,
    folder: PathBuf,
    account: ManagerAccount,
    _manager: ReferenceManager,
}

impl Clusters {
    /// The old one has the operator and, in namespace `acme`, an interface with two connections; the new one the definitions.
    async fn start() -> (Self, Operator) {
        let (old, new) = tokio::try_join!(ControlPlane::start(), ControlPlane::start()).unwrap();
        let manager = ReferenceManager::start(old.run()).await.unwrap();
        let folder = old.run().subfolder("moving").unwrap();
        fs::create_dir(folder.join("acme")).unwrap();
        for cluster in [&old, &new] {
            let definitions = Manifests::read(&project().join("crds")).unwrap();
            definitions.apply(&cluster.client().await.unwrap()).await.unwrap();
        }
        let example = Example::prepare(&project().join("examples/minimal"), "acme", &manager)
            .await
            .unwrap();
        let mut files: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for object in example.manifests.objects() {
            let mut object = serde_json::to_value(object).unwrap();
            // The commands say where it goes.
            object["metadata"].as_object_mut().unwrap().remove("namespace");
            let kind = object["kind"].as_str().unwrap();
            let file = if matches!(kind, "Secret" | "ManagerCredential") {
                "credential.yaml"
            } else {
                "messaging.yaml"
            };
            if kind == "ChannelConnection" {
                // One that would be deleted at the manager, too.
                let mut second = object.clone();
                second["metadata"]["name"] = "acme-second".into();
                second["spec"]["policy"] = json!({ "deletion": "Delete" });
                files.entry(file).or_default().push(second);
            }
            files.entry(file).or_default().push(object);
        }
        for (file, objects) in files {
            let documents = objects.iter().map(|object| serde_yaml::to_string(object).unwrap());
            fs::write(folder.join("acme").join(file), documents.collect::<Vec<_>>().join("---\n")).unwrap();
        }
        let mut accounts = example.accounts;
        let clusters = Self {
            old,
            new,
            folder,
            account: accounts.remove(0),
            _manager: manager,
        };
        clusters.write_kubeconfig();
        clusters.run("kubectl --context old create namespace digital-messaging");
        let operator = clusters.operator(&clusters.old).await;
        clusters.run(
            "kubectl --context old create namespace acme
             kubectl --context old apply --namespace acme --filename acme/
             kubectl --context old wait --for condition=Ready chconn,dmi,mgrcred --all --namespace acme --timeout 2m",
        );
        (clusters, operator)
    }

    /// An operator in the cluster, in its namespace.
    async fn operator(&self, cluster: &ControlPlane) -> Operator {
        let kubeconfig = grant_operator_rights(cluster, OWN).await.unwrap();
        let operator = Operator::start(self.old.run(), &kubeconfig, ["--namespace", OWN]).unwrap();
        operator.wait_until_ready().await.unwrap();
        operator
    }

    /// One kubeconfig with a context for each cluster.
    fn write_kubeconfig(&self) {
        let mut merged = json!({ "apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": [] });
        for (name, cluster) in [("old", &self.old), ("new", &self.new)] {
            let text = fs::read_to_string(cluster.kubeconfig()).unwrap();
            let config: Value = serde_yaml::from_str(&text).unwrap();
            for (list, item) in [("clusters", "cluster"), ("users", "user")] {
                let entry = json!({ "name": name, item: config[list][0][item] });
                merged[list].as_array_mut().unwrap().push(entry);
            }
            let context = json!({ "name": name, "context": { "cluster": name, "user": name } });
            merged["contexts"].as_array_mut().unwrap().push(context);
        }
        fs::write(self.folder.join("kubeconfig"), merged.to_string()).unwrap();
    }

    /// Runs commands as a person would, and returns what they write.
    fn run(&self, commands: &str) -> String {
        let path = format!("{}:{}", program::tools().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", path)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.join("cache"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{commands}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// What the manager has, without who holds it.
    async fn held(&self) -> (Vec<String>, Vec<String>) {
        let interfaces = self.account.interfaces().await.unwrap().into_iter().map(|it| it.id);
        let connections = self.account.connections().await.unwrap().into_iter().map(|it| it.id);
        (interfaces.collect(), connections.collect())
    }

    /// Outputs of both connections in a cluster.
    async fn outputs(&self, client: &Client) -> Vec<Value> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "acme");
        let mut outputs = Vec::new();
        for name in ["acme-second-connection", "acme-web-connection"] {
            outputs.push(serde_json::to_value(secrets.get(name).await.unwrap().data).unwrap());
        }
        outputs
    }

    fn left_in_the_old_one(&self) -> String {
        self.run("kubectl --context old get chconn,dmi,mgrcred --namespace acme --output name")
    }
}

/// The commands of a section of the page, block by block.
fn commands(section: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/moving.md")).unwrap();
    let section = page.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_installation_moves_and_nothing_at_the_manager_changes() {
    let (clusters, old_operator) = Clusters::start().await;
    let (old, new) = (clusters.old.client().await.unwrap(), clusters.new.client().await.unwrap());
    let (held, outputs) = (clusters.held().await, clusters.outputs(&old).await);
    assert_eq!((held.0.len(), held.1.len()), (1, 2));
    let deployments: Api<Deployment> = Api::namespaced(old.clone(), OWN);
    let labels = json!({ "app": "operator" });
    let deployment = json!({ "metadata": { "name": "digital-messaging-operator" }, "spec": {
        "replicas": 1, "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "operator", "image": "operator" }] } } } });
    let deployment: Deployment = serde_json::from_value(deployment).unwrap();
    deployments.create(&PostParams::default(), &deployment).await.unwrap();

    let commands = commands("The whole installation");
    let [stop, take_along, apply, compare, clean_up] = &commands[..] else {
        panic!("{} blocks", commands.len())
    };
    clusters.run(stop);
    let replicas = deployments
        .get("digital-messaging-operator")
        .await
        .unwrap()
        .spec
        .unwrap()
        .replicas;
    assert_eq!(replicas, Some(0));
    old_operator.process().terminate(DEADLINE).await.unwrap();
    clusters.run(take_along);
    let _operator = clusters.operator(&clusters.new).await;
    clusters.run(apply);
    let compared = clusters.run(compare);
    let mut lines: Vec<&str> = compared.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 6, "{compared}");
    for pair in lines.chunks(2) {
        assert_eq!(pair[0], pair[1], "{compared}");
    }
    assert_eq!(clusters.held().await, held);
    assert_eq!(clusters.outputs(&new).await, outputs);

    clusters.run(clean_up);
    assert_eq!(clusters.left_in_the_old_one(), "");
    assert_eq!(clusters.held().await, held);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_of_it_moves_to_another_installation_which_adopts_what_the_first_lets_go() {
    let (clusters, _old_operator) = Clusters::start().await;
    let (old, new) = (clusters.old.client().await.unwrap(), clusters.new.client().await.unwrap());
    let (held, outputs) = (clusters.held().await, clusters.outputs(&old).await);
    clusters.run("kubectl --context new create namespace digital-messaging");
    let _new_operator = clusters.operator(&clusters.new).await;

    let commands = commands("Some of it");
    let [apply, adopt, credential, let_go, take_over] = &commands[..] else {
        panic!("{} blocks", commands.len())
    };
    clusters.run(apply);
    clusters.run(adopt);
    clusters.run(credential);
    assert_eq!(
        clusters.held().await,
        held,
        "nothing is made or taken as long as the first has it"
    );
    clusters.run(let_go);
    clusters.run(take_over);
    assert_eq!(clusters.left_in_the_old_one(), "");
    wait_for("all to be held by the new one", DEADLINE, async || {
        let held = clusters.account.connections().await?;
        let references: Vec<String> = held.into_iter().filter_map(|it| it.external_reference).collect();
        let installation: Api<Secret> = Api::namespaced(new.clone(), OWN);
        let secret = installation.get("digital-messaging-operator-installation").await?;
        let name = String::from_utf8(secret.data.unwrap_or_default()["installation"].0.clone())?;
        anyhow::ensure!(
            references.len() == 2 && references.iter().all(|it| it.starts_with(&name)),
            "{references:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(clusters.held().await, held);
    assert_eq!(clusters.outputs(&new).await, outputs);
}

// SPDX-License-Identifier: Apache-2.0

//! One installation by Helm with the reference manager, in a namespace of its own that takes no pod with rights.

use std::time::Duration;

use e2e::{Cluster, ManagerInPod, State};
use kube::{Client, api::DynamicObject};
use sandbox::{
    Example, ManagerAccount, Manifests, api_for, kubeconfig,
    packaging::{CHART, DEFINITIONS_CHART, Helm, NAMESPACE, RELEASE},
    wait_for, wait_for_condition,
};
use serde_json::{Value, json};

/// How long a test waits for what must happen, on a machine that does other things too.
pub const DEADLINE: Duration = Duration::from_mins(2);

pub struct Installation {
    pub cluster: Cluster,
    pub client: Client,
    pub helm: Helm,
    pub namespace: String,
    pub manager: ManagerInPod,
}

impl Installation {
    /// Installs definitions and operator into a new namespace, with these values over those of the test.
    pub async fn new(namespace: &str, values: &Value) -> Self {
        let installation = Self::prepared(namespace).await;
        installation.install(CHART, values);
        installation
    }

    /// All but the operator.
    pub async fn prepared(namespace: &str) -> Self {
        let cluster = Cluster::current().unwrap();
        let client = kubeconfig::client(&cluster.kubeconfig()).await.unwrap();
        let helm = cluster.helm().unwrap();
        let kubectl = |line: &str| cluster.kubectl(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        let definitions =
            format!("upgrade --install definitions {DEFINITIONS_CHART} --namespace {NAMESPACE} --create-namespace --wait");
        helm.run(definitions.split_whitespace(), "").unwrap();
        // Those of other tests have done their work, and could look after the same namespaces.
        let others = "-l app.kubernetes.io/name=digital-messaging-operator";
        kubectl(&format!("delete deployments,statefulsets --all-namespaces {others}"));
        kubectl(&format!("delete clusterroles,clusterrolebindings {others}"));
        kubectl(&format!("create namespace {namespace}"));
        kubectl(&format!(
            "label namespace {namespace} pod-security.kubernetes.io/enforce=restricted"
        ));
        Self {
            manager: ManagerInPod::prepare(&cluster, &client, namespace, RELEASE).await.unwrap(),
            client,
            helm,
            namespace: namespace.to_owned(),
            cluster,
        }
    }

    /// Installs or upgrades a chart as the operator's release, and waits until its pods are ready.
    pub fn install(&self, chart: &str, values: &Value) {
        self.helm(
            &format!(
                "upgrade --install {RELEASE} {chart} --namespace {} --values - --wait --timeout 2m",
                self.namespace
            ),
            &self.values(values),
        );
    }

    fn values(&self, over: &Value) -> Value {
        let mut values = json!({
            "image": { "repository": "localhost/digital-messaging-operator", "pullPolicy": "Never" },
            "watchNamespaces": [self.namespace],
        });
        json_patch::merge(&mut values, &self.manager.values());
        json_patch::merge(&mut values, over);
        values
    }

    /// Runs Helm, with values for `--values -`.
    pub fn helm(&self, line: &str, values: &Value) -> String {
        match self.helm.run(line.split_whitespace(), &values.to_string()) {
            Ok(said) => said,
            Err(error) => panic!("{line}: {error:#}\n{}", self.cluster.account_of(&self.namespace)),
        }
    }

    /// Runs kubectl.
    pub fn kubectl(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match self.cluster.kubectl(&words) {
            Ok(said) => said,
            Err(error) => panic!("{error:#}\n{}", self.cluster.account_of(&self.namespace)),
        }
    }

    /// Runs kubectl in the installation's namespace.
    pub fn kubectl_here(&self, line: &str) -> String {
        self.kubectl(&format!("--namespace {} {line}", self.namespace))
    }

    /// Reads an example and gives it an account at this manager.
    pub async fn example(&self, name: &str) -> Example {
        self.example_in(&self.namespace, name).await
    }

    /// The same, in another namespace.
    pub async fn example_in(&self, namespace: &str, name: &str) -> Example {
        match self.manager.example(name, namespace).await {
            Ok(example) => example,
            Err(error) => panic!("{error:#}\n{}", self.cluster.account_of(&self.namespace)),
        }
    }

    /// Applies the smallest example and waits until it is ready.
    pub async fn minimal(&self) -> ManagerAccount {
        let mut example = self.example("minimal").await;
        example.manifests.apply(&self.client).await.unwrap();
        self.wait_until_ready(&example.manifests).await;
        example.accounts.pop().unwrap()
    }

    /// Waits until all resources are what their specs say.
    pub async fn wait_until_ready(&self, manifests: &Manifests) {
        for object in manifests.objects().iter().filter(|object| is_resource(object)) {
            let api = api_for(&self.client, object).await.unwrap();
            let name = object.metadata.name.as_deref().unwrap();
            for condition in ["Ready", "Synced"] {
                if let Err(error) = wait_for_condition(&api, name, condition, "True", DEADLINE).await {
                    panic!("{error:#}\n{}", self.cluster.account_of(&self.namespace));
                }
            }
        }
    }

    /// Gives the interface of the smallest example another name.
    pub fn rename(&self, name: &str) {
        let patch = json!({ "spec": { "displayName": name } }).to_string();
        let words = [
            "patch",
            "dmi",
            "acme-support",
            "--namespace",
            &self.namespace,
            "--type",
            "merge",
            "--patch",
            &patch,
        ];
        self.cluster.kubectl(&words).unwrap();
    }

    /// Sees that the operator works: that a change gets to the manager, and back.
    pub async fn see_it_work(&self, account: &ManagerAccount) {
        for name in ["Acme help", "Acme support"] {
            self.rename(name);
            self.wait_until_renamed(account, name).await;
        }
    }

    /// Waits until the manager has the interface under this name.
    pub async fn wait_until_renamed(&self, account: &ManagerAccount, name: &str) {
        let renamed = wait_for(format!("the manager to have {name}"), DEADLINE, async || {
            let interfaces = account.interfaces().await?;
            let names: Vec<_> = interfaces
                .iter()
                .map(|interface| interface.spec.display_name.clone())
                .collect();
            anyhow::ensure!(names == [name], "it has {names:?}");
            Ok(())
        })
        .await;
        if let Err(error) = renamed {
            panic!("{error:#}\n{}", self.cluster.account_of(&self.namespace));
        }
    }

    /// What is at the manager, and what came out of it.
    pub async fn state(&self, account: &ManagerAccount) -> State {
        State::now(&self.cluster, &self.namespace, account).await.unwrap()
    }

    /// Fails if anything was changed since then but the name of the interface: by now whoever leads has looked at everything.
    pub async fn assert_only_renamed(&self, account: &ManagerAccount, before: &State) {
        let after = self.state(account).await;
        assert_eq!(after.but_the_interface(), before.but_the_interface());
    }

    /// The pod that leads.
    pub fn leader(&self) -> String {
        let line = format!("get lease {RELEASE} -o jsonpath={{.spec.holderIdentity}}");
        self.kubectl_here(&line)
    }

    /// Waits until another pod leads than the one of before.
    pub async fn wait_for_another_leader(&self, before: &str) {
        wait_for("another pod to lead", DEADLINE, async || match self.leader() {
            now if now != before && !now.is_empty() => Ok(()),
            now => Err(format!("{now} leads")),
        })
        .await
        .unwrap();
    }

    /// Names of the pods of a component.
    pub fn pods(&self, component: &str) -> Vec<String> {
        let line = format!("get pods -l app.kubernetes.io/component={component} -o jsonpath={{.items[*].metadata.name}}");
        self.kubectl_here(&line).split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until none of these is a pod of the operator any more.
    pub async fn wait_until_gone(&self, pods: &[String]) {
        wait_for("the pods to be others", DEADLINE, async || match self.pods("operator") {
            now if now.iter().all(|pod| !pods.contains(pod)) => Ok(()),
            now => Err(format!("{now:?}")),
        })
        .await
        .unwrap();
    }

    /// Waits until the operator's pods are those wanted, and ready.
    pub fn wait_for_rollout(&self) {
        self.kubectl_here(&format!("rollout status deployment/{RELEASE} --timeout=2m"));
    }
}

fn is_resource(object: &DynamicObject) -> bool {
    let types = object.types.as_ref();
    types.is_some_and(|types| types.api_version.starts_with("digitalmessaging.io/"))
}

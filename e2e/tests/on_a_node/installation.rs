// SPDX-License-Identifier: Apache-2.0

//! One installation by Helm with the reference manager, in a namespace of its own that takes no pod with rights.

use std::{fmt::Write, path::Path, time::Duration};

use anyhow::{Context, Result};
use digital_messaging_contract::account::AuthenticationMethod;
use e2e::Cluster;
use kube::{Client, api::DynamicObject};
use sandbox::{
    Certificates, Credential, Example, ManagerAccount, Manifests, OpensAccounts, api_for, kubeconfig,
    packaging::{CHART, DEFINITIONS_CHART, Helm, NAMESPACE, RELEASE},
    program::project,
    wait_for, wait_for_condition,
};
use serde_json::{Value, json};

/// How long a test waits for what must happen, on a machine that does other things too.
pub const DEADLINE: Duration = Duration::from_mins(2);

const TLS: &str = "manager-tls";
const PORT: u16 = 8443;

pub struct Installation {
    pub cluster: Cluster,
    pub client: Client,
    pub helm: Helm,
    pub namespace: String,
    url: String,
    authority: String,
}

/// What is at the manager, and what came out of it.
#[derive(Debug, PartialEq)]
pub struct State {
    pub interfaces: Value,
    pub connections: Value,
    /// With resource versions: writing the same again would show.
    pub outputs: String,
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
        let host = format!("{RELEASE}-manager.{namespace}.svc");
        let certificates = Certificates::issue(&cluster.run().folder().join("certificates"), &[&host]).unwrap();
        let installation = Self {
            client: kubeconfig::client(&cluster.kubeconfig()).await.unwrap(),
            helm: cluster.helm().unwrap(),
            namespace: namespace.to_owned(),
            url: format!("https://{host}:{PORT}"),
            authority: certificates.authority_pem.clone(),
            cluster,
        };
        let secret = format!(
            "--cert={} --key={}",
            certificates.server.display(),
            certificates.server_key.display()
        );
        installation.helm(
            &format!(
                "upgrade --install definitions {DEFINITIONS_CHART} --namespace {NAMESPACE} --create-namespace --values - --wait"
            ),
            &json!({}),
        );
        // Those of other tests have done their work, and could look after the same namespaces.
        let others = "-l app.kubernetes.io/name=digital-messaging-operator";
        installation.kubectl(&format!("delete deployments,statefulsets --all-namespaces {others}"));
        installation.kubectl(&format!("delete clusterroles,clusterrolebindings {others}"));
        installation.kubectl(&format!("create namespace {namespace}"));
        installation.kubectl(&format!(
            "label namespace {namespace} pod-security.kubernetes.io/enforce=restricted"
        ));
        installation.kubectl(&format!("create secret tls {TLS} --namespace {namespace} {secret}"));
        installation.make_volume().await;
        installation
    }

    /// Nobody provides volumes on the node.
    async fn make_volume(&self) {
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": self.namespace },
            "spec": {
                "capacity": { "storage": "1Gi" },
                "accessModes": ["ReadWriteOnce"],
                "hostPath": { "path": self.cluster.volume(&self.namespace).unwrap() },
                "claimRef": { "namespace": self.namespace, "name": format!("data-{RELEASE}-manager-0") },
            },
        });
        let volume = Manifests::parse(&volume.to_string()).unwrap();
        volume.apply(&self.client).await.unwrap();
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
            // Services of the cluster.
            "managers": { "allowedPrivateNetworks": ["10.96.0.0/16"] },
            "manager": { "enabled": true, "tlsSecretName": TLS, "port": PORT },
        });
        merge(&mut values, over);
        values
    }

    /// Runs Helm, with values for `--values -`.
    pub fn helm(&self, line: &str, values: &Value) -> String {
        match self.helm.run(line.split_whitespace(), &values.to_string()) {
            Ok(said) => said,
            Err(error) => panic!("{line}: {error:#}\n{}", self.account_of_pods()),
        }
    }

    /// Runs kubectl.
    pub fn kubectl(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match self.cluster.kubectl(&words) {
            Ok(said) => said,
            Err(error) => panic!("{error:#}\n{}", self.account_of_pods()),
        }
    }

    /// Runs kubectl in the installation's namespace.
    pub fn kubectl_here(&self, line: &str) -> String {
        self.kubectl(&format!("--namespace {} {line}", self.namespace))
    }

    /// What the pods and the resources are up to, for messages about failures.
    fn account_of_pods(&self) -> String {
        let mut account = String::new();
        for line in [
            "get pods,messaging -o wide",
            "describe pods",
            "get events",
            "logs --prefix --tail 40 -l app.kubernetes.io/name=digital-messaging-operator",
        ] {
            let words = ["--namespace", &self.namespace].into_iter().chain(line.split_whitespace());
            let said = self.cluster.kubectl(&words.collect::<Vec<_>>());
            let _ = writeln!(
                account,
                "--- kubectl {line} ---\n{}",
                said.unwrap_or_else(|error| format!("{error:#}"))
            );
        }
        account
    }

    /// Reads an example and gives it an account at this manager.
    pub async fn example(&self, name: &str) -> Example {
        self.example_in(&self.namespace, name).await
    }

    /// The same, in another namespace.
    pub async fn example_in(&self, namespace: &str, name: &str) -> Example {
        let path = project().join("examples").join(name);
        let mut example = Example::prepare(Path::new(&path), namespace, self).await.unwrap();
        for object in example.manifests.objects_mut() {
            let data = object.data.get_mut("stringData").and_then(Value::as_object_mut);
            if let Some(data) = data.filter(|data| data.contains_key("managerKey")) {
                data.insert("ca.crt".to_owned(), self.authority.clone().into());
            }
        }
        example
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
                    panic!("{error:#}\n{}", self.account_of_pods());
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
            panic!("{error:#}\n{}", self.account_of_pods());
        }
    }

    /// What is at the manager, and what came out of it.
    pub async fn state(&self, account: &ManagerAccount) -> State {
        let outputs = self.kubectl_here("get secret acme-web-connection -o json");
        State {
            interfaces: serde_json::to_value(account.interfaces().await.unwrap()).unwrap(),
            connections: serde_json::to_value(account.connections().await.unwrap()).unwrap(),
            outputs,
        }
    }

    /// Fails if anything was changed since then but the name of the interface: by now whoever leads has looked at everything.
    pub async fn assert_only_renamed(&self, account: &ManagerAccount, before: &State) {
        let after = self.state(account).await;
        assert_eq!(after.connections, before.connections, "nobody changed a connection");
        assert_eq!(after.outputs, before.outputs, "nobody changed an output");
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

impl OpensAccounts for Installation {
    fn url(&self) -> &str {
        &self.url
    }

    /// As its administrator does it: with the other program of the image, in the manager's pod.
    fn create_credential(&self, method: AuthenticationMethod) -> Result<Credential> {
        let pod = format!("{RELEASE}-manager-0");
        let words = [
            "exec",
            &pod,
            "--namespace",
            &self.namespace,
            "--",
            "messaging-manager",
            "credentials",
            "create",
        ];
        let arguments = ["--output", "json", "--method", method.as_str()];
        let said = self.cluster.kubectl(&[&words[..], &arguments[..]].concat())?;
        serde_json::from_str(&said).context("read the new credential")
    }

    /// Through its Service, from the node.
    fn account(&self, credential: &Credential) -> Result<ManagerAccount> {
        let line = format!("get service {RELEASE}-manager -o jsonpath={{.spec.clusterIP}}");
        let address = self.kubectl_here(&line).parse()?;
        let host = format!("{RELEASE}-manager.{}.svc", self.namespace);
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .resolve(&host, std::net::SocketAddr::new(address, PORT))
            .tls_certs_only([reqwest::Certificate::from_pem(self.authority.as_bytes())?])
            .build()?;
        Ok(ManagerAccount::with_client(client, &self.url, credential.clone()))
    }
}

fn is_resource(object: &DynamicObject) -> bool {
    let types = object.types.as_ref();
    types.is_some_and(|types| types.api_version.starts_with("digitalmessaging.io/"))
}

fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (key, over) in over {
                merge(value.entry(key.clone()).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over.clone(),
    }
}

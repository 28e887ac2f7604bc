// SPDX-License-Identifier: Apache-2.0

//! One Argo CD and one operator for all tests here, installed from git by the published Applications.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use e2e::{Cluster, ManagerInPod, State};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use sandbox::{
    Credential, ManagerAccount, Manifests, OpensAccounts, kubeconfig, packaging::RELEASE, program::project, wait_for,
    wait_for_object,
};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    processes::{ArgoCd, NAMESPACE},
    repository::Repository,
};

/// How long a test waits for what must happen: Argo CD waits seconds before it heals, and longer after each time.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// Where the operator is installed, as the published Applications have it.
pub const OWN_NAMESPACE: &str = "digital-messaging";
pub const APPLICATIONS: &str = "deploy/argocd/applications";
/// The Application of the resources that are published.
pub const RESOURCES: &str = "acme-messaging";

/// The cluster.
pub struct Bench {
    pub cluster: Cluster,
    pub manager: ManagerInPod,
    /// The repository of the platform: charts and Applications.
    pub platform: Repository,
    pub argo_cd: ArgoCd,
    /// What the published resources open at the manager.
    credential: Credential,
    turns: RwLock<()>,
    examples: AtomicU32,
}

static BENCH: OnceCell<Bench> = OnceCell::const_new();

/// The one that all tests share, for a test that leaves the operator to the others.
pub async fn bench() -> (&'static Bench, RwLockReadGuard<'static, ()>) {
    let bench = BENCH.get_or_init(start_once).await;
    (bench, bench.turns.read().await)
}

/// The same, for a test that does something to the operator, and puts it back.
pub async fn bench_alone() -> (&'static Bench, RwLockWriteGuard<'static, ()>) {
    let bench = BENCH.get_or_init(start_once).await;
    (bench, bench.turns.write().await)
}

async fn start_once() -> Bench {
    static TRIED: AtomicBool = AtomicBool::new(false);
    let tried = TRIED.swap(true, Ordering::Relaxed);
    assert!(
        !tried,
        "Argo CD and the operator did not come up: the first test that failed says why"
    );
    Bench::start().await
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::current().unwrap();
        let client = kubeconfig::client(&cluster.kubeconfig()).await.unwrap();
        let argo_cd = ArgoCd::start(&cluster, &client).await;
        cluster.kubectl(&["create", "namespace", OWN_NAMESPACE]).unwrap();
        let manager = ManagerInPod::prepare(&cluster, &client, OWN_NAMESPACE, RELEASE)
            .await
            .unwrap();

        // One repository with everything, as whoever forks this one has it.
        let platform = Repository::new(cluster.run());
        platform.copy(project(), "charts");
        // Before there is somebody who opens an account, nothing is declared.
        platform.write("messaging/acme/README.md", "");
        for name in ["definitions", "resources"] {
            let file = format!("{APPLICATIONS}/{name}.yaml");
            let mut application = published(&file);
            application["spec"]["source"]["repoURL"] = platform.url().into();
            platform.write(&file, &serde_yaml::to_string(&application).unwrap());
        }
        write_operator(&platform, &manager, &json!({}));
        platform.push();
        let root = create_root(&platform, &client).await;

        // The third wave waits for the second: for pods that are ready.
        let wait = async |application: &Application, what: &str, check: Check| {
            let waited = application.wait(what, check).await;
            waited.unwrap_or_else(|error| panic!("{error:#}\n{}{}", argo_cd.logs(), cluster.account_of(OWN_NAMESPACE)));
        };
        let resources = Application::named(&client, RESOURCES);
        wait(&resources, "it comes after the operator", |_| Ok(())).await;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), OWN_NAMESPACE);
        let operator = deployments.get(RELEASE).await.unwrap().status.unwrap();
        assert_eq!(operator.ready_replicas, Some(1), "the resources did not wait for it");

        let example = manager.example("minimal", RESOURCES).await.unwrap();
        platform.write("messaging/acme/all.yaml", &yaml(&example.manifests));
        platform.push();
        resources.refresh().await;
        let [definitions, operator] = ["definitions", "operator"].map(|name| format!("digital-messaging-{name}"));
        for application in [
            &Application::named(&client, &definitions),
            &Application::named(&client, &operator),
            &resources,
            &root,
        ] {
            wait(application, "Synced and Healthy", synced_and_healthy).await;
        }
        Self {
            credential: example.accounts[0].credential().clone(),
            cluster,
            manager,
            platform,
            argo_cd,
            turns: RwLock::default(),
            examples: AtomicU32::default(),
        }
    }

    /// A client for one test: its connections end with the test.
    pub async fn client(&self) -> Client {
        kubeconfig::client(&self.cluster.kubeconfig()).await.unwrap()
    }

    /// The account of the published resources at the manager, which has another address each time that it is installed.
    pub fn account(&self) -> ManagerAccount {
        self.manager.account(&self.credential).unwrap()
    }

    /// Runs kubectl in the operator's namespace.
    pub fn kubectl(&self, line: &str) -> String {
        let words = ["--namespace", OWN_NAMESPACE].into_iter().chain(line.split(' '));
        self.cluster.kubectl(&words.collect::<Vec<_>>()).unwrap()
    }

    /// The Application above all others, as it is published.
    pub async fn create_root(&self) -> Application {
        create_root(&self.platform, &self.client().await).await
    }

    /// Writes the published Application of the operator into the platform's working copy, with values of one's own.
    pub fn write_operator(&self, values: &Value) {
        write_operator(&self.platform, &self.manager, values);
    }

    /// A folder of examples made ready for a namespace of its own, in a repository of its own.
    pub async fn example(&self, folder: &str) -> Declared {
        let namespace = format!("{folder}-{}", self.examples.fetch_add(1, Ordering::Relaxed));
        self.cluster.kubectl(&["create", "namespace", &namespace]).unwrap();
        let example = self.manager.example(folder, &namespace).await.unwrap();
        Declared {
            repository: Repository::new(self.cluster.run()),
            manifests: example.manifests,
            accounts: example.accounts,
            namespace,
            client: self.client().await,
        }
    }

    /// Waits until an Application is as wanted.
    pub async fn wait<T>(&self, application: &Application, what: &str, check: impl Fn(&Value) -> Result<T, String>) -> T {
        let waited = application.wait(what, check).await;
        waited.unwrap_or_else(|error| {
            let (argo_cd, operator) = (self.argo_cd.logs(), self.cluster.account_of(OWN_NAMESPACE));
            panic!("{error:#}\n{argo_cd}{operator}")
        })
    }
}

type Check = fn(&Value) -> Result<(), String>;

async fn create_root(platform: &Repository, client: &Client) -> Application {
    let mut root = published("deploy/argocd/root.yaml");
    root["spec"]["source"]["repoURL"] = platform.url().into();
    Application::create(client, &root).await
}

fn write_operator(platform: &Repository, manager: &ManagerInPod, values: &Value) {
    let file = format!("{APPLICATIONS}/operator.yaml");
    let mut application = published(&file);
    application["spec"]["source"]["repoURL"] = platform.url().into();
    let all = &mut application["spec"]["source"]["helm"]["valuesObject"];
    json_patch::merge(all, &json!({ "image": Cluster::image().unwrap() }));
    json_patch::merge(all, &manager.values());
    json_patch::merge(all, values);
    platform.write(&file, &serde_yaml::to_string(&application).unwrap());
}

/// What is declared in git, and where it goes.
pub struct Declared {
    pub repository: Repository,
    pub manifests: Manifests,
    pub accounts: Vec<ManagerAccount>,
    pub namespace: String,
    pub client: Client,
}

impl Declared {
    /// Commits the manifests as they are now. Returns the revision.
    pub fn push(&self) -> String {
        self.repository.write("messaging/all.yaml", &yaml(&self.manifests));
        self.repository.push()
    }

    /// Puts the published Application for resources over it, named as the namespace.
    pub async fn deploy(&self) -> Application {
        self.push();
        let mut application = published(&format!("{APPLICATIONS}/resources.yaml"));
        application["metadata"]["name"] = self.namespace.clone().into();
        application["spec"]["source"]["repoURL"] = self.repository.url().into();
        application["spec"]["source"]["path"] = "messaging".into();
        application["spec"]["destination"]["namespace"] = self.namespace.clone().into();
        Application::create(&self.client, &application).await
    }

    /// Has nothing stay at the manager of the smallest example.
    pub fn make_deletable(&mut self) {
        for (kind, name) in [
            ("DigitalMessagingInterface", "acme-support"),
            ("ChannelConnection", "acme-web"),
        ] {
            self.object(kind, name).data["spec"]["policy"] = json!({ "deletion": "Delete" });
        }
    }

    /// What the smallest example has at the manager, and what came out of it.
    pub async fn state(&self, bench: &Bench) -> State {
        State::now(&bench.cluster, &self.namespace, &self.accounts[0]).await.unwrap()
    }

    /// Gives the interface of the smallest example another name in git, and waits until the manager has it.
    pub async fn see_it_work(&mut self, bench: &Bench, application: &Application, name: &str) {
        self.object("DigitalMessagingInterface", "acme-support").data["spec"]["displayName"] = name.into();
        self.push();
        application.refresh().await;
        let renamed = wait_for("the manager to have it", DEADLINE, async || {
            let interfaces = self.accounts[0].interfaces().await?;
            let names: Vec<_> = interfaces.iter().map(|interface| &interface.spec.display_name).collect();
            anyhow::ensure!(names == [name], "{names:?}");
            Ok(())
        });
        renamed.await.unwrap();
        bench.wait(application, "Synced and Healthy", synced_and_healthy).await;
    }

    /// An object in git, to be changed.
    pub fn object(&mut self, kind: &str, name: &str) -> &mut DynamicObject {
        let objects = self.manifests.objects_mut().iter_mut();
        objects
            .into_iter()
            .find(|object| object.name_any() == name && object.types.as_ref().unwrap().kind == kind)
            .unwrap_or_else(|| panic!("{kind} {name} is not declared"))
    }

    /// Access to a kind of ours in its namespace.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("digitalmessaging.io", "v1alpha1", kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

/// An Application in the cluster.
pub struct Application {
    pub name: String,
    pub api: Api<DynamicObject>,
}

impl Application {
    /// The one of this name.
    pub fn named(client: &Client, name: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
        Self {
            name: name.to_owned(),
            api: Api::namespaced_with(client.clone(), NAMESPACE, &resource),
        }
    }

    /// Applies it.
    pub async fn create(client: &Client, application: &Value) -> Self {
        let created = Self::named(client, application["metadata"]["name"].as_str().unwrap());
        let (name, params) = (&created.name, PatchParams::apply("test"));
        created.api.patch(name, &params, &Patch::Apply(application)).await.unwrap();
        created
    }

    /// Waits until it is as wanted.
    pub async fn wait<T>(&self, what: &str, check: impl Fn(&Value) -> Result<T, String>) -> anyhow::Result<T> {
        wait_for_object(&self.api, &self.name, what, DEADLINE, |object| {
            let object = object.ok_or("it is not there")?;
            check(&serde_json::to_value(object).unwrap())
        })
        .await
    }

    /// Deletes it, and with `cascade` what it holds.
    pub async fn delete(&self, cascade: bool) {
        if cascade {
            let patch = json!({ "metadata": { "finalizers": ["resources-finalizer.argocd.argoproj.io"] } });
            let params = PatchParams::default();
            self.api.patch(&self.name, &params, &Patch::Merge(&patch)).await.unwrap();
        }
        self.api.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until it is gone.
    pub async fn wait_until_gone(&self) {
        let gone = wait_for_object(&self.api, &self.name, "gone with all it had", DEADLINE, |object| {
            object.map_or(Ok(()), |object| Err(object.data["status"]["resources"].to_string()))
        });
        gone.await.unwrap();
    }

    /// Has Argo CD look at git and the cluster now.
    pub async fn refresh(&self) {
        self.annotate("normal").await;
    }

    /// The same, with everything that it remembers forgotten.
    pub async fn refresh_hard(&self) {
        self.annotate("hard").await;
    }

    async fn annotate(&self, how: &str) {
        let patch = json!({ "metadata": { "annotations": { "argocd.argoproj.io/refresh": how } } });
        let params = PatchParams::default();
        self.api.patch(&self.name, &params, &Patch::Merge(&patch)).await.unwrap();
    }

    /// It as it is now.
    pub async fn get(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.unwrap()).unwrap()
    }
}

/// Whether all is as git has it, and well.
pub fn synced_and_healthy(application: &Value) -> Result<(), String> {
    both(application, "Synced", "Healthy")
}

/// Whether an Application has these two states.
pub fn both(application: &Value, sync: &str, health: &str) -> Result<(), String> {
    let status = &application["status"];
    if status["sync"]["status"] == sync && status["health"]["status"] == health {
        return Ok(());
    }
    Err(format!(
        "sync {}, health {}, resources {}, conditions {}, operation {}",
        status["sync"]["status"],
        status["health"]["status"],
        status["resources"],
        status["conditions"],
        status["operationState"]["message"]
    ))
}

/// The health of one resource of an Application, with its message.
pub fn health(application: &Value, kind: &str, name: &str) -> (String, String) {
    let resources = application["status"]["resources"].as_array().into_iter().flatten();
    let mut found = resources.filter(|resource| resource["kind"] == kind && resource["name"] == name);
    let health = found.next().map_or(&Value::Null, |resource| &resource["health"]);
    let text = |member: &str| health[member].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

/// A published manifest.
fn published(file: &str) -> Value {
    let text = fs::read_to_string(project().join(Path::new(file))).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn yaml(manifests: &Manifests) -> String {
    let documents = manifests
        .objects()
        .iter()
        .map(|object| serde_yaml::to_string(object).unwrap());
    documents.collect::<Vec<_>>().join("---\n")
}

// SPDX-License-Identifier: Apache-2.0

//! One cluster with Argo CD and the operator for all tests here, installed from git by the published Applications.

use std::{collections::BTreeSet, env, fs, path::Path, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use sandbox::{ControlPlane, Example, ManagerAccount, Manifests, Operator, ReferenceManager, program::project, wait_for_object};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    argo_cd::{ArgoCd, NAMESPACE},
    repository::Repository,
};

/// How long a test waits for what must happen: Argo CD waits seconds before it heals, and longer after each time.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// Where the operator is installed, as the published Applications have it.
pub const OWN_NAMESPACE: &str = "digital-messaging";
const APPLICATIONS: &str = "deploy/argocd/applications";

/// The cluster.
pub struct Bench {
    pub control_plane: ControlPlane,
    pub manager: ReferenceManager,
    /// The repository of the platform: charts and Applications.
    pub platform: Repository,
    pub operator: Operator,
    pub argo_cd: ArgoCd,
}

/// The one that all tests share, or nothing and a line that says why where it cannot be; that is a failure with
/// `LIVE_TESTS=required`.
pub async fn bench() -> Option<&'static Bench> {
    static BENCH: OnceCell<Bench> = OnceCell::const_new();
    if let Some(why) = missing() {
        let required = env::var("LIVE_TESTS").is_ok_and(|value| value == "required");
        assert!(!required, "the live tests are required here, and cannot run: {why}");
        eprintln!("skipped: {why}");
        if let Some(note) = env::var_os("LIVE_TESTS_SKIPPED") {
            fs::write(note, why).unwrap();
        }
        return None;
    }
    Some(BENCH.get_or_init(Bench::start).await)
}

/// Why it cannot be started here.
fn missing() -> Option<String> {
    let devices = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names: BTreeSet<&str> = devices
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    if names.iter().any(|name| *name != "lo") {
        return Some("not in a network of its own: `make test-argocd` makes one".to_owned());
    }
    let redis = project().join("build/tools/redis-server");
    (!redis.exists()).then(|| "no Redis: tools/redis.sh says why".to_owned())
}

impl Bench {
    async fn start() -> Self {
        let control_plane = ControlPlane::start_with_controllers().await.unwrap();
        let run = control_plane.run();
        let client = control_plane.client().await.unwrap();
        let manager = ReferenceManager::start(run).await.unwrap();
        let argo_cd = ArgoCd::start(&control_plane).await;

        // One repository with everything, as whoever forks this one has it.
        let platform = Repository::new(run);
        platform.copy(project(), "charts");
        for name in ["definitions", "operator", "resources"] {
            let file = format!("{APPLICATIONS}/{name}.yaml");
            let mut application = published(&file);
            application["spec"]["source"]["repoURL"] = platform.url().into();
            platform.write(&file, &serde_yaml::to_string(&application).unwrap());
        }
        let example = Example::prepare(&project().join("examples/minimal"), "acme-messaging", &manager)
            .await
            .unwrap();
        platform.write("examples/minimal/minimal.yaml", &yaml(&example.manifests));
        platform.push();
        let mut root = published("deploy/argocd/root.yaml");
        root["spec"]["source"]["repoURL"] = platform.url().into();
        let root = Application::create(&client, &root).await;

        // The first two waves; the operator's pods are up to the one who plays kubelet.
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), OWN_NAMESPACE);
        let deployment = wait_for_object(
            &deployments,
            "digital-messaging-operator",
            "the chart is installed",
            DEADLINE,
            |it| it.cloned().ok_or("not there"),
        )
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", argo_cd.logs()));
        let resources = Application::named(&client, "acme-messaging");
        assert!(
            resources.api.get_opt("acme-messaging").await.unwrap().is_none(),
            "waits for the operator"
        );
        let account = deployment.spec.unwrap().template.spec.unwrap().service_account_name.unwrap();
        let kubeconfig = control_plane
            .kubeconfig_for_service_account(OWN_NAMESPACE, &account)
            .await
            .unwrap();
        let operator = Operator::start(run, &kubeconfig, ["--namespace", OWN_NAMESPACE]).unwrap();
        operator.wait_until_ready().await.unwrap();
        let available = json!({ "status": {
            "observedGeneration": deployment.metadata.generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            "conditions": [{ "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable" },
                           { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" }],
        } });
        deployments
            .patch_status(
                "digital-messaging-operator",
                &PatchParams::default(),
                &Patch::Merge(&available),
            )
            .await
            .unwrap();
        // The third.
        let bench = Self {
            control_plane,
            manager,
            platform,
            operator,
            argo_cd,
        };
        for application in [
            &resources,
            &Application::named(&client, "digital-messaging-definitions"),
            &Application::named(&client, "digital-messaging-operator"),
            &root,
        ] {
            bench.wait(application, "Synced and Healthy", synced_and_healthy).await;
        }
        bench
    }

    /// A folder of examples made ready for a namespace of its own, in a repository of its own.
    pub async fn example(&self, folder: &str) -> Declared {
        let client = self.control_plane.client().await.unwrap();
        let namespace = self.control_plane.create_namespace(folder).await.unwrap();
        let example = Example::prepare(&project().join("examples").join(folder), &namespace, &self.manager)
            .await
            .unwrap();
        Declared {
            repository: Repository::new(self.control_plane.run()),
            manifests: example.manifests,
            accounts: example.accounts,
            namespace,
            client,
        }
    }

    /// Waits until an Application is as wanted.
    pub async fn wait<T>(&self, application: &Application, what: &str, check: impl Fn(&Value) -> Result<T, String>) -> T {
        let name = &application.name;
        let waited = wait_for_object(&application.api, name, what, DEADLINE, |object| {
            let object = object.ok_or("it is not there")?;
            check(&serde_json::to_value(object).unwrap())
        })
        .await;
        waited.unwrap_or_else(|error| panic!("{error:#}\n{}{}", self.argo_cd.logs(), self.operator.process().log_tail()))
    }
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

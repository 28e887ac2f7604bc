// SPDX-License-Identifier: Apache-2.0

//! A scene: a namespace of its own on the shared control plane, a real manager and a real operator, both in this process.
//!
//! The manager speaks HTTP and persists; its faults and its journal are at hand. The operator has the rights that are
//! shipped for it and watches only the scene's namespace. [`Scene::finish`] ends a scene: it stops the operator in good
//! order and fails if any secret value that was used shows up anywhere.

mod evidence;
mod objects;
mod trouble;
mod watches;
mod wire;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    desired::pump::Scope,
    kubernetes::{client::Clients, lease::Timing},
    manager::{
        transport::{CALL_TIMEOUT, HostPolicy, SystemLookup},
        values::Insecure,
    },
    operator::{self, RunError, Settings},
    telemetry::metrics::Metrics,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, config::KubeConfigOptions};
use messaging_manager::{
    Manager,
    config::Config,
    credentials::NewCredential,
    faults::Faults,
    journal::{Entry, Journal},
    server::Running,
};
use sandbox::{AuditMark, ControlPlane, Credential, ManagerAccount, Manifests, Request, wait_for};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use objects::*;
pub use trouble::{assert_not_ready, assert_serves, assert_troubled};
pub use wire::{Mishap, Point, Whose, Wire};

/// How long a test waits for what must happen. Generous: the machine may be busy with all other tests.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// A namespace, a manager and an operator.
pub struct Scene {
    pub namespace: String,
    /// The test's own client: may do everything.
    pub client: Client,
    pub manager: Running,
    pub faults: Faults,
    pub journal: Journal,
    pub metrics: Arc<Metrics>,
    /// Between the operator and both sides.
    pub wire: Wire,
    control_plane: &'static ControlPlane,
    folder: TempDir,
    /// Those of the next operator that is started.
    pub settings: Settings,
    kubeconfig: Option<PathBuf>,
    operator: Option<RunningOperator>,
    secrets: Mutex<BTreeSet<String>>,
    /// Where the log was when it began.
    log_mark: usize,
}

/// A runtime of its own, so that a crash ends all of its tasks at once.
struct RunningOperator {
    endpoints: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    runtime: Runtime,
}

impl RunningOperator {
    /// Ends every task where it stands, and waits until none is left.
    async fn end(self) {
        let runtime = self.runtime;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE))
            .await
            .expect("the operator's runtime ends");
    }
}

impl Scene {
    /// A scene with everything running.
    pub async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// A scene whose manager and operator are configured by the test.
    pub async fn with(manager: impl FnOnce(&mut Config), operator: impl FnOnce(&mut Settings)) -> Self {
        Self::on(sandbox::shared().await, manager, operator).await
    }

    /// A scene on a control plane of the test's choice: one that it may spoil.
    pub async fn on(
        control_plane: &'static ControlPlane,
        manager: impl FnOnce(&mut Config),
        operator: impl FnOnce(&mut Settings),
    ) -> Self {
        evidence::record_logs();
        let client = control_plane.client().await.unwrap();
        Manifests::read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"))
            .unwrap()
            .apply(&client)
            .await
            .unwrap();
        let namespace = control_plane.create_namespace("test").await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let (faults, journal, wire) = (Faults::new(), Journal::new(), Wire::default());
        wire.watch(&faults);
        let mut config = Config::new(folder.path().join("manager.sqlite"));
        config.allow_insecure_urls = true;
        config.faults = Some(faults.clone());
        config.journal = Some(journal.clone());
        manager(&mut config);
        let manager = Manager::open(config).await.unwrap().start("127.0.0.1:0").await.unwrap();

        let mut settings = Settings {
            scope: Scope::Namespaces([namespace.clone()].into()),
            namespace: namespace.clone(),
            installation: None,
            identity: "operator-0".to_owned(),
            lease: Timing::default(),
            hosts: HostPolicy {
                allowed: vec![],
                private: true,
                networks: vec![],
                insecure: Insecure::Allowed,
            },
            lookup: Arc::new(SystemLookup),
            recheck: Duration::from_mins(10),
            stale_after: Duration::from_mins(15),
            wedged_after: Duration::from_mins(10),
            settles: CALL_TIMEOUT,
        };
        operator(&mut settings);
        let mut scene = Self {
            namespace,
            client,
            manager,
            faults,
            journal,
            metrics: Arc::default(),
            wire,
            control_plane,
            folder,
            settings,
            kubeconfig: None,
            operator: None,
            secrets: Mutex::default(),
            log_mark: evidence::log_mark(),
        };
        scene.start_operator().await;
        scene
    }

    /// Starts the operator, with metrics of its own.
    ///
    /// It has the same identity each time, so it need not wait for the end of the Lease of one that crashed.
    pub async fn start_operator(&mut self) {
        if self.kubeconfig.is_none() {
            let granted = sandbox::grant_operator_rights(self.control_plane, self.operator_namespace()).await;
            self.kubeconfig = Some(granted.unwrap());
        }
        let file = kube::config::Kubeconfig::read_from(self.kubeconfig.as_ref().unwrap()).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        config.proxy_url = None;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let endpoints = listener.local_addr().unwrap();
        self.metrics = Arc::default();
        let stop = CancellationToken::new();
        let (settings, metrics, wire, stopped) = (self.settings.clone(), self.metrics.clone(), self.wire.clone(), stop.clone());
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let task = runtime.spawn(async move {
            let mut bound = Some(TcpListener::from_std(listener).unwrap());
            loop {
                let wire = wire.clone();
                let clients = Clients::new(config.clone(), 64, &settings.identity, &metrics).unwrap();
                let clients = clients.wrapped(move |client| wire.client(client));
                let listener = match bound.take() {
                    Some(listener) => listener,
                    None => TcpListener::bind(endpoints).await.unwrap(),
                };
                let run = operator::run(settings.clone(), clients, listener, metrics.clone(), stopped.clone());
                match Box::pin(run).await {
                    // A machine that is busy enough makes an operator late; its Deployment starts it again.
                    Err(RunError::LeadershipLost(lost)) => eprintln!("{lost}: the operator starts again"),
                    ended => return ended,
                }
            }
        });
        self.operator = Some(RunningOperator {
            endpoints,
            stop,
            task,
            runtime,
        });
    }

    /// Whether an operator runs in this process.
    pub fn has_operator(&self) -> bool {
        self.operator.is_some()
    }

    /// Fails if a secret value that was used is in this text.
    pub fn assert_no_secret_in(&self, text: &str) {
        let secrets = self.secrets.lock().unwrap();
        assert!(!secrets.is_empty(), "no secret was used");
        if let Some(secret) = secrets.iter().find(|secret| text.contains(secret.as_str())) {
            panic!("{secret} is in {text}");
        }
    }

    /// Where the operator serves its health and metrics, without a trailing slash.
    pub fn operator_url(&self) -> String {
        let operator = self.operator.as_ref().expect("the operator runs");
        format!("http://{}", operator.endpoints)
    }

    /// Stops the operator in good order.
    pub async fn stop_operator(&mut self) {
        let mut operator = self.operator.take().expect("the operator runs");
        operator.stop.cancel();
        let ended = tokio::time::timeout(DEADLINE, &mut operator.task)
            .await
            .expect("the operator stops in time");
        operator.end().await;
        ended
            .expect("the operator does not panic")
            .expect("the operator stops without an error");
    }

    /// Ends the operator where it stands, as a crash would: nothing is finished, the lease is not given back.
    pub async fn crash_operator(&mut self) {
        self.operator.take().expect("the operator runs").end().await;
        self.wire.mend();
    }

    /// Stops the operator in good order and starts another one.
    pub async fn restart_operator(&mut self) {
        self.stop_operator().await;
        self.start_operator().await;
    }

    /// Waits until the operator leads, so that a count of its writes does not include getting there.
    pub async fn wait_until_leading(&self) {
        self.eventually("the operator leads", async || {
            let metrics = self.metrics.encode().unwrap();
            if metrics.contains("leader_election_master_status 1") {
                Ok(())
            } else {
                Err("it stands by")
            }
        })
        .await;
    }

    /// Ends the scene: stops the operator and looks for secrets everywhere.
    pub async fn finish(mut self) {
        if self.operator.is_some() {
            self.stop_operator().await;
        }
        let secrets = self.secrets.lock().unwrap().clone();
        evidence::assert_no_secret(
            &self.client,
            &self.namespace,
            &self.metrics.encode().unwrap(),
            &secrets,
            self.log_mark,
        )
        .await;
        let _ = &self.folder;
    }

    /// Remembers a secret value, which must then never show up.
    pub fn secret_value(&self, value: &str) -> String {
        self.secrets.lock().unwrap().insert(value.to_owned());
        value.to_owned()
    }

    /// A new secret value, for a channel's Secret.
    pub fn new_secret_value(&self) -> String {
        self.secret_value(&format!("confidential-{}", uuid::Uuid::new_v4().simple()))
    }

    /// Provisions an account at the manager.
    pub async fn provision(&self, method: AuthenticationMethod) -> Credential {
        self.provision_at(&self.manager, method).await
    }

    /// Provisions an account at another manager.
    pub async fn provision_at(&self, manager: &Running, method: AuthenticationMethod) -> Credential {
        let issued = manager
            .manager()
            .credentials()
            .create(NewCredential::new(method))
            .await
            .unwrap();
        self.secret_value(issued.manager_key.expose());
        Credential {
            manager_id: issued.manager_id,
            manager_key: issued.manager_key,
            method,
        }
    }

    /// The account as its owner sees it at the manager, past the operator.
    pub fn account(&self, credential: &Credential) -> ManagerAccount {
        ManagerAccount::new(self.manager_url(), credential.clone()).unwrap()
    }

    /// Where the manager is, without a trailing slash.
    pub fn manager_url(&self) -> &str {
        self.manager.url().as_str().trim_end_matches('/')
    }

    pub fn credentials(&self) -> Api<ManagerCredential> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn interfaces(&self) -> Api<DigitalMessagingInterface> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn connections(&self) -> Api<ChannelConnection> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies one object.
    pub async fn apply(&self, object: Value) {
        self.apply_all([object]).await;
    }

    /// Applies objects, in an order that is not to matter.
    pub async fn apply_all(&self, objects: impl IntoIterator<Item = Value>) {
        let text = objects
            .into_iter()
            .map(|object| object.to_string())
            .collect::<Vec<_>>()
            .join("\n---\n");
        Manifests::parse(&text)
            .unwrap()
            .in_namespace(&self.namespace)
            .apply(&self.client)
            .await
            .unwrap();
    }

    /// Waits until `check` succeeds; its error says what is missing.
    pub async fn eventually<T, E: std::fmt::Display>(&self, what: &str, check: impl AsyncFnMut() -> Result<T, E>) -> T {
        match wait_for(what, DEADLINE, check).await {
            Ok(value) => value,
            Err(error) => panic!("{error:#}\n{}", self.describe().await),
        }
    }

    /// All objects of ours with their conditions, for the message of a failing test.
    pub async fn describe(&self) -> String {
        evidence::describe(&self.client, &self.namespace).await
    }

    /// The control plane that it plays on.
    pub fn control_plane(&self) -> &'static ControlPlane {
        self.control_plane
    }

    /// The user that the operator is for the API server.
    pub fn operator_user(&self) -> String {
        sandbox::service_account_user(self.operator_namespace(), "digital-messaging-operator")
    }

    /// The operator's own namespace: the scene's, unless the test has set another.
    pub fn operator_namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// The end of the audit log now.
    pub fn audit_mark(&self) -> AuditMark {
        self.control_plane.audit_log().mark().unwrap()
    }

    /// What the operator wrote to Kubernetes since then, but for its Lease.
    pub fn operator_writes(&self, since: AuditMark) -> Vec<Request> {
        let mut writes = self
            .control_plane
            .audit_log()
            .writes_by(&self.operator_user(), since)
            .unwrap();
        writes.retain(|write| write.resource != "leases");
        writes
    }

    /// What the operator asked of Kubernetes since then.
    pub fn operator_requests(&self, since: AuditMark) -> Vec<Request> {
        self.control_plane
            .audit_log()
            .requests_by(&self.operator_user(), since)
            .unwrap()
    }

    /// What the operator asked of the manager since then.
    pub fn manager_calls(&self, since: usize) -> Vec<Entry> {
        self.journal.since(since)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.runtime.shutdown_background();
        }
        if std::thread::panicking() {
            evidence::show_log(&self.namespace, self.log_mark);
        }
    }
}

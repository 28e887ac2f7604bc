// SPDX-License-Identifier: Apache-2.0

//! A Kubernetes control plane: the real etcd and kube-apiserver, and on request those controllers that deletion needs.
//!
//! Without them nobody collects garbage or empties a namespace that is being deleted. Nobody creates default service
//! accounts either way.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    audit::AuditLog,
    certificates::Certificates,
    controllers::Controllers,
    kubeconfig::{self, Server},
    port::free_port,
    process::{Launch, Process},
    program,
    run::Run,
    waiting::wait_for,
};

/// Names a file that describes a running control plane; `sandbox exec` sets it, [`ControlPlane::shared_or_own`] reads it.
pub const CONTROL_PLANE_VARIABLE: &str = "SANDBOX_CONTROL_PLANE";

/// On two busy cores the start takes up to 20 s; alone about 4 s.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// What clients call the API server.
const SERVER_NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1"];

const FIELD_MANAGER: &str = "sandbox";

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ['system:apiserver']
- level: Metadata
";

/// A running control plane and the run that belongs to it.
#[derive(Debug)]
pub struct ControlPlane {
    access: Access,
    server: Server,
    components: Option<Components>,
    controllers: Option<Controllers>,
    run: Run,
}

/// What another process needs to use a control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    kubeconfig: PathBuf,
    audit_log: PathBuf,
}

#[derive(Debug)]
struct Components {
    etcd: Process,
    api_server: Process,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver on free loopback ports and waits until the API server is ready.
    ///
    /// # Errors
    /// When a component is missing or does not become ready; the message has the end of their logs.
    pub async fn start() -> Result<Self> {
        let run = Run::new()?;
        let certificates = Certificates::issue(&run.folder().join("certificates"), &SERVER_NAMES)?;
        Self::start_in(&run, &certificates).await
    }

    /// The same, with the real controllers that empty a namespace that is being deleted and collect garbage.
    ///
    /// # Errors
    /// When a component is missing or does not do its work; the message has the end of its log.
    pub async fn start_with_controllers() -> Result<Self> {
        let run = Run::new()?;
        let certificates = Certificates::issue(&run.folder().join("certificates"), &SERVER_NAMES)?;
        let mut control_plane = Self::start_in(&run, &certificates).await?;
        let kubeconfig = run.folder().join("controllers.kubeconfig");
        control_plane.server.write_for_identity(
            &kubeconfig,
            "controllers",
            &certificates.client("system:kube-controller-manager", None)?,
        )?;
        let controllers = Controllers::start(&run, &kubeconfig)?;
        controllers.wait_until_working(&control_plane).await?;
        control_plane.controllers = Some(controllers);
        Ok(control_plane)
    }

    async fn start_in(run: &Run, certificates: &Certificates) -> Result<Self> {
        let tools = program::tools()?;
        let mut tries = 5;
        loop {
            tries -= 1;
            match Self::start_on_free_ports(run, &tools, certificates).await {
                Ok(control_plane) => return Ok(control_plane),
                // Another process was faster with one of the ports.
                Err(error) if tries > 0 && format!("{error:#}").contains("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_on_free_ports(run: &Run, tools: &Path, certificates: &Certificates) -> Result<Self> {
        let (etcd_port, peer_port, api_port) = (free_port()?, free_port()?, free_port()?);
        let server = Server {
            url: format!("https://127.0.0.1:{api_port}"),
            authority_pem: certificates.authority_pem.clone(),
        };
        let access = Access {
            kubeconfig: server.write_for_identity(
                &run.folder().join("administrator.kubeconfig"),
                "administrator",
                &certificates.client("sandbox-administrator", Some("system:masters"))?,
            )?,
            audit_log: run.folder().join("audit.log"),
        };
        let etcd = run.spawn(etcd(tools, &run.subfolder("etcd")?, etcd_port, peer_port))?;
        let api_server = run.spawn(api_server(tools, run, certificates, &access.audit_log, etcd_port, api_port)?)?;
        let control_plane = Self {
            access,
            server,
            components: Some(Components { etcd, api_server }),
            controllers: None,
            run: run.clone(),
        };
        control_plane.wait_until_ready(START_DEADLINE).await?;
        Ok(control_plane)
    }

    /// Uses the control plane that `SANDBOX_CONTROL_PLANE` names, or starts one.
    ///
    /// # Errors
    /// When the named one cannot be read, or none starts.
    pub async fn shared_or_own() -> Result<Self> {
        match env::var_os(CONTROL_PLANE_VARIABLE) {
            Some(path) => Self::attach(Path::new(&path)),
            None => Self::start().await,
        }
    }

    fn attach(description: &Path) -> Result<Self> {
        let text = fs::read(description)
            .with_context(|| format!("{CONTROL_PLANE_VARIABLE} names {}, which is gone", description.display()))?;
        let access: Access = serde_json::from_slice(&text).with_context(|| format!("read {}", description.display()))?;
        let server = Server::of(&access.kubeconfig)?;
        Ok(Self {
            access,
            server,
            components: None,
            controllers: None,
            run: Run::new()?,
        })
    }

    /// Writes the file that lets other processes use this control plane, see [`CONTROL_PLANE_VARIABLE`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn describe(&self) -> Result<PathBuf> {
        let path = self.run.folder().join("control-plane.json");
        fs::write(&path, serde_json::to_vec_pretty(&self.access)?).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The run in which further processes of this test process start.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The API server's address, `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The administrator's kubeconfig (system:masters).
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.access.kubeconfig
    }

    /// The log of every request, by user.
    #[must_use]
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(self.access.audit_log.clone())
    }

    /// An administrator's client, bound to the current runtime: make one per test.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(&self.access.kubeconfig).await
    }

    /// etcd, to be killed, stopped and restarted.
    ///
    /// # Errors
    /// When the control plane belongs to another process; start an own one for faults.
    pub fn etcd(&self) -> Result<&Process> {
        Ok(&self.own_components()?.etcd)
    }

    /// kube-apiserver, to be killed, stopped and restarted; follow a restart with [`Self::wait_until_ready`].
    ///
    /// # Errors
    /// When the control plane belongs to another process; start an own one for faults.
    pub fn api_server(&self) -> Result<&Process> {
        Ok(&self.own_components()?.api_server)
    }

    /// The controllers, to be killed, stopped and restarted.
    ///
    /// # Errors
    /// When there are none; see [`Self::start_with_controllers`].
    pub fn controllers(&self) -> Result<&Process> {
        let controllers = self.controllers.as_ref();
        controllers
            .map(Controllers::process)
            .ok_or_else(|| anyhow!("this control plane has no controllers; use ControlPlane::start_with_controllers()"))
    }

    fn own_components(&self) -> Result<&Components> {
        self.components
            .as_ref()
            .ok_or_else(|| anyhow!("this control plane is shared; use ControlPlane::start() for faults"))
    }

    /// Waits until the API server says it is ready.
    ///
    /// # Errors
    /// After `within`, or as soon as a component has ended, with the end of their logs.
    pub async fn wait_until_ready(&self, within: Duration) -> Result<()> {
        let client = self.client().await?;
        let ready = wait_for("kube-apiserver to be ready", within, async || {
            if self.ended_component().is_some() {
                return Ok(());
            }
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let answer = timeout(Duration::from_secs(2), client.request_text(request))
                .await
                .context("no answer")??;
            if answer == "ok" { Ok(()) } else { Err(anyhow!("{answer}")) }
        })
        .await;
        match (ready, self.ended_component()) {
            (Ok(()), None) => Ok(()),
            (Err(error), None) => bail!("{error:#}\n{}", self.log_tails()),
            (_, Some(name)) => bail!("{name} ended during its start\n{}", self.log_tails()),
        }
    }

    fn ended_component(&self) -> Option<&str> {
        let components = self.components.as_ref()?;
        [&components.etcd, &components.api_server]
            .into_iter()
            .find(|process| process.exit_status().is_some())
            .map(Process::name)
    }

    fn log_tails(&self) -> String {
        self.components.as_ref().map_or_else(String::new, |components| {
            format!("{}{}", components.etcd.log_tail(), components.api_server.log_tail())
        })
    }

    /// Makes a namespace whose name is `prefix` and a unique ending.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String> {
        let unique = Uuid::new_v4().simple().to_string();
        let name = format!("{prefix}-{}", unique.get(..8).unwrap_or(&unique));
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("create namespace {name}"))?;
        Ok(name)
    }

    /// Makes the service account if need be, and a kubeconfig with a token for it that is valid for a day.
    ///
    /// The account's user name in the audit log is [`service_account_user`].
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        accounts
            .patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&account))
            .await
            .with_context(|| format!("apply ServiceAccount {namespace}/{name}"))?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(24 * 60 * 60),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("request a token for {namespace}/{name}"))?;
        let token = answer.status.context("token request without status")?.token;
        let file = format!("{}.kubeconfig", self.run.unique(&format!("{namespace}-{name}")));
        self.server
            .write_for_token(&self.run.folder().join(file), name, &token, namespace)
    }
}

/// The user name of a service account.
#[must_use]
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn etcd(tools: &Path, data: &Path, port: u16, peer_port: u16) -> Launch {
    let url = format!("http://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    Launch::new("etcd", tools.join("etcd"))
        .arg("--data-dir")
        .arg(data)
        // The data does not outlive the run.
        .args(["--unsafe-no-fsync", "--log-level", "warn"])
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--name", "sandbox", "--initial-cluster", &format!("sandbox={peer_url}")])
}

fn api_server(
    tools: &Path,
    run: &Run,
    certificates: &Certificates,
    audit_log: &Path,
    etcd_port: u16,
    port: u16,
) -> Result<Launch> {
    let policy = run.folder().join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY).context("write the audit policy")?;
    let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    Ok(Launch::new("kube-apiserver", tools.join("kube-apiserver"))
        .args([
            format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            format!("--secure-port={port}"),
            path("tls-cert-file", &certificates.server),
            path("tls-private-key-file", &certificates.server_key),
            path("client-ca-file", &certificates.authority),
            path("service-account-key-file", &certificates.service_account_public_key),
            path("service-account-signing-key-file", &certificates.service_account_key),
            path("cert-dir", &run.folder().join("certificates")),
            path("audit-policy-file", &policy),
            path("audit-log-path", audit_log),
        ])
        .args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            // Off by default, but on in some distributions: rights that suffice with it suffice everywhere.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            // An event is in the log before anyone can look for it, in one file.
            "--audit-log-mode=blocking",
            // In MB. Never another file: with 0, older servers begin one after 100 MB.
            "--audit-log-maxsize=1000000",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]))
}

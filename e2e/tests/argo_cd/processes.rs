// SPDX-License-Identifier: Apache-2.0

//! A real Argo CD as processes: repo-server, application-controller and the Redis between them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::Cluster;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use sandbox::{
    Launch, Manifests, Process, free_port,
    packaging::{ARGOCD_APPLICATION_SETTINGS, ARGOCD_SETTINGS},
    program::{self, project},
    wait_for,
};
use serde_json::json;

/// Where Argo CD lives, and its Applications.
pub const NAMESPACE: &str = "argocd";
const START_DEADLINE: Duration = Duration::from_mins(2);

/// The processes; they end with it.
pub struct ArgoCd {
    repositories: Process,
    controller: Process,
    _redis: Process,
}

impl ArgoCd {
    /// Installs it from its own manifests with the published settings, and waits until it works.
    pub async fn start(cluster: &Cluster, client: &Client) -> Self {
        let run = cluster.run();
        let module = module();
        install(client, &module).await;

        let folder = run.subfolder("argocd").unwrap();
        let bin = folder.join("bin");
        for name in ["bin", "home", "tmp", "tls", "ssh", "gpg", "plugins", "conf"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        // The repo-server runs it before it renders anything, whether signatures are wanted or not.
        let wrapper = bin.join("git-verify-wrapper.sh");
        fs::copy(module.join("hack/git-verify-wrapper.sh"), &wrapper).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let tools = project().join("build/tools");
        let path = format!("{}:{}:{}", bin.display(), tools.display(), std::env::var("PATH").unwrap());

        let (redis_port, repo_port) = (free_port().unwrap(), free_port().unwrap());
        let (repo_metrics, controller_metrics) = (free_port().unwrap(), free_port().unwrap());
        let redis = run
            .spawn(
                Launch::new("redis", tools.join("redis-server"))
                    .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                    .arg(redis_port.to_string()),
            )
            .unwrap();
        let component = |name: &str| {
            let at = |name: &str| folder.join(name);
            Launch::new(name, program::argocd().unwrap())
                .env("ARGOCD_BINARY_NAME", format!("argocd-{name}"))
                .env("PATH", &path)
                .env("HOME", at("home"))
                .env("TMPDIR", at("tmp"))
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("KUBECACHEDIR", at("tmp"))
                .env("ARGOCD_TLS_DATA_PATH", at("tls"))
                .env("ARGOCD_SSH_DATA_PATH", at("ssh"))
                .env("ARGOCD_GPG_ENABLED", "false")
                .env("ARGOCD_GNUPGHOME", at("gpg"))
                .env("ARGOCD_GPG_DATA_PATH", at("gpg"))
                .env("ARGOCD_APP_CONF_PATH", at("conf"))
                .env("ARGOCD_ASK_PASS_SOCK", at("askpass.sock"))
                .env("ARGOCD_PLUGINSOCKFILEPATH", at("plugins"))
                // Its cluster is the one of its kubeconfig.
                .env("ARGOCD_FAKE_IN_CLUSTER", "true")
                .env("KUBECONFIG", cluster.kubeconfig())
                // It reads the number of its shard from the name of its host.
                .env("HOSTNAME", "argocd-application-controller-0")
                .args(["--redis", &format!("127.0.0.1:{redis_port}"), "--logformat", "text"])
        };
        let repositories = run
            .spawn(
                component("repo-server")
                    .args(["--address", "127.0.0.1", "--port", &repo_port.to_string()])
                    .args(["--metrics-address", "127.0.0.1", "--metrics-port", &repo_metrics.to_string()])
                    .args(["--disable-tls", "--client-ca-path", ""])
                    // A commit is seen at once.
                    .args(["--revision-cache-expiration", "1s"]),
            )
            .unwrap();
        let controller = run
            .spawn(
                component("application-controller")
                    .arg("--kubeconfig")
                    .arg(cluster.kubeconfig())
                    .args(["--namespace", NAMESPACE, "--metrics-port", &controller_metrics.to_string()])
                    .args(["--repo-server", &format!("127.0.0.1:{repo_port}"), "--repo-server-plaintext"])
                    .args(["--app-resync", "10", "--app-resync-jitter", "0"])
                    // The health of each resource in the status of its Application.
                    .arg("--persist-resource-health"),
            )
            .unwrap();
        let argo_cd = Self {
            repositories,
            controller,
            _redis: redis,
        };
        for (process, port) in [
            (&argo_cd.repositories, repo_metrics),
            (&argo_cd.controller, controller_metrics),
        ] {
            let started = wait_for(process.name(), START_DEADLINE, async || healthy(port).await).await;
            started.unwrap_or_else(|error| panic!("{error:#}\n{}", argo_cd.logs()));
        }
        argo_cd
    }

    /// The ends of its logs.
    pub fn logs(&self) -> String {
        format!("{}{}", self.repositories.log_tail(), self.controller.log_tail())
    }
}

async fn healthy(port: u16) -> anyhow::Result<()> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    drop(stream);
    Ok(())
}

/// The source of the Argo CD that is built.
fn module() -> PathBuf {
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3"])
        .current_dir(project().join("tools/argocd"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

async fn install(client: &Client, module: &Path) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    for kind in ["application", "appproject", "applicationset"] {
        let definition = module.join(format!("manifests/crds/{kind}-crd.yaml"));
        Manifests::read(&definition).unwrap().apply(client).await.unwrap();
    }
    for name in [
        "rbac-cm",
        "cmd-params-cm",
        "tls-certs-cm",
        "ssh-known-hosts-cm",
        "gpg-keys-cm",
    ] {
        let file = module.join(format!("manifests/base/config/argocd-{name}.yaml"));
        let manifests = Manifests::read(&file).unwrap().in_namespace(NAMESPACE);
        manifests.apply(client).await.unwrap();
    }
    // What an installation has already must stay.
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let present = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "argocd-cm" }, "data": { "url": "https://argocd.example" } });
    settings
        .patch("argocd-cm", &PatchParams::apply("somebody"), &Patch::Apply(&present))
        .await
        .unwrap();
    for file in [ARGOCD_SETTINGS, ARGOCD_APPLICATION_SETTINGS] {
        let text = fs::read_to_string(project().join(file)).unwrap();
        // As the file says.
        let manager = text.split("--field-manager ").nth(1).unwrap().split(' ').next().unwrap();
        let object: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        settings
            .patch("argocd-cm", &PatchParams::apply(manager), &Patch::Apply(&object))
            .await
            .unwrap();
    }
    let merged = settings.get("argocd-cm").await.unwrap().data.unwrap();
    assert_eq!(merged.len(), 8, "{:?}", merged.keys());
    let more = json!([
        { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "argocd-secret", "namespace": NAMESPACE, "labels": { "app.kubernetes.io/part-of": "argocd" } },
          "stringData": { "server.secretkey": "0".repeat(32) } },
        { "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": { "name": "default", "namespace": NAMESPACE },
          "spec": { "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }], "clusterResourceWhitelist": [{ "group": "*", "kind": "*" }] } },
    ]);
    let more: Vec<String> = more.as_array().unwrap().iter().map(ToString::to_string).collect();
    Manifests::parse(&more.join("\n---\n")).unwrap().apply(client).await.unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! What tests do with a running node from inside its network.

use std::{env, fmt::Write, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use sandbox::{
    Run,
    packaging::Helm,
    program::{self, project},
    wait_for,
};
use serde_json::{Value, json};

/// Names the node's folder; `e2e` sets it.
pub const CLUSTER_VARIABLE: &str = "E2E_CLUSTER";

/// A running node.
#[derive(Debug, Clone)]
pub struct Cluster {
    folder: PathBuf,
    run: Run,
}

impl Cluster {
    /// The node that `e2e` started.
    ///
    /// # Errors
    /// When there is none.
    pub fn current() -> Result<Self> {
        let folder = env::var_os(CLUSTER_VARIABLE)
            .with_context(|| format!("{CLUSTER_VARIABLE} is not set: run `make e2e` or `make test-argocd`"))?;
        Ok(Self {
            folder: folder.into(),
            run: Run::new()?,
        })
    }

    /// The folder that the tests' own files are in, and that goes with them.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// A new folder on the node that every pod may write to, as pods see it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn volume(&self, name: &str) -> Result<String> {
        use std::os::unix::fs::PermissionsExt;
        let below = format!("volumes/{name}");
        let folder = self.folder.join("var/lib").join(&below);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(format!("/var/lib/{below}"))
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("administrator.kubeconfig")
    }

    /// Helm on this cluster.
    ///
    /// # Errors
    /// When it is not built.
    pub fn helm(&self) -> Result<Helm> {
        Helm::on(&self.run, &self.kubeconfig())
    }

    /// Runs kubectl and returns what it prints.
    ///
    /// # Errors
    /// When it fails; the message is what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let kubectl = program::tools()?.join("kubectl");
        let mut command = Command::new(kubectl);
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.run.folder().join("kubectl"));
        output(&mut command)
    }

    /// The image that the node has, as the charts' value `image` names it: by digest, which only the node's own copy has.
    ///
    /// # Errors
    /// When it was not built.
    pub fn image() -> Result<Value> {
        let digest = fs::read_to_string(project().join("build/image.digest")).context("read the digest of the image")?;
        Ok(json!({ "repository": "localhost/digital-messaging-operator", "digest": digest.trim(), "pullPolicy": "Never" }))
    }

    /// What the pods and the resources of a namespace are up to, for messages about failures.
    #[must_use]
    pub fn account_of(&self, namespace: &str) -> String {
        let mut account = String::new();
        for line in [
            "get pods,messaging -o wide",
            "describe pods",
            "get events",
            "logs --prefix --tail 40 -l app.kubernetes.io/name=digital-messaging-operator",
        ] {
            let words = ["--namespace", namespace].into_iter().chain(line.split_whitespace());
            let said = self.kubectl(&words.collect::<Vec<_>>());
            let _ = writeln!(
                account,
                "--- kubectl {line} ---\n{}",
                said.unwrap_or_else(|error| format!("{error:#}"))
            );
        }
        account
    }

    /// Runs nft in the node's network.
    ///
    /// # Errors
    /// When it fails; the message is what it said.
    pub fn nft(&self, arguments: &[&str]) -> Result<String> {
        output(Command::new("nft").args(arguments))
    }

    /// What the kernel says, in a file such as `status`, of the process whose command line begins so.
    ///
    /// # Errors
    /// When there is none.
    pub fn kernel_file(&self, command: &str, file: &str) -> Result<String> {
        for process in fs::read_dir("/proc")?.flatten() {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).replace('\0', " ").starts_with(command) {
                return Ok(fs::read_to_string(process.path().join(file))?);
            }
        }
        bail!("no process {command}")
    }

    /// Kills a component of the control plane, and waits until the API server serves again.
    ///
    /// # Errors
    /// When it does not run, or does not come back.
    pub async fn kill(&self, component: &str) -> Result<()> {
        self.send_kill(component)?;
        wait_for("the API server to be back", Duration::from_mins(2), async || {
            self.kubectl(&["get", "--raw", "/readyz"]).map(drop)
        })
        .await
    }

    /// The component is started again half a second later.
    fn send_kill(&self, component: &str) -> Result<()> {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).with_context(|| format!("read {name}"));
        let first = read("first-process")?;
        // An ID inside the node's process namespace.
        let id = read(&format!("processes/{component}"))?;
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            first.trim(),
            "--pid",
            "--",
            "sh",
            "-c",
            "kill -s KILL \"$0\"",
            id.trim(),
        ]);
        output(&mut command).map(drop)
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

// SPDX-License-Identifier: Apache-2.0

//! A real one-node cluster: kubelet, containerd, control plane, kube-proxy, DNS, pods of real images, a network that enforces
//! policies.
//!
//! All of it lives in network, mount, process, host name and IPC namespaces of its own, under one process (`init.sh`).
//! When that ends, the kernel ends the rest, and nothing of the machine's own links, firewall, mounts and settings was
//! touched. Only empty control groups remain, which [`Node::stop`] takes away.
//!
//! Whoever talks to it must be in its network: [`Node::network`].

mod configuration;

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use image::{
    Contents,
    archive::{self, Config},
};
use sandbox::{Certificates, Launch, Process, Run, kubeconfig::Server, program, wait_for};

pub(crate) use configuration::NAME;
use configuration::{ADDRESS, API_SERVICE, PAUSE_IMAGE};

/// Beginning of the name of the node's folder.
pub(crate) const FOLDER: &str = "one-node";
const START_DEADLINE: Duration = Duration::from_mins(4);

/// A running node.
#[derive(Debug)]
pub struct Node {
    process: Process,
    folder: PathBuf,
    run: Run,
}

impl Node {
    /// Takes away what a node leaves whose end nobody could wait for: empty control groups.
    ///
    /// # Errors
    /// When they are not empty, because a node runs.
    pub fn clear_after_a_kill() -> Result<()> {
        remove_control_groups()
    }

    /// Starts a node that has these images, and waits until it takes pods.
    ///
    /// # Errors
    /// When a component is missing or does not come up; the message has the end of the logs.
    pub async fn start(images: &[PathBuf]) -> Result<Self> {
        let run = Run::new()?;
        let folder = run.subfolder(FOLDER)?;
        let tools = program::tools()?;
        for name in ["cni", "images", "log", "processes", "var/lib", "var/log"] {
            fs::create_dir_all(folder.join(name)).with_context(|| format!("create {name}"))?;
        }
        for (name, text) in configuration::files(&folder, &tools) {
            fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
        }
        issue_identities(&folder)?;
        for image in images {
            let name = image.file_name().context("an image without a name")?;
            fs::copy(image, folder.join("images").join(name)).with_context(|| format!("copy {}", image.display()))?;
        }
        let mut pause = Contents::default();
        pause.add(
            "pause",
            0o755,
            fs::read(tools.join("pause")).context("read pause; `make e2e` builds it")?,
        );
        archive::write(
            &pause,
            &Config::running("/pause"),
            PAUSE_IMAGE,
            &folder.join("images/pause.tar"),
        )?;
        let init = folder.join("init.sh");
        fs::write(&init, include_str!("init.sh"))?;
        let launch = Launch::new("node", "unshare")
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
            .args(["--propagation", "private", "--mount-proc", "bash"])
            .args([&init, &folder, &tools]);
        let process = run.spawn(launch)?;
        let node = Self { process, folder, run };
        node.wait_until_started().await?;
        Ok(node)
    }

    /// The run that ends with the node.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Where everything about the node lies: kubeconfigs, logs, process IDs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The arguments of `nsenter` before a command that shall run in the node's network, and outside of it otherwise.
    ///
    /// # Errors
    /// When the node has ended.
    pub fn network(&self) -> Result<Vec<OsString>> {
        let first = fs::read_to_string(self.folder.join("first-process")).context("the node has not begun")?;
        Ok(["--target", first.trim(), "--net", "--"].map(OsString::from).into())
    }

    async fn wait_until_started(&self) -> Result<()> {
        let started = wait_for("the node to start", START_DEADLINE, async || {
            if self.process.exit_status().is_some() {
                return Ok(false);
            }
            if let Some(unshare) = self.process.pid()
                && let Ok(child) = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))
            {
                fs::write(self.folder.join("first-process"), child)?;
            }
            if self.folder.join("started").exists() {
                Ok(true)
            } else {
                bail!("its components are starting")
            }
        })
        .await;
        match started {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the node ended during its start\n{}", self.logs()),
            Err(error) => bail!("{error:#}\n{}", self.logs()),
        }
    }

    /// The end of each component's log.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = self.process.log_tail();
        for entry in fs::read_dir(self.folder.join("log")).into_iter().flatten().flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let end = bytes.get(bytes.len().saturating_sub(2000)..).unwrap_or_default();
            let _ = writeln!(
                text,
                "--- end of the log of {} ---\n{}",
                entry.file_name().display(),
                String::from_utf8_lossy(end).trim_end()
            );
        }
        text
    }

    /// Ends everything, and takes the control groups away.
    ///
    /// # Errors
    /// When a control group cannot be removed.
    pub async fn stop(self) -> Result<()> {
        self.process.kill()?;
        wait_for("the node's control groups to empty", Duration::from_secs(20), async || {
            remove_control_groups()
        })
        .await
    }
}

/// Certificates and kubeconfigs of all who talk to the API server.
fn issue_identities(folder: &Path) -> Result<()> {
    let certificates = folder.join("certificates");
    let names = ["localhost", "127.0.0.1", "kubernetes.default.svc", API_SERVICE, ADDRESS];
    let issued = Certificates::issue(&certificates, &names)?;
    let api_server = issued.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
    fs::write(certificates.join("kubelet-client.crt"), api_server.certificate)?;
    fs::write(certificates.join("kubelet-client.key"), api_server.key)?;
    let server = Server {
        url: "https://127.0.0.1:6443".to_owned(),
        authority_pem: issued.authority_pem.clone(),
    };
    let kubelet = format!("system:node:{NAME}");
    let clients = [
        ("administrator", "administrator", Some("system:masters")),
        ("kubelet", &kubelet, Some("system:nodes")),
        ("controllers", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
        ("kube-proxy", "system:kube-proxy", None),
        // These only read; the usual roles for them come with their manifests.
        ("coredns", "coredns", Some("system:masters")),
        ("kube-router", "kube-router", Some("system:masters")),
    ];
    for (file, user, group) in clients {
        let identity = issued.client(user, group)?;
        server.write_for_identity(&folder.join(format!("{file}.kubeconfig")), file, &identity)?;
    }
    Ok(())
}

/// Removes what a node left of control groups: one tree, or one for each controller.
fn remove_control_groups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)
        .context("read /sys/fs/cgroup")?
        .flatten()
        .map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let group = hierarchy.join(NAME);
        if group.is_dir() {
            remove_group(&group)?;
        }
    }
    Ok(())
}

/// The deepest first. They are empty once the node's processes have ended.
fn remove_group(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group).with_context(|| format!("remove control group {}", group.display()))
}

// SPDX-License-Identifier: Apache-2.0

//! Helm, with a home of its own: neither the caller's repositories and plugins nor its kubeconfig play a part.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_yaml::Value;

use crate::{program, run::Run};

/// The helm that `make tools` builds.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
    // Takes the home away.
    _run: Run,
}

/// An object as a chart renders it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The template it comes from, such as `deployment.yaml`.
    pub template: String,
    /// The object.
    pub object: Value,
}

impl Rendered {
    /// Whether it is no part of the release, but made for a moment: the pod of `helm test`.
    #[must_use]
    pub fn is_hook(&self) -> bool {
        let annotations = self.object.get("metadata").and_then(|metadata| metadata.get("annotations"));
        annotations.is_some_and(|annotations| annotations.get("helm.sh/hook").is_some())
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.object.get("kind").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Helm {
    /// Helm without a cluster.
    ///
    /// # Errors
    /// When it is not built.
    pub fn new(run: &Run) -> Result<Self> {
        Ok(Self {
            program: program::helm()?,
            home: run.subfolder("helm")?,
            kubeconfig: None,
            _run: run.clone(),
        })
    }

    /// Helm with a cluster.
    ///
    /// # Errors
    /// When it is not built.
    pub fn on(run: &Run, kubeconfig: &Path) -> Result<Self> {
        let mut helm = Self::new(run)?;
        helm.kubeconfig = Some(kubeconfig.to_owned());
        Ok(helm)
    }

    /// Runs it in the project's folder, with `input` as standard input. Returns what it prints.
    ///
    /// # Errors
    /// When it fails; the message has what it says.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(program::project())
            .env_clear()
            .envs(["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, &self.home)))
            // Without a cluster it must not find one by chance.
            .env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        // Small enough for a pipe, so nobody waits for anybody. One that ends early says why itself.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().context("wait for helm")?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            bail!(
                "helm: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr).trim()
            )
        }
    }

    /// Renders a chart of the project with these values over its own.
    ///
    /// # Errors
    /// When it does not render.
    pub fn template(&self, chart: &str, release: &str, namespace: &str, values: &serde_json::Value) -> Result<Vec<Rendered>> {
        let arguments = ["template", release, chart, "--namespace", namespace, "--values", "-"];
        parse(&self.run(arguments, &values.to_string())?)
    }
}

/// Helm puts a comment with the template before each object.
fn parse(text: &str) -> Result<Vec<Rendered>> {
    let mut rendered = Vec::new();
    for document in text.split("\n---\n") {
        let object = Value::deserialize(serde_yaml::Deserializer::from_str(document))?;
        if object.is_null() {
            continue;
        }
        let source = document.lines().find_map(|line| line.strip_prefix("# Source: "));
        let template = source.and_then(|source| source.rsplit('/').next());
        rendered.push(Rendered {
            template: template.context("an object without the template it comes from")?.to_owned(),
            object,
        });
    }
    Ok(rendered)
}

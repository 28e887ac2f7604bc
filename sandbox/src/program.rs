// SPDX-License-Identifier: Apache-2.0

//! Where the programs are that a run starts.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The folder with etcd, kube-apiserver and kubectl: `KUBEBUILDER_ASSETS` when set, else what `make tools` built.
///
/// # Errors
/// When neither has them.
pub fn tools() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        if folder.join("kube-apiserver").exists() && folder.join("etcd").exists() {
            return Ok(folder);
        }
        bail!(
            "KUBEBUILDER_ASSETS is {}, but kube-apiserver and etcd are not there",
            folder.display()
        );
    }
    let built = project().join("build/tools");
    if built.join("kube-apiserver").exists() && built.join("etcd").exists() {
        return Ok(built);
    }
    bail!("kube-apiserver and etcd are missing; run `make tools`, or set KUBEBUILDER_ASSETS to the folder that has them")
}

/// kube-controller-manager, see [`seldom_provided`].
///
/// # Errors
/// When there is none.
pub fn controller_manager() -> Result<PathBuf> {
    seldom_provided("kube-controller-manager")
}

/// helm, see [`seldom_provided`].
///
/// # Errors
/// When there is none.
pub fn helm() -> Result<PathBuf> {
    seldom_provided("helm")
}

/// kstatus: what tools that build on this library make of objects; see [`seldom_provided`].
///
/// # Errors
/// When there is none.
pub fn kstatus() -> Result<PathBuf> {
    seldom_provided("kstatus")
}

/// argocd, see [`seldom_provided`]. Nothing but `make test-argocd` builds it.
///
/// # Errors
/// When there is none.
pub fn argocd() -> Result<PathBuf> {
    seldom_provided("argocd")
}

/// promtool, see [`seldom_provided`].
///
/// # Errors
/// When there is none.
pub fn promtool() -> Result<PathBuf> {
    seldom_provided("promtool")
}

/// The folder with the definitions of `ServiceMonitor` and `PrometheusRule`, see [`seldom_provided`].
///
/// # Errors
/// When there is none.
pub fn monitoring_definitions() -> Result<PathBuf> {
    seldom_provided("monitoring-definitions")
}

/// A program that folders which people have for `KUBEBUILDER_ASSETS` often lack: from there, else what `make tools` built.
fn seldom_provided(name: &str) -> Result<PathBuf> {
    let provided = env::var_os("KUBEBUILDER_ASSETS").map(|folder| PathBuf::from(folder).join(name));
    let built = project().join("build/tools").join(name);
    let found = provided.into_iter().chain([built]).find(|program| program.exists());
    found.with_context(|| format!("{name} is missing; run `make tools`"))
}

/// A binary of this workspace, from the folder that this program was built into.
///
/// # Errors
/// When it has not been built.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    let current = env::current_exe().context("find the current program")?;
    let folder = current.parent().context("the current program has no folder")?;
    // Test binaries and examples live one level deeper.
    let candidates = [Some(folder), folder.parent()];
    for folder in candidates.into_iter().flatten() {
        let binary = folder.join(name);
        if binary.is_file() {
            return Ok(binary);
        }
    }
    bail!(
        "{name} is not next to {}; run `cargo build --workspace` first",
        current.display()
    )
}

/// The project's root folder, as it was at build time.
#[must_use]
pub fn project() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

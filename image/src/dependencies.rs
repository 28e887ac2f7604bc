// SPDX-License-Identifier: Apache-2.0

//! What is linked into the programs: packages of this project, and everything that they depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package, PackageId};

/// Packages whose programs are in the image.
const PROGRAMS: [&str; 2] = ["digital-messaging-operator", "messaging-manager"];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The packages behind the programs.
pub(crate) struct Dependencies {
    /// All of them, those of this project among them, by name and version.
    pub(crate) packages: Vec<Package>,
    edges: BTreeMap<PackageId, BTreeSet<PackageId>>,
}

impl Dependencies {
    /// Whether a package is this project's own.
    pub(crate) fn is_own(package: &Package) -> bool {
        package.source.is_none()
    }

    /// Whether a package is one of the programs.
    pub(crate) fn is_program(package: &Package) -> bool {
        Self::is_own(package) && PROGRAMS.contains(&package.name.as_str())
    }

    /// What a package needs itself.
    pub(crate) fn needed_by<'a>(&'a self, package: &Package) -> impl Iterator<Item = &'a Package> {
        let needed = self.edges.get(&package.id);
        self.packages
            .iter()
            .filter(move |other| needed.is_some_and(|ids| ids.contains(&other.id)))
    }
}

/// Reads them from the lock file, without the network.
pub(crate) fn of_programs(project: &Path) -> Result<Dependencies> {
    let metadata = MetadataCommand::new()
        .manifest_path(project.join("Cargo.toml"))
        .other_options(["--locked", "--offline", "--filter-platform", TARGET].map(str::to_owned))
        .exec()
        .context("cargo metadata")?;
    let resolved = metadata.resolve.context("cargo metadata resolved nothing")?;
    // What is linked in; not what only builds or tests use.
    let edges: BTreeMap<PackageId, BTreeSet<PackageId>> = resolved
        .nodes
        .into_iter()
        .map(|node| {
            let linked = node
                .deps
                .into_iter()
                .filter(|needed| needed.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (node.id, linked.map(|needed| needed.pkg).collect())
        })
        .collect();
    let programs = metadata.packages.iter().filter(|package| Dependencies::is_program(package));
    let mut next: Vec<&PackageId> = programs.map(|package| &package.id).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = next.pop() {
        if reached.insert(id.clone()) {
            next.extend(edges.get(id).into_iter().flatten());
        }
    }
    let mut packages = metadata.packages;
    packages.retain(|package| reached.contains(&package.id));
    packages.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(Dependencies { packages, edges })
}

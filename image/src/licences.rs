// SPDX-License-Identifier: Apache-2.0

//! The licence texts of everything that is linked in, each text once.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::{Context, Result, bail};
use cargo_metadata::Package;

use crate::{
    dependencies::Dependencies,
    runtime::{NOTE, PARTS},
};

/// Beginnings of the names of files with a licence, in lower case.
const NAMES: [&str; 6] = ["license", "licence", "copying", "notice", "unlicense", "copyright"];

/// All texts with the packages that each is for, and with what the compiler linked into this program.
pub(crate) fn texts(dependencies: &Dependencies, program: &[u8]) -> Result<String> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in dependencies.packages.iter().filter(|package| !Dependencies::is_own(package)) {
        let name = format!("{} {} ({})", package.name, package.version, expression(package)?);
        for text in of(package)? {
            users.entry(text).or_default().push(name.clone());
        }
    }
    for part in &PARTS {
        for text in part.texts()? {
            users.entry(text).or_default().push(part.heading(program));
        }
    }
    let mut groups: Vec<(String, Vec<String>)> = users.into_iter().collect();
    groups.sort_by(|(_, one), (_, other)| one.cmp(other));
    let mut all =
        String::from("The programs in this image contain the following packages, under the licences that follow each list.\n");
    write!(all, "\n{NOTE}")?;
    for (text, packages) in groups {
        write!(
            all,
            "\n{}\n\n{}\n\n{}\n",
            "=".repeat(80),
            packages.join("\n"),
            text.trim_end()
        )?;
    }
    Ok(all)
}

/// The licence expression of a package.
pub(crate) fn expression(package: &Package) -> Result<String> {
    let Some(expression) = &package.license else {
        bail!("{} {} names no licence", package.name, package.version);
    };
    // The old way to write OR.
    Ok(expression.replace('/', " OR "))
}

/// The texts that come with a package; of the licences it names, if it brings none.
fn of(package: &Package) -> Result<Vec<String>> {
    let folder = package
        .manifest_path
        .parent()
        .with_context(|| format!("{} has no folder", package.name))?;
    let brought = brought(folder.as_std_path())?;
    if !brought.is_empty() {
        return Ok(brought);
    }
    let expression = expression(package)?;
    let parsed = spdx::Expression::parse(&expression).with_context(|| format!("{}: licence {expression}", package.name))?;
    let known = parsed
        .requirements()
        .filter_map(|requirement| requirement.req.license.id())
        .map(|licence| licence.text().to_owned());
    Ok(known.collect())
}

fn brought(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if NAMES.iter().any(|begin| name.starts_with(begin)) && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
        .iter()
        .map(|file| {
            let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
            Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
        })
        .collect()
}

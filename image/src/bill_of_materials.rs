// SPDX-License-Identifier: Apache-2.0

//! The bill of materials: everything that is linked into the programs, in the format of `CycloneDX` 1.6.

use anyhow::Result;
use cargo_metadata::Package;
use serde_json::{Value, json};

use crate::{dependencies::Dependencies, licences, runtime::PARTS};

/// The bill, with what the compiler linked into this program. It has no serial number and no time: the same packages make the
/// same bill.
pub(crate) fn of(dependencies: &Dependencies, program: &[u8]) -> Result<Value> {
    let mut components: Vec<Value> = dependencies.packages.iter().map(component).collect::<Result<_>>()?;
    components.extend(PARTS.iter().map(|part| part.component(program)));
    let runtime: Vec<String> = PARTS.iter().map(|part| part.reference(program)).collect();
    let mut graph: Vec<Value> = dependencies
        .packages
        .iter()
        .map(|package| {
            let mut needed: Vec<String> = dependencies.needed_by(package).map(reference).collect();
            if Dependencies::is_program(package) {
                needed.extend(runtime.iter().cloned());
            }
            json!({ "ref": reference(package), "dependsOn": needed })
        })
        .collect();
    graph.extend(runtime.iter().map(|part| json!({ "ref": part, "dependsOn": [] })));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": components,
        "dependencies": graph,
    }))
}

fn component(package: &Package) -> Result<Value> {
    Ok(json!({
        "type": if Dependencies::is_program(package) { "application" } else { "library" },
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version.to_string(),
        "description": package.description,
        "purl": reference(package),
        "licenses": [{ "expression": licences::expression(package)? }],
    }))
}

/// The package's URL in the sense of <https://github.com/package-url/purl-spec>.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

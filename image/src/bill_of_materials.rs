//! The bill of materials: every package that is linked into the programs, in the format of `CycloneDX` 1.6.

use anyhow::Result;
use cargo_metadata::Package;
use serde_json::{Value, json};

use crate::{dependencies::Dependencies, licences};

/// The bill. It has no serial number and no time: the same packages make the same bill.
pub(crate) fn of(dependencies: &Dependencies) -> Result<Value> {
    let components: Vec<Value> = dependencies.packages.iter().map(component).collect::<Result<_>>()?;
    let graph: Vec<Value> = dependencies
        .packages
        .iter()
        .map(|package| {
            let needed = dependencies.needed_by(package).map(reference);
            json!({ "ref": reference(package), "dependsOn": needed.collect::<Vec<_>>() })
        })
        .collect();
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

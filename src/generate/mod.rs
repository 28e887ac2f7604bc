// SPDX-License-Identifier: Apache-2.0

//! Files that are generated from code: the custom resource definitions, as manifests and as templates of their chart, and
//! the reference pages of the handbook.
//!
//! They are checked in, because people read and apply them; a test fails when they differ from the code.
//!
//! | Module | Page |
//! |---|---|
//! | [`chart`] | no page: the templates of the chart with the definitions |
//! | [`fields`] | every field of the custom resources |
//! | [`conditions`] | condition types and reasons |
//! | [`annotations`] | labels, annotations, the finalizer |
//! | [`flags`] | the command line |
//! | [`metrics`] | metrics |

mod annotations;
mod chart;
mod conditions;
mod fields;
mod flags;
mod markdown;
mod metrics;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;
use serde_yaml::{Number, Value};
use thiserror::Error;

use crate::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};

/// Why the files could not be generated.
#[derive(Debug, Error)]
pub enum Error {
    /// A definition cannot be written as YAML.
    #[error("cannot write a custom resource definition as YAML")]
    Yaml(#[from] serde_yaml::Error),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The status of an object that the operator has not written a status of.
static NOT_LOOKED_AT: LazyLock<serde_json::Value> = LazyLock::new(|| json!({ "observedGeneration": -1 }));

/// A file of the repository that is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it lies, from the root of the repository.
    pub path: String,
    /// What is in it.
    pub content: String,
}

/// The custom resource definitions, as they are installed.
///
/// Use these and not what the derives give: a field that is left out is absent here, never null, and descriptions
/// are running text.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![
        ManagerCredential::crd(),
        DigitalMessagingInterface::crd(),
        ChannelConnection::crd(),
    ];
    for schema in definitions.iter_mut().filter_map(schema_mut) {
        refine(schema);
        say_that_nobody_looked_yet(schema);
    }
    definitions
}

/// The custom resource definitions as one YAML stream, to pipe into `kubectl apply --server-side -f -`.
///
/// # Errors
/// If a definition cannot be written as YAML.
pub fn crds() -> Result<String, Error> {
    let mut stream = String::new();
    for definition in definitions() {
        stream.push_str("---\n");
        stream.push_str(&manifest(&definition)?);
    }
    Ok(stream)
}

/// All generated files.
///
/// # Errors
/// If a definition cannot be written as YAML.
pub fn files() -> Result<Vec<GeneratedFile>, Error> {
    let definitions = definitions();
    let mut files = Vec::new();
    for definition in &definitions {
        let (plural, manifest) = (&definition.spec.names.plural, manifest(definition)?);
        files.push(GeneratedFile {
            path: format!("crds/{plural}.yaml"),
            content: format!("# Generated from src/api by `make generate`. Do not edit.\n{manifest}"),
        });
        files.push(GeneratedFile {
            path: format!("charts/digital-messaging-operator-crds/templates/{plural}.yaml"),
            content: chart::template(definition, &manifest),
        });
    }
    let pages = [
        ("fields", "src/api", fields::page(&definitions)),
        ("conditions", "src/controller/reason.rs", conditions::page()),
        ("annotations", "src/generate/annotations.rs", annotations::page()),
        ("flags", "src/cli.rs", flags::page()),
        ("metrics", "src/telemetry/metrics.rs", metrics::page()),
    ];
    files.extend(pages.map(|(name, source, text)| GeneratedFile {
        path: format!("docs/reference/{name}.md"),
        content: format!("<!-- Generated from {source} by `make generate`. Do not edit. -->\n{text}"),
    }));
    Ok(files)
}

/// Writes all generated files of the repository whose root is given.
///
/// # Errors
/// If a definition cannot be written as YAML, or a file not at all.
pub fn write_files(root: &Path) -> Result<(), Error> {
    for file in files()? {
        let path = root.join(&file.path);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, &file.content))
            .map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

fn manifest(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let mut value = serde_yaml::to_value(definition)?;
    write_whole_numbers_without_fraction(&mut value);
    Ok(serde_yaml::to_string(&value)?)
}

/// Bounds are floating point in the type, which would come out as `maximum: 256.0`.
fn write_whole_numbers_without_fraction(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().and_then(|number| format!("{number}").parse::<i64>().ok()) {
                *value = Value::Number(Number::from(whole));
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(write_whole_numbers_without_fraction),
        Value::Mapping(members) => members.values_mut().for_each(write_whole_numbers_without_fraction),
        _ => {}
    }
}

fn schema_mut(definition: &mut CustomResourceDefinition) -> Option<&mut JSONSchemaProps> {
    definition
        .spec
        .versions
        .first_mut()?
        .schema
        .as_mut()?
        .open_api_v3_schema
        .as_mut()
}

fn schema(definition: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    definition.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()
}

/// Gives a new object a status that says that no version of its spec was looked at. To kstatus, and so to all that builds on
/// it, an object without a status is one that is done.
fn say_that_nobody_looked_yet(schema: &mut JSONSchemaProps) {
    let status = schema.properties.iter_mut().flatten().find(|(name, _)| *name == "status");
    if let Some((_, status)) = status {
        status.default = Some(JSON(NOT_LOOKED_AT.clone()));
    }
}

/// Makes the schema what it would be if it were written by hand.
fn refine(schema: &mut JSONSchemaProps) {
    // An `Option` is a field that may be left out. A null in its place would be stored, and rules would trip over it.
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = running_text(description);
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        refine(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refine(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refine(values);
    }
}

/// Lines of a doc comment joined to paragraphs.
fn running_text(doc: &str) -> String {
    doc.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::reason::Reason;

    /// Calls `check` with the path and schema of everything in all definitions.
    fn for_each_schema(mut check: impl FnMut(&str, &JSONSchemaProps)) {
        fn visit(path: &str, schema: &JSONSchemaProps, check: &mut dyn FnMut(&str, &JSONSchemaProps)) {
            check(path, schema);
            for (name, property) in schema.properties.iter().flatten() {
                visit(&format!("{path}.{name}"), property, check);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                visit(&format!("{path}[]"), items, check);
            }
        }
        for definition in definitions() {
            visit(&definition.spec.names.kind, schema(&definition).unwrap(), &mut check);
        }
    }

    #[test]
    fn the_files_in_the_repository_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in files().unwrap() {
            let present = fs::read_to_string(root.join(&file.path)).unwrap_or_default();
            assert!(
                present == file.content,
                "{} differs from the code: run `make generate`",
                file.path
            );
        }
    }

    /// All pages of the handbook that are written by hand, with their paths.
    fn pages() -> Vec<(PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let files = docs.filter(|path| path.is_file()).chain([root.join("README.md")]);
        files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }

    #[test]
    fn links_of_the_handbook_lead_somewhere() {
        for (page, text) in pages() {
            for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap();
                let found = target.contains("://") || page.parent().unwrap().join(file).exists();
                assert!(found, "{}: {target}", page.display());
            }
        }
    }

    #[test]
    fn troubleshooting_has_a_row_for_every_reason_and_for_no_other() {
        let (_, text) = pages()
            .into_iter()
            .find(|(page, _)| page.ends_with("troubleshooting.md"))
            .unwrap();
        let rows = text
            .lines()
            .filter(|line| line.starts_with("| `") && !line.contains("/readyz") && !line.contains("_total"));
        let names: Vec<&str> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
            .map(|name| name.trim().trim_matches('`'))
            .collect();
        for name in &names {
            assert!(Reason::ALL.iter().any(|reason| reason.as_str() == *name), "{name}");
        }
        for reason in Reason::ALL {
            let rows = names.iter().filter(|name| **name == reason.as_str()).count();
            assert_eq!(rows, 1, "{reason} has {rows} rows in docs/troubleshooting.md");
        }
    }

    #[test]
    fn written_files_are_where_their_paths_say() {
        let root = tempfile::tempdir().unwrap();
        write_files(root.path()).unwrap();
        assert!(root.path().join("crds/channelconnections.yaml").is_file());
        assert!(root.path().join("docs/reference/fields.md").is_file());
    }

    #[test]
    fn every_field_is_documented() {
        for_each_schema(|path, schema| {
            let is_item = path.ends_with("[]");
            let text = schema.description.as_deref().unwrap_or_default();
            assert!(is_item || text.len() > 10, "{path} has no description");
            assert!(!text.contains("[`"), "{path}: rustdoc links mean nothing to kubectl explain");
        });
    }

    #[test]
    fn every_field_is_bounded() {
        for_each_schema(|path, schema| match schema.type_.as_deref() {
            Some("string") => {
                let bounded =
                    schema.max_length.is_some() || schema.enum_.is_some() || schema.format.as_deref() == Some("date-time");
                assert!(bounded, "{path} needs a maxLength");
            }
            Some("array") => {
                assert!(schema.max_items.is_some(), "{path} needs maxItems");
                assert!(schema.x_kubernetes_list_type.is_some(), "{path} needs a list type");
            }
            Some("integer") => {
                assert!(schema.minimum.is_some(), "{path} needs a minimum");
                assert!(
                    ["int32", "int64"].contains(&schema.format.as_deref().unwrap()),
                    "{path} has a format unknown to Kubernetes"
                );
            }
            Some("object") => {
                assert!(
                    schema.additional_properties.is_none() && schema.properties.is_some(),
                    "{path} is open"
                );
                assert_eq!(schema.x_kubernetes_preserve_unknown_fields, None, "{path} is open");
            }
            Some("boolean") => {}
            other => panic!("{path} is {other:?}"),
        });
    }

    #[test]
    fn only_scalars_outside_of_lists_have_defaults() {
        for_each_schema(|path, schema| {
            if let Some(default) = &schema.default {
                if path.ends_with(".status") && default.0 == *NOT_LOOKED_AT {
                    return;
                }
                assert!(
                    !default.0.is_array() && !default.0.is_object() && !default.0.is_null(),
                    "{path}: {default:?}"
                );
                assert!(
                    !path.contains("[]"),
                    "{path}: a default in a list item leaves Argo CD out of sync for ever"
                );
                assert!(!path.contains(".status."), "{path}: nobody but the operator writes a status");
            }
        });
    }

    #[test]
    fn every_rule_says_what_to_do() {
        for_each_schema(|path, schema| {
            for rule in schema.x_kubernetes_validations.iter().flatten() {
                let message = rule.message.as_deref().unwrap_or_default();
                assert!(
                    (40..512).contains(&message.len()) && !message.contains('\n'),
                    "{path}: {message}"
                );
            }
        });
    }

    #[test]
    fn nothing_is_nullable_and_no_union_is_a_one_of() {
        for_each_schema(|path, schema| {
            assert_eq!(schema.nullable, None, "{path}");
            assert!(schema.one_of.is_none() && schema.any_of.is_none(), "{path}");
        });
    }

    #[test]
    fn columns_and_selectable_fields_are_fields_of_the_schema() {
        for definition in definitions() {
            let version = definition.spec.versions.first().unwrap();
            let columns = version
                .additional_printer_columns
                .iter()
                .flatten()
                .map(|column| column.json_path.as_str());
            let selectable = version
                .selectable_fields
                .iter()
                .flatten()
                .map(|field| field.json_path.as_str());
            for path in columns.chain(selectable).filter(|path| !path.starts_with(".metadata.")) {
                let mut at = schema(&definition).unwrap();
                for name in path
                    .replace(r#"[?(@.type=="Ready")]"#, "")
                    .replace(r#"[?(@.type=="Synced")]"#, "")
                    .split('.')
                    .skip(1)
                {
                    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &at.items {
                        at = items;
                    }
                    at = at
                        .properties
                        .as_ref()
                        .and_then(|properties| properties.get(name))
                        .unwrap_or_else(|| panic!("{path}"));
                }
            }
        }
    }
}

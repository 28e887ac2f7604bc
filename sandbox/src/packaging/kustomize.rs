// SPDX-License-Identifier: Apache-2.0

//! The folders of `deploy/`: what the chart renders, taken apart into what all share and what each overlay adds.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;
use serde_yaml::{Mapping, Value};

use super::{CHART, Helm, MadeFile, NAMESPACE, RELEASE, Rendered};
use crate::program::project;

const HEADER: &str = "# Rendered from charts/digital-messaging-operator by `make manifests`. Do not edit.\n";
/// Rights in the watched namespaces: what differs most between the overlays.
const WATCHED: &str = "rbac-watched.yaml";

/// A folder below `deploy/overlays/`, with the values that it is rendered from in its `values.yaml`.
#[derive(Clone, Copy, Debug)]
pub struct Overlay {
    /// Its folder.
    pub name: &'static str,
    /// The overlay it builds on; none: the base.
    pub parent: Option<&'static str>,
}

impl Overlay {
    /// All overlays, each after what it builds on.
    pub const ALL: &[Self] = &[
        Self::new("cluster-wide", None),
        Self::new("namespaced", None),
        Self::new("high-availability", Some("cluster-wide")),
        Self::new("with-manager", Some("cluster-wide")),
    ];

    const fn new(name: &'static str, parent: Option<&'static str>) -> Self {
        Self { name, parent }
    }

    /// Where it lies, from the root of the repository.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("deploy/overlays/{}", self.name)
    }

    /// The values that it is rendered from.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn values(&self) -> Result<serde_json::Value> {
        let path = project().join(self.folder()).join("values.yaml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let values: Option<serde_json::Value> =
            serde_yaml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        Ok(values.unwrap_or_else(|| json!({})))
    }

    fn render(&self, helm: &Helm) -> Result<Objects> {
        Objects::render(helm, &self.values()?)
    }
}

/// The object without what only an object of a Helm release has.
#[must_use]
pub fn without_helm(mut object: Value) -> Value {
    for section in ["labels", "annotations"] {
        let members = object.get_mut("metadata").and_then(|metadata| metadata.get_mut(section));
        if let Some(members) = members.and_then(Value::as_mapping_mut) {
            members.retain(|name, _| {
                !name
                    .as_str()
                    .is_some_and(|name| name.starts_with("helm.sh/") || name == "app.kubernetes.io/managed-by")
            });
            if members.is_empty() {
                object
                    .get_mut("metadata")
                    .and_then(Value::as_mapping_mut)
                    .map(|metadata| metadata.remove(section));
            }
        }
    }
    object
}

pub(super) fn files(helm: &Helm) -> Result<Vec<MadeFile>> {
    let base = Objects::render(helm, &json!({}))?.without_template(WATCHED);
    let nothing = Objects(Vec::new());
    let mut files = folder("deploy/base", None, &nothing, &base)?;
    for overlay in Overlay::ALL {
        let (parent, below) = match overlay.parent {
            Some(name) => {
                let parent = Overlay::ALL.iter().find(|candidate| candidate.name == name);
                (
                    format!("../{name}"),
                    parent.context("the overlay builds on one that is not there")?.render(helm)?,
                )
            }
            None => ("../../base".to_owned(), base.clone()),
        };
        let made = folder(&overlay.folder(), Some(parent), &below, &overlay.render(helm)?);
        files.extend(made.with_context(|| format!("overlay {}", overlay.name))?);
    }
    Ok(files)
}

/// The files of one folder: the objects that are new in it, patches for those that differ, and the list of both.
fn folder(path: &str, parent: Option<String>, below: &Objects, objects: &Objects) -> Result<Vec<MadeFile>> {
    let (mut added, mut patches) = (BTreeMap::<&str, String>::new(), BTreeMap::<String, String>::new());
    for Rendered { template, object } in &objects.0 {
        match below.find(object) {
            None => {
                let text = added.entry(template).or_insert_with(|| HEADER.to_owned());
                if text.len() > HEADER.len() {
                    text.push_str("---\n");
                }
                text.push_str(&serde_yaml::to_string(object)?);
            }
            Some(present) if present == object => {}
            Some(present) => {
                let difference = serde_yaml::to_string(&patch(present, object)?)?;
                patches.insert(format!("patch-{template}"), format!("{HEADER}{difference}"));
            }
        }
    }
    if let Some(lost) = below.0.iter().find(|rendered| objects.find(&rendered.object).is_none()) {
        bail!("it lacks {:?}, which what it builds on has", key(&lost.object));
    }
    let resources: Vec<String> = parent
        .into_iter()
        .chain(added.keys().map(|name| (*name).to_owned()))
        .collect();
    let mut kustomization = BTreeMap::from([
        ("apiVersion", json!("kustomize.config.k8s.io/v1beta1")),
        ("kind", json!("Kustomization")),
        ("resources", json!(resources)),
    ]);
    if !patches.is_empty() {
        let paths = patches.keys().map(|path| json!({ "path": path })).collect();
        kustomization.insert("patches", paths);
    }
    let kustomization = format!("{HEADER}{}", serde_yaml::to_string(&kustomization)?);
    let files = added
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .chain(patches)
        .chain([("kustomization.yaml".to_owned(), kustomization)]);
    Ok(files
        .map(|(name, content)| MadeFile {
            path: PathBuf::from(path).join(name),
            content,
        })
        .collect())
}

#[derive(Clone)]
struct Objects(Vec<Rendered>);

impl Objects {
    fn render(helm: &Helm, values: &serde_json::Value) -> Result<Self> {
        let rendered = helm.template(CHART, RELEASE, NAMESPACE, values)?.into_iter();
        let parts = rendered.filter(|rendered| !rendered.is_hook()).map(|rendered| Rendered {
            object: without_helm(rendered.object),
            ..rendered
        });
        Ok(Self(parts.collect()))
    }

    fn without_template(mut self, template: &str) -> Self {
        self.0.retain(|rendered| rendered.template != template);
        self
    }

    fn find(&self, object: &Value) -> Option<&Value> {
        let rendered = self.0.iter().find(|rendered| key(&rendered.object) == key(object));
        rendered.map(|rendered| &rendered.object)
    }
}

fn key(object: &Value) -> [Option<&str>; 3] {
    let metadata = object.get("metadata");
    [
        object.get("kind"),
        metadata.and_then(|metadata| metadata.get("namespace")),
        metadata.and_then(|metadata| metadata.get("name")),
    ]
    .map(|part| part.and_then(Value::as_str))
}

/// A strategic merge patch.
fn patch(before: &Value, after: &Value) -> Result<Value> {
    let Some(Value::Mapping(changed)) = difference(before, after) else {
        bail!("{:?} does not differ", key(after));
    };
    let mut patch = Mapping::new();
    for field in ["apiVersion", "kind"] {
        patch.insert(field.into(), after.get(field).cloned().unwrap_or_default());
    }
    let name: Mapping = ["name", "namespace"]
        .into_iter()
        .filter_map(|field| Some((field.into(), after.get("metadata")?.get(field)?.clone())))
        .collect();
    patch.insert("metadata".into(), name.into());
    for (field, value) in changed {
        if field.as_str() == Some("metadata") {
            bail!("{:?} differs in its metadata, which patches do not change here", key(after));
        }
        patch.insert(field, value);
    }
    Ok(patch.into())
}

/// What to say so that `before` becomes `after`.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        _ if before == after => None,
        (Value::Mapping(before), Value::Mapping(after)) => {
            let changed = after.iter().filter_map(|(name, value)| {
                let change = match before.get(name) {
                    Some(present) => difference(present, value)?,
                    None => value.clone(),
                };
                Some((name.clone(), change))
            });
            let gone = before.keys().filter(|name| !after.contains_key(*name));
            Some(Value::Mapping(
                changed.chain(gone.map(|name| (name.clone(), Value::Null))).collect(),
            ))
        }
        (Value::Sequence(before), Value::Sequence(after)) => {
            let changed = difference_by_name(before, after).unwrap_or_else(|| after.clone());
            Some(Value::Sequence(changed))
        }
        _ => Some(after.clone()),
    }
}

/// Kustomize merges lists of containers by name; so if the names are the same, only what differs has to be said.
fn difference_by_name(before: &[Value], after: &[Value]) -> Option<Vec<Value>> {
    if before.len() != after.len() {
        return None;
    }
    let mut changed = Vec::new();
    for (before, after) in before.iter().zip(after) {
        let name = after.get("name").filter(|name| before.get("name") == Some(name))?;
        if let Some(Value::Mapping(difference)) = difference(before, after) {
            let named = std::iter::once(("name".into(), name.clone()));
            changed.push(Value::Mapping(named.chain(difference).collect()));
        }
    }
    Some(changed)
}

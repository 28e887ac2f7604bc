// SPDX-License-Identifier: Apache-2.0

//! Applying manifests as `kubectl apply --server-side` would, in an order that works from an empty cluster.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    core::TypeMeta,
    discovery::{self, ApiCapabilities, Scope},
};
use serde::Deserialize;
use serde_json::Value;

use crate::waiting::{wait_for, wait_for_condition};

const FIELD_MANAGER: &str = "sandbox";

/// Objects read from YAML files, to be changed if need be and applied.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    objects: Vec<DynamicObject>,
}

impl Manifests {
    /// Reads a YAML file with one or more documents, or all `*.yaml` files of a folder and its subfolders by name.
    ///
    /// # Errors
    /// When a file cannot be read or holds something other than Kubernetes objects.
    pub fn read(path: &Path) -> Result<Self> {
        let mut objects = Vec::new();
        for file in yaml_files(path)? {
            let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            objects.extend(parse(&text).with_context(|| format!("read {}", file.display()))?);
        }
        Ok(Self { objects })
    }

    /// Reads YAML text with one or more documents.
    ///
    /// # Errors
    /// When it holds something other than Kubernetes objects.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { objects: parse(text)? })
    }

    /// Adds another set at the end.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.objects.extend(other.objects);
        self
    }

    /// The objects, in the order of the files.
    #[must_use]
    pub fn objects(&self) -> &[DynamicObject] {
        &self.objects
    }

    /// The objects, to be changed before they are applied.
    pub fn objects_mut(&mut self) -> &mut Vec<DynamicObject> {
        &mut self.objects
    }

    /// Moves everything to one namespace: that of namespaced objects and of role subjects. Bindings across the cluster
    /// get a name of their own per namespace, so that two runs on one cluster do not take each other's rights away.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.objects.retain(|object| kind_of(object) != "Namespace");
        for object in &mut self.objects {
            // Scope is known only once the kind is looked up; `apply` drops the namespace of cluster-scoped objects.
            object.metadata.namespace = Some(namespace.to_owned());
            if kind_of(object) == "ClusterRoleBinding" {
                object.metadata.name = Some(format!("{}-{namespace}", object.name_any()));
            }
            let subjects = object.data.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten() {
                if subject.get("kind").and_then(Value::as_str) == Some("ServiceAccount") {
                    subject["namespace"] = Value::from(namespace);
                }
            }
        }
        self
    }

    /// Applies all objects, definitions and rights before what needs them, and waits for definitions to be established.
    /// Returns the objects as the server has them, in the order applied.
    ///
    /// Fields that others own are taken over.
    ///
    /// # Errors
    /// When the server refuses an object or does not know its kind.
    pub async fn apply(&self, client: &Client) -> Result<Vec<DynamicObject>> {
        let mut ordered: Vec<_> = self.objects.iter().collect();
        ordered.sort_by_key(|object| rank(&kind_of(object)));
        let mut kinds = BTreeMap::new();
        let mut applied = Vec::with_capacity(ordered.len());
        for object in ordered {
            let types = object.types.clone().context("object without kind")?;
            let key = (types.api_version.clone(), types.kind.clone());
            if !kinds.contains_key(&key) {
                kinds.insert(key.clone(), look_up(client, &types).await?);
            }
            let (resource, capabilities) = kinds.get(&key).context("the kind was just looked up")?;
            applied.push(apply_one(client, object, resource, capabilities).await?);
        }
        Ok(applied)
    }
}

/// The API for dynamic objects of the kind that `object` has, in its namespace.
///
/// # Errors
/// When the server does not know the kind.
pub async fn api_for(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("object without kind")?;
    let (resource, capabilities) = look_up(client, types).await?;
    Ok(scoped(client, object, &resource, &capabilities))
}

async fn apply_one(
    client: &Client,
    object: &DynamicObject,
    resource: &ApiResource,
    capabilities: &ApiCapabilities,
) -> Result<DynamicObject> {
    let mut object = object.clone();
    if capabilities.scope == Scope::Cluster {
        object.metadata.namespace = None;
    }
    let name = object.name_any();
    let api = scoped(client, &object, resource, capabilities);
    let applied = apply_racing(&api, &name, &object)
        .await
        .with_context(|| format!("apply {} {name}", resource.kind))?;
    if resource.kind == "CustomResourceDefinition" {
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        wait_for_condition(&definitions, &name, "Established", "True", Duration::from_secs(30)).await?;
    }
    Ok(applied)
}

/// Forced, so a conflict only means that another test applied the same object at the same moment.
async fn apply_racing(api: &Api<DynamicObject>, name: &str, object: &DynamicObject) -> kube::Result<DynamicObject> {
    let mut tries = 5;
    loop {
        tries -= 1;
        match api
            .patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 409 && tries > 0 => {}
            outcome => return outcome,
        }
    }
}

fn scoped(client: &Client, object: &DynamicObject, resource: &ApiResource, capabilities: &ApiCapabilities) -> Api<DynamicObject> {
    match (&capabilities.scope, &object.metadata.namespace) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), resource),
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), resource),
    }
}

/// A definition is served a moment after it says it is established.
async fn look_up(client: &Client, types: &TypeMeta) -> Result<(ApiResource, ApiCapabilities)> {
    let kind = GroupVersionKind::try_from(types)?;
    let what = format!("the API server to serve {}", types.kind);
    wait_for(what, Duration::from_secs(10), async || {
        discovery::pinned_kind(client, &kind).await
    })
    .await
}

fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" | "CustomResourceDefinition" => 0,
        "ServiceAccount" | "ClusterRole" | "Role" => 1,
        "ClusterRoleBinding" | "RoleBinding" => 2,
        _ => 3,
    }
}

fn kind_of(object: &DynamicObject) -> String {
    object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default()
}

fn parse(text: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if value.is_null() {
            continue;
        }
        let object: DynamicObject = serde_json::from_value(value)?;
        if object.types.is_none() || object.metadata.name.is_none() {
            return Err(anyhow!("a document without apiVersion, kind or metadata.name"));
        }
        objects.push(object);
    }
    Ok(objects)
}

fn yaml_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        let is_yaml = entry
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if entry.is_dir() {
            files.extend(yaml_files(&entry)?);
        } else if is_yaml && entry.file_name().is_some_and(|name| name != "kustomization.yaml") {
            files.push(entry);
        }
    }
    Ok(files)
}

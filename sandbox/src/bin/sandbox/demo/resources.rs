// SPDX-License-Identifier: Apache-2.0

//! The custom resources of the whole cluster, as the API server has them.

use anyhow::{Context, Result};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, GroupVersionKind, ListParams},
    discovery,
};
use sandbox::Condition;
use serde_json::Value;

const GROUP: &str = "digitalmessaging.io";
const VERSION: &str = "v1alpha1";
const KINDS: [&str; 3] = ["ManagerCredential", "DigitalMessagingInterface", "ChannelConnection"];

/// Where the custom resources are listed.
pub(crate) struct Kinds(Vec<(&'static str, Api<DynamicObject>)>);

pub(crate) struct Resources(Vec<Resource>);

pub(crate) struct Resource {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) output_secret: Option<String>,
}

impl Kinds {
    pub(crate) async fn discover(client: &Client) -> Result<Self> {
        let mut kinds = Vec::new();
        for kind in KINDS {
            let (resource, _) = discovery::pinned_kind(client, &GroupVersionKind::gvk(GROUP, VERSION, kind)).await?;
            kinds.push((kind, Api::all_with(client.clone(), &resource)));
        }
        Ok(Self(kinds))
    }
}

impl Resources {
    pub(crate) async fn list(kinds: &Kinds) -> Result<Self> {
        let mut resources = Vec::new();
        for (kind, api) in &kinds.0 {
            let list = api
                .list(&ListParams::default())
                .await
                .with_context(|| format!("list {kind}"))?;
            resources.extend(list.into_iter().map(|object| Resource::of(kind, &object)));
        }
        // Stable: within a namespace the order of the kinds stays.
        resources.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        Ok(Self(resources))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    pub(crate) fn all_ready(&self) -> bool {
        self.0.iter().all(Resource::is_ready)
    }
}

impl Resource {
    fn of(kind: &'static str, object: &DynamicObject) -> Self {
        let generation = object.metadata.generation;
        let mut conditions = Condition::all(object);
        // One that speaks of an older spec says nothing yet.
        conditions.retain(|condition| condition.observed_generation.is_none() || condition.observed_generation == generation);
        let output_secret = object.data.pointer("/status/outputs/secretName").and_then(Value::as_str);
        Self {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            conditions,
            output_secret: output_secret.map(ToOwned::to_owned),
        }
    }

    pub(crate) fn label(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// Ready, and nothing is left to be done.
    pub(crate) fn is_ready(&self) -> bool {
        self.unmet().is_none()
    }

    /// `Ready`, or what is not and why.
    pub(crate) fn state(&self) -> String {
        self.unmet().unwrap_or_else(|| "Ready".to_owned())
    }

    fn unmet(&self) -> Option<String> {
        for wanted in ["Ready", "Synced"] {
            match self.conditions.iter().find(|condition| condition.type_ == wanted) {
                Some(condition) if condition.status == "True" => {}
                Some(condition) => return Some(condition.to_string()),
                None => return Some("not reported on yet".to_owned()),
            }
        }
        None
    }
}

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

pub(crate) struct Resources(Vec<Resource>);

pub(crate) struct Resource {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) output_secret: Option<String>,
}

impl Resources {
    pub(crate) async fn list(client: &Client) -> Result<Self> {
        let mut resources = Vec::new();
        for kind in KINDS {
            let (resource, _) = discovery::pinned_kind(client, &GroupVersionKind::gvk(GROUP, VERSION, kind)).await?;
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
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

    fn condition(&self, condition_type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == condition_type)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| ready.status == "True")
    }

    /// Why it is not Ready.
    pub(crate) fn trouble(&self) -> String {
        match self.condition("Ready") {
            Some(ready) => ready.to_string(),
            None => "the operator has not reported yet".to_owned(),
        }
    }
}

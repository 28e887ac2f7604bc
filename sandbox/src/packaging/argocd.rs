// SPDX-License-Identifier: Apache-2.0

//! What Argo CD has to know about the custom resources: the scripts in `deploy/argocd/lua/`, in the form of its settings.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::MadeFile;
use crate::program::project;

const SCRIPTS: &str = "deploy/argocd/lua";
/// The settings, from the root of the repository.
pub const ARGOCD_SETTINGS: &str = "deploy/argocd/argocd-cm.yaml";

const HEADER: &str = "\
# What Argo CD has to know about the custom resources: their health, and actions for its buttons. Adds to the settings that are there:
#   kubectl apply --server-side --field-manager digital-messaging-operator --namespace argocd -f argocd-cm.yaml
# Made from deploy/argocd/lua/ by `make manifests`. Do not edit.
";

/// The settings for waves of Applications, from the root of the repository.
pub const ARGOCD_APPLICATION_SETTINGS: &str = "deploy/argocd/argocd-cm-applications.yaml";

const APPLICATION_HEADER: &str = "\
# For waves of Applications: has Argo CD wait until an Application is healthy before it starts those of the next wave. Concerns all
# Applications, not only those here. Adds to the settings that are there:
#   kubectl apply --server-side --field-manager digital-messaging-operator-waves --namespace argocd -f argocd-cm-applications.yaml
# Made from deploy/argocd/lua/ by `make manifests`. Do not edit.
";

/// All kinds, with the actions that each has.
const ACTIONS: &[(&str, &[&str])] = &[
    ("ManagerCredential", &["retry", "suspend", "resume"]),
    ("DigitalMessagingInterface", &["retry", "approve", "suspend", "resume"]),
    ("ChannelConnection", &["retry", "approve", "suspend", "resume"]),
];

#[derive(Serialize)]
struct Actions {
    #[serde(rename = "discovery.lua")]
    discovery: String,
    definitions: Vec<Action>,
}

#[derive(Serialize)]
struct Action {
    name: &'static str,
    #[serde(rename = "action.lua")]
    script: String,
}

/// The settings, each as a `ConfigMap` to apply or to paste from.
///
/// # Errors
/// When a script cannot be read.
pub(super) fn files() -> Result<[MadeFile; 2]> {
    let application = (
        "resource.customizations.health.argoproj.io_Application".to_owned(),
        script("application.lua")?,
    );
    Ok([
        file(ARGOCD_SETTINGS, HEADER, &resources()?)?,
        file(ARGOCD_APPLICATION_SETTINGS, APPLICATION_HEADER, &[application].into())?,
    ])
}

fn resources() -> Result<BTreeMap<String, String>> {
    let mut data = BTreeMap::new();
    for (kind, actions) in ACTIONS {
        let definitions: Result<Vec<Action>> = actions
            .iter()
            .map(|name| {
                let script = script(&format!("actions/{name}.lua"))?;
                Ok(Action { name, script })
            })
            .collect();
        let actions = Actions {
            discovery: script("actions/discovery.lua")?,
            definitions: definitions?,
        };
        let key = |what: &str| format!("resource.customizations.{what}.digitalmessaging.io_{kind}");
        data.insert(key("health"), script("health.lua")?);
        data.insert(key("actions"), serde_yaml::to_string(&actions)?);
    }
    Ok(data)
}

fn file(path: &str, header: &str, data: &BTreeMap<String, String>) -> Result<MadeFile> {
    let settings = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "argocd-cm",
            // Argo CD does not see it without.
            "labels": { "app.kubernetes.io/part-of": "argocd" },
        },
        "data": data,
    });
    Ok(MadeFile {
        path: path.into(),
        content: format!("{header}{}", serde_yaml::to_string(&settings)?),
    })
}

fn script(name: &str) -> Result<String> {
    let path = project().join(SCRIPTS).join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    // Settings of somebody else's are no file of this project.
    let header = text.starts_with("-- SPDX-License-Identifier:");
    let (_, script) = text.split_once('\n').filter(|_| header).unwrap_or(("", &text));
    Ok(script.to_owned())
}

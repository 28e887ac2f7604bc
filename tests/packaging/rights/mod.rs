// SPDX-License-Identifier: Apache-2.0

//! The rights that the chart grants are those that the operator needs: none is missing, none is too much.

mod granted;
mod needed;
mod used;

use std::{collections::BTreeSet, path::PathBuf};

use digital_messaging_operator::{
    desired::pump::Scope,
    kubernetes::preflight::{self, PreflightError, RIGHTS},
};
use kube::Client;
use sandbox::{ControlPlane, Manifests, kubeconfig, wait_for};
use serde_json::Value;

use crate::chart::{DEADLINE, Objects};

/// One verb on one resource, in the operator's own namespace or in the watched ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub own: bool,
    pub group: String,
    /// With its subresource, as roles have it.
    pub resource: String,
    pub name: Option<String>,
    pub verb: String,
}

/// What the operator looks for at its start.
pub fn looked_for() -> BTreeSet<Grant> {
    RIGHTS
        .iter()
        .flat_map(|right| {
            right.verbs.iter().map(|verb| Grant {
                own: right.own,
                group: right.group.to_owned(),
                resource: match right.subresource {
                    "" => right.resource.to_owned(),
                    subresource => format!("{}/{subresource}", right.resource),
                },
                name: right.name.map(str::to_owned),
                verb: (*verb).to_owned(),
            })
        })
        .collect()
}

/// What the rules of a role grant.
pub fn granted(own: bool, role: &Value) -> BTreeSet<Grant> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut grants = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names: Vec<Option<String>> = match rule.get("resourceNames") {
            Some(names) => texts(names).into_iter().map(Some).collect(),
            None => vec![None],
        };
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    for name in &names {
                        let (group, resource, verb, name) = (group.clone(), resource.clone(), verb.clone(), name.clone());
                        grants.insert(Grant {
                            own,
                            group,
                            resource,
                            name,
                            verb,
                        });
                    }
                }
            }
        }
    }
    grants
}

/// Applies the account and the roles of a rendered chart, and returns a kubeconfig with these rights, which may not be in
/// effect yet.
pub async fn grant(control_plane: &ControlPlane, own: &str, objects: &Objects) -> PathBuf {
    let account = objects.one("ServiceAccount")["metadata"]["name"].as_str().unwrap();
    let kinds = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    let rights = objects
        .0
        .iter()
        .filter(|object| kinds.contains(&object["kind"].as_str().unwrap()));
    let text: Vec<String> = rights.map(Value::to_string).collect();
    let client = control_plane.client().await.unwrap();
    Manifests::parse(&text.join("\n---\n")).unwrap().apply(&client).await.unwrap();
    control_plane.kubeconfig_for_service_account(own, account).await.unwrap()
}

/// Waits until the operator would start with these rights.
pub async fn wait_until_in_effect(kubeconfig: &std::path::Path, scope: &Scope, own: &str) -> Client {
    let client = kubeconfig::client(kubeconfig).await.unwrap();
    wait_for("the operator finds its rights", DEADLINE, async || {
        preflight::check(&client, scope, own).await
    })
    .await
    .unwrap();
    client
}

/// What the operator says that it lacks.
pub fn lacking(outcome: Result<(), PreflightError>) -> Vec<String> {
    match outcome {
        Ok(()) => Vec::new(),
        Err(PreflightError::MissingRights(missing)) => missing,
        Err(error) => panic!("{error}"),
    }
}

// SPDX-License-Identifier: Apache-2.0

//! The roles of the chart hold what the operator looks for at its start, and nothing else.

use std::collections::BTreeSet;

use digital_messaging_operator::desired::pump::Scope;
use serde_json::{Value, json};

use super::{Grant, grant, granted, looked_for, wait_until_in_effect};
use crate::chart::{Objects, render, render_in};

fn in_place(own: bool) -> BTreeSet<Grant> {
    looked_for().into_iter().filter(|grant| grant.own == own).collect()
}

/// Each binding binds its own role to the operator's account and to nobody else.
fn assert_bound(objects: &Objects, kind: &str) {
    let account = objects.one("ServiceAccount")["metadata"].clone();
    let subjects = json!([{ "kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"] }]);
    let (roles, bindings) = (objects.of_kind(kind), objects.of_kind(&format!("{kind}Binding")));
    assert_eq!(roles.len(), bindings.len());
    for (role, binding) in roles.iter().zip(bindings) {
        assert_eq!(binding["metadata"]["namespace"], role["metadata"]["namespace"]);
        assert_eq!(
            binding["roleRef"],
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"] })
        );
        assert_eq!(binding["subjects"], subjects);
    }
}

#[test]
fn for_all_namespaces_there_is_one_cluster_role_and_one_for_the_own_namespace() {
    let objects = render(&json!({}));
    assert_eq!(granted(false, objects.one("ClusterRole")), in_place(false));
    assert_eq!(granted(true, objects.one("Role")), in_place(true));
    assert_eq!(objects.one("Role")["metadata"]["namespace"], "messaging");
    assert_bound(&objects, "ClusterRole");
    assert_bound(&objects, "Role");
}

#[test]
fn for_named_namespaces_there_is_nothing_outside_them() {
    let objects = render(&json!({ "watchNamespaces": ["one", "two"] }));
    assert!(
        objects.kinds().iter().all(|kind| !kind.starts_with("Cluster")),
        "{:?}",
        objects.kinds()
    );
    let mut places = Vec::new();
    for role in objects.of_kind("Role") {
        let namespace = role["metadata"]["namespace"].as_str().unwrap();
        let own = namespace == "messaging";
        assert_eq!(granted(own, role), in_place(own), "{namespace}");
        places.push(namespace);
    }
    places.sort_unstable();
    assert_eq!(places, ["messaging", "one", "two"]);
    assert_bound(&objects, "Role");
}

#[test]
fn nothing_is_granted_by_wildcard() {
    for grant in looked_for() {
        let text = format!("{grant:?}");
        assert!(!text.contains('*'), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_finds_what_it_looks_for_in_both_modes() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    let crds = sandbox::Manifests::read(&sandbox::program::project().join("crds")).unwrap();
    crds.apply(&client).await.unwrap();
    let watched = control_plane.create_namespace("watched").await.unwrap();
    for (values, scope) in [
        (
            json!({ "watchNamespaces": [watched] }),
            Scope::Namespaces([watched.clone()].into()),
        ),
        (Value::Null, Scope::Cluster),
    ] {
        let own = control_plane.create_namespace("own").await.unwrap();
        let mut values = if values.is_null() { json!({}) } else { values };
        // Objects of the whole cluster need a name that no other test has.
        values["fullnameOverride"] = own.clone().into();
        let kubeconfig = grant(control_plane, &own, &render_in(&own, &values)).await;
        wait_until_in_effect(&kubeconfig, &scope, &own).await;
    }
}

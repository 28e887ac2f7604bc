// SPDX-License-Identifier: Apache-2.0

//! Without any single one of its rights the operator does not start, and names the one that is missing.

use digital_messaging_operator::{desired::pump::Scope, kubernetes::preflight};
use futures::{StreamExt, stream};
use sandbox::{ControlPlane, Manifests, kubeconfig, wait_for};
use serde_json::{Value, json};

use super::{Grant, lacking, looked_for};
use crate::chart::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_taken_away_is_missed() {
    let control_plane = sandbox::shared().await;
    let client = control_plane.client().await.unwrap();
    let crds = Manifests::read(&sandbox::program::project().join("crds")).unwrap();
    crds.apply(&client).await.unwrap();
    let own = control_plane.create_namespace("own").await.unwrap();
    let watched = control_plane.create_namespace("watched").await.unwrap();
    let all = looked_for();
    assert!(all.len() > 25, "{all:?}");
    stream::iter(all.iter().enumerate())
        .for_each_concurrent(8, async |(number, taken_away)| {
            let rest = all.iter().filter(|grant| *grant != taken_away);
            let account = format!("lacks-{number}");
            miss(control_plane, &own, &watched, &account, rest, taken_away).await;
        })
        .await;
}

async fn miss(
    control_plane: &ControlPlane,
    own: &str,
    watched: &str,
    account: &str,
    rest: impl Iterator<Item = &Grant>,
    taken_away: &Grant,
) {
    let (own_rules, watched_rules): (Vec<_>, Vec<_>) = rest.partition(|grant| grant.own);
    let mut objects = Vec::new();
    for (namespace, grants) in [(own, own_rules), (watched, watched_rules)] {
        let rules: Vec<Value> = grants.into_iter().map(rule).collect();
        let metadata = json!({ "name": account, "namespace": namespace });
        let api = "rbac.authorization.k8s.io";
        objects.push(json!({ "apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": metadata, "rules": rules }));
        objects.push(json!({
            "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": "Role", "name": account },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": own }],
        }));
    }
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    let administrator = control_plane.client().await.unwrap();
    Manifests::parse(&text.join("\n---\n"))
        .unwrap()
        .apply(&administrator)
        .await
        .unwrap();
    let kubeconfig = control_plane.kubeconfig_for_service_account(own, account).await.unwrap();
    let client = kubeconfig::client(&kubeconfig).await.unwrap();
    let scope = Scope::Namespaces([watched.to_owned()].into());
    let missed = wait_for("all other rights are in effect", DEADLINE, async || {
        let missed = lacking(preflight::check(&client, &scope, own).await);
        if missed.len() <= 1 {
            Ok(missed)
        } else {
            Err(missed.join("; "))
        }
    })
    .await
    .unwrap();
    let [missed] = missed.as_slice() else {
        panic!("nobody misses {taken_away:?}");
    };
    let (resource, subresource) = taken_away.resource.split_once('/').unwrap_or((&taken_away.resource, ""));
    let place = if taken_away.own { own } else { watched };
    assert!(
        missed.starts_with(&format!("{} {resource}", taken_away.verb))
            && missed.contains(subresource)
            && missed.contains(&taken_away.group)
            && missed.contains(place)
            && missed.contains(taken_away.name.as_deref().unwrap_or_default()),
        "{taken_away:?} is missed as {missed}"
    );
}

fn rule(grant: &Grant) -> Value {
    let mut rule = json!({ "apiGroups": [grant.group], "resources": [grant.resource], "verbs": [grant.verb] });
    if let Some(name) = &grant.name {
        rule["resourceNames"] = json!([name]);
    }
    rule
}

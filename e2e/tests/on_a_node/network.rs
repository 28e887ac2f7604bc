// SPDX-License-Identifier: Apache-2.0

//! The chart's network policy where the network enforces it: all that is needed comes through, and nothing else. What is
//! refused was possible before.

use digital_messaging_contract::account::AuthenticationMethod;
use e2e::{MANAGER_PORT, ManagerInPod};
use sandbox::{
    Manifests, OpensAccounts,
    packaging::{CHART, RELEASE},
    wait_for,
};
use serde_json::{Value, json};

use crate::installation::{DEADLINE, Installation};

/// A release that has nothing but a manager, where the policy of the first one does not lead to.
const OTHER: &str = "other";

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn the_policy_lets_through_what_is_needed_and_nothing_else() {
    let installation = Installation::new("network", &json!({})).await;
    let other = install_other_manager(&installation).await;
    other.apply(&installation.client).await.unwrap();
    installation.wait_until_ready(&other).await;
    assert!(reads_metrics(&installation, "stranger").await, "nobody forbids it yet");
    // A policy is about new connections only.
    installation.kubectl_here(&format!("delete mgrcred {OTHER}"));

    let nowhere = json!([{ "ipBlock": { "cidr": "192.0.2.0/24" } }]);
    installation.install(CHART, &policy(&installation, &nowhere, MANAGER_PORT));
    // The network learns of it a moment later.
    wait_for("the policy to be enforced", DEADLINE, async || {
        if reads_metrics(&installation, "stranger").await {
            Err("a stranger reads metrics")
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
    assert!(reads_metrics(&installation, "reader").await);
    installation.helm(&format!("test {RELEASE} --namespace {}", installation.namespace), &json!({}));

    // All connections to the API server are made anew.
    installation.cluster.kill("kube-apiserver").await.unwrap();
    let account = installation.minimal().await;
    installation.see_it_work(&account).await;

    other.apply(&installation.client).await.unwrap();
    cannot_reach_the_other(&installation, "nowhere").await;
    let there = json!([{ "podSelector": { "matchLabels": { "app.kubernetes.io/instance": OTHER } } }]);
    installation.install(CHART, &policy(&installation, &there, MANAGER_PORT + 1));
    cannot_reach_the_other(&installation, "another-port").await;
    installation.install(CHART, &policy(&installation, &there, MANAGER_PORT));
    installation.wait_until_ready(&other).await;
}

/// Waits until the operator has tried once more, and says that it cannot reach the other manager.
async fn cannot_reach_the_other(installation: &Installation, token: &str) {
    installation.kubectl_here(&format!(
        "annotate mgrcred {OTHER} --overwrite digitalmessaging.io/retry={token}"
    ));
    wait_for("the operator to have tried, in vain", DEADLINE, async || {
        let said = installation.kubectl_here(&format!("get mgrcred {OTHER} -o jsonpath={{.status}}"));
        let tried = said.contains(&format!(r#""lastHandledRetry":"{token}""#));
        anyhow::ensure!(tried && said.contains("ManagerUnreachable"), "{said}");
        Ok(())
    })
    .await
    .unwrap();
}

/// As docs/install.md recommends it. On the node, API server and DNS have the node's address.
fn policy(installation: &Installation, managers: &Value, managers_port: u16) -> Value {
    let endpoint = |part: &str| installation.kubectl(&format!("get endpointslice kubernetes -o jsonpath={{{part}}}"));
    let node = json!([{ "ipBlock": { "cidr": format!("{}/32", endpoint(".endpoints[0].addresses[0]")) } }]);
    let port: u16 = endpoint(".ports[0].port").parse().unwrap();
    json!({ "networkPolicy": {
        "enabled": true,
        "metrics": { "from": [{ "podSelector": { "matchLabels": { "role": "reader" } } }] },
        "dns": { "to": node },
        "apiServer": { "to": node, "ports": [port] },
        "managers": { "to": managers, "ports": [managers_port] },
    } })
}

/// Whether a pod with this role reads metrics. The image has one program that asks for a page: that of `helm test`.
async fn reads_metrics(installation: &Installation, role: &str) -> bool {
    let namespace = &installation.namespace;
    let hooks = installation.helm(&format!("get hooks {RELEASE} --namespace {namespace}"), &json!({}));
    let mut pod = Manifests::parse(&hooks).unwrap().in_namespace(namespace);
    let object = &mut pod.objects_mut()[0];
    object.metadata.name = Some(role.to_owned());
    object.metadata.annotations = None;
    object.metadata.labels = Some([("role".to_owned(), role.to_owned())].into());
    let arguments = object.data["spec"]["containers"][0]["args"].as_array_mut().unwrap();
    let url = arguments.pop().unwrap();
    let url = url.as_str().unwrap().strip_suffix("/readyz").unwrap();
    arguments.extend([format!("{url}/metrics").into(), "--within=10s".into()]);
    pod.apply(&installation.client).await.unwrap();

    let phase = wait_for("the pod to end", DEADLINE, async || {
        match installation.kubectl_here(&format!("get pod {role} -o jsonpath={{.status.phase}}")) {
            phase if ["Succeeded", "Failed"].contains(&phase.as_str()) => Ok(phase),
            phase => Err(phase),
        }
    })
    .await
    .unwrap();
    let said = installation.kubectl_here(&format!("logs {role}"));
    assert!(phase == "Succeeded" || said.contains("was not ready within"), "{said}");
    installation.kubectl_here(&format!("delete pod {role}"));
    phase == "Succeeded"
}

/// Installs the other manager, and makes what declares a credential of it.
async fn install_other_manager(installation: &Installation) -> Manifests {
    let Installation {
        cluster,
        client,
        namespace,
        ..
    } = installation;
    let manager = ManagerInPod::prepare(cluster, client, namespace, OTHER).await.unwrap();
    let mut values = json!({
        "fullnameOverride": OTHER,
        "image": { "repository": "localhost/digital-messaging-operator", "pullPolicy": "Never" },
        "replicas": 0,
        "watchNamespaces": [namespace],
    });
    json_patch::merge(&mut values, &manager.values());
    installation.helm(
        &format!("install {OTHER} {CHART} --namespace {namespace} --values - --wait --timeout 2m"),
        &values,
    );
    let credential = manager.create_credential(AuthenticationMethod::Jwt).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": OTHER, "labels": { "digitalmessaging.io/credentials": "true" } },
        "stringData": {
            "managerId": credential.manager_id,
            "managerKey": credential.manager_key.expose(),
            "ca.crt": manager.authority(),
        },
    });
    let declared = json!({
        "apiVersion": "digitalmessaging.io/v1alpha1",
        "kind": "ManagerCredential",
        "metadata": { "name": OTHER },
        "spec": {
            "manager": { "digitalMessaging": { "endpoint": manager.url() } },
            "authentication": { "secretRef": { "name": OTHER } },
        },
    });
    let both = format!("{secret}\n---\n{declared}");
    Manifests::parse(&both).unwrap().in_namespace(namespace)
}

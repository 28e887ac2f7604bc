// SPDX-License-Identifier: Apache-2.0

//! The reference manager as a component: where it keeps its data, how it is reached.

use serde_json::{Value, json};

use crate::chart::render;

fn rendered(manager: &Value) -> (Value, Vec<String>) {
    let mut values = json!({ "manager": manager });
    values["manager"]["enabled"] = true.into();
    let set = render(&values).one("StatefulSet")["spec"].clone();
    let arguments = set["template"]["spec"]["containers"][0]["args"].as_array().unwrap().iter();
    let arguments = arguments.map(|argument| argument.as_str().unwrap().to_owned()).collect();
    (set, arguments)
}

fn volumes(set: &Value) -> Vec<Value> {
    set["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default()
}

#[test]
fn it_keeps_its_data_in_a_claim_of_its_own() {
    let (set, _) = rendered(&json!({ "persistence": { "storageClassName": "fast", "size": "2Gi" } }));
    let claim = &set["volumeClaimTemplates"][0];
    assert_eq!(
        claim["metadata"],
        json!({ "name": "data" }),
        "immutable: nothing that changes"
    );
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
    assert_eq!(volumes(&set), Vec::<Value>::new());
    assert_eq!(set["replicas"], 1);
    assert_eq!(set["template"]["spec"]["securityContext"]["fsGroup"], 65532);
}

/// Without the group it could not write to its volume; whose group it is, is up to whoever sets the contexts of pods.
#[test]
fn its_volume_has_a_group_whatever_the_security_context_of_pods_is() {
    let context = |pod: &Value| {
        let values = json!({ "manager": { "enabled": true }, "pod": { "securityContext": pod } });
        render(&values).one("StatefulSet")["spec"]["template"]["spec"]["securityContext"].clone()
    };
    assert_eq!(context(&Value::Null), json!({ "fsGroup": 65532 }));
    let own = context(&json!({ "fsGroup": 1000, "runAsUser": 1000 }));
    assert_eq!((&own["fsGroup"], &own["runAsUser"]), (&json!(1000), &json!(1000)));
    let values = json!({ "manager": { "enabled": true } });
    let operator = render(&values).one("Deployment")["spec"]["template"]["spec"]["securityContext"].clone();
    assert_eq!(operator["fsGroup"], Value::Null, "only the manager has a volume");
}

#[test]
fn it_takes_a_claim_that_exists_or_none() {
    let (set, _) = rendered(&json!({ "persistence": { "existingClaim": "theirs" } }));
    assert_eq!(set["volumeClaimTemplates"], Value::Null);
    assert_eq!(
        volumes(&set),
        [json!({ "name": "data", "persistentVolumeClaim": { "claimName": "theirs" } })]
    );
    let (set, _) = rendered(&json!({ "persistence": { "enabled": false, "existingClaim": "theirs" } }));
    assert_eq!(volumes(&set), [json!({ "name": "data", "emptyDir": {} })]);
}

#[test]
fn tokens_are_made_out_to_its_service() {
    let (set, arguments) = rendered(&json!({}));
    assert_eq!(
        arguments,
        [
            "serve",
            "--listen=0.0.0.0:8080",
            "--public-url=http://release-digital-messaging-operator-manager.$(POD_NAMESPACE).svc:8080"
        ]
    );
    let own = json!({ "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } });
    assert_eq!(set["template"]["spec"]["containers"][0]["env"][0], own);
    let (_, arguments) = rendered(&json!({ "publicUrl": "https://manager.example" }));
    assert!(
        arguments.contains(&"--public-url=https://manager.example".to_owned()),
        "{arguments:?}"
    );
}

#[test]
fn with_a_certificate_it_serves_https_and_is_probed_so() {
    let (set, arguments) = rendered(&json!({ "tlsSecretName": "manager-tls", "port": 8443 }));
    assert!(arguments.contains(&"--tls-cert=/tls/tls.crt".to_owned()), "{arguments:?}");
    assert!(
        arguments[2].starts_with("--public-url=https://") && arguments[2].ends_with(".svc:8443"),
        "{arguments:?}"
    );
    assert_eq!(
        volumes(&set),
        [json!({ "name": "tls", "secret": { "secretName": "manager-tls" } })]
    );
    let container = &set["template"]["spec"]["containers"][0];
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS");
    }
    assert_eq!(
        container["volumeMounts"][1],
        json!({ "name": "tls", "mountPath": "/tls", "readOnly": true })
    );
}

#[test]
fn it_has_no_way_to_the_kubernetes_api() {
    let (set, _) = rendered(&json!({}));
    let pod = &set["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], Value::Null);
}

#[test]
fn it_runs_from_the_operators_image_unless_told_otherwise() {
    let container = |manager: &Value| {
        let mut values = json!({ "image": { "repository": "registry.example/operator", "tag": "1" }, "manager": manager });
        values["manager"]["enabled"] = true.into();
        render(&values).one("StatefulSet")["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let own = container(&json!({}));
    assert_eq!(own["image"], "registry.example/operator:1");
    assert_eq!(
        own["command"],
        json!(["messaging-manager"]),
        "the entry point is the operator"
    );
    let other = container(&json!({ "image": { "repository": "registry.example/manager", "tag": "2" } }));
    assert_eq!(other["image"], "registry.example/manager:2");
}

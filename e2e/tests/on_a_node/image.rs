// SPDX-License-Identifier: Apache-2.0

//! What the image is in a pod: no root, no shell, nothing to write to, and names and authorities all the same.

use sandbox::{packaging::RELEASE, wait_for};
use serde_json::{Value, json};

use crate::installation::{DEADLINE, Installation};

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn the_operators_pod_can_do_nothing_but_its_work() {
    let installation = Installation::new("image", &json!({})).await;
    let pod: Value =
        serde_json::from_str(&installation.kubectl_here("get pods -l app.kubernetes.io/component=operator -o json")).unwrap();
    let spec = &pod["items"][0]["spec"];
    let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
    let paths: Vec<_> = mounts.iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/var/run/secrets/kubernetes.io/serviceaccount"]);

    // As the kernel has it, not as the manifest asks for it.
    let program = "/usr/bin/digital-messaging-operator run";
    let mounts = installation.cluster.kernel_file(program, "mountinfo").unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    let options: Vec<_> = root.split(' ').nth(5).unwrap().split(',').collect();
    assert!(options.contains(&"ro"), "the root can be written to: {root}");
    let status = installation.cluster.kernel_file(program, "status").unwrap();
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.lines().any(|found| found == line), "no {line:?} in\n{status}");
    }
    let shell = [
        "exec",
        "--namespace",
        &installation.namespace,
        &format!("deployment/{RELEASE}"),
        "--",
        "sh",
        "-c",
        "true",
    ];
    let refused = installation.cluster.kubectl(&shell).unwrap_err().to_string();
    assert!(refused.contains("not found"), "{refused}");
    // A pod that asks for more than the namespace grants is refused: the standard is enforced.
    let root = [
        "run",
        "root",
        "--image=localhost/digital-messaging-operator",
        "--namespace",
        &installation.namespace,
    ];
    let refused = installation.cluster.kubectl(&root).unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity \"restricted:latest\""), "{refused}");
}

/// That a private authority is trusted when it is named is what every other test here needs.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let installation = Installation::new("authorities", &json!({})).await;
    let mut example = installation.example("minimal").await;
    for object in example.manifests.objects_mut() {
        if let Some(data) = object.data.get_mut("stringData").and_then(Value::as_object_mut) {
            data.remove("ca.crt");
        }
    }
    example.manifests.apply(&installation.client).await.unwrap();
    // Without the bundle of public authorities it would be another message: that there are none.
    wait_for("the reason", DEADLINE, async || {
        let said = installation.kubectl_here("get mgrcred acme-manager -o jsonpath={.status.conditions}");
        anyhow::ensure!(said.contains("UnknownIssuer"), "{said}");
        Ok(())
    })
    .await
    .unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! The control plane that tests get: real, shared, with rights and an audit log.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, PostParams},
};
use sandbox::{ControlPlane, Manifests, service_account_user, wait_for};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "a": "1" } })).unwrap()
}

const READER: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: elsewhere }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: test-reader }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-reader }
subjects: [{ kind: ServiceAccount, name: reader, namespace: elsewhere }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: test-reader }
rules: [{ apiGroups: [''], resources: [configmaps], verbs: [get, list] }]
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: reader, namespace: elsewhere }
";

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_no_more_and_the_audit_log_tells() {
    let control_plane = sandbox::shared().await;
    let namespace = control_plane.create_namespace("reader").await.unwrap();
    let administrator = control_plane.client().await.unwrap();
    Manifests::parse(READER)
        .unwrap()
        .in_namespace(&namespace)
        .apply(&administrator)
        .await
        .unwrap();
    let kubeconfig = control_plane
        .kubeconfig_for_service_account(&namespace, "reader")
        .await
        .unwrap();
    let reader: Api<ConfigMap> = Api::namespaced(sandbox::kubeconfig::client(&kubeconfig).await.unwrap(), &namespace);
    let start = control_plane.audit_log().mark().unwrap();

    wait_for("the role to take effect", SOON, async || {
        reader.list(&ListParams::default()).await
    })
    .await
    .unwrap();
    let refused = reader
        .create(&PostParams::default(), &config_map("refused"))
        .await
        .unwrap_err();

    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
    let user = service_account_user(&namespace, "reader");
    let writes = wait_for("the entry of the refused create", SOON, async || {
        let writes = control_plane.audit_log().writes_by(&user, start)?;
        if writes.is_empty() {
            anyhow::bail!("no write")
        }
        Ok(writes)
    })
    .await
    .unwrap();
    let [write] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(
        (
            write.verb.as_str(),
            write.resource.as_str(),
            write.namespace.as_str(),
            write.code
        ),
        ("create", "configmaps", namespace.as_str(), 403)
    );
    let end = control_plane.audit_log().mark().unwrap();
    assert!(control_plane.audit_log().requests_by(&user, end).unwrap().is_empty());
}

#[tokio::test]
async fn manifests_apply_in_any_order_also_an_object_before_its_definition() {
    let control_plane = sandbox::shared().await;
    let namespace = control_plane.create_namespace("manifests").await.unwrap();
    let client = control_plane.client().await.unwrap();
    let unique = namespace.replace('-', "");
    let text = format!(
        "
apiVersion: {unique}.example/v1
kind: Gadget
metadata: {{ name: one }}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{ name: gadgets.{unique}.example }}
spec:
  group: {unique}.example
  names: {{ kind: Gadget, plural: gadgets }}
  scope: Namespaced
  versions: [{{ name: v1, served: true, storage: true, schema: {{ openAPIV3Schema: {{ type: object }} }} }}]
"
    );
    let manifests = Manifests::parse(&text).unwrap().in_namespace(&namespace);

    let applied = manifests.apply(&client).await.unwrap();
    let again = manifests.apply(&client).await.unwrap();

    let gadget = applied.last().unwrap();
    assert_eq!(gadget.meta().name.as_deref(), Some("one"));
    assert_eq!(gadget.meta().namespace.as_deref(), Some(namespace.as_str()));
    assert_eq!(again.last().unwrap().meta().resource_version, gadget.meta().resource_version);
}

#[tokio::test]
async fn the_shared_control_plane_serves_tests_on_different_runtimes() {
    let first = sandbox::shared().await.url();
    let other_runtime = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let control_plane = sandbox::shared().await;
            control_plane.create_namespace("runtime").await.unwrap();
            control_plane.url()
        })
    });
    assert_eq!(
        tokio::task::spawn_blocking(|| other_runtime.join().unwrap()).await.unwrap(),
        first
    );
    sandbox::shared().await.create_namespace("runtime").await.unwrap();
}

#[tokio::test]
async fn data_survives_when_api_server_and_etcd_are_killed_and_restarted() {
    let control_plane = ControlPlane::start().await.unwrap();
    let namespace = control_plane.create_namespace("faults").await.unwrap();
    let config_maps: Api<ConfigMap> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    config_maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    control_plane.api_server().unwrap().kill().unwrap();
    assert!(config_maps.get("kept").await.is_err());
    control_plane.etcd().unwrap().terminate(SOON).await.unwrap();
    control_plane.etcd().unwrap().restart().unwrap();
    control_plane.api_server().unwrap().restart().unwrap();
    control_plane.wait_until_ready(SOON).await.unwrap();

    config_maps.get("kept").await.unwrap();
}

#[tokio::test]
async fn with_controllers_a_deleted_namespace_goes_garbage_is_collected_and_each_controller_has_a_name() {
    let control_plane = ControlPlane::start_with_controllers().await.unwrap();
    let start = control_plane.audit_log().mark().unwrap();
    let namespace = control_plane.create_namespace("garbage").await.unwrap();
    let config_maps: Api<ConfigMap> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    let owner = config_maps
        .create(&PostParams::default(), &config_map("owner"))
        .await
        .unwrap();
    let mut dependant = config_map("owned");
    dependant.metadata.owner_references = owner.owner_ref(&()).map(|owner| vec![owner]);
    config_maps.create(&PostParams::default(), &dependant).await.unwrap();

    config_maps.delete("owner", &DeleteParams::default()).await.unwrap();
    wait_for("the owned one to be collected", SOON, async || {
        match config_maps.get_opt("owned").await? {
            None => Ok(()),
            Some(_) => anyhow::bail!("it is there"),
        }
    })
    .await
    .unwrap();
    let collector = service_account_user("kube-system", "generic-garbage-collector");
    let writes = control_plane.audit_log().writes_by(&collector, start).unwrap();
    assert!(
        writes.iter().any(|write| write.verb == "delete" && write.name == "owned"),
        "{writes:?}"
    );
    assert!(control_plane.controllers().unwrap().pid().is_some());
    assert!(sandbox::shared().await.controllers().is_err());
}

#[tokio::test]
async fn a_wait_that_fails_says_for_what_and_what_was_missing() {
    let error = wait_for("tea", Duration::from_millis(50), async || Err::<(), _>("water is cold"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "waited 50ms for tea; last: water is cold");
}

#[tokio::test]
async fn many_may_apply_the_same_object_at_once() {
    let control_plane = sandbox::shared().await;
    let namespace = control_plane.create_namespace("racing").await.unwrap();
    let client = control_plane.client().await.unwrap();
    let manifests = Manifests::parse(READER).unwrap().in_namespace(&namespace);

    let applied = futures::future::join_all((0..8).map(|_| manifests.apply(&client))).await;

    assert!(applied.iter().all(Result::is_ok), "{applied:?}");
}

// SPDX-License-Identifier: Apache-2.0

//! Who may edit is not who may approve: the admission policy of `deploy/approval/`, with the roles that come with it.

use std::path::Path;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use sandbox::{Manifests, wait_for};
use serde_json::{Value, json};

use super::{APPROVE, plan_that_waits, required};
use crate::scene::{DEADLINE, Scene, connection, interface, web};

/// The shipped policy, in force in the scene's namespace alone.
struct Shipped {
    client: Client,
    objects: Vec<DynamicObject>,
}

impl Shipped {
    async fn apply(scene: &Scene) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/approval");
        let text = ["approval.yaml", "roles.yaml"].map(|file| std::fs::read_to_string(folder.join(file)).unwrap());
        let mut shipped = Manifests::parse(&text.join("\n---\n")).unwrap();
        for object in shipped.objects_mut() {
            let name = object.metadata.name.as_mut().unwrap();
            *name = own_name(name, scene);
            if let Some(policy) = object.data.pointer_mut("/spec/policyName") {
                *policy = own_name(policy.as_str().unwrap(), scene).into();
                object.data["spec"]["matchResources"] =
                    json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": scene.namespace } } });
            }
        }
        let objects = shipped.apply(&scene.client).await.unwrap();
        let client = scene.client.clone();
        Self { client, objects }
    }

    async fn take_away(self) {
        for object in &self.objects {
            let api = sandbox::api_for(&self.client, object).await.unwrap();
            let name = object.metadata.name.as_deref().unwrap();
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }
    }
}

/// Policies and roles are not namespaced, and other tests are not to meet these.
fn own_name(name: &str, scene: &Scene) -> String {
    format!("{name}.{}", scene.namespace)
}

/// A client for a user with a role that came with the policy.
async fn user_with(role: &str, scene: &Scene) -> Client {
    let user = format!("{role}@{}", scene.namespace);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": role },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": own_name(role, scene) },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    scene.apply(binding).await;
    let file = Kubeconfig::read_from(sandbox::shared().await.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.proxy_url = None;
    config.auth_info.impersonate = Some(user);
    let client = Client::try_from(config).unwrap();
    let api: Api<ChannelConnection> = Api::namespaced(client.clone(), &scene.namespace);
    wait_for("the role to take effect", DEADLINE, async || {
        api.list(&kube::api::ListParams::default()).await.map(drop)
    })
    .await
    .unwrap();
    client
}

async fn patch<K>(client: &Client, scene: &Scene, name: &str, patch: &Value) -> kube::Result<K>
where
    K: crate::scene::Conditioned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &scene.namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

fn approval(hash: &str) -> Value {
    json!({ "metadata": { "annotations": { APPROVE: hash } } })
}

/// The message of a refusal.
fn refused<K: std::fmt::Debug>(answer: kube::Result<K>) -> String {
    match answer.unwrap_err() {
        kube::Error::Api(status) => {
            assert_eq!(status.code, 403, "{status:?}");
            status.message
        }
        other => panic!("{other}"),
    }
}

/// The policy is in force some time after it was made: until then, what means nothing can be approved.
async fn wait_until_in_force(client: &Client, scene: &Scene, name: &str) {
    let mut attempt = 0;
    scene
        .eventually("the policy is in force", async || {
            attempt += 1;
            match patch::<ChannelConnection>(client, scene, name, &approval(&format!("nonsense-{attempt}"))).await {
                Ok(_) => Err("approving is still open to all"),
                Err(_) => Ok(()),
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_edit_but_not_approve_is_refused_and_who_may_approve_has_it_applied() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let shipped = Shipped::apply(&scene).await;
    let editor = user_with("digital-messaging-editor", &scene).await;
    let approver = user_with("digital-messaging-approver", &scene).await;
    scene.apply(required(connection("web", "support", &web()))).await;
    let first = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    wait_until_in_force(&editor, &scene, "web").await;

    let message = refused(patch::<ChannelConnection>(&editor, &scene, "web", &approval(&first.hash)).await);
    for needed in [
        "digital-messaging-editor@",
        "the verb approve",
        "channelconnections",
        &scene.namespace,
    ] {
        assert!(message.contains(needed), "no {needed:?} in: {message}");
    }
    // Whoever edits goes on editing, with an annotation that is there already, and may take it away.
    patch::<ChannelConnection>(&approver, &scene, "web", &approval("left-over"))
        .await
        .unwrap();
    let edit = json!({ "spec": { "displayName": "Chat" } });
    patch::<ChannelConnection>(&editor, &scene, "web", &edit).await.unwrap();
    let removal = json!({ "metadata": { "annotations": { APPROVE: null } } });
    patch::<ChannelConnection>(&editor, &scene, "web", &removal).await.unwrap();
    let second = plan_that_waits::<ChannelConnection>(&scene, "web", Some(&first)).await;
    refused(patch::<ChannelConnection>(&editor, &scene, "web", &approval(&second.hash)).await);

    patch::<ChannelConnection>(&approver, &scene, "web", &approval(&second.hash))
        .await
        .unwrap();
    scene.ready::<ChannelConnection>("web").await;
    shipped.take_away().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_around_the_verb() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let shipped = Shipped::apply(&scene).await;
    let editor = user_with("digital-messaging-editor", &scene).await;
    scene.apply(required(connection("web", "support", &web()))).await;
    let plan = plan_that_waits::<ChannelConnection>(&scene, "web", None).await;
    wait_until_in_force(&editor, &scene, "web").await;

    // With the annotation from the start, also without a name.
    let api: Api<DigitalMessagingInterface> = Api::namespaced(editor.clone(), &scene.namespace);
    for metadata in [json!({ "name": "second" }), json!({ "generateName": "second-" })] {
        let mut made = interface("second", "acme");
        made["metadata"] = metadata;
        made["metadata"]["annotations"] = json!({ APPROVE: plan.hash });
        let made = serde_json::from_value(made).unwrap();
        assert!(refused(api.create(&PostParams::default(), &made).await).contains("approve"));
    }
    let without = serde_json::from_value(interface("second", "acme")).unwrap();
    api.create(&PostParams::default(), &without).await.unwrap();

    // By ending the need for approval, on the object itself or where it would be inherited.
    for policy in [json!({ "approval": "NotRequired" }), json!({ "approval": null }), Value::Null] {
        let answer = patch::<ChannelConnection>(&editor, &scene, "web", &json!({ "spec": { "policy": policy } })).await;
        assert!(refused(answer).contains("loosen"));
    }
    let loosened = json!({ "spec": { "policy": { "approval": "NotRequired" } } });
    refused(patch::<DigitalMessagingInterface>(&editor, &scene, "support", &loosened).await);
    let default = |approval: &str| json!({ "spec": { "defaults": { "policy": { "approval": approval } } } });
    let rights = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": own_name("digital-messaging-editor", &scene) },
        "rules": [{ "apiGroups": ["digitalmessaging.io"], "resources": ["*"], "verbs": ["get", "list", "patch"] }],
    });
    scene.apply(rights).await;
    scene
        .eventually(
            "the policy for credentials is in force, which takes its own time",
            async || {
                scene.patch::<ManagerCredential>("acme", default("Required")).await;
                match patch::<ManagerCredential>(&editor, &scene, "acme", &default("NotRequired")).await {
                    Err(kube::Error::Api(status)) if status.message.contains("loosen") => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
    let kept = scene.credentials().get("acme").await.unwrap().spec.default_policy();
    assert_eq!(serde_json::to_value(kept).unwrap()["approval"], "Required");

    // By the subresource that the policy does not look at: it changes no annotations.
    let forged = json!({ "metadata": { "annotations": { APPROVE: plan.hash } }, "status": { "channelType": "webMessaging" } });
    scene
        .connections()
        .patch_status("web", &PatchParams::default(), &Patch::Merge(forged))
        .await
        .unwrap();
    let web = scene.connections().get("web").await.unwrap();
    assert!(
        !web.metadata
            .annotations
            .unwrap_or_default()
            .values()
            .any(|value| *value == plan.hash)
    );
    shipped.take_away().await;
    scene.finish().await;
}

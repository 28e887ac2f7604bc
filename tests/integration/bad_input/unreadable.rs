// SPDX-License-Identifier: Apache-2.0

//! An object that was stored when the schema still allowed it.

use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use sandbox::ControlPlane;
use serde_json::json;

use crate::scene::{Scene, assert_not_ready, assert_troubled, connection, expect, web, with_deletion};

/// Lets `spec.policy.deletion` of connections also be `Later`, as an older version might have, or not.
async fn allow_later(scene: &Scene, allowed: bool) {
    let crds: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
    let crd = crds.get("channelconnections.digitalmessaging.io").await.unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let values = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/policy/properties/deletion/enum")
        .unwrap();
    *values = if allowed {
        json!(["Orphan", "Delete", "Later"])
    } else {
        json!(["Orphan", "Delete"])
    };
    let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    crds.replace("channelconnections.digitalmessaging.io", &PostParams::default(), &crd)
        .await
        .unwrap();
    let raw = raw(scene);
    let mut probe = connection("probe", "support", &web());
    probe["spec"]["policy"] = json!({ "deletion": "Later" });
    let probe: DynamicObject = serde_json::from_value(probe).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    scene
        .eventually("the schema is in effect", async || match raw.create(&dry_run, &probe).await {
            Ok(_) if allowed => Ok(()),
            Err(kube::Error::Api(status)) if !allowed && status.code == 422 => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
}

fn raw(scene: &Scene) -> Api<DynamicObject> {
    Api::namespaced_with(
        scene.client.clone(),
        &scene.namespace,
        &ApiResource::erase::<ChannelConnection>(&()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_object_that_no_longer_parses_is_told_so_and_holds_nobody_up() {
    // A control plane of its own: other tests need the schema as it is.
    let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().await.unwrap()));
    let mut scene = Scene::on(control_plane, |_| {}, |_| {}).await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    let before: ChannelConnection = scene.ready("web").await;
    scene.outputs("web").await;
    scene.stop_operator().await;
    allow_later(&scene, true).await;
    let later = json!({ "spec": { "policy": { "deletion": "Later" }, "displayName": "not to be applied" } });
    let patch = Patch::Merge(later);
    raw(&scene).patch("web", &PatchParams::default(), &patch).await.unwrap();
    allow_later(&scene, false).await;
    scene.start_operator().await;

    let told = scene
        .eventually("web is told to be unreadable", async || {
            let object = raw(&scene).get("web").await.map_err(|error| error.to_string())?;
            expect(&object, "Stalled", "True", Reason::Unparsable.as_str()).map(|_| object)
        })
        .await;
    assert_troubled(&told, "ChannelConnection", Reason::Unparsable, "Later");
    assert_not_ready(&told, Reason::Unparsable);
    scene.apply(connection("other", "support", &web())).await;
    scene.ready::<ChannelConnection>("other").await;
    scene.outputs("other").await;
    assert_eq!(scene.meanwhile().await, []);
    let held = account.connections().await.unwrap();
    let untouched = held
        .iter()
        .find(|it| it.id == before.status.as_ref().unwrap().id.clone().unwrap())
        .unwrap();
    assert_eq!(untouched.display_name, "web");

    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "deletion": "Orphan" } } }))
        .await;
    let after: ChannelConnection = scene.ready("web").await;
    assert_eq!(
        after.status.unwrap().id.unwrap(),
        before.status.as_ref().unwrap().id.clone().unwrap()
    );
    scene.finish().await;
    control_plane.api_server().unwrap().kill().unwrap();
    control_plane.etcd().unwrap().kill().unwrap();
}

/// What it refers to is not known after a restart; so whatever it might need for its clean-up stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_unreadable_object_may_need_to_be_cleaned_up_stays_until_it_is_abandoned() {
    let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().await.unwrap()));
    let mut scene = Scene::on(control_plane, |_| {}, |_| {}).await;
    let account = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;
    scene.stop_operator().await;
    allow_later(&scene, true).await;
    let patch = Patch::Merge(json!({ "spec": { "policy": { "deletion": "Later" } } }));
    raw(&scene).patch("web", &PatchParams::default(), &patch).await.unwrap();
    scene.start_operator().await;

    // What it holds is not free to be taken by another.
    let mut heir = connection("heir", "support", &web());
    heir["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
    scene.apply(heir).await;
    scene
        .condition::<ChannelConnection>("heir", "Synced", "False", "AlreadyClaimed")
        .await;
    scene.delete::<ChannelConnection>("heir").await;

    scene.ask_to_delete::<ManagerCredential>("acme").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    let (_, waits) = scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "DependantsRemain")
        .await;
    assert!(
        waits.message.contains("cannot read") && waits.message.contains("web"),
        "{waits}"
    );
    raw(&scene).delete("web", &DeleteParams::default()).await.unwrap();
    scene
        .eventually("web says how it is let go", async || {
            let object = raw(&scene).get("web").await.map_err(|error| error.to_string())?;
            let told = expect(&object, "Stalled", "True", Reason::Unparsable.as_str())?;
            if told.message.contains("abandon=true") {
                Ok(())
            } else {
                Err(told.to_string())
            }
        })
        .await;
    let abandoned = Patch::Merge(json!({ "metadata": { "annotations": { "digitalmessaging.io/abandon": "true" } } }));
    raw(&scene).patch("web", &PatchParams::default(), &abandoned).await.unwrap();
    scene.gone::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    assert!(raw(&scene).get_opt("web").await.unwrap().is_none());
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.finish().await;
    control_plane.api_server().unwrap().kill().unwrap();
    control_plane.etcd().unwrap().kill().unwrap();
}

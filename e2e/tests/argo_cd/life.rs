// SPDX-License-Identifier: Apache-2.0

//! What becomes of resources that Argo CD keeps as git has them.

use digital_messaging_operator::api::{FINALIZER, annotation};
use futures::future::join_all;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use sandbox::{program::project, wait_for, wait_for_object};
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, Declared, bench, both, health, synced_and_healthy};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn every_example_becomes_synced_and_healthy_and_stays_so() {
    let (bench, _together) = bench().await;
    let folders = std::fs::read_dir(project().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folders: Vec<String> = folders
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(folders.len() >= 4, "{folders:?}");
    join_all(folders.iter().map(|folder| stays(bench, folder))).await;
}

async fn stays(bench: &Bench, folder: &str) {
    let declared = bench.example(folder).await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let versions = async || {
        let mut versions = Vec::new();
        for object in declared.manifests.objects() {
            let kind = &object.types.as_ref().unwrap().kind;
            if kind == "Secret" {
                continue;
            }
            let live = declared.api(kind).get(&object.name_any()).await.unwrap();
            versions.push((kind.clone(), object.name_any(), live.resource_version()));
        }
        versions
    };
    let of = |interface: &kube::api::DynamicObject| {
        let declared = declared.manifests.objects().iter();
        let connections = declared.filter(|object| object.data["spec"]["interfaceRef"]["name"] == interface.name_any().as_str());
        connections.count()
    };
    // The number of connections at an interface is written a little later than the last of them is ready.
    let before = wait_for("the status to settle", DEADLINE, async || {
        let interfaces = declared
            .api("DigitalMessagingInterface")
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let settled = interfaces.items.iter().all(|interface| {
            interface.data["status"]["connections"] == json!({ "desired": of(interface), "ready": of(interface) })
        });
        if settled {
            Ok(versions().await)
        } else {
            Err("not all connections are counted")
        }
    })
    .await
    .unwrap();
    let history = application.get().await["status"]["history"].clone();
    for _ in 0..2 {
        let seen = application.get().await["status"]["reconciledAt"].clone();
        application.refresh_hard().await;
        bench
            .wait(&application, "looked at again", |now| {
                let looked = now["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
                    && now["status"]["reconciledAt"] != seen;
                if looked {
                    synced_and_healthy(now)
                } else {
                    Err("not looked at".to_owned())
                }
            })
            .await;
    }
    assert_eq!(application.get().await["status"]["history"], history, "{folder}: synced once");
    assert_eq!(versions().await, before, "{folder}: nobody wrote anything");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn wrong_credentials_are_degraded_until_git_has_the_right_ones() {
    let (bench, _together) = bench().await;
    let mut declared = bench.example("minimal").await;
    let key = |declared: &mut Declared, value: &Value| {
        let secret = declared.object("Secret", "acme-manager");
        let before = secret.data["stringData"]["managerKey"].take();
        secret.data["stringData"]["managerKey"] = value.clone();
        before
    };
    let right = key(&mut declared, &"wrong-from-the-start-0123456789abcdef".into());
    let application = declared.deploy().await;
    let degraded = |application: &Value| {
        both(application, "Synced", "Degraded")?;
        let (status, message) = health(application, "ManagerCredential", "acme-manager");
        if status == "Degraded" && message.starts_with("InvalidCredentials: ") {
            Ok(())
        } else {
            Err(format!("{status} {message}"))
        }
    };
    bench.wait(&application, "wrong credentials are Degraded", degraded).await;
    let (status, message) = health(&application.get().await, "ChannelConnection", "acme-web");
    assert_eq!(status, "Progressing", "the cause is told in one place: {message}");

    key(&mut declared, &right);
    declared.push();
    application.refresh().await;
    bench
        .wait(&application, "the right ones are Healthy", synced_and_healthy)
        .await;

    // What serves goes on serving, and is Degraded all the same.
    key(&mut declared, &"wrong-later-0123456789abcdef0123456789".into());
    declared.push();
    application.refresh().await;
    bench.wait(&application, "wrong ones later are Degraded", degraded).await;
    assert_eq!(health(&application.get().await, "ChannelConnection", "acme-web").0, "Healthy");
    key(&mut declared, &right);
    declared.push();
    application.refresh().await;
    bench.wait(&application, "put right in git", synced_and_healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn drift_is_put_right_on_either_side() {
    let (bench, _together) = bench().await;
    let declared = bench.example("minimal").await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;

    // In the cluster: Argo CD does it, and the operator follows.
    let interfaces = declared.api("DigitalMessagingInterface");
    let patch = json!({ "spec": { "displayName": "By hand" } });
    interfaces
        .patch("acme-support", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let settled = |name: &'static str| {
        move |object: Option<&kube::api::DynamicObject>| {
            let object = object.ok_or("gone")?;
            let (spec, generation) = (&object.data["spec"]["displayName"], object.metadata.generation);
            let observed = object.data["status"]["observedGeneration"].as_i64();
            if spec == name && observed == generation {
                Ok(generation)
            } else {
                Err("not yet")
            }
        }
    };
    let generation = wait_for_object(&interfaces, "acme-support", "put back", DEADLINE, settled("Acme support"))
        .await
        .unwrap();
    assert!(generation > Some(1), "it was changed and put back");

    // At the manager: the operator does it, and Argo CD sees nothing but a healthy object.
    let account = &declared.accounts[0];
    let interface = &account.interfaces().await.unwrap()[0];
    account
        .patch_interface(&interface.id, &json!({ "displayName": "At the manager" }))
        .await
        .unwrap();
    wait_for("the manager to have it back", DEADLINE, async || {
        let name = account.interfaces().await.unwrap()[0].spec.display_name.clone();
        if name == "Acme support" { Ok(()) } else { Err(name) }
    })
    .await
    .unwrap();
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let corrected = wait_for_object(&interfaces, "acme-support", "the drift is on record", DEADLINE, |object| {
        let drift = object.map(|object| object.data["status"]["lastDrift"]["fields"].clone());
        drift.filter(|fields| !fields.is_null()).ok_or("no lastDrift")
    })
    .await
    .unwrap();
    assert_eq!(corrected, json!(["/displayName"]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn what_leaves_git_is_pruned_and_a_deleted_application_cleans_up_at_the_manager() {
    let (bench, _together) = bench().await;
    let mut declared = bench.example("minimal").await;
    declared.make_deletable();
    let mut second = declared.object("ChannelConnection", "acme-web").clone();
    second.metadata.name = Some("acme-second".to_owned());
    let text = serde_json::to_string(&second).unwrap();
    declared.manifests = declared.manifests.clone().and(sandbox::Manifests::parse(&text).unwrap());
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let account = &declared.accounts[0];
    assert_eq!(account.connections().await.unwrap().len(), 2);
    let connections = declared.api("ChannelConnection");
    let live = connections.get("acme-second").await.unwrap();
    assert!(
        live.finalizers().iter().any(|finalizer| finalizer == FINALIZER),
        "{:?}",
        live.finalizers()
    );

    declared
        .manifests
        .objects_mut()
        .retain(|object| object.name_any() != "acme-second");
    declared.push();
    application.refresh().await;
    wait_for_object(&connections, "acme-second", "pruned", DEADLINE, |object| {
        object.map_or(Ok(()), |_| Err("still there"))
    })
    .await
    .unwrap();
    assert_eq!(account.connections().await.unwrap().len(), 1, "and gone at the manager");
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;

    application.delete(true).await;
    application.wait_until_gone().await;
    assert!(account.connections().await.unwrap().is_empty());
    assert!(account.interfaces().await.unwrap().is_empty());
    for kind in ["ChannelConnection", "DigitalMessagingInterface", "ManagerCredential"] {
        let left = declared.api(kind).list(&kube::api::ListParams::default()).await.unwrap();
        assert!(left.items.is_empty(), "{kind}: {:?}", left.items);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn what_the_buttons_change_is_not_put_back() {
    let (bench, _together) = bench().await;
    let mut declared = bench.example("minimal").await;
    declared.object("ChannelConnection", "acme-web").data["spec"]["policy"] = json!({ "approval": "Required" });
    let application = declared.deploy().await;
    let waiting = |application: &Value| {
        both(application, "Synced", "Suspended")?;
        match health(application, "ChannelConnection", "acme-web") {
            (status, message) if status == "Suspended" && message.starts_with("AwaitingApproval: ") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    bench.wait(&application, "a plan waits for approval", waiting).await;
    assert!(declared.accounts[0].connections().await.unwrap().is_empty());

    // As the action does it.
    let connections = declared.api("ChannelConnection");
    let plan = connections.get("acme-web").await.unwrap().data["status"]["plan"]["hash"].clone();
    let approve = json!({ "metadata": { "annotations": { annotation::APPROVE: plan } } });
    let params = PatchParams::default();
    connections.patch("acme-web", &params, &Patch::Merge(&approve)).await.unwrap();
    bench.wait(&application, "approved", synced_and_healthy).await;

    let suspend = json!({ "spec": { "suspend": true } });
    connections.patch("acme-web", &params, &Patch::Merge(&suspend)).await.unwrap();
    let suspended = |application: &Value| both(application, "Synced", "Suspended");
    bench.wait(&application, "suspended", suspended).await;
    let seen = application.get().await["status"]["reconciledAt"].clone();
    application.refresh_hard().await;
    bench
        .wait(&application, "looked at again", |now| {
            if now["status"]["reconciledAt"] == seen {
                Err("not looked at".to_owned())
            } else {
                suspended(now)
            }
        })
        .await;
    let live = connections.get("acme-web").await.unwrap();
    assert_eq!(live.data["spec"]["suspend"], true);
    assert_eq!(live.annotations()[annotation::APPROVE], plan);
    let resume = json!({ "spec": { "suspend": false } });
    connections.patch("acme-web", &params, &Patch::Merge(&resume)).await.unwrap();
    bench.wait(&application, "resumed", synced_and_healthy).await;
}

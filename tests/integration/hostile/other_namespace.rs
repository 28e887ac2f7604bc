// SPDX-License-Identifier: Apache-2.0

//! What lies in another namespace is out of reach: by name, by forged annotations, and by marks at a manager.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
    desired::pump::Scope,
};
use kube::Api;
use sandbox::{Condition, wait_for};
use serde_json::{Value, json};

use super::intruder::{Intruder, Rights};
use crate::scene::{
    Conditioned, DEADLINE, Scene, connection, interface, labelled_secret, manager_credential, manager_secret, sms, web,
};

/// A scene whose operator watches a second namespace, where the intruder is.
async fn with_neighbour(rights: Rights) -> (Scene, Intruder) {
    let neighbour = sandbox::shared().await.create_namespace("test").await.unwrap();
    let both = neighbour.clone();
    let scene = Scene::with(
        |_| {},
        |operator| {
            if let Scope::Namespaces(names) = &mut operator.scope {
                names.insert(both);
            }
        },
    )
    .await;
    let intruder = Intruder::within(&scene, &neighbour, rights).await;
    (scene, intruder)
}

/// Waits until an object of the intruder's has this condition.
async fn eventually<K: Conditioned>(scene: &Scene, intruder: &Intruder, name: &str, kind: &str, reason: &str) -> Condition {
    let api: Api<K> = Api::namespaced(scene.client.clone(), &intruder.namespace);
    let what = format!("{name}: {kind} {reason}");
    let found = wait_for(&what, DEADLINE, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        match Condition::of(&object, kind) {
            Some(found) if found.reason == reason => Ok(found),
            other => Err(format!("{other:?}")),
        }
    });
    found.await.unwrap()
}

/// Waits until the interface has counted its connection, which it does a while later: the last write before all is at rest.
async fn counted(scene: &Scene) {
    scene
        .eventually("the interface has counted its connection", async || {
            let object = scene.interfaces().get("support").await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(object.status).unwrap();
            if status["connections"]["ready"] == json!(1) {
                Ok(())
            } else {
                Err(status["connections"].to_string())
            }
        })
        .await;
}

/// The reconciles of a kind so far, of all namespaces.
fn reconciles(scene: &Scene, controller: &str) -> u64 {
    let text = scene.metrics.encode().unwrap();
    let counters = text.lines().filter(|line| {
        line.starts_with("controller_runtime_reconcile_total{") && line.contains(&format!("controller=\"{controller}\""))
    });
    counters
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reference_takes_a_name_that_leaves_the_namespace() {
    let scene = Scene::new().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    for name in [
        "../../other/secrets/acme",
        "..",
        "other/acme",
        "other%2facme",
        "acme?fieldManager=x",
        "acme#x",
        "acme\nx",
        "acme:other",
        "",
    ] {
        let mut objects = vec![
            interface("i", name),
            connection("c", name, &web()),
            connection("c", "i", &sms("+15550100001", name)),
        ];
        let mut credential = manager_credential("m", "https://manager.example", AuthenticationMethod::Jwt);
        credential["spec"]["authentication"]["secretRef"]["name"] = json!(name);
        let mut output = connection("c", "i", &web());
        output["spec"]["outputs"] = json!({ "secret": { "name": name } });
        let switching = json!({ "webMessaging": { "switching": { "connections": [{ "name": name }] } } });
        objects.extend([credential, output, connection("c", "i", &switching)]);
        for object in objects {
            let refused = intruder.create(object.clone()).await.unwrap_err();
            assert!(
                matches!(&refused, kube::Error::Api(status) if status.code == 422),
                "{object} {refused}"
            );
        }
    }
    // A field for it does not exist either.
    let mut elsewhere = interface("i", "acme");
    elsewhere["spec"]["credentialRef"]["namespace"] = json!("other");
    intruder.create(elsewhere).await.unwrap();
    let stored = scene.interfaces().get("i").await.unwrap();
    assert!(!serde_json::to_string(&stored.spec).unwrap().contains("other"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_forged_marks_neither_wakes_nor_deletes_anything_in_another_namespace() {
    let (scene, intruder) = with_neighbour(Rights {
        status: true,
        secrets: true,
    })
    .await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    counted(&scene).await;
    let before = scene.outputs("web").await;
    let made = scene.secrets().get("web-connection").await.unwrap();
    let (held, resource_version) = (account.connections().await.unwrap(), made.metadata.resource_version.clone());

    let mark = (scene.journal.len(), scene.audit_mark());
    // The very annotations of the victim's, on Secrets of the same names next door.
    for name in ["web-connection", "acme-proven"] {
        let real = scene.secrets().get(name).await.unwrap();
        let mut forged = labelled_secret(name, &json!({ "connectionId": "forged", "managerKey": "forged" }));
        forged["metadata"]["labels"] =
            json!({ "digitalmessaging.io/outputs": "true", "digitalmessaging.io/credentials": "true" });
        forged["metadata"]["annotations"] = serde_json::to_value(&real.metadata.annotations).unwrap();
        forged["metadata"]["ownerReferences"] = serde_json::to_value(&real.metadata.owner_references).unwrap_or(Value::Null);
        if forged["metadata"]["ownerReferences"].is_null() {
            forged["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        }
        intruder.create(forged).await.unwrap();
    }
    let woken = reconciles(&scene, "channelconnections");
    for name in ["web-connection", "acme-proven"] {
        let touch = json!({ "metadata": { "annotations": { "digitalmessaging.io/content-hash": "other" } } });
        intruder.patch::<k8s_openapi::api::core::v1::Secret>(name, touch).await;
        intruder.delete::<k8s_openapi::api::core::v1::Secret>(name).await;
    }
    // Objects of the same names, and of names that read the same when they are put together carelessly.
    intruder
        .create_all([
            manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt),
            interface("support", "acme"),
            connection("web", "support", &web()),
        ])
        .await;
    eventually::<ManagerCredential>(&scene, &intruder, "acme", "Synced", "SecretNotFound").await;
    eventually::<ChannelConnection>(&scene, &intruder, "web", "Synced", "CredentialNotReady").await;
    let own = reconciles(&scene, "channelconnections") - woken;
    eprintln!("{own} reconciles of connections, all next door");

    let writes = scene.operator_writes(mark.1);
    assert!(writes.iter().all(|write| write.namespace != scene.namespace), "{writes:#?}");
    assert!(scene.manager_calls(mark.0).iter().all(|call| !call.is_write()));
    assert_eq!(scene.outputs("web").await, before);
    let after = scene.secrets().get("web-connection").await.unwrap();
    assert_eq!(after.metadata.resource_version, resource_version);
    assert_eq!(account.connections().await.unwrap(), held);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_another_namespace_at_ones_own_manager_wake_nobody_there() {
    let (scene, intruder) = with_neighbour(Rights {
        status: false,
        secrets: true,
    })
    .await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    counted(&scene).await;
    scene.outputs("web").await;
    let reference = account.connections().await.unwrap()[0].external_reference.clone().unwrap();

    // The intruder has an account of its own at the manager, and the key to it.
    let own = scene.provision(AuthenticationMethod::Jwt).await;
    let own_account = scene.account(&own);
    intruder
        .create_all([
            manager_secret("own", &own),
            manager_credential("own", scene.manager_url(), AuthenticationMethod::Jwt),
            interface("own", "own"),
        ])
        .await;
    eventually::<DigitalMessagingInterface>(&scene, &intruder, "own", "Ready", "Ready").await;
    let before = reconciles(&scene, "channelconnections");
    let mark = scene.audit_mark();
    // Marks made up past the operator.
    let interface_id = own_account.interfaces().await.unwrap()[0].id.clone();
    let body = json!({
        "interfaceId": interface_id, "externalReference": reference, "claimant": "forged", "displayName": "forged",
        "channel": { "type": "webMessaging" },
    });
    let created = own_account
        .create_connection(&serde_json::from_value(body).unwrap())
        .await
        .unwrap();
    let id = created.connection.id;
    for n in 0..20 {
        own_account
            .patch_connection(&id, &json!({ "displayName": format!("forged {n}") }))
            .await
            .unwrap();
    }
    // The feed has told by the time that an adoption of it is answered.
    let mut adopting = connection("mine", "own", &web());
    adopting["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
    intruder.create(adopting).await.unwrap();
    eventually::<ChannelConnection>(&scene, &intruder, "mine", "Synced", Reason::AlreadyClaimed.as_str()).await;
    let woken = reconciles(&scene, "channelconnections") - before;
    assert!(woken < 20, "{woken} reconciles: connections next door were woken");
    let writes = scene.operator_writes(mark);
    assert!(writes.iter().all(|write| write.namespace != scene.namespace), "{writes:#?}");
    scene.finish().await;
}

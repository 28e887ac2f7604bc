//! A rotated key takes over without anyone noticing, and is the one that serves on when the Secret is gone.

use std::time::Duration;

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, ManagerCredential};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};
use sandbox::Credential;
use serde_json::json;

use super::channel_secret;
use crate::scene::{Scene, connection, interface, manager_credential, manager_secret, web};

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_was_rotated_in_serves_on_after_a_restart_without_the_secret() {
    let mut scene = Scene::new().await;
    let first = scene.provision(AuthenticationMethod::Jwt).await;
    let credential = manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt);
    scene
        .apply_all([manager_secret("acme", &first), credential, interface("support", "acme")])
        .await;
    let before: ManagerCredential = scene.ready("acme").await;

    let keys = scene.manager.manager().credentials();
    let second = keys.rotate(&first.manager_id, Duration::from_hours(1)).await.unwrap();
    scene.secret_value(second.manager_key.expose());
    let second = Credential {
        manager_key: second.manager_key,
        ..first
    };
    scene.apply(manager_secret("acme", &second)).await;
    let active = |credential: &ManagerCredential| credential.status.clone().unwrap().active_key.unwrap().fingerprint;
    scene
        .eventually("the new key is the active one", async || {
            let now = scene.credentials().get("acme").await.map_err(|error| error.to_string())?;
            if active(&now) == active(&before) {
                Err("still the old one".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    keys.revoke_previous(&second.manager_id).await.unwrap();

    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "SecretNotFound")
        .await;
    scene.restart_operator().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene
        .condition::<ManagerCredential>("acme", "Authenticated", "True", "Authenticated")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lease_does_not_make_the_next_leader_an_old_one() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.stop_operator().await;
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), &scene.namespace);
    leases
        .delete("digital-messaging-operator", &DeleteParams::default())
        .await
        .unwrap();
    scene.start_operator().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_of_a_number_is_changed_in_place() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let whatsapp = |provider: serde_json::Value| {
        let mut channel = json!({ "phoneNumber": "+4930901820", "secretRef": { "name": "tokens" } });
        channel.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
        connection("number", "support", &json!({ "whatsApp": channel }))
    };
    scene.apply(channel_secret(&scene, "tokens")).await;
    scene
        .apply(whatsapp(
            json!({ "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" } }),
        ))
        .await;
    let before: ChannelConnection = scene.ready("number").await;
    scene
        .apply(whatsapp(
            json!({ "cloudApi": { "phoneNumberId": "1", "businessAccountId": "2" } }),
        ))
        .await;
    let after: ChannelConnection = scene.ready("number").await;
    assert_eq!(after.status.unwrap().id, before.status.unwrap().id);
    let held = serde_json::to_value(&account.connections().await.unwrap()[0].channel).unwrap();
    assert_eq!(held["provider"]["type"], "cloudApi");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_switching_is_gone_at_the_manager() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let switching = json!({ "webMessaging": { "switching": { "placement": "Header", "connections": [{ "name": "other" }] } } });
    scene
        .apply_all([
            connection("other", "support", &web()),
            connection("web", "support", &switching),
        ])
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene
        .patch::<ChannelConnection>(
            "web",
            json!({ "spec": { "channel": { "webMessaging": { "switching": null } } } }),
        )
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let held = serde_json::to_string(&account.connections().await.unwrap()).unwrap();
    assert!(!held.contains("connectionIds"), "{held}");
    scene.finish().await;
}

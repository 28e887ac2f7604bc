// SPDX-License-Identifier: Apache-2.0

//! What somebody made at the manager by hand is taken over only when asked for, and only as far.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use sandbox::ManagerAccount;
use serde_json::{Value, json};

use super::channel_secret;
use crate::scene::{Scene, connection, interface, sms};

fn adopting(mut object: Value, adoption: Value) -> Value {
    object["spec"]["adoption"] = adoption;
    object
}

async fn interface_made_by_hand(account: &ManagerAccount, name: &str) -> String {
    let spec = json!({ "displayName": name, "templateOperator": "dm-template", "baseUrl": "https://acme.example/prweb" });
    account
        .create_interface(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap()
        .id
}

async fn web_made_by_hand(account: &ManagerAccount, interface: &str, color: &str) -> String {
    let spec = json!({ "interfaceId": interface, "displayName": "Made by hand", "channel": { "type": "webMessaging", "primaryColor": color } });
    account
        .create_connection(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap()
        .connection
        .id
}

async fn sms_made_by_hand(account: &ManagerAccount, interface: &str, number: &str) -> String {
    let channel =
        json!({ "type": "sms", "phoneNumber": number, "twilio": { "accountSid": "AC0123456789abcdef0123456789abcdef" } });
    let spec = json!({ "interfaceId": interface, "displayName": "Made by hand", "channel": channel, "secrets": { "authToken": "by-hand" } });
    account
        .create_connection(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap()
        .connection
        .id
}

fn named(mut object: Value, name: &str) -> Value {
    object["spec"]["displayName"] = name.into();
    object
}

async fn remote_interface(scene: &Scene) -> String {
    scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap()
}

fn web(color: &str) -> Value {
    named(
        connection("web", "support", &json!({ "webMessaging": { "primaryColor": color } })),
        "Made by hand",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn match_adopts_an_equal_connection_by_id_and_only_marks_it() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = web_made_by_hand(&account, &remote_interface(&scene).await, "#0b5cad").await;
    let calls = scene.journal.len();
    scene
        .apply(adopting(web("#0b5cad"), json!({ "by": "ID", "id": id, "mode": "Match" })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.connection_id("web").await, id);
    assert_eq!(scene.manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    let held = account.connections().await.unwrap();
    assert_eq!((held.len(), held[0].display_name.as_str()), (1, "Made by hand"));
    assert!(held[0].external_reference.is_some());
    assert_eq!(scene.outputs("web").await["connectionId"], id);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn match_lists_what_differs_and_override_converges_it() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = web_made_by_hand(&account, &remote_interface(&scene).await, "#111111").await;
    let calls = scene.journal.len();
    let web = named(web("#ff0000"), "Acme");
    scene
        .apply(adopting(web.clone(), json!({ "by": "ID", "id": id, "mode": "Match" })))
        .await;
    let (_, mismatch) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AdoptionMismatch")
        .await;
    assert!(
        mismatch.message.contains("/displayName") && mismatch.message.contains("/channel/webMessaging/primaryColor"),
        "{mismatch}"
    );
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene
        .apply(adopting(web, json!({ "by": "ID", "id": id, "mode": "Override" })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.connection_id("web").await, id);
    assert_eq!(scene.manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    assert_eq!(account.connections().await.unwrap()[0].display_name, "Acme");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mismatch_that_is_put_right_at_the_manager_is_adopted() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let id = web_made_by_hand(&account, &remote_interface(&scene).await, "#111111").await;
    scene
        .apply(adopting(web("#ff0000"), json!({ "by": "ID", "id": id, "mode": "Match" })))
        .await;
    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AdoptionMismatch")
        .await;
    account
        .patch_connection(&id, &json!({ "channel": { "primaryColor": "#ff0000" } }))
        .await
        .unwrap();
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(scene.connection_id("web").await, id);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_adopted_by_its_natural_key() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    let remote = remote_interface(&scene).await;
    let matched = sms_made_by_hand(&account, &remote, "+14155550101").await;
    let overridden = sms_made_by_hand(&account, &remote, "+14155550102").await;
    let matching = named(
        connection("matched", "support", &sms("+14155550101", "channels")),
        "Made by hand",
    );
    let overriding = named(
        connection("overridden", "support", &sms("+14155550102", "channels")),
        "Acme texts",
    );
    scene
        .apply_all([
            adopting(matching, json!({ "by": "NaturalKey", "mode": "Match" })),
            adopting(overriding, json!({ "by": "NaturalKey", "mode": "Override" })),
        ])
        .await;
    scene.ready::<ChannelConnection>("matched").await;
    scene.ready::<ChannelConnection>("overridden").await;
    assert_eq!(
        [scene.connection_id("matched").await, scene.connection_id("overridden").await],
        [matched, overridden]
    );
    assert_eq!(account.connections().await.unwrap().len(), 2);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_adopted_may_appear_later() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    let by_key = connection("sms", "support", &sms("+14155550101", "channels"));
    scene
        .apply(adopting(by_key, json!({ "by": "NaturalKey", "mode": "Override" })))
        .await;
    scene
        .condition::<ChannelConnection>("sms", "Synced", "False", "AdoptionTargetNotFound")
        .await;
    let id = sms_made_by_hand(&account, &remote_interface(&scene).await, "+14155550101").await;
    scene.ready::<ChannelConnection>("sms").await;
    assert_eq!(scene.connection_id("sms").await, id);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_adopted_by_id_with_what_is_assigned_to_it() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    let made = interface_made_by_hand(&account, "By hand").await;
    let chat = web_made_by_hand(&account, &made, "#0b5cad").await;
    let calls = scene.journal.len();
    scene
        .apply(adopting(
            interface("support", "acme"),
            json!({ "by": "ID", "id": made, "mode": "Match" }),
        ))
        .await;
    let (_, mismatch) = scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "AdoptionMismatch")
        .await;
    assert!(mismatch.message.contains("/displayName"), "{mismatch}");
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene
        .apply(adopting(
            interface("support", "acme"),
            json!({ "by": "ID", "id": made, "mode": "Override" }),
        ))
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene
        .apply(adopting(web("#0b5cad"), json!({ "by": "ID", "id": chat, "mode": "Match" })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(
        (remote_interface(&scene).await, scene.connection_id("web").await),
        (made, chat)
    );
    assert_eq!(
        (
            account.interfaces().await.unwrap().len(),
            account.connections().await.unwrap().len()
        ),
        (1, 1)
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_resource_holds_is_taken_over_when_that_lets_go() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply(connection("holder", "support", &sms("+14155550101", "channels")))
        .await;
    scene.ready::<ChannelConnection>("holder").await;
    let id = scene.connection_id("holder").await;
    let calls = scene.journal.len();
    scene
        .apply(adopting(
            connection("heir", "support", &sms("+14155550101", "channels")),
            json!({ "by": "NaturalKey", "mode": "Override" }),
        ))
        .await;
    scene
        .condition::<ChannelConnection>("heir", "Synced", "False", "AlreadyClaimed")
        .await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    scene.ready::<ChannelConnection>("holder").await;

    scene.delete::<ChannelConnection>("holder").await;
    scene.ready::<ChannelConnection>("heir").await;
    assert_eq!(scene.connection_id("heir").await, id);
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.finish().await;
}

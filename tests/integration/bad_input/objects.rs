// SPDX-License-Identifier: Apache-2.0

//! Objects that are gone, taken, not offered, or not readable.

use digital_messaging_contract::{
    account::ChannelSupport,
    channel::{Channel, ChannelType, Sms, TwilioSms},
    connection::ConnectionSpec,
};
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation},
    controller::reason::Reason,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};
use sandbox::ManagerAccount;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, assert_not_ready, assert_serves, assert_troubled, connection, interface, labelled_secret, sms, web};

const NUMBER: &str = "+15550100042";

fn id(connection: &ChannelConnection) -> String {
    connection.status.as_ref().unwrap().id.clone().unwrap()
}

async fn ready_web(scene: &Scene, name: &str) -> ChannelConnection {
    scene.apply(connection(name, "support", &web())).await;
    let ready = scene.ready(name).await;
    scene.outputs(name).await;
    ready
}

fn wants_deletion(mut object: serde_json::Value) -> serde_json::Value {
    object["spec"]["policy"] = json!({ "deletion": "Delete" });
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_deleted_by_hand_is_missed_and_made_again_only_on_demand() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let lost = id(&ready_web(&scene, "web").await);
    account.delete_connection(&lost).await.unwrap();
    let command = format!(
        "kubectl annotate channelconnection --namespace {} web --overwrite digitalmessaging.io/recreate={lost}",
        scene.namespace
    );
    let web: ChannelConnection = scene.trouble("web", Reason::RemoteMissing, &command).await;
    assert_not_ready(&web, Reason::RemoteMissing);
    assert_eq!(scene.meanwhile().await, []);
    assert!(account.connections().await.unwrap().is_empty(), "nothing is made unasked");

    scene
        .annotate::<ChannelConnection>("web", annotation::RECREATE, "another-id")
        .await;
    assert_eq!(scene.meanwhile().await, []);
    scene.annotate::<ChannelConnection>("web", annotation::RECREATE, &lost).await;
    let made: ChannelConnection = scene.ready("web").await;
    assert_ne!(id(&made), lost);
    assert_eq!(scene.outputs("web").await["connectionId"], id(&made));
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene
        .assert_told_once::<ChannelConnection>("web", Reason::RemoteMissing)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_deleted_by_hand_is_missed_and_made_again_only_on_demand() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let lost = account.interfaces().await.unwrap()[0].id.clone();
    account.delete_interface(&lost).await.unwrap();
    let support: DigitalMessagingInterface = scene.trouble("support", Reason::RemoteMissing, &lost).await;
    assert_not_ready(&support, Reason::RemoteMissing);
    assert_eq!(scene.meanwhile().await, []);

    scene
        .annotate::<DigitalMessagingInterface>("support", annotation::RECREATE, &lost)
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene
        .assert_told_once::<DigitalMessagingInterface>("support", Reason::RemoteMissing)
        .await;
    scene.finish().await;
}

/// Makes eight connections and deletes the last seven of them between two looks of the operator.
async fn lose_seven_at_once(scene: &Scene, account: &ManagerAccount) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(id(&ready_web(scene, &format!("web-{n}")).await));
    }
    let look = CancellationToken::new();
    scene
        .faults
        .push(Rule::new(Fault::HoldRequest(look.clone())).path("/v1/changes"));
    // The look that waits at present may see a change yet; it is the next one that is held.
    let bystander = ids.pop().unwrap();
    account
        .patch_connection(&bystander, &json!({ "displayName": "moved" }))
        .await
        .unwrap();
    let held = |calls: &[Entry]| {
        calls
            .iter()
            .rev()
            .find(|call| call.is_change_feed())
            .is_some_and(|call| call.status.is_none())
    };
    let applied = scene.faults.applied();
    scene
        .eventually("the next look is held", async || {
            if scene.faults.applied() > applied || (applied > 0 && held(&scene.journal.entries())) {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
    for id in &ids {
        account.delete_connection(id).await.unwrap();
    }
    scene.faults.clear();
    look.cancel();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_account_gone_at_once_freezes_writes_until_a_person_has_looked() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let lost = lose_seven_at_once(&scene, &account).await;
    let acme: ManagerCredential = scene
        .trouble("acme", Reason::ObservationSuspicious, "kubectl annotate managercredential")
        .await;
    assert_serves(&acme);
    scene.apply(connection("late", "support", &web())).await;
    let late: ChannelConnection = scene
        .trouble("late", Reason::CredentialNotReady, "ObservationSuspicious")
        .await;
    assert_not_ready(&late, Reason::CredentialNotReady);
    assert_eq!(scene.meanwhile().await, []);
    for n in 0..7 {
        assert_serves(&scene.connections().get(&format!("web-{n}")).await.unwrap());
    }
    assert_eq!(account.connections().await.unwrap().len(), 1);

    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "it is right")
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<ChannelConnection>("late").await;
    scene.outputs("late").await;
    for (n, id) in lost.iter().enumerate() {
        scene
            .trouble::<ChannelConnection>(&format!("web-{n}"), Reason::RemoteMissing, id)
            .await;
    }
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::ObservationSuspicious)
        .await;
    scene
        .assert_told_once::<ChannelConnection>("late", Reason::CredentialNotReady)
        .await;

    // What is known to be missing is not missed once more by the next process.
    scene.restart_operator().await;
    scene.apply(connection("later", "support", &web())).await;
    scene.ready::<ChannelConnection>("later").await;
    scene.outputs("later").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_lost_much_while_nobody_looked_is_frozen_at_the_first_look() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    for n in 0..6 {
        ready_web(&scene, &format!("web-{n}")).await;
    }
    scene.stop_operator().await;
    for held in account.connections().await.unwrap() {
        account.delete_connection(&held.id).await.unwrap();
    }
    scene.start_operator().await;
    scene
        .trouble::<ManagerCredential>("acme", Reason::ObservationSuspicious, "6 of 7")
        .await;
    for n in 0..6 {
        assert_serves(&scene.connections().get(&format!("web-{n}")).await.unwrap());
    }
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "it is right")
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene
        .trouble::<ChannelConnection>("web-5", Reason::RemoteMissing, "recreate")
        .await;
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::ObservationSuspicious)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_deleted_under_its_connections_leaves_them_serving() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let before = ready_web(&scene, "web").await;
    let mark = scene.journal.len();
    scene.delete::<DigitalMessagingInterface>("support").await;
    scene.apply(connection("late", "support", &web())).await;
    let late: ChannelConnection = scene.trouble("late", Reason::InterfaceNotFound, "support").await;
    assert_not_ready(&late, Reason::InterfaceNotFound);
    let orphan: ChannelConnection = scene.trouble("web", Reason::InterfaceNotFound, "support").await;
    assert_serves(&orphan);
    assert_eq!(scene.meanwhile().await, []);
    // The interface was let go, and that is all.
    let calls = scene.journal.since(mark);
    let mut writes = calls.iter().filter(|call| call.is_write());
    assert!(writes.all(|call| call.method == "PATCH" && call.path.starts_with("/v1/interfaces/")));

    scene.apply(interface("support", "acme")).await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.ready::<ChannelConnection>("late").await;
    scene.outputs("late").await;
    assert_eq!(account.interfaces().await.unwrap().len(), 1, "the same one is found again");
    assert_eq!(id(&scene.ready("web").await), id(&before));
    scene
        .assert_told_once::<ChannelConnection>("late", Reason::InterfaceNotFound)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_waits_for_connections_that_must_be_cleaned_up_and_names_them() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(wants_deletion(connection("web", "support", &web()))).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene.interfaces().delete("support", &DeleteParams::default()).await.unwrap();
    let support: DigitalMessagingInterface = scene.trouble("support", Reason::DependantsRemain, "web").await;
    assert_serves(&support);
    assert_eq!(scene.meanwhile().await, []);

    scene.delete::<ChannelConnection>("web").await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    assert!(account.connections().await.unwrap().is_empty());
    assert_eq!(account.interfaces().await.unwrap().len(), 1, "that one was to be left");
    scene
        .assert_told_once::<DigitalMessagingInterface>("support", Reason::DependantsRemain)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_deleted_under_its_interfaces_leaves_them_serving() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let before = ready_web(&scene, "web").await;
    let credential = scene.credentials().get("acme").await.unwrap();
    scene.delete::<ManagerCredential>("acme").await;
    scene.apply(interface("late", "acme")).await;
    let late: DigitalMessagingInterface = scene.trouble("late", Reason::CredentialNotFound, "acme").await;
    assert_not_ready(&late, Reason::CredentialNotFound);
    let orphan: DigitalMessagingInterface = scene.trouble("support", Reason::CredentialNotFound, "acme").await;
    assert_serves(&orphan);
    assert_serves(&scene.connections().get("web").await.unwrap());
    assert_eq!(scene.meanwhile().await, []);

    let endpoint = serde_json::to_value(&credential).unwrap()["spec"].clone();
    let again = json!({
        "apiVersion": "digitalmessaging.io/v1alpha1", "kind": "ManagerCredential",
        "metadata": { "name": "acme" }, "spec": endpoint,
    });
    scene.apply(again).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<DigitalMessagingInterface>("late").await;
    assert_eq!(account.interfaces().await.unwrap().len(), 2);
    assert_eq!(id(&scene.ready("web").await), id(&before));
    scene
        .assert_told_once::<DigitalMessagingInterface>("late", Reason::CredentialNotFound)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_waits_for_interfaces_that_must_be_cleaned_up_and_names_them() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    scene.apply(wants_deletion(interface("support", "acme"))).await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.credentials().delete("acme", &DeleteParams::default()).await.unwrap();
    let acme: ManagerCredential = scene.trouble("acme", Reason::DependantsRemain, "support").await;
    assert_serves(&acme);
    assert_eq!(scene.meanwhile().await, []);

    scene.delete::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    assert!(account.interfaces().await.unwrap().is_empty());
    scene
        .assert_told_once::<ManagerCredential>("acme", Reason::DependantsRemain)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_an_object_of_nobody_has_is_not_taken_and_used_as_soon_as_it_is_free() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let interface_id = account.interfaces().await.unwrap()[0].id.clone();
    let token = scene.new_secret_value();
    let by_hand = ConnectionSpec {
        interface_id,
        external_reference: None,
        claimant: None,
        display_name: "by hand".to_owned(),
        channel: Channel::Sms(Sms {
            phone_number: NUMBER.to_owned(),
            twilio: TwilioSms {
                account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
                messaging_service_sid: None,
            },
        }),
        secrets: [("authToken".to_owned(), token.clone().into())].into(),
    };
    let foreign = account.create_connection(&by_hand).await.unwrap().connection;
    scene.apply(labelled_secret("twilio", &json!({ "authToken": token }))).await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    let recipe = format!("spec.adoption {{by: ID, id: {}, mode: Match}}", foreign.id);
    // The manager's refusal may be faster than its change feed, which tells what that object is.
    let text = scene
        .eventually("the recipe is told", async || {
            let (text, synced) = scene
                .condition::<ChannelConnection>("text", "Synced", "False", "AlreadyClaimed")
                .await;
            if synced.message.contains(&recipe) {
                Ok(text)
            } else {
                Err(synced.message)
            }
        })
        .await;
    assert_troubled(&text, "ChannelConnection", Reason::AlreadyClaimed, &foreign.id);
    assert_not_ready(&text, Reason::AlreadyClaimed);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(
        account.connections().await.unwrap(),
        std::slice::from_ref(&foreign),
        "it is left alone"
    );

    account.delete_connection(&foreign.id).await.unwrap();
    scene.ready::<ChannelConnection>("text").await;
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::AlreadyClaimed)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_another_resource_has_is_handed_over_when_that_one_goes() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() })))
        .await;
    scene
        .apply(wants_deletion(connection("first", "support", &sms(NUMBER, "twilio"))))
        .await;
    scene.ready::<ChannelConnection>("first").await;
    scene.apply(connection("second", "support", &sms(NUMBER, "twilio"))).await;
    let second: ChannelConnection = scene
        .trouble("second", Reason::AlreadyClaimed, "held by another resource")
        .await;
    assert_not_ready(&second, Reason::AlreadyClaimed);
    assert_eq!(scene.meanwhile().await, []);

    scene.delete::<ChannelConnection>("first").await;
    scene.ready::<ChannelConnection>("second").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene
        .assert_told_once::<ChannelConnection>("second", Reason::AlreadyClaimed)
        .await;
    scene.finish().await;
}

async fn foreign_secret(scene: &Scene, name: &str) -> Secret {
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "theirs": "untouched" },
    }))
    .unwrap();
    scene.secrets().create(&PostParams::default(), &secret).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_under_the_name_of_the_outputs_is_left_alone() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let theirs = foreign_secret(&scene, "web-connection").await;
    scene.apply(connection("web", "support", &web())).await;
    let web: ChannelConnection = scene.trouble("web", Reason::OutputConflict, "spec.outputs.secret.name").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    assert_eq!(scene.meanwhile().await, []);
    assert_eq!(scene.secrets().get("web-connection").await.unwrap(), theirs);

    let renamed = json!({ "spec": { "outputs": { "secret": { "name": "web-widget" } } } });
    scene.patch::<ChannelConnection>("web", renamed).await;
    let ready: ChannelConnection = scene.ready("web").await;
    assert_eq!(id(&ready), id(&web), "the connection is the same");
    assert_eq!(scene.outputs("web").await["connectionId"], id(&web));
    assert_eq!(scene.secrets().get("web-connection").await.unwrap(), theirs);
    scene
        .assert_told_once::<ChannelConnection>("web", Reason::OutputConflict)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_published_once_the_foreign_secret_is_gone() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    foreign_secret(&scene, "web-connection").await;
    scene.apply(connection("web", "support", &web())).await;
    scene
        .trouble::<ChannelConnection>("web", Reason::OutputConflict, "Delete it")
        .await;
    scene
        .secrets()
        .delete("web-connection", &DeleteParams::default())
        .await
        .unwrap();
    // Nobody watches Secrets of others: without the word it would be found at the next re-check.
    scene.annotate::<ChannelConnection>("web", annotation::RETRY, "deleted").await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    scene
        .assert_told_once::<ChannelConnection>("web", Reason::OutputConflict)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_manager_does_not_offer_waits_until_it_does() {
    let scene = Scene::new().await;
    let without = |config: &mut messaging_manager::config::Config| {
        config.channels.insert(ChannelType::Sms, ChannelSupport::Unsupported);
    };
    let address = format!("127.0.0.1:{}", sandbox::free_port().unwrap());
    let url = format!("http://{address}");
    let manager = scene.start_manager(&address, without).await;
    let new = messaging_manager::credentials::NewCredential::new(digital_messaging_contract::account::AuthenticationMethod::Jwt);
    let issued = manager.manager().credentials().create(new).await.unwrap();
    scene.secret_value(issued.manager_key.expose());
    let keys = json!({ "managerId": issued.manager_id, "managerKey": issued.manager_key.expose() });
    scene.apply(labelled_secret("acme", &keys)).await;
    scene
        .apply(crate::scene::manager_credential("acme", &url, issued.method))
        .await;
    scene.apply(interface("support", "acme")).await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene
        .apply(labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() })))
        .await;
    scene.apply(connection("text", "support", &sms(NUMBER, "twilio"))).await;
    let text: ChannelConnection = scene
        .trouble("text", Reason::ChannelUnsupported, "does not offer this channel")
        .await;
    assert_not_ready(&text, Reason::ChannelUnsupported);
    assert_eq!(scene.meanwhile().await, []);

    manager.stop().await.unwrap();
    let _manager = scene.start_manager(&address, |_| {}).await;
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "it is offered now")
        .await;
    scene.ready::<ChannelConnection>("text").await;
    scene
        .assert_told_once::<ChannelConnection>("text", Reason::ChannelUnsupported)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_that_switch_to_each_other_come_about_in_one_apply() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let switching = |to: &str| {
        let mut channel = web();
        channel["webMessaging"]["switching"] = json!({ "placement": "Menu", "connections": [{ "name": to }] });
        channel
    };
    let mark = scene.journal.len();
    scene
        .apply_all([
            connection("sales", "support", &switching("service")),
            connection("service", "support", &switching("sales")),
        ])
        .await;
    let (sales, service): (ChannelConnection, ChannelConnection) = (scene.ready("sales").await, scene.ready("service").await);
    scene.outputs("sales").await;
    scene.outputs("service").await;
    assert_eq!(scene.meanwhile().await, []);
    let calls = scene.manager_calls(mark);
    let count = |method: &str| calls.iter().filter(|call| call.method.as_str() == method).count();
    assert_eq!(count("POST"), 2);
    assert!(
        (1..=2).contains(&count("PATCH")),
        "one of them, or both, came about without the other: {calls:#?}"
    );
    let targets = |of: &ChannelConnection, all: &[digital_messaging_contract::connection::Connection]| {
        let found = all.iter().find(|it| it.id == id(of)).unwrap();
        match &found.channel {
            Channel::WebMessaging(it) => it.switching.clone().unwrap().connection_ids,
            other => panic!("{other:?}"),
        }
    };
    let held = account.connections().await.unwrap();
    assert_eq!(targets(&sales, &held), [id(&service)]);
    assert_eq!(targets(&service, &held), [id(&sales)]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_switching_that_does_not_exist_yet_holds_nothing_up() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let mut channel = web();
    channel["webMessaging"]["switching"] = json!({ "connections": [{ "name": "service" }] });
    scene.apply(connection("sales", "support", &channel)).await;
    let sales: ChannelConnection = scene.trouble("sales", Reason::SwitchTargetPending, "service").await;
    assert_serves(&sales);
    scene.outputs("sales").await;
    assert_eq!(scene.meanwhile().await, []);

    ready_web(&scene, "service").await;
    scene.ready::<ChannelConnection>("sales").await;
    scene
        .assert_told_once::<ChannelConnection>("sales", Reason::SwitchTargetPending)
        .await;
    scene.finish().await;
}

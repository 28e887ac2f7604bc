// SPDX-License-Identifier: Apache-2.0

//! What it costs to bring an object about, and to change it.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use rstest::rstest;
use serde_json::{Value, json};

use super::channel_secret;
use crate::scene::{Scene, client_channel, connection, interface, manager_credential, manager_secret, sms, web};

#[rstest]
#[case::web_messaging(web())]
#[case::client_channel(client_channel())]
#[case::with_secrets(sms("+14155550100", "channels"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_costs_its_output_secret_one_status_and_one_post(#[case] channel: Value) {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.apply(connection("new", "support", &channel)).await;
    scene.ready::<ChannelConnection>("new").await;
    scene.time_passes(3).await;

    let found = scene.writes_to(&["new", "new-connection"], writes);
    // A create names its object in the body, so the path does not tell.
    let created = scene
        .operator_writes(writes)
        .iter()
        .filter(|write| write.verb == "create")
        .map(super::written)
        .collect::<Vec<_>>();
    assert_eq!(created.len(), 1, "{created:?}");
    assert!(created[0].starts_with("create secrets"), "{created:?}");
    let others: Vec<_> = found.iter().filter(|write| !created.contains(write)).collect();
    assert_eq!(others, ["update channelconnections/status new"]);
    // Its generated secret came with the answer, so nothing was read either.
    let asked: Vec<_> = scene
        .manager_calls(calls)
        .into_iter()
        .filter(|call| !call.is_change_feed())
        .map(|call| format!("{} {}", call.method, call.path))
        .collect();
    assert_eq!(asked, ["POST /v1/connections"]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_costs_its_proven_key_and_one_status_and_an_interface_one_status_and_one_post() {
    let scene = Scene::new().await;
    scene.wait_until_leading().await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());

    scene.apply(manager_secret("acme", &credential)).await;
    scene
        .apply(manager_credential("acme", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.time_passes(3).await;
    let all: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    assert_eq!(all, ["create secrets acme-proven", "update managercredentials/status acme"]);
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    let writes = scene.audit_mark();
    scene.apply(interface("support", "acme")).await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.time_passes(3).await;
    let all: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    assert_eq!(all, ["update digitalmessaginginterfaces/status support"]);
    assert_eq!(scene.manager_writes(calls), ["POST /v1/interfaces"]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_field_of_a_connection_is_one_patch_and_the_id_stays() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply(connection(
            "web",
            "support",
            &json!({ "webMessaging": { "primaryColor": "#0b5cad", "logoUrl": "https://acme.example/logo.svg" } }),
        ))
        .await;
    scene
        .apply(connection("sms", "support", &sms("+14155550100", "channels")))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.ready::<ChannelConnection>("sms").await;
    let (id, outputs) = (scene.connection_id("web").await, scene.outputs("web").await);

    scene.counted(2).await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene
        .patch::<ChannelConnection>(
            "web",
            json!({ "spec": { "channel": { "webMessaging": { "primaryColor": "#ff0000" } } } }),
        )
        .await;
    scene
        .patch::<ChannelConnection>("sms", json!({ "spec": { "displayName": "Texts" } }))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.ready::<ChannelConnection>("sms").await;
    scene.time_passes(3).await;

    let sms_id = scene.connection_id("sms").await;
    let mut patches = scene.manager_writes(calls);
    patches.sort();
    let mut expected = [
        format!("PATCH /v1/connections/{id}"),
        format!("PATCH /v1/connections/{sms_id}"),
    ];
    expected.sort();
    assert_eq!(patches, expected);
    let mut found: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    found.sort();
    assert_eq!(
        found,
        ["update channelconnections/status sms", "update channelconnections/status web"]
    );

    assert_eq!(scene.connection_id("web").await, id);
    assert_eq!(scene.outputs("web").await, outputs);
    let held = account.connections().await.unwrap();
    let web = serde_json::to_value(held.iter().find(|it| it.id == id).unwrap()).unwrap();
    assert_eq!(web["channel"]["primaryColor"], "#ff0000");
    assert_eq!(web["channel"]["logoUrl"], "https://acme.example/logo.svg");
    assert_eq!(held.iter().find(|it| it.id == sms_id).unwrap().display_name, "Texts");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_field_returns_to_the_managers_default_with_one_patch() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let everything = json!({ "webMessaging": {
        "primaryColor": "#ff0000",
        "logoUrl": "https://acme.example/logo.svg",
        "allowedDomains": ["acme.example"],
        "sessionInitialization": "Controlled",
    } });
    scene.apply(connection("web", "support", &everything)).await;
    scene.ready::<ChannelConnection>("web").await;
    let id = scene.connection_id("web").await;

    let calls = scene.journal.len();
    scene
        .apply(connection(
            "web",
            "support",
            &json!({ "webMessaging": { "allowedDomains": ["acme.example"] } }),
        ))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.time_passes(3).await;
    assert_eq!(scene.manager_writes(calls), [format!("PATCH /v1/connections/{id}")]);
    let held = serde_json::to_value(&account.connections().await.unwrap()[0]).unwrap();
    assert_eq!(held["channel"]["primaryColor"], "#0b5cad");
    assert_eq!(held["channel"]["logoUrl"], Value::Null);
    assert_eq!(held["channel"]["sessionInitialization"], "automatic");
    assert_eq!(held["channel"]["allowedDomains"], json!(["acme.example"]));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interfaces_fields_change_and_return_to_their_defaults_with_one_patch_each() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    let mut support = interface("support", "acme");
    support["spec"]["description"] = "All channels".into();
    support["spec"]["bot"] =
        json!({ "languages": ["en", "de"], "systemResponses": { "welcome": "Hello" }, "escalation": { "afterNoMatches": 5 } });
    scene.apply(support).await;
    let id = scene
        .ready::<DigitalMessagingInterface>("support")
        .await
        .status
        .unwrap()
        .id
        .unwrap();

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene
        .patch::<DigitalMessagingInterface>(
            "support",
            json!({ "spec": { "bot": { "systemResponses": { "welcome": "Welcome" } } } }),
        )
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.time_passes(3).await;
    let patch = format!("PATCH /v1/interfaces/{id}");
    assert_eq!(scene.manager_writes(calls), std::slice::from_ref(&patch));
    assert_eq!(
        scene.operator_writes(writes).iter().map(super::written).collect::<Vec<_>>(),
        ["update digitalmessaginginterfaces/status support"]
    );
    let held = account.interfaces().await.unwrap().remove(0);
    assert_eq!(held.spec.bot.system_responses.welcome.as_deref(), Some("Welcome"));
    assert_eq!(held.spec.bot.languages, ["en", "de"]);

    let calls = scene.journal.len();
    scene
        .patch::<DigitalMessagingInterface>("support", json!({ "spec": { "description": null, "bot": null } }))
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.time_passes(3).await;
    assert_eq!(scene.manager_writes(calls), [patch]);
    let held = account.interfaces().await.unwrap().remove(0);
    assert_eq!(held.id, id);
    assert_eq!(held.spec.description, None);
    assert_eq!(held.spec.bot, digital_messaging_contract::interface::Bot::default());
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! Who holds an object at the manager keeps it until it lets go; who cannot authenticate claims nothing.

use digital_messaging_contract::account::AuthenticationMethod;
use std::time::Duration;

use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    desired::pump::Scope,
};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use messaging_manager::faults::{Fault, Rule};
use rstest::rstest;
use sandbox::{Credential, ManagerAccount, Manifests};
use serde_json::{Value, json};

use super::with;
use crate::{
    lifecycle::channel_secret,
    scene::{DEADLINE, Scene, connection, interface, labelled_secret, manager_credential, manager_secret, sms, web},
};

const NUMBER: &str = "+14155550100";

/// Two operators of different installations, each in a namespace of its own, on one account of the first one's manager.
struct Two {
    first: Scene,
    second: Scene,
    account: ManagerAccount,
}

impl Two {
    async fn new() -> Self {
        let (first, second) = (Scene::new().await, Scene::new().await);
        let account = first.ready_interface().await;
        second.secret_value(account.credential().manager_key.expose());
        second
            .apply_all([
                manager_secret("acme", account.credential()),
                manager_credential("acme", first.manager_url(), AuthenticationMethod::Jwt),
                interface("support", "acme"),
            ])
            .await;
        second.ready::<ManagerCredential>("acme").await;
        for scene in [&first, &second] {
            scene.apply(channel_secret(scene, "channels")).await;
        }
        Self { first, second, account }
    }

    /// The first installation holds a number.
    async fn hold(&self, policy: Value) -> String {
        let holder = with(connection("holder", "support", &sms(NUMBER, "channels")), "policy", policy);
        self.first.apply(holder).await;
        self.first.ready::<ChannelConnection>("holder").await;
        self.first.connection_id("holder").await
    }

    /// The second installation declares the same number, assigned to the interface that the first one holds, too.
    async fn heir(&self, mode: &str) -> Value {
        let support = self
            .first
            .interfaces()
            .get("support")
            .await
            .unwrap()
            .status
            .unwrap()
            .id
            .unwrap();
        let observing = with(
            interface("shared", "acme"),
            "adoption",
            json!({ "by": "ID", "id": support, "mode": "Match" }),
        );
        self.second
            .apply(with(observing, "policy", json!({ "management": "Observe" })))
            .await;
        self.second.ready::<DigitalMessagingInterface>("shared").await;
        let heir = with(
            connection("heir", "shared", &sms(NUMBER, "channels")),
            "displayName",
            "holder".into(),
        );
        with(heir, "adoption", json!({ "by": "NaturalKey", "mode": mode }))
    }

    async fn refused(&self) -> String {
        let (_, refused) = self
            .second
            .condition::<ChannelConnection>("heir", "Synced", "False", "AlreadyClaimed")
            .await;
        refused.message
    }

    async fn finish(self) {
        self.second.finish().await;
        self.first.finish().await;
    }
}

#[rstest]
#[case::by_match("Match")]
#[case::by_override("Override")]
#[tokio::test(flavor = "multi_thread")]
async fn another_installation_takes_over_by_itself_once_the_holder_is_deleted(#[case] mode: &str) {
    let two = Two::new().await;
    let id = two.hold(json!({})).await;
    let heir = two.heir(mode).await;
    let calls = two.first.journal.len();
    two.second.apply(heir).await;
    let message = two.refused().await;
    assert!(message.contains(&id) && message.contains("take-over"), "{message}");
    two.second.meanwhile().await;
    assert_eq!(two.first.operator_manager_writes(calls), Vec::<String>::new());
    two.first.ready::<ChannelConnection>("holder").await;

    two.first.delete::<ChannelConnection>("holder").await;
    two.second.ready::<ChannelConnection>("heir").await;
    assert_eq!(two.second.connection_id("heir").await, id);
    let patch = format!("PATCH /v1/connections/{id}");
    assert_eq!(
        two.first.operator_manager_writes(calls),
        [patch.clone(), patch],
        "one lets go, one takes"
    );
    assert_eq!(two.account.connections().await.unwrap().len(), 1);
    two.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_go_and_nobody_took_is_found_again() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    let yaml = connection("sms", "support", &sms(NUMBER, "channels"));
    scene.apply(yaml.clone()).await;
    scene.ready::<ChannelConnection>("sms").await;
    let (id, outputs) = (scene.connection_id("sms").await, scene.outputs("sms").await);
    let reference = account.connections().await.unwrap().remove(0).external_reference;
    scene.delete::<ChannelConnection>("sms").await;
    scene
        .eventually("nobody claims it", async || {
            let held = account.connections().await.map_err(|error| error.to_string())?.remove(0);
            assert_eq!(held.external_reference, reference);
            held.claimant.map_or(Ok(()), Err)
        })
        .await;

    scene.apply(yaml).await;
    let again: ChannelConnection = scene.ready("sms").await;
    assert_eq!(again.status.unwrap().id, Some(id));
    assert_eq!(scene.outputs("sms").await, outputs);
    assert_eq!(account.connections().await.unwrap()[0].claimant, again.metadata.uid);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_installation_that_is_gone_it_is_taken_over_on_demand_and_never_taken_back() {
    let mut two = Two::new().await;
    let id = two.hold(json!({})).await;
    // Both would have it, for ever: the first one's file names it, too.
    let adoption = json!({ "spec": { "adoption": { "by": "NaturalKey", "mode": "Override" } } });
    two.first.patch::<ChannelConnection>("holder", adoption).await;
    two.first.ready::<ChannelConnection>("holder").await;
    two.first.stop_operator().await;
    let heir = two.heir("Override").await;
    two.second.apply(heir).await;
    two.refused().await;

    let take_over = "digitalmessaging.io/take-over";
    two.second.annotate::<ChannelConnection>("heir", take_over, "another").await;
    two.second.meanwhile().await;
    two.refused().await;
    two.second.annotate::<ChannelConnection>("heir", take_over, &id).await;
    two.second.ready::<ChannelConnection>("heir").await;

    two.first.start_operator().await;
    two.first
        .condition::<ChannelConnection>("holder", "Synced", "False", "ClaimLost")
        .await;
    let calls = two.first.journal.len();
    two.first.annotate::<ChannelConnection>("holder", take_over, &id).await;
    two.first.meanwhile().await;
    assert_eq!(two.first.operator_manager_writes(calls), Vec::<String>::new());
    two.second.ready::<ChannelConnection>("heir").await;
    two.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_squatter_that_cannot_authenticate_never_blocks_who_can() {
    let scene = Scene::new().await;
    let genuine = scene.provision(AuthenticationMethod::Jwt).await;
    let garbage = labelled_secret(
        "squatter",
        &json!({ "managerId": genuine.manager_id, "managerKey": scene.new_secret_value() }),
    );
    scene
        .apply_all([
            garbage,
            manager_credential("squatter", scene.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
    scene
        .condition::<ManagerCredential>("squatter", "Synced", "False", "InvalidCredentials")
        .await;

    scene.apply_credential(&genuine, AuthenticationMethod::Jwt).await;
    scene.apply(interface("support", "acme")).await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene
        .condition::<ManagerCredential>("squatter", "Synced", "False", "InvalidCredentials")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_credential_of_an_account_waits_and_takes_over_when_the_first_goes() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let Credential { method, .. } = account.credential().clone();
    let secret = manager_secret("second", account.credential());
    scene
        .apply_all([secret, manager_credential("second", scene.manager_url(), method)])
        .await;
    let (_, refused) = scene
        .condition::<ManagerCredential>("second", "Synced", "False", "ManagerIDInUse")
        .await;
    // The other one may be nobody's business here.
    assert!(!refused.message.contains("acme"), "{refused}");
    scene.ready::<ManagerCredential>("acme").await;
    scene.delete::<ManagerCredential>("acme").await;
    scene.ready::<ManagerCredential>("second").await;
    scene.finish().await;
}

/// The credential `acme` holds an account, and `second` waits for it.
async fn held_and_waited_for(scene: &Scene) -> ManagerAccount {
    let acme = scene.ready_credential().await;
    scene
        .apply_all([
            manager_secret("second", acme.credential()),
            manager_credential("second", scene.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
    scene
        .condition::<ManagerCredential>("second", "Synced", "False", "ManagerIDInUse")
        .await;
    acme
}

/// The one that holds the account is slower than the other: its new key does not work, and the proven one is tried after it.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_an_account_has_it_after_a_restart_too_even_if_another_is_faster() {
    let mut scene = Scene::new().await;
    let acme = held_and_waited_for(&scene).await;
    scene.stop_operator().await;
    let rubbish = json!({ "managerId": acme.credential().manager_id, "managerKey": scene.new_secret_value() });
    scene.apply(labelled_secret("acme", &rubbish)).await;
    scene
        .faults
        .push(Rule::new(Fault::Latency(Duration::from_millis(300))).path("/v1/manager"));
    scene.start_operator().await;
    scene
        .condition::<ManagerCredential>("acme", "Authenticated", "True", "Authenticated")
        .await;
    scene.meanwhile().await;
    scene
        .condition::<ManagerCredential>("second", "Synced", "False", "ManagerIDInUse")
        .await;
    scene.condition::<ManagerCredential>("acme", "Ready", "True", "Ready").await;

    scene.delete::<ManagerCredential>("acme").await;
    scene.ready::<ManagerCredential>("second").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_held_an_account_and_cannot_open_it_any_more_keeps_nobody_from_it() {
    let mut scene = Scene::new().await;
    let acme = held_and_waited_for(&scene).await;
    scene.stop_operator().await;
    let rubbish = json!({ "managerId": acme.credential().manager_id, "managerKey": scene.new_secret_value() });
    scene.apply(labelled_secret("acme", &rubbish)).await;
    scene.secrets().delete("acme-proven", &DeleteParams::default()).await.unwrap();
    scene.start_operator().await;
    scene.ready::<ManagerCredential>("second").await;
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "InvalidCredentials")
        .await;

    // It does not get it back either, not even by a restart.
    scene.apply(manager_secret("acme", acme.credential())).await;
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "ManagerIDInUse")
        .await;
    scene.restart_operator().await;
    scene.wait_until_leading().await;
    scene.meanwhile().await;
    scene.ready::<ManagerCredential>("second").await;
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "ManagerIDInUse")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_an_account_and_meets_an_outage_after_a_restart_is_waited_for() {
    let mut scene = Scene::new().await;
    held_and_waited_for(&scene).await;
    scene.stop_operator().await;
    // It has but the key that was proven last.
    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    let calls = scene.journal.len();
    scene.faults.push(Rule::new(Fault::Status(503)));
    scene.start_operator().await;
    scene
        .journal
        .wait_until(DEADLINE, |entries| entries.len() >= calls + 4)
        .await
        .expect("both have tried");
    scene.faults.clear();
    scene.condition::<ManagerCredential>("acme", "Ready", "True", "Ready").await;
    scene
        .condition::<ManagerCredential>("second", "Synced", "False", "ManagerIDInUse")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_handed_over_between_installations_like_a_connection() {
    let two = Two::new().await;
    let id = two.account.interfaces().await.unwrap();
    let ending = format!("/{}/support", two.first.namespace);
    let is_first = |reference: &Option<String>| reference.as_ref().is_some_and(|it| it.ends_with(&ending));
    let id = id.into_iter().find(|it| is_first(&it.spec.external_reference)).unwrap().id;
    let heir = with(
        interface("heir", "acme"),
        "adoption",
        json!({ "by": "ID", "id": id, "mode": "Override" }),
    );
    two.second.apply(heir).await;
    let (_, refused) = two
        .second
        .condition::<DigitalMessagingInterface>("heir", "Synced", "False", "AlreadyClaimed")
        .await;
    assert!(refused.message.contains("take-over"), "{refused}");
    two.first.delete::<DigitalMessagingInterface>("support").await;
    let heir: DigitalMessagingInterface = two.second.ready("heir").await;
    assert_eq!(heir.status.unwrap().id, Some(id));
    two.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_resource_in_a_namespace_holds_that_is_not_watched_any_more_is_not_free() {
    let control_plane = sandbox::shared().await;
    let elsewhere = control_plane.create_namespace("test").await.unwrap();
    let both = elsewhere.clone();
    let mut scene = Scene::with(
        |_| {},
        |operator| {
            if let Scope::Namespaces(names) = &mut operator.scope {
                names.insert(both);
            }
        },
    )
    .await;
    let account = scene.ready_interface().await;
    let interface = account.interfaces().await.unwrap().remove(0);
    let reference = interface
        .spec
        .external_reference
        .unwrap()
        .replace("DigitalMessagingInterface", "ChannelConnection");
    let reference = reference.replace(&format!("{}/support", scene.namespace), &format!("{elsewhere}/holder"));
    let held = json!({
        "interfaceId": interface.id, "externalReference": reference, "claimant": "its-uid", "displayName": "heir",
        "channel": { "type": "webMessaging" },
    });
    let held = account
        .create_connection(&serde_json::from_value(held).unwrap())
        .await
        .unwrap();
    let id = held.connection.id;
    // It is there, though it waits for an interface of its own.
    Manifests::parse(&connection("holder", "support", &web()).to_string())
        .unwrap()
        .in_namespace(&elsewhere)
        .apply(&scene.client)
        .await
        .unwrap();
    let heir = with(
        connection("heir", "support", &web()),
        "adoption",
        json!({ "by": "ID", "id": id, "mode": "Override" }),
    );
    scene.apply(heir).await;
    let refused = async |scene: &Scene| {
        scene
            .condition::<ChannelConnection>("heir", "Synced", "False", "AlreadyClaimed")
            .await;
    };
    refused(&scene).await;

    scene.stop_operator().await;
    scene.settings.scope = Scope::Namespaces([scene.namespace.clone()].into());
    scene.start_operator().await;
    scene.meanwhile().await;
    refused(&scene).await;
    scene
        .annotate::<ChannelConnection>("heir", "digitalmessaging.io/take-over", &id)
        .await;
    scene.ready::<ChannelConnection>("heir").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_another_installation_uses_as_well_is_told() {
    let two = Two::new().await;
    let events: Api<Event> = Api::namespaced(two.second.client.clone(), &two.second.namespace);
    two.second
        .eventually("an event about the credential", async || {
            let told = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let is_it = |event: &&Event| event.reason.as_deref() == Some("AccountShared");
            let reasons: Vec<_> = told.items.iter().map(|event| event.reason.clone()).collect();
            told.items.iter().find(is_it).map(drop).ok_or(format!("{reasons:?}"))
        })
        .await;
    two.second.ready::<ManagerCredential>("acme").await;
    two.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! `deletion: Delete`: what is deleted in Kubernetes goes at the manager, and whoever is needed for that stays as long.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation};
use kube::api::DeleteParams;
use messaging_manager::faults::{Fault, Rule};
use sandbox::Credential;
use serde_json::json;

use super::permutations;
use crate::scene::{Scene, connection, interface, manager_credential, manager_secret, web, with_deletion};

#[tokio::test(flavor = "multi_thread")]
async fn delete_takes_connection_outputs_and_interface_away() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    scene.apply(with_deletion(interface("support", "acme"), "Delete")).await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.all_ready("acme", "support", "web").await;
    assert!(scene.is_protected::<ChannelConnection>("web").await);
    assert!(scene.is_protected::<DigitalMessagingInterface>("support").await);
    assert!(scene.is_protected::<ManagerCredential>("acme").await);

    scene.delete::<ChannelConnection>("web").await;
    assert!(account.connections().await.unwrap().is_empty());
    assert!(scene.secret("web-connection").await.is_none());
    assert_eq!(account.interfaces().await.unwrap().len(), 1);

    scene.delete::<DigitalMessagingInterface>("support").await;
    assert!(account.interfaces().await.unwrap().is_empty());
    // Nothing needs the credential any more.
    scene.delete::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_wait_for_what_must_be_cleaned_up_and_say_for_which() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("kept", "support", &web()), "Delete"))
        .await;
    scene.apply(connection("loose", "support", &web())).await;
    scene.ready::<ChannelConnection>("kept").await;
    scene.ready::<ChannelConnection>("loose").await;
    let loose = scene.connection_id("loose").await;

    scene.ask_to_delete::<ManagerCredential>("acme").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    let (_, waits) = scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "DependantsRemain")
        .await;
    assert!(waits.message.contains("kept") && !waits.message.contains("loose"), "{waits}");
    let (_, waits) = scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "DependantsRemain")
        .await;
    assert!(waits.message.contains("support"), "{waits}");
    // Nobody else is bothered.
    scene.ready::<ChannelConnection>("kept").await;
    scene.ready::<ChannelConnection>("loose").await;

    scene.delete::<ChannelConnection>("kept").await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    let held: Vec<_> = account.connections().await.unwrap().into_iter().map(|it| it.id).collect();
    assert_eq!(held, [loose]);
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_never_carry_a_finalizer_and_go_at_once_in_any_order() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    assert!(!scene.is_protected::<ChannelConnection>("web").await);
    assert!(!scene.is_protected::<DigitalMessagingInterface>("support").await);
    assert!(!scene.is_protected::<ManagerCredential>("acme").await);

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.delete::<ManagerCredential>("acme").await;
    scene.delete::<DigitalMessagingInterface>("support").await;
    scene.delete::<ChannelConnection>("web").await;
    scene.time_passes(3).await;
    assert!(scene.secret("web-connection").await.is_some());
    // Who went while the account was still open has let go, and no more than that.
    let writes_there = scene.manager_writes(calls);
    assert!(
        writes_there.iter().all(|write| write.starts_with("PATCH")),
        "{writes_there:?}"
    );
    let writes: Vec<_> = scene.operator_writes(writes).iter().map(super::written).collect();
    assert!(
        writes
            .iter()
            .all(|write| !write.starts_with("patch") && !write.contains("secrets")),
        "{writes:?}"
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
async fn a_policy_that_turns_to_orphan_takes_the_finalizers_off() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let protected = async || {
        [
            scene.is_protected::<ChannelConnection>("web").await,
            scene.is_protected::<DigitalMessagingInterface>("support").await,
            scene.is_protected::<ManagerCredential>("acme").await,
        ]
    };
    let become_protected = async |wanted: bool| {
        scene
            .eventually("all or none are protected", async || {
                let found = protected().await;
                if found == [wanted; 3] {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await;
    };
    become_protected(true).await;

    let calls = scene.journal.len();
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": { "deletion": "Orphan" } } }))
        .await;
    become_protected(false).await;
    // By default, for all that say nothing themselves.
    scene
        .patch::<ChannelConnection>("web", json!({ "spec": { "policy": null } }))
        .await;
    scene
        .patch::<ManagerCredential>(
            "acme",
            json!({ "spec": { "defaults": { "policy": { "deletion": "Delete" } } } }),
        )
        .await;
    become_protected(true).await;
    scene
        .patch::<ManagerCredential>("acme", json!({ "spec": { "defaults": null } }))
        .await;
    become_protected(false).await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    scene.delete::<ChannelConnection>("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_deleted_at_once_in_any_order_leaves_nothing() {
    let scene = Scene::new().await;
    let orders = permutations(&[
        "Secret",
        "ManagerCredential",
        "DigitalMessagingInterface",
        "ChannelConnection",
    ]);
    let mut accounts = Vec::new();
    for number in 0..orders.len() {
        let name = format!("set-{number}");
        let credential = scene.provision(AuthenticationMethod::Jwt).await;
        let mut object = manager_credential(&name, scene.manager_url(), AuthenticationMethod::Jwt);
        object["spec"]["defaults"] = json!({ "policy": { "deletion": "Delete" } });
        scene
            .apply_all([
                manager_secret(&name, &credential),
                object,
                interface(&name, &name),
                connection(&name, &name, &web()),
            ])
            .await;
        accounts.push(scene.account(&credential));
    }
    for number in 0..orders.len() {
        let name = format!("set-{number}");
        scene.all_ready(&name, &name, &name).await;
    }
    for (number, order) in orders.iter().enumerate() {
        let name = format!("set-{number}");
        for kind in order {
            match *kind {
                "Secret" => drop(scene.secrets().delete(&name, &DeleteParams::default()).await.unwrap()),
                "ManagerCredential" => scene.ask_to_delete::<ManagerCredential>(&name).await,
                "DigitalMessagingInterface" => scene.ask_to_delete::<DigitalMessagingInterface>(&name).await,
                _ => scene.ask_to_delete::<ChannelConnection>(&name).await,
            }
        }
    }
    for (number, account) in accounts.iter().enumerate() {
        let name = format!("set-{number}");
        scene.gone::<ChannelConnection>(&name).await;
        scene.gone::<DigitalMessagingInterface>(&name).await;
        scene.gone::<ManagerCredential>(&name).await;
        assert!(scene.secret(&format!("{name}-connection")).await.is_none());
        assert!(scene.secret(&format!("{name}-proven")).await.is_none());
        assert!(account.connections().await.unwrap().is_empty());
        assert!(account.interfaces().await.unwrap().is_empty());
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_cleaned_up_is_even_if_the_secret_went_before_a_restart() {
    let mut scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    scene.ask_to_delete::<ManagerCredential>("acme").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    scene.restart_operator().await;
    scene.delete::<ChannelConnection>("web").await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    assert!(account.connections().await.unwrap().is_empty());
    assert!(scene.secret("web-connection").await.is_none());
    assert!(scene.secret("acme-proven").await.is_none());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_object_goes_while_the_manager_is_down_and_stays_there() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    scene.apply(with_deletion(interface("support", "acme"), "Delete")).await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.all_ready("acme", "support", "web").await;

    scene.faults.push(Rule::new(Fault::DropRequest));
    scene.ask_to_delete::<ChannelConnection>("web").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    scene
        .eventually("the connection says why it waits", async || {
            let object = scene.connections().get("web").await.map_err(|error| error.to_string())?;
            let synced = sandbox::Condition::of(&object, "Synced").ok_or("no condition")?;
            if synced.status == "False" {
                Ok(())
            } else {
                Err(synced.to_string())
            }
        })
        .await;

    scene.annotate::<ChannelConnection>("web", annotation::ABANDON, "true").await;
    scene.gone::<ChannelConnection>("web").await;
    scene
        .annotate::<DigitalMessagingInterface>("support", annotation::ABANDON, "true")
        .await;
    scene.gone::<DigitalMessagingInterface>("support").await;

    scene.faults.clear();
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
async fn a_deletion_that_the_outage_held_up_is_done_when_the_manager_is_back() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;

    scene.faults.push(Rule::new(Fault::Status(503)));
    scene.ask_to_delete::<ChannelConnection>("web").await;
    scene
        .eventually("the connection says why it waits", async || {
            let object = scene.connections().get("web").await.map_err(|error| error.to_string())?;
            let synced = sandbox::Condition::of(&object, "Synced").ok_or("no condition")?;
            if synced.status == "False" {
                Ok(())
            } else {
                Err(synced.to_string())
            }
        })
        .await;
    scene.faults.clear();
    scene.gone::<ChannelConnection>("web").await;
    assert!(account.connections().await.unwrap().is_empty());
    assert!(scene.secret("web-connection").await.is_none());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_with_foreign_connections_stays_until_they_are_gone() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    scene.apply(with_deletion(interface("support", "acme"), "Delete")).await;
    scene.apply(connection("web", "support", &web())).await;
    scene.all_ready("acme", "support", "web").await;
    let id = scene.connection_id("web").await;

    scene.delete::<ChannelConnection>("web").await;
    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "InterfaceNotEmpty")
        .await;
    account.delete_connection(&id).await.unwrap();
    scene.gone::<DigitalMessagingInterface>("support").await;
    assert!(account.interfaces().await.unwrap().is_empty());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_another_account_than_the_one_that_is_open_is_not_taken_for_deleted() {
    let scene = Scene::new().await;
    let first = scene.ready_interface().await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Delete"))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    let other = scene.provision(AuthenticationMethod::Jwt).await;
    scene.force_another_credential(&other).await;
    scene.ask_to_delete::<ChannelConnection>("web").await;
    let (_, said) = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AccountChanged")
        .await;
    assert!(said.message.contains("digitalmessaging.io/abandon=true"), "{said}");
    assert_eq!(first.connections().await.unwrap().len(), 1);

    scene.force_another_credential(first.credential()).await;
    scene.gone::<ChannelConnection>("web").await;
    assert!(first.connections().await.unwrap().is_empty());
    scene.finish().await;
}

impl Scene {
    /// Takes the credential `acme` away by force, and puts one with another key in its place.
    async fn force_another_credential(&self, credential: &Credential) {
        self.ask_to_delete::<ManagerCredential>("acme").await;
        self.patch::<ManagerCredential>("acme", json!({ "metadata": { "finalizers": null } }))
            .await;
        self.gone::<ManagerCredential>("acme").await;
        self.apply_credential(credential, AuthenticationMethod::Jwt).await;
        self.condition::<ManagerCredential>("acme", "Authenticated", "True", "Authenticated")
            .await;
    }
}

// SPDX-License-Identifier: Apache-2.0

//! A status is a memory, not a proof: whatever someone writes into it, only what carries our mark is touched.

use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use messaging_manager::journal::Entry;
use serde_json::{Value, json};

use super::intruder::{Intruder, Rights, suspended};
use crate::scene::{Scene, connection, interface, labelled_secret, sms, web};

const FORGER: Rights = Rights {
    status: true,
    secrets: false,
};

/// A status that claims to hold this remote object, and to have made all of it.
fn claim(scene_status: &Value, id: &str) -> Value {
    json!({
        "id": id,
        "account": scene_status["account"],
        "type": "WebMessaging",
        "lastApplied": { "hash": "0".repeat(32), "fields": ["/displayName", "/externalReference", "/interfaceId", "/claimant", "/channel", ""] },
        "outputs": { "secretName": "web-connection", "contentHash": "forged" },
        "lastApprovedPlan": "forged",
    })
}

fn writes(calls: &[Entry]) -> Vec<&Entry> {
    calls.iter().filter(|call| call.is_write()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_id_gives_no_hold_on_what_another_connection_holds() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    let victim: ChannelConnection = scene.ready("web").await;
    let before = (scene.outputs("web").await, account.connections().await.unwrap());
    let status = serde_json::to_value(victim.status.unwrap()).unwrap();
    let id = status["id"].as_str().unwrap().to_owned();

    let forger = Intruder::new(&scene, FORGER).await;
    let mark = scene.journal.len();
    let mut mine = suspended(connection("mine", "support", &web()));
    mine["spec"]["policy"] = json!({ "deletion": "Delete" });
    mine["spec"]["displayName"] = json!("Taken over");
    mine["spec"]["outputs"] = json!({ "secret": { "name": "mine" } });
    forger.create(mine).await.unwrap();
    forger.forge::<ChannelConnection>("mine", claim(&status, &id)).await;
    forger
        .patch::<ChannelConnection>("mine", json!({ "spec": { "suspend": false } }))
        .await;
    scene.trouble::<ChannelConnection>("mine", Reason::ClaimLost, &id).await;

    // Deleting it deletes nothing there, neither at once nor with a finalizer of its own making.
    let finalizer = json!({ "metadata": { "finalizers": ["digitalmessaging.io/cleanup"] } });
    forger.patch::<ChannelConnection>("mine", finalizer).await;
    forger.delete::<ChannelConnection>("mine").await;
    scene.gone::<ChannelConnection>("mine").await;

    assert_eq!(writes(&scene.manager_calls(mark)), Vec::<&Entry>::new());
    assert_eq!((scene.outputs("web").await, account.connections().await.unwrap()), before);
    assert!(scene.secrets().get_opt("mine").await.unwrap().is_none());
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_id_of_an_interface_gets_no_connection_assigned_to_that_of_another() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let victim: DigitalMessagingInterface = scene.ready("support").await;
    let status = victim.status.unwrap();

    let forger = Intruder::new(&scene, FORGER).await;
    let mark = scene.journal.len();
    forger.create(suspended(interface("mine", "acme"))).await.unwrap();
    let memory = json!({ "id": status.id, "account": status.account });
    forger.forge::<DigitalMessagingInterface>("mine", memory).await;
    forger.create(connection("stowaway", "mine", &web())).await.unwrap();
    scene
        .trouble::<ChannelConnection>("stowaway", Reason::InterfaceNotReady, "mine")
        .await;
    assert_eq!(writes(&scene.manager_calls(mark)), Vec::<&Entry>::new());
    assert_eq!(account.connections().await.unwrap(), []);

    // Nor does its deletion delete anything.
    forger
        .patch::<DigitalMessagingInterface>(
            "mine",
            json!({ "metadata": { "finalizers": ["digitalmessaging.io/cleanup"] }, "spec": { "policy": { "deletion": "Delete" } } }),
        )
        .await;
    forger.delete::<ChannelConnection>("stowaway").await;
    forger.delete::<DigitalMessagingInterface>("mine").await;
    scene.gone::<DigitalMessagingInterface>("mine").await;
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    assert_eq!(writes(&scene.manager_calls(mark)), Vec::<&Entry>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_id_of_a_switch_target_sends_no_customer_elsewhere() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene
        .apply(labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() })))
        .await;
    scene
        .apply(connection("text", "support", &sms("+15550100001", "twilio")))
        .await;
    let victim: ChannelConnection = scene.ready("text").await;
    let status = victim.status.unwrap();

    let forger = Intruder::new(&scene, FORGER).await;
    forger
        .create(suspended(connection("decoy", "support", &web())))
        .await
        .unwrap();
    forger
        .forge::<ChannelConnection>(
            "decoy",
            json!({ "id": status.id, "account": status.account, "type": "WebMessaging" }),
        )
        .await;
    let switching = json!({ "webMessaging": { "switching": { "connections": [{ "name": "decoy" }] } } });
    scene.apply(connection("web", "support", &switching)).await;
    scene
        .trouble::<ChannelConnection>("web", Reason::SwitchTargetPending, "decoy")
        .await;
    scene.outputs("web").await;
    let held = account.connections().await.unwrap();
    let web = held.iter().find(|it| it.display_name == "web").unwrap();
    assert!(
        !serde_json::to_string(&web.channel)
            .unwrap()
            .contains(status.id.as_deref().unwrap())
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_memories_of_what_was_applied_take_nothing_but_settings_from_an_object() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    let victim: ChannelConnection = scene.ready("web").await;
    scene.outputs("web").await;
    let status = serde_json::to_value(victim.status.unwrap()).unwrap();
    let before = account.connections().await.unwrap();

    let forger = Intruder::new(&scene, FORGER).await;
    let id = status["id"].as_str().unwrap().to_owned();
    forger.forge::<ChannelConnection>("web", claim(&status, &id)).await;
    // Whatever else it leads to, in the end all is as it was.
    scene
        .eventually("the forged memory is put right", async || {
            let object = scene.connections().get("web").await.map_err(|error| error.to_string())?;
            let status = serde_json::to_value(object.status).unwrap();
            if status["lastApplied"]["fields"].to_string().contains("externalReference") {
                Err(status.to_string())
            } else {
                Ok(())
            }
        })
        .await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    let after = account.connections().await.unwrap();
    assert_eq!(after[0].external_reference, before[0].external_reference);
    assert_eq!(after[0].claimant, before[0].claimant);
    assert_eq!(after[0].interface_id, before[0].interface_id);
    assert_eq!(after[0].channel, before[0].channel);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_plan_or_approval_in_the_status_lets_nothing_happen() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let mut guarded = connection("web", "support", &web());
    guarded["spec"]["policy"] = json!({ "approval": "Required" });
    scene.apply(guarded).await;
    let waiting: ChannelConnection = scene.trouble("web", Reason::AwaitingApproval, "approve").await;
    let hash = waiting.status.unwrap().plan.unwrap().hash;

    let forger = Intruder::new(&scene, FORGER).await;
    let mark = scene.journal.len();
    for forged in [
        json!({ "lastApprovedPlan": hash }),
        json!({ "plan": null, "lastApprovedPlan": hash }),
        json!({ "plan": { "hash": "forged", "changes": [] }, "lastApprovedPlan": "forged" }),
        json!({ "id": "cn_forged", "account": "elsewhere", "plan": null }),
        json!({ "id": null, "account": null, "conditions": null, "plan": null, "lastApprovedPlan": null }),
    ] {
        forger.forge::<ChannelConnection>("web", forged).await;
        assert_eq!(scene.meanwhile().await.iter().filter(|call| call.is_write()).count(), 0);
    }
    assert_eq!(writes(&scene.manager_calls(mark)), Vec::<&Entry>::new());
    assert_eq!(account.connections().await.unwrap(), []);
    scene
        .trouble::<ChannelConnection>("web", Reason::AwaitingApproval, "approve")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_account_of_a_credential_opens_no_other_account() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let forger = Intruder::new(&scene, FORGER).await;
    let mark = scene.journal.len();
    forger
        .forge::<ManagerCredential>(
            "acme",
            json!({ "account": "digitalMessaging/elsewhere/other", "managerId": "other" }),
        )
        .await;
    scene.meanwhile().await;
    assert_eq!(writes(&scene.manager_calls(mark)), Vec::<&Entry>::new());
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene.finish().await;
}

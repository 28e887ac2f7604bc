// SPDX-License-Identifier: Apache-2.0

//! A manager that tells a generated secret only when it makes it: what was handed out is kept, what cannot be is said.

use digital_messaging_operator::{api::ChannelConnection, controller::reason::Reason};
use kube::api::{DeleteParams, Patch, PatchParams};
use messaging_manager::faults::{Fault, Rule};
use sandbox::ManagerAccount;
use serde_json::json;

use crate::scene::{Scene, assert_serves, connection, web};

async fn scene() -> (Scene, ManagerAccount) {
    let scene = Scene::with(|manager| manager.secrets_told_once = true, |_| {}).await;
    let account = scene.ready_interface().await;
    (scene, account)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_connection_says_what_its_outputs_lack_and_rotating_cures_it() {
    let (mut scene, account) = scene().await;
    let support = scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap();
    let spec =
        json!({ "interfaceId": support, "displayName": "web", "channel": { "type": "webMessaging", "primaryColor": "#0b5cad" } });
    let by_hand = account
        .create_connection(&serde_json::from_value(spec).unwrap())
        .await
        .unwrap();
    let id = by_hand.connection.id;
    let mut adopting = connection("web", "support", &web());
    adopting["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Match" });
    scene.apply(adopting).await;
    let web: ChannelConnection = scene
        .trouble("web", Reason::OutputsIncomplete, "digitalmessaging.io/rotate-secret=")
        .await;
    assert_serves(&web);
    assert_eq!(web.status.unwrap().outputs.unwrap().missing, ["jwtSecret"]);
    let outputs = scene.outputs("web").await;
    assert_eq!(outputs["connectionId"], id);
    assert!(outputs.contains_key("widgetId") && !outputs.contains_key("jwtSecret"));

    // At rest, and after a restart, it is known and not asked for again.
    assert_eq!(scene.meanwhile().await, []);
    let calls = scene.journal.len();
    scene.restart_operator().await;
    scene.wait_until_leading().await;
    scene
        .trouble::<ChannelConnection>("web", Reason::OutputsIncomplete, "Secret web-connection")
        .await;
    scene.meanwhile().await;
    let asked = |since: usize| {
        let calls = scene.manager_calls(since);
        calls.iter().filter(|call| call.path.ends_with("/jwt-secret")).count()
    };
    assert_eq!(asked(calls), 0);
    // But when a person wants it looked for.
    scene
        .annotate::<ChannelConnection>("web", "digitalmessaging.io/retry", "1")
        .await;
    scene
        .eventually(
            "it looks again",
            async || {
                if asked(calls) == 1 { Ok(()) } else { Err(asked(calls)) }
            },
        )
        .await;

    scene.ask_to_rotate("web", "one").await;
    let cured = scene.rotated("web", "one").await;
    assert_eq!(cured.status.unwrap().outputs.unwrap().missing, Vec::<String>::new());
    scene.ready::<ChannelConnection>("web").await;
    assert!(scene.outputs("web").await["jwtSecret"].starts_with("whk_"));
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene
        .assert_told_last::<ChannelConnection>("web", &[Reason::AdoptionTargetNotFound], Reason::OutputsIncomplete)
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_outputs_keep_the_secret_and_deleted_ones_say_that_they_lost_it() {
    let (scene, _) = scene().await;
    scene.ready_web().await;
    let before = scene.outputs("web").await;
    let edit = Patch::Merge(json!({ "stringData": { "connectionId": "edited" } }));
    scene
        .secrets()
        .patch("web-connection", &PatchParams::default(), &edit)
        .await
        .unwrap();
    scene
        .eventually("the edit is put right", async || {
            let now = scene.outputs("web").await;
            if now == before {
                Ok(())
            } else {
                Err(format!("{:?}", now.keys()))
            }
        })
        .await;
    scene.ready::<ChannelConnection>("web").await;

    // A value that the manager did not make is not handed out.
    let edit = Patch::Merge(json!({ "stringData": { "jwtSecret": "made up" } }));
    scene
        .secrets()
        .patch("web-connection", &PatchParams::default(), &edit)
        .await
        .unwrap();
    let web: ChannelConnection = scene.trouble("web", Reason::OutputsIncomplete, "lacks jwtSecret").await;
    assert_serves(&web);
    assert!(!scene.outputs("web").await.contains_key("jwtSecret"));

    scene.ask_to_rotate("web", "one").await;
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_ne!(scene.outputs("web").await["jwtSecret"], before["jwtSecret"]);
    scene
        .secrets()
        .delete("web-connection", &DeleteParams::default())
        .await
        .unwrap();
    scene
        .trouble::<ChannelConnection>("web", Reason::OutputsIncomplete, "lacks jwtSecret")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_whose_answer_was_lost_is_told_to_who_asks_by_the_same_token() {
    let (scene, account) = scene().await;
    let id = scene.ready_web().await;
    let before = scene.outputs("web").await;
    scene.faults.push(Rule::new(Fault::DropReply).path_end("/rotate").once());
    scene.ask_to_rotate("web", "one").await;
    scene.rotated("web", "one").await;
    scene.ready::<ChannelConnection>("web").await;
    assert_ne!(scene.outputs("web").await["jwtSecret"], before["jwtSecret"]);
    assert_eq!(scene.rotations(&account, &id).await, 1);
    scene.finish().await;
}

//! What the policy of an object allows: nothing is written without approval, and whoever only observes writes nothing.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use serde_json::{Value, json};

use crate::scene::{Scene, connection, interface, web};

fn with(mut object: Value, member: &str, value: Value) -> Value {
    object["spec"][member] = value;
    object
}

async fn waiting_plan(scene: &Scene, name: &str, than: Option<&str>) -> String {
    scene
        .eventually("a plan waits for approval", async || {
            let connection = scene.connections().get(name).await.map_err(|error| error.to_string())?;
            let plan = connection.status.and_then(|status| status.plan).ok_or("no plan")?;
            if Some(plan.hash.as_str()) == than {
                return Err("still the plan before".to_owned());
            }
            Ok(plan.hash)
        })
        .await
}

const APPROVE: &str = "digitalmessaging.io/approve";

#[tokio::test(flavor = "multi_thread")]
async fn every_change_waits_for_its_own_approval_and_a_serving_channel_stays_ready() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let policy = json!({ "approval": "Required" });
    scene
        .apply(with(connection("web", "support", &web()), "policy", policy))
        .await;

    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    assert_eq!(account.connections().await.unwrap(), []);
    let creation = waiting_plan(&scene, "web", None).await;
    scene.annotate::<ChannelConnection>("web", APPROVE, &creation).await;
    let made: ChannelConnection = scene.ready("web").await;
    assert!(made.status.unwrap().plan.is_none());

    let change = |color: &str| json!({ "spec": { "channel": { "webMessaging": { "primaryColor": color } } } });
    scene.patch::<ChannelConnection>("web", change("#111111")).await;
    let first = waiting_plan(&scene, "web", Some(&creation)).await;
    let waiting = scene
        .condition::<ChannelConnection>("web", "Synced", "False", "AwaitingApproval")
        .await;
    assert!(waiting.1.message.contains(&first));
    scene
        .condition_of_any_generation::<ChannelConnection>("web", "Ready", "True", "Ready")
        .await;
    scene.annotate::<ChannelConnection>("web", APPROVE, &first).await;
    scene.ready::<ChannelConnection>("web").await;

    // Back at the manager, by hand: the same difference again, with the old approval still on the object.
    let id = account.connections().await.unwrap()[0].id.clone();
    account
        .patch_connection(&id, &json!({ "channel": { "primaryColor": "#0b5cad" } }))
        .await
        .unwrap();
    let drift = waiting_plan(&scene, "web", Some(&first)).await;
    assert_ne!(drift, first);
    scene
        .condition_of_any_generation::<ChannelConnection>("web", "Drifted", "True", "Differs")
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_approval_to_be_adopted_is_adopted_once_approved() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let support = scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap();
    let by_hand = json!({ "interfaceId": support, "displayName": "By hand", "channel": { "type": "webMessaging" } });
    let made = account
        .create_connection(&serde_json::from_value(by_hand).unwrap())
        .await
        .unwrap();
    let adoption = json!({ "by": "ID", "id": made.connection.id, "mode": "Override" });
    let adopting = with(connection("web", "support", &web()), "adoption", adoption);
    scene.apply(with(adopting, "policy", json!({ "approval": "Required" }))).await;

    let plan = waiting_plan(&scene, "web", None).await;
    assert!(scene.connections().get("web").await.unwrap().status.unwrap().id.is_none());
    scene.annotate::<ChannelConnection>("web", APPROVE, &plan).await;
    let adopted: ChannelConnection = scene.ready("web").await;
    assert_eq!(adopted.status.unwrap().id.as_deref(), Some(made.connection.id.as_str()));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_writes_nothing_sees_drift_and_gets_no_secret() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let support = scene.interfaces().get("support").await.unwrap().status.unwrap().id.unwrap();
    let by_hand = json!({ "interfaceId": support, "displayName": "By hand", "channel": { "type": "webMessaging" } });
    let made = account
        .create_connection(&serde_json::from_value(by_hand).unwrap())
        .await
        .unwrap()
        .connection;
    let mark = scene.journal.len();
    let observing = with(connection("web", "support", &web()), "displayName", json!("By hand"));
    let observing = with(observing, "adoption", json!({ "by": "ID", "id": made.id, "mode": "Match" }));
    scene
        .apply(with(observing, "policy", json!({ "management": "Observe" })))
        .await;
    scene.ready::<ChannelConnection>("web").await;
    assert!(!scene.outputs("web").await.contains_key("jwtSecret"));

    account
        .patch_connection(&made.id, &json!({ "channel": { "primaryColor": "#222222" } }))
        .await
        .unwrap();
    scene
        .condition::<ChannelConnection>("web", "Synced", "False", "Differs")
        .await;
    let drift = scene.connections().get("web").await.unwrap().status.unwrap().drift.unwrap();
    assert_eq!(drift.fields, ["/channel/webMessaging/primaryColor"]);
    let writes = scene
        .manager_calls(mark)
        .into_iter()
        .filter(messaging_manager::journal::Entry::is_write);
    assert_eq!(writes.count(), 1, "only the change by hand");
    assert_eq!(account.connections().await.unwrap()[0].external_reference, None);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_at_the_manager_waits_for_approval_too() {
    let scene = Scene::new().await;
    let account = scene.ready_credential().await;
    let policy = json!({ "deletion": "Delete", "approval": "Required" });
    scene.apply(with(interface("support", "acme"), "policy", policy)).await;
    let plan = |than: Option<String>| {
        let scene = &scene;
        async move {
            scene
                .eventually("a plan waits for approval", async || {
                    let interface = scene.interfaces().get("support").await.map_err(|error| error.to_string())?;
                    let plan = interface.status.and_then(|status| status.plan).ok_or("no plan")?;
                    if Some(&plan.hash) == than.as_ref() {
                        Err("still the plan before".to_owned())
                    } else {
                        Ok(plan)
                    }
                })
                .await
        }
    };
    let creation = plan(None).await;
    scene
        .annotate::<DigitalMessagingInterface>("support", APPROVE, &creation.hash)
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;

    scene
        .interfaces()
        .delete("support", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let deletion = plan(Some(creation.hash)).await;
    assert!(deletion.changes[0].destructive);
    assert_eq!(account.interfaces().await.unwrap().len(), 1);
    scene
        .annotate::<DigitalMessagingInterface>("support", APPROVE, &deletion.hash)
        .await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    assert_eq!(account.interfaces().await.unwrap(), []);
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! The operator's own key, by which it remembers secrets without their values, is lost: it takes what has not changed as known.

use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    kubernetes::installation,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    lifecycle::channel_secret,
    scene::{Scene, connection, sms},
};

async fn installed(scene: &Scene) {
    scene.ready_interface().await;
    scene
        .apply_all([
            channel_secret(scene, "tokens"),
            connection("sms", "support", &sms("+14155550101", "tokens")),
        ])
        .await;
    scene.ready::<ChannelConnection>("sms").await;
    scene.ready_web().await;
    scene.counted(2).await;
}

fn key_id(connection: &ChannelConnection) -> String {
    connection.status.clone().unwrap().sent_secrets.unwrap().key_id
}

/// Starts the operator over without its key, and asserts that nobody outside notices.
async fn nobody_notices(scene: &mut Scene, lose_key: impl AsyncFn(&Scene)) {
    let before = key_id(&scene.connections().get("sms").await.unwrap());
    let outputs = scene.secret("web-connection").await.unwrap();
    scene.stop_operator().await;
    lose_key(scene).await;
    let (calls, writes) = (scene.journal.len(), scene.audit_mark());
    scene.start_operator().await;
    scene
        .eventually("fingerprints are by the new key", async || {
            let now = scene.connections().get("sms").await.map_err(|error| error.to_string())?;
            if key_id(&now) == before {
                Err("not yet".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene.ready::<ChannelConnection>("web").await;
    scene.time_passes(2).await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    let written = scene.writes_to(&["acme", "support", "sms", "web", "sms-connection", "web-connection"], writes);
    let mut expected = vec![
        "update channelconnections/status sms",
        "update managercredentials/status acme",
    ];
    let mut seen = written.clone();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected, "in this order: {written:?}");
    assert_eq!(
        scene.secret("web-connection").await.unwrap().resource_version(),
        outputs.resource_version()
    );

    // From here on it knows again what it sent: another version of the Secret with the same values is not sent, another value is.
    let touch = |patch: Value| {
        let secrets = scene.secrets();
        async move {
            secrets
                .patch("tokens", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap();
        }
    };
    let calls = scene.journal.len();
    touch(json!({ "metadata": { "annotations": { "example": "touched" } } })).await;
    scene.time_passes(2).await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    touch(json!({ "stringData": { "authToken": scene.new_secret_value() } })).await;
    let id = scene.connection_id("sms").await;
    scene
        .eventually("the new value is sent", async || {
            let sent = scene.manager_writes(calls);
            if sent == [format!("PATCH /v1/connections/{id}")] {
                Ok(())
            } else {
                Err(format!("{sent:?}"))
            }
        })
        .await;
    scene.ready::<ChannelConnection>("sms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_fingerprint_key_sends_no_secret_again() {
    let mut scene = Scene::new().await;
    installed(&scene).await;
    nobody_notices(&mut scene, async |scene| {
        let lost = Patch::Merge(json!({ "data": { "fingerprintKey": null } }));
        scene
            .secrets()
            .patch(installation::SECRET, &PatchParams::default(), &lost)
            .await
            .unwrap();
    })
    .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_secret_of_the_installation_that_is_made_anew_under_the_same_name() {
    let mut scene = Scene::with(|_| {}, |operator| operator.installation = Some("production".to_owned())).await;
    installed(&scene).await;
    nobody_notices(&mut scene, async |scene| {
        scene
            .secrets()
            .delete(installation::SECRET, &DeleteParams::default())
            .await
            .unwrap();
    })
    .await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! No Secret is overwritten that the operator did not make for that very object.

use digital_messaging_operator::{api::ChannelConnection, controller::reason::Reason};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::intruder::{Intruder, Rights};
use crate::scene::{Scene, connection, labelled_secret, sms, web};

fn with_outputs(name: &str, channel: &Value, secret: &str) -> Value {
    let mut object = connection(name, "support", channel);
    object["spec"]["outputs"] = json!({ "secret": { "name": secret } });
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_leave_every_secret_alone_that_is_there() {
    // The operator's own namespace is the one that is watched: its installation Secret is within reach.
    let scene = Scene::new().await;
    scene.ready_interface().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;
    scene.outputs("web").await;
    let twilio = labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() }));
    let opaque = labelled_secret("opaque", &json!({ "connectionId": scene.new_secret_value() }));
    let mut tls = labelled_secret("tls", &json!({ "tls.crt": "", "tls.key": scene.new_secret_value() }));
    tls["type"] = json!("kubernetes.io/tls");
    let mut pull = labelled_secret("pull", &json!({ ".dockerconfigjson": "{\"auths\":{}}" }));
    pull["type"] = json!("kubernetes.io/dockerconfigjson");
    let mut immutable = labelled_secret("immutable", &json!({ "x": scene.new_secret_value() }));
    immutable["immutable"] = json!(true);
    let mut outputs = labelled_secret("labelled-as-outputs", &json!({ "x": scene.new_secret_value() }));
    outputs["metadata"]["labels"] = json!({ "digitalmessaging.io/outputs": "true" });
    scene.apply_all([twilio, opaque, tls, pull, immutable, outputs]).await;

    let victims = [
        "opaque",
        "tls",
        "pull",
        "immutable",
        "labelled-as-outputs",
        "twilio",
        "acme",
        "acme-proven",
        "web-connection",
        "digital-messaging-operator-installation",
    ];
    let mut before = Vec::new();
    for victim in victims {
        before.push(scene.secrets().get(victim).await.unwrap());
    }
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let mark = scene.journal.len();
    for (n, victim) in victims.iter().enumerate() {
        intruder
            .create(with_outputs(&format!("web-{n}"), &web(), victim))
            .await
            .unwrap();
    }
    // Its own input.
    let number = format!("+1555010{:04}", 7);
    intruder
        .create(with_outputs("text", &sms(&number, "twilio"), "twilio"))
        .await
        .unwrap();
    for (n, victim) in victims.iter().enumerate() {
        scene
            .trouble::<ChannelConnection>(&format!("web-{n}"), Reason::OutputConflict, victim)
            .await;
    }
    scene
        .trouble::<ChannelConnection>("text", Reason::OutputConflict, "twilio")
        .await;
    for (victim, before) in victims.iter().zip(before) {
        let after = scene.secrets().get(victim).await.unwrap();
        assert!(after == before, "{victim} was changed");
    }
    let fetched = scene
        .manager_calls(mark)
        .into_iter()
        .filter(|call| call.path.contains("jwt-secret"));
    assert_eq!(
        fetched.collect::<Vec<_>>(),
        [],
        "nothing is fetched that cannot be put anywhere"
    );

    // Nor deleted, when they go.
    for n in 0..victims.len() {
        let name = format!("web-{n}");
        intruder
            .patch::<ChannelConnection>(&name, json!({ "spec": { "policy": { "deletion": "Delete" } } }))
            .await;
        scene
            .condition::<ChannelConnection>(&name, "Synced", "False", Reason::OutputConflict.as_str())
            .await;
        intruder.delete::<ChannelConnection>(&name).await;
        scene.gone::<ChannelConnection>(&name).await;
    }
    for victim in victims {
        assert!(
            scene.secrets().get_opt(victim).await.unwrap().is_some(),
            "{victim} was deleted"
        );
    }
    scene.ready::<ChannelConnection>("web").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_appears_in_the_very_moment_is_not_overwritten() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let mut lost = 0;
    for n in 0..12 {
        let (name, output) = (format!("race-{n}"), format!("race-{n}-output"));
        let value = scene.new_secret_value();
        let mine: Secret = serde_json::from_value(labelled_secret(&output, &json!({ "mine": value }))).unwrap();
        let calls = scene.journal.len();
        intruder.create(with_outputs(&name, &web(), &output)).await.unwrap();
        // As soon as the manager was asked, the outputs are about to be written.
        let asked = scene.journal.wait_until(crate::scene::DEADLINE, |entries| {
            entries[calls..].iter().any(|call| call.method == http::Method::POST)
        });
        asked.await.unwrap();
        let created = scene.secrets().create(&PostParams::default(), &mine).await;
        scene
            .eventually(&format!("{name} is settled"), async || {
                let object = scene.connections().get(&name).await.map_err(|error| error.to_string())?;
                sandbox::Condition::of(&object, "Synced")
                    .filter(|it| it.observed_generation.is_some())
                    .ok_or_else(|| "no condition yet".to_owned())
            })
            .await;
        if let Ok(created) = created {
            lost += 1;
            scene
                .trouble::<ChannelConnection>(&name, Reason::OutputConflict, &output)
                .await;
            let after = scene.secrets().get(&output).await.unwrap();
            assert!(after == created, "the operator wrote over it");
        } else {
            scene.ready::<ChannelConnection>(&name).await;
            scene.outputs(&name).await;
        }
    }
    eprintln!("{lost} of 12 races were won by the other Secret");
    scene.finish().await;
}

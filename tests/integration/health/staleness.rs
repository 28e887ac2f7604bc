// SPDX-License-Identifier: Apache-2.0

//! A manager that never answers: who is stuck is counted and told, and other tenants go on as if nothing was.

use std::time::{Duration, Instant};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use messaging_manager::faults::{Fault, Faults, Rule};
use serde_json::json;

use crate::{
    figures::record,
    scene::{Scene, connection, interface, manager_credential, manager_secret, web},
};

const STALE_AFTER: Duration = Duration::from_secs(2);
const WEDGED_AFTER: Duration = Duration::from_secs(5);
const STUCK: usize = 5;
const STALE: &str = r#"digital_messaging_stale_objects{controller="channelconnections"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_never_answers_holds_up_nobody_else_and_what_is_stuck_is_counted_and_told() {
    let scene = Scene::with(
        |_| {},
        |settings| {
            settings.stale_after = STALE_AFTER;
            settings.wedged_after = WEDGED_AFTER;
        },
    )
    .await;
    scene.ready_interface().await;
    let manager = scene
        .start_manager("127.0.0.1:0", |config| config.faults = Some(Faults::new()))
        .await;
    let credential = scene.provision_at(&manager, AuthenticationMethod::Jwt).await;
    let url = manager.url().as_str().trim_end_matches('/');
    scene
        .apply_all([
            manager_secret("other", &credential),
            manager_credential("other", url, AuthenticationMethod::Jwt),
            interface("other", "other"),
        ])
        .await;
    scene.ready::<ManagerCredential>("other").await;
    scene.ready::<DigitalMessagingInterface>("other").await;
    let mut before = Vec::new();
    for n in 0..8 {
        before.push(took(&scene, &format!("before-{n}")).await);
    }

    scene.faults.push(Rule::new(Fault::NeverAnswer));
    scene
        .apply_all((0..STUCK).map(|n| connection(&format!("stuck-{n}"), "support", &web())))
        .await;
    let began = Instant::now();
    let mut during = Vec::new();
    while began.elapsed() < WEDGED_AFTER + Duration::from_secs(2) {
        during.push(took(&scene, &format!("during-{}", during.len())).await);
        assert_eq!(livez(&scene).await, 200);
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    scene.metric_becomes(STALE, STUCK as f64).await;
    for n in 0..STUCK {
        scene
            .assert_told_once::<ChannelConnection>(&format!("stuck-{n}"), Reason::ReconcileOverdue)
            .await;
    }
    for (id, times) in [("before", &mut before), ("during", &mut during)] {
        times.sort();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        let (median, most) = (median.as_millis(), most.as_millis());
        record(
            &format!("other-tenant-{id}-hang"),
            format!("{median} ms median, {most} ms at most, of {}", times.len()),
        );
    }

    // Nothing else is left to do now, so it comes to be true that nothing at all is finished.
    scene
        .eventually(
            "liveness fails while work hangs and nothing is finished",
            async || match livez(&scene).await {
                503 => Ok(()),
                status => Err(status),
            },
        )
        .await;
    scene.faults.clear();
    for n in 0..STUCK {
        scene.ready::<ChannelConnection>(&format!("stuck-{n}")).await;
        scene.outputs(&format!("stuck-{n}")).await;
    }
    scene.metric_becomes(STALE, 0.0).await;
    assert_eq!(livez(&scene).await, 200);
    scene.finish().await;
}

/// What waits for a person is not stuck.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_not_stale() {
    let scene = Scene::with(|_| {}, |settings| settings.stale_after = Duration::from_secs(1)).await;
    scene.ready_interface().await;
    let mut waits = connection("waits", "support", &web());
    waits["spec"]["policy"] = json!({ "approval": "Required" });
    scene.apply(waits).await;
    scene
        .trouble::<ChannelConnection>("waits", Reason::AwaitingApproval, "")
        .await;
    scene
        .apply(manager_credential("nobody", scene.manager_url(), AuthenticationMethod::Jwt))
        .await;
    scene.trouble::<ManagerCredential>("nobody", Reason::SecretNotFound, "").await;
    scene.apply(interface("nowhere", "nobody")).await;
    scene
        .trouble::<DigitalMessagingInterface>("nowhere", Reason::CredentialNotReady, "")
        .await;
    scene.time_passes(4).await;
    for controller in ["managercredentials", "digitalmessaginginterfaces", "channelconnections"] {
        let sample = format!("digital_messaging_stale_objects{{controller=\"{controller}\"}}");
        assert!(scene.metrics.encode().unwrap().contains(&sample), "it was looked");
        assert!(scene.sample(&sample) < 0.5, "{controller}");
    }
    scene.finish().await;
}

/// How long it takes until a new connection of the other tenant is ready.
async fn took(scene: &Scene, name: &str) -> Duration {
    let began = Instant::now();
    scene.apply(connection(name, "other", &web())).await;
    scene.ready::<ChannelConnection>(name).await;
    let took = began.elapsed();
    scene.outputs(name).await;
    took
}

async fn livez(scene: &Scene) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/livez", scene.operator_url())).send().await.unwrap();
    answer.status().as_u16()
}

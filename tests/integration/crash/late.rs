// SPDX-License-Identifier: Apache-2.0

//! At a manager that makes things twice if it is asked twice, the operator asks once.

use std::time::Duration;

use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface},
    controller::reason::Reason,
};
use http::Method;
use messaging_manager::faults::{Fault, Rule};
use tokio_util::sync::CancellationToken;

use super::{
    References,
    end::{is_sound, made},
    stage::Stage,
};
use crate::scene::{DEADLINE, connection, web};

async fn all_sound(stage: &Stage) {
    stage.scene.eventually("all is well", async || is_sound(stage).await).await;
    assert_eq!(made(stage).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_arrives_after_the_crash_is_found_and_not_repeated() {
    let mut stage = Stage::new_with(References::NotUnique, Duration::from_secs(5)).await;
    let arrives = CancellationToken::new();
    let late = Rule::new(Fault::Detain(arrives.clone())).method(Method::POST);
    stage.scene.faults.push(late.clone().path("/v1/interfaces").once());
    stage.scene.apply_all(stage.all()).await;
    let asked = stage
        .scene
        .journal
        .wait_until(DEADLINE, |calls| calls.iter().any(|call| call.method == Method::POST))
        .await;
    asked.expect("it is asked for");
    stage.scene.crash_operator().await;
    stage.scene.start_operator().await;

    stage
        .scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", Reason::CreationUnsettled.as_str())
        .await;
    assert_eq!(made(&stage).await, 0);
    arrives.cancel();
    all_sound(&stage).await;
    stage.scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_answer_the_operator_looks_before_it_asks_again() {
    let stage = Stage::new(References::NotUnique).await;
    let lost = Rule::new(Fault::DropReply).method(Method::POST);
    stage.scene.faults.push(lost.clone().path("/v1/interfaces").once());
    stage.scene.faults.push(lost.path("/v1/connections").times(2));
    stage.scene.apply_all(stage.all()).await;
    all_sound(&stage).await;
    let calls = stage.scene.manager_calls(0);
    let asked = calls.iter().filter(|call| call.method == Method::POST).count();
    assert_eq!(asked, 3, "each was asked for once");
    stage.scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_made_at_once_share_the_looks_at_the_account() {
    let stage = Stage::new(References::NotUnique).await;
    stage.scene.apply_all(stage.all()).await;
    stage.scene.eventually("all is well", async || is_sound(&stage).await).await;
    let mark = stage.scene.journal.len();
    let chats = (0..50).map(|number| connection(&format!("chat-{number}"), "support", &web()));
    stage.scene.apply_all(chats).await;
    for number in 0..50 {
        stage.scene.ready::<ChannelConnection>(&format!("chat-{number}")).await;
    }
    let calls = stage.scene.manager_calls(mark);
    let of = |method: Method| {
        calls
            .iter()
            .filter(|call| call.method == method && call.path == "/v1/connections")
            .count()
    };
    let (walks, creations) = (of(Method::GET), of(Method::POST));
    assert_eq!(creations, 50);
    assert!(walks < creations, "{walks} walks for {creations} connections");
    crate::figures::record("walks-for-50-creations-without-unique-references", format!("{walks} walks"));
    stage.scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! The operator ends, or the manager is away, in the middle of a deletion.

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation};
use http::Method;
use kube::api::DeleteParams;
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};

use super::scene;
use crate::scene::DEADLINE;

const UNAVAILABLE: Fault = Fault::Status(503);

#[tokio::test(flavor = "multi_thread")]
async fn two_restarts_in_the_middle_of_a_namespace_lose_nothing() {
    let mut scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;

    // First while nothing has been deleted at the manager, then when only the interface is left.
    scene
        .faults
        .push(Rule::new(UNAVAILABLE).method(Method::DELETE).path("/v1/connections"));
    scene.delete_namespace().await;
    scene.says_why_it_stays::<ChannelConnection>("web-0").await;
    scene.says_why_it_stays::<ManagerCredential>("acme").await;
    scene.restart_operator().await;
    scene.wait_until_leading().await;

    scene.faults.clear();
    scene
        .faults
        .push(Rule::new(UNAVAILABLE).method(Method::DELETE).path("/v1/interfaces"));
    scene.gone::<ChannelConnection>("web-0").await;
    scene.gone::<ChannelConnection>("web-1").await;
    scene.says_why_it_stays::<DigitalMessagingInterface>("support").await;
    assert!(scene.secret("acme").await.is_none(), "the user's Secret went long ago");
    scene.restart_operator().await;
    scene.wait_until_leading().await;

    scene.faults.clear();
    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_manager_deleted_and_before_anybody_heard_of_it_loses_nothing() {
    let mut scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;
    let never = tokio_util::sync::CancellationToken::new();
    let held = Rule::new(Fault::HoldReply(never.clone())).method(Method::DELETE);
    scene.faults.push(held.path("/v1/connections"));

    scene.delete_namespace().await;
    scene
        .eventually("both are deleted at the manager", async || {
            match account.connections().await {
                Ok(left) if left.is_empty() => Ok(()),
                Ok(left) => Err(format!("{} left", left.len())),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
    scene.crash_operator().await;
    scene.faults.clear();
    never.cancel();
    scene.start_operator().await;

    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_is_away_for_a_while_holds_the_namespace_up_and_no_longer() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;

    scene.faults.push(Rule::new(Fault::DropRequest));
    scene.delete_namespace().await;
    let why = scene.says_why_it_stays::<ChannelConnection>("web-0").await;
    assert!(why.message.contains("digitalmessaging.io/abandon=true"), "{why}");
    scene.faults.clear();

    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_if_the_operator_is_restarted_while_the_manager_is_away_and_the_secret_gone() {
    let mut scene = scene().await;
    let account = scene.ready_set("Delete", 2).await;

    scene.faults.push(Rule::new(Fault::DropRequest));
    scene.delete_namespace().await;
    scene.says_why_it_stays::<ChannelConnection>("web-0").await;
    let calls = scene.journal.len();
    scene.restart_operator().await;
    // It has tried the account, in vain.
    scene
        .eventually("the new operator asks the manager", async || {
            if scene.manager_calls(calls).is_empty() {
                Err("not yet")
            } else {
                Ok(())
            }
        })
        .await;
    scene.time_passes(2).await;
    scene.faults.clear();

    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_goes_first_serves_until_the_last_one_that_needs_it_has_gone() {
    let mut scene = scene().await;
    let account = scene.ready_set("Delete", 1).await;

    scene.secrets().delete("acme", &DeleteParams::default()).await.unwrap();
    scene.ask_to_delete::<ManagerCredential>("acme").await;
    let (_, why) = scene
        .condition::<ManagerCredential>("acme", "Synced", "False", "DependantsRemain")
        .await;
    assert!(why.message.contains("support"), "{why}");
    scene.restart_operator().await;
    scene
        .patch::<ChannelConnection>("web-0", serde_json::json!({ "spec": { "displayName": "Still changed" } }))
        .await;
    scene
        .eventually("the change reaches the manager", async || {
            let held = account.connections().await.map_err(|error| format!("{error:#}"))?;
            let names: Vec<_> = held.into_iter().map(|it| it.display_name).collect();
            if names == ["Still changed"] {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        })
        .await;

    scene.ask_to_delete::<DigitalMessagingInterface>("support").await;
    let (_, why) = scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "DependantsRemain")
        .await;
    assert!(why.message.contains("web-0"), "{why}");
    scene.delete::<ChannelConnection>("web-0").await;
    scene.gone::<DigitalMessagingInterface>("support").await;
    scene.gone::<ManagerCredential>("acme").await;
    scene.empty_at_the_manager(&account).await;
    assert!(scene.secret("acme-proven").await.is_none());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_with_its_resource_is_not_missed_however_late_the_answers_are() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 8).await;
    let answered = tokio_util::sync::CancellationToken::new();
    scene
        .faults
        .push(Rule::new(Fault::HoldReply(answered.clone())).method(Method::DELETE));
    for number in 0..8 {
        scene.ask_to_delete::<ChannelConnection>(&format!("web-{number}")).await;
    }
    scene
        .eventually("all are deleted at the manager", async || match account.connections().await {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("{} left", left.len())),
            Err(error) => Err(format!("{error:#}")),
        })
        .await;
    // The change feed tells of them long before the answers come.
    let calls = scene.journal.len();
    scene
        .journal
        .wait_until(DEADLINE, |entries| entries[calls..].iter().any(Entry::is_change_feed))
        .await
        .expect("the feed is read again");
    scene.ready::<ManagerCredential>("acme").await;
    answered.cancel();
    for number in 0..8 {
        scene.gone::<ChannelConnection>(&format!("web-{number}")).await;
    }
    scene.ready::<ManagerCredential>("acme").await;
    scene.faults.clear();
    scene.delete_namespace().await;
    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_account_is_let_go_on_by_a_retry_although_everything_is_being_deleted() {
    let mut scene = scene().await;
    let account = scene.ready_set("Delete", 8).await;
    // Somebody else empties the account while nobody looks.
    scene.stop_operator().await;
    for connection in account.connections().await.unwrap().iter().take(7) {
        account.delete_connection(&connection.id).await.unwrap();
    }
    scene.start_operator().await;
    scene
        .condition_of_any_generation::<ManagerCredential>("acme", "Synced", "False", "ObservationSuspicious")
        .await;
    scene.delete_namespace().await;
    let said = scene.says_why_it_stays::<ManagerCredential>("acme").await;
    assert_eq!(said.reason, "ObservationSuspicious", "{said}");
    // Until somebody has looked, not even what is missing is taken for gone.
    for number in 0..8 {
        let name = format!("web-{number}");
        let said = scene.says_why_it_stays::<ChannelConnection>(&name).await;
        assert!(said.message.contains("ObservationSuspicious"), "{name}: {said}");
    }
    scene
        .annotate::<ManagerCredential>("acme", annotation::RETRY, "it is right")
        .await;
    scene.namespace_gone().await;
    scene.empty_at_the_manager(&account).await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! What a manager offers is asked anew now and then: its change feed does not tell.

use std::time::Duration;

use digital_messaging_contract::{
    account::{AuthenticationMethod, ChannelSupport},
    channel::ChannelType,
};
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface},
    controller::reason::Reason,
};
use messaging_manager::config::Config;
use serde_json::json;

use crate::scene::{Scene, connection, interface, labelled_secret, manager_credential, manager_secret, sms};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_offered_later_is_found_without_anybody_asking_and_asking_writes_nothing() {
    let scene = Scene::with(|_| {}, |settings| settings.recheck = Duration::from_secs(3)).await;
    let address = format!("127.0.0.1:{}", sandbox::free_port().unwrap());
    let without = |config: &mut Config| {
        config.channels.insert(ChannelType::Sms, ChannelSupport::Unsupported);
    };
    let manager = scene.start_manager(&address, without).await;
    let url = manager.url().as_str().trim_end_matches('/').to_owned();
    let credential = scene.provision_at(&manager, AuthenticationMethod::Jwt).await;
    scene
        .apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", &url, AuthenticationMethod::Jwt),
            interface("support", "acme"),
            labelled_secret("twilio", &json!({ "authToken": scene.new_secret_value() })),
            connection("text", "support", &sms("+14155550100", "twilio")),
        ])
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    scene
        .trouble::<ChannelConnection>("text", Reason::ChannelUnsupported, "")
        .await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    let asked = scene
        .journal
        .wait_until(crate::scene::DEADLINE, |entries| {
            entries[calls..].iter().any(|call| call.path == "/v1/manager")
        })
        .await;
    assert!(asked.is_some(), "it is asked again by itself");
    assert_eq!(scene.writes_to(&["acme"], writes), Vec::<String>::new());

    manager.stop().await.unwrap();
    let _manager = scene.start_manager(&address, |_| {}).await;
    scene.ready::<ChannelConnection>("text").await;
    scene.finish().await;
}

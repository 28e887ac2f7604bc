// SPDX-License-Identifier: Apache-2.0

//! A manager's key is rotated while changes go on all the time: nobody notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use digital_messaging_operator::api::{ChannelConnection, ManagerCredential};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use messaging_manager::journal::Entry;
use sandbox::Credential;
use serde_json::json;
use tokio::task::JoinSet;

use super::active_key;
use crate::{
    figures,
    scene::{DEADLINE, Scene, connection, manager_secret, web},
};

const CONNECTIONS: usize = 6;

/// Changes the colour of a connection as fast as the API server lets, until told to stop.
async fn keep_changing(api: Api<ChannelConnection>, name: String, stop: Arc<AtomicBool>) {
    let mut color = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        color += 1;
        let patch = json!({ "spec": { "channel": { "webMessaging": { "primaryColor": format!("#{color:06x}") } } } });
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_the_key_is_rotated_under_load() {
    let scene = Scene::new().await;
    let account = scene.ready_interface().await;
    let names: Vec<String> = (0..CONNECTIONS).map(|number| format!("web-{number}")).collect();
    scene
        .apply_all(names.iter().map(|name| connection(name, "support", &web())))
        .await;
    for name in &names {
        scene.ready::<ChannelConnection>(name).await;
    }
    let before = active_key(&scene.credentials().get("acme").await.unwrap());
    let start = scene.journal.len();
    let changes = |since: usize, entries: &[Entry]| {
        let entries = entries.iter().skip(since);
        entries.filter(|entry| entry.is_write() && entry.status.is_some()).count()
    };
    let many_more_changes = async || {
        let since = scene.journal.len();
        let reached = scene
            .journal
            .wait_until(DEADLINE, |entries| changes(since, entries) >= 10 * CONNECTIONS)
            .await;
        reached.expect("changes go on");
    };

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for name in &names {
        writers.spawn(keep_changing(scene.connections(), name.clone(), stop.clone()));
    }
    many_more_changes().await;
    let keys = scene.manager.manager().credentials();
    let old = account.credential();
    let issued = keys.rotate(&old.manager_id, Duration::from_hours(1)).await.unwrap();
    scene.secret_value(issued.manager_key.expose());
    let new = Credential {
        manager_key: issued.manager_key,
        ..old.clone()
    };
    many_more_changes().await;
    scene.apply(manager_secret("acme", &new)).await;
    scene.active_key_is_not(&before).await;
    many_more_changes().await;
    // Whoever still used the old key would be refused from here on.
    keys.revoke_previous(&old.manager_id).await.unwrap();
    many_more_changes().await;
    stop.store(true, Ordering::Relaxed);
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for name in &names {
        scene.ready::<ChannelConnection>(name).await;
    }
    scene.ready::<ManagerCredential>("acme").await;

    let calls = scene.manager_calls(start);
    let (changing, reading): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.is_write());
    let failed = |calls: &[&Entry]| -> Vec<String> {
        let failed = calls.iter().filter(|call| call.status.is_some_and(|status| status >= 400));
        failed.map(|call| format!("{call:?}")).collect()
    };
    assert_eq!(failed(&changing), Vec::<String>::new());
    assert_eq!(failed(&reading), Vec::<String>::new());
    figures::record(
        "key-rotation-under-load-failed-calls",
        format!("{} of {}", failed(&changing).len() + failed(&reading).len(), calls.len()),
    );
    figures::record("key-rotation-under-load-writes", changing.len());
    scene.finish().await;
}

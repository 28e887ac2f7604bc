// SPDX-License-Identifier: Apache-2.0

//! One side is restored from a backup, and is older than the other then.

use std::{fs, path::Path};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential, annotation},
    controller::reason::Reason,
};
use kube::api::DeleteParams;
use messaging_manager::{
    credentials::NewCredential,
    faults::{Fault, Rule},
    server::Running,
};
use rstest::rstest;
use sandbox::{Credential, ManagerAccount};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    References,
    end::{is_sound, made},
    stage::{CONNECTIONS, Stage},
};
use crate::scene::{Scene, connection, interface, manager_credential, manager_secret, web};

/// As backup tools do it: what is applied again has no status, and a UID of its own.
#[tokio::test(flavor = "multi_thread")]
async fn resources_restored_without_status_find_what_they_hold() {
    for references in [References::Unique, References::NotUnique] {
        let mut stage = Stage::new(references).await;
        let all = stage.all();
        stage.scene.apply_all(all.clone()).await;
        stage.scene.eventually("all is well", async || is_sound(&stage).await).await;
        let ids = async |stage: &Stage| {
            let mut ids = Vec::new();
            for name in CONNECTIONS {
                ids.push(stage.scene.connection_id(name).await);
            }
            ids
        };
        let before = ids(&stage).await;

        stage.scene.crash_operator().await;
        for name in CONNECTIONS {
            stage.scene.delete::<ChannelConnection>(name).await;
        }
        stage.scene.delete::<DigitalMessagingInterface>("support").await;
        stage.scene.delete::<ManagerCredential>("acme").await;
        let made_by_us = ["acme-proven", "web-connection", "phone-connection"];
        for name in made_by_us {
            stage.scene.secrets().delete(name, &DeleteParams::default()).await.unwrap();
        }
        // Only the key is as it was: the round's Secrets are not applied anew.
        stage
            .scene
            .apply_all(all.into_iter().filter(|object| object["kind"] != "Secret"))
            .await;
        stage.scene.start_operator().await;
        stage
            .scene
            .eventually("all is well again", async || is_sound(&stage).await)
            .await;
        assert_eq!(ids(&stage).await, before);
        assert_eq!(made(&stage).await, 3, "nothing was made anew");
        stage.round += 1;
        stage.scene.finish().await;
    }
}

async fn start(scene: &Scene, address: &str, database: &Path, references: References) -> Running {
    scene
        .start_manager(address, |config| {
            database.clone_into(&mut config.database);
            config.unique_references = references == References::Unique;
        })
        .await
}

async fn provision(scene: &Scene, manager: &Running) -> (Credential, ManagerAccount) {
    let method = AuthenticationMethod::Jwt;
    let issued = manager
        .manager()
        .credentials()
        .create(NewCredential::new(method))
        .await
        .unwrap();
    scene.secret_value(issued.manager_key.expose());
    let credential = Credential {
        manager_id: issued.manager_id,
        manager_key: issued.manager_key,
        method,
    };
    let account = ManagerAccount::new(manager.url().as_str().trim_end_matches('/'), credential.clone()).unwrap();
    (credential, account)
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_manager_restored_from_an_old_backup_is_not_filled_with_new_connections(#[case] references: References) {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (database, backup) = (folder.path().join("manager.sqlite"), folder.path().join("backup.sqlite"));
    let manager = start(&scene, "127.0.0.1:0", &database, references).await;
    let (address, url) = (
        manager.address().to_string(),
        manager.url().as_str().trim_end_matches('/').to_owned(),
    );
    let (credential, account) = provision(&scene, &manager).await;
    scene
        .apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", &url, AuthenticationMethod::Jwt),
            interface("support", "acme"),
            connection("kept", "support", &web()),
            with_deletion(connection("doomed", "support", &web())),
        ])
        .await;
    scene.all_ready("acme", "support", "kept").await;
    scene.ready::<ChannelConnection>("doomed").await;
    let kept = scene.connection_id("kept").await;

    manager.stop().await.unwrap();
    fs::copy(&database, &backup).unwrap();
    let manager = start(&scene, &address, &database, references).await;
    for number in 0..7 {
        scene.apply(connection(&format!("new-{number}"), "support", &web())).await;
    }
    for number in 0..7 {
        scene.ready::<ChannelConnection>(&format!("new-{number}")).await;
    }
    let color = json!({ "spec": { "channel": { "webMessaging": { "primaryColor": "#333333" } } } });
    scene.patch::<ChannelConnection>("kept", color).await;
    scene.ready::<ChannelConnection>("kept").await;
    scene.delete::<ChannelConnection>("doomed").await;
    assert_eq!(account.connections().await.unwrap().len(), 8);

    manager.stop().await.unwrap();
    for side_file in ["manager.sqlite-wal", "manager.sqlite-shm"] {
        let _ = fs::remove_file(folder.path().join(side_file));
    }
    fs::copy(&backup, &database).unwrap();
    let calls = scene.journal.len();
    let manager = start(&scene, &address, &database, references).await;
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", Reason::ObservationSuspicious.as_str())
        .await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());

    // Somebody has looked, and lets it go on.
    scene.annotate::<ManagerCredential>("acme", annotation::RETRY, "looked").await;
    for number in 0..7 {
        scene
            .condition::<ChannelConnection>(&format!("new-{number}"), "Synced", "False", Reason::RemoteMissing.as_str())
            .await;
    }
    scene
        .eventually("what is older is brought up to date", async || {
            let held = account.connections().await.map_err(|error| error.to_string())?;
            let kept = held.iter().find(|it| it.id == kept).ok_or("kept is gone")?;
            let color = serde_json::to_value(&kept.channel).unwrap()["primaryColor"].clone();
            if color == "#333333" { Ok(()) } else { Err(color.to_string()) }
        })
        .await;
    scene.ready::<ChannelConnection>("kept").await;
    let held = account.connections().await.unwrap();
    assert_eq!(held.len(), 2, "what was deleted since the backup is back, and left alone");
    let writes = scene.manager_writes(calls);
    assert_eq!(writes, [format!("PATCH /v1/connections/{kept}")]);
    scene.finish().await;
    manager.stop().await.unwrap();
}

/// The feed alone would not tell: it ends where it was read last.
#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_since_the_feed_was_read_last_is_missed_as_well(#[case] references: References) {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (database, backup) = (folder.path().join("manager.sqlite"), tempfile::tempdir().unwrap());
    let manager = start(&scene, "127.0.0.1:0", &database, references).await;
    let (address, url) = (
        manager.address().to_string(),
        manager.url().as_str().trim_end_matches('/').to_owned(),
    );
    let (credential, account) = provision(&scene, &manager).await;
    scene
        .apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", &url, AuthenticationMethod::Jwt),
            interface("support", "acme"),
            connection("kept", "support", &web()),
        ])
        .await;
    scene.all_ready("acme", "support", "kept").await;

    // The call that waits is answered with a change that somebody makes; the next one does not get through.
    let held = CancellationToken::new();
    scene
        .faults
        .push(Rule::new(Fault::HoldRequest(held.clone())).path_end("/v1/changes").once());
    let foreign = json!({ "displayName": "By hand", "templateOperator": "other", "baseUrl": "https://acme.example/prweb" });
    let foreign = serde_json::from_value(foreign).unwrap();
    account.create_interface(&foreign).await.unwrap();
    scene
        .eventually("the feed is held", async || match scene.faults.pending() {
            0 => Ok(()),
            _ => Err("it is not"),
        })
        .await;
    copy_all(folder.path(), backup.path());
    for number in 0..7 {
        scene.apply(connection(&format!("new-{number}"), "support", &web())).await;
    }
    for number in 0..7 {
        scene.ready::<ChannelConnection>(&format!("new-{number}")).await;
    }

    manager.stop().await.unwrap();
    copy_all(backup.path(), folder.path());
    let calls = scene.journal.len();
    let manager = start(&scene, &address, &database, references).await;
    scene
        .condition::<ManagerCredential>("acme", "Synced", "False", Reason::ObservationSuspicious.as_str())
        .await;
    assert_eq!(scene.manager_writes(calls), Vec::<String>::new());
    held.cancel();
    scene.finish().await;
    manager.stop().await.unwrap();
}

/// The files of a database, and no others.
fn copy_all(from: &Path, to: &Path) {
    for old in fs::read_dir(to).unwrap() {
        fs::remove_file(old.unwrap().path()).unwrap();
    }
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn with_deletion(mut connection: serde_json::Value) -> serde_json::Value {
    connection["spec"]["policy"] = json!({ "deletion": "Delete" });
    connection
}

// SPDX-License-Identifier: Apache-2.0

//! Every example works as it is shipped, but for what it says must be replaced.

use std::path::Path;

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use futures::future::join_all;
use kube::ResourceExt;
use sandbox::{Example, ReferenceManager};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn every_folder_of_examples_becomes_ready() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 4, "{folders:?}");
    let manager = ReferenceManager::start(sandbox::shared().await.run()).await.unwrap();
    join_all(folders.iter().map(|folder| becomes_ready(folder, &manager))).await;
}

async fn becomes_ready(folder: &Path, manager: &ReferenceManager) {
    let scene = Scene::new().await;
    let example = Example::prepare(folder, &scene.namespace, manager).await.unwrap();
    for account in &example.accounts {
        scene.secret_value(account.credential().manager_key.expose());
    }
    example.manifests.apply(&scene.client).await.unwrap();
    let mut connections = 0;
    for object in example.manifests.objects() {
        let name = object.name_any();
        match object.types.as_ref().unwrap().kind.as_str() {
            "ManagerCredential" => drop(scene.ready::<ManagerCredential>(&name).await),
            "DigitalMessagingInterface" => drop(scene.ready::<DigitalMessagingInterface>(&name).await),
            "ChannelConnection" => {
                scene.ready::<ChannelConnection>(&name).await;
                scene.outputs(&name).await;
                connections += 1;
            }
            _ => {}
        }
    }
    let mut held = 0;
    for account in &example.accounts {
        held += account.connections().await.unwrap().len();
    }
    assert_eq!(held, connections, "{}", folder.display());
    scene.finish().await;
}

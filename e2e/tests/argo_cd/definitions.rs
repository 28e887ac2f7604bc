// SPDX-License-Identifier: Apache-2.0

//! A change of definitions, and resources that use it at once.

use std::fs;

use sandbox::{program::project, wait_for_object};
use serde_json::json;

use crate::bench::{Application, DEADLINE, bench, synced_and_healthy};

const DEFINITION: &str = "charts/digital-messaging-operator-crds/templates/channelconnections.yaml";
/// The first field of the spec that has this name and this depth.
const BEFORE: &str = "\n              displayName:\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn one_commit_may_change_a_definition_and_use_the_change() {
    let (bench, _together) = bench().await;
    let mut declared = bench.example("minimal").await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;

    let before = fs::read_to_string(project().join(DEFINITION)).unwrap();
    assert_eq!(before.matches(BEFORE).count(), 1, "the place in the definition");
    let field = format!("\n              fromTheFuture: {{ type: string, maxLength: 8 }}{BEFORE}");
    declared.object("ChannelConnection", "acme-web").data["spec"]["fromTheFuture"] = json!("used");
    // Resources first: the worse order.
    declared.push();
    application.refresh().await;
    bench
        .wait(
            &application,
            "the field is not known yet",
            |now| match now["status"]["sync"]["status"].as_str() {
                Some("Unknown" | "OutOfSync") => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    bench.platform.write(DEFINITION, &before.replace(BEFORE, &field));
    bench.platform.push();
    let definitions = Application::named(&declared.client, "digital-messaging-definitions");
    definitions.refresh().await;
    let connections = declared.api("ChannelConnection");
    wait_for_object(&connections, "acme-web", "the field is there", DEADLINE, |object| {
        let used = object.is_some_and(|object| object.data["spec"]["fromTheFuture"] == "used");
        if used { Ok(()) } else { Err("not there") }
    })
    .await
    .unwrap();
    // This version of the operator does not know the field, and leaves it alone.
    bench
        .wait(&application, "Synced and Healthy with it", synced_and_healthy)
        .await;
    bench.wait(&definitions, "Synced and Healthy", synced_and_healthy).await;

    // And back.
    declared.object("ChannelConnection", "acme-web").data["spec"]
        .as_object_mut()
        .unwrap()
        .remove("fromTheFuture");
    declared.push();
    application.refresh().await;
    bench.wait(&application, "Synced and Healthy again", synced_and_healthy).await;
    bench.platform.write(DEFINITION, &before);
    bench.platform.push();
    definitions.refresh().await;
    bench.wait(&definitions, "Synced and Healthy again", synced_and_healthy).await;
    bench.wait(&application, "Synced and Healthy still", synced_and_healthy).await;
}

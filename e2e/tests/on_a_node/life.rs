// SPDX-License-Identifier: Apache-2.0

//! Upgrade and rollback with live resources.

use sandbox::packaging::{CHART, RELEASE};
use serde_json::json;

use crate::installation::Installation;

/// No version has been released yet, so the one before is this chart under another number, and the
/// upgrade is one that replaces the pods.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn an_upgrade_and_a_rollback_change_nothing_at_the_manager() {
    let installation = Installation::prepared("life").await;
    let folder = installation.cluster.run().folder().to_owned();
    installation.helm(
        &format!(
            "package {CHART} --version 0.0.9 --app-version 0.0.9 --destination {}",
            folder.display()
        ),
        &json!({}),
    );
    let previous = folder.join(format!("{RELEASE}-0.0.9.tgz"));
    let this_image = json!({ "image": { "tag": env!("CARGO_PKG_VERSION") } });
    installation.install(previous.to_str().unwrap(), &this_image);
    let account = installation.minimal().await;
    let before = installation.state(&account).await;
    let (pods, leader) = (installation.pods("operator"), installation.leader());

    let upgraded =
        json!({ "image": { "tag": env!("CARGO_PKG_VERSION") }, "log": { "filter": "debug" }, "recheckInterval": "5m" });
    installation.install(CHART, &upgraded);
    installation.wait_until_gone(&pods).await;
    installation.wait_for_another_leader(&leader).await;
    assert_eq!(installation.state(&account).await, before, "the upgrade changed something");
    installation.see_it_work(&account).await;
    installation.assert_only_renamed(&account, &before).await;

    let before = installation.state(&account).await;
    let leader = installation.leader();
    let namespace = &installation.namespace;
    installation.helm(
        &format!("rollback {RELEASE} 1 --namespace {namespace} --wait --timeout 2m"),
        &json!({}),
    );
    let listed = installation.helm(&format!("list --namespace {namespace} --output json"), &json!({}));
    assert!(listed.contains("-0.0.9"), "{listed}");
    installation.wait_for_another_leader(&leader).await;
    assert_eq!(installation.state(&account).await, before, "the rollback changed something");
    installation.see_it_work(&account).await;
    installation.assert_only_renamed(&account, &before).await;
}

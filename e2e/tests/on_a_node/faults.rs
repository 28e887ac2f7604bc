// SPDX-License-Identifier: Apache-2.0

//! Parts of the cluster that go away, one at a time: what was in order stays so, and what changes meanwhile gets there.

use std::time::Duration;

use sandbox::{packaging::RELEASE, wait_for};
use serde_json::json;

use crate::installation::{DEADLINE, Installation};

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn nothing_is_lost_when_pods_and_the_control_plane_are_killed() {
    let installation = Installation::new("faults", &json!({})).await;
    let account = installation.minimal().await;
    let before = installation.state(&account).await;

    let pods = installation.pods("operator");
    installation.kubectl_here(&format!("delete pod {} --grace-period=0 --force", pods[0]));
    installation.wait_for_rollout();
    installation.wait_until_gone(&pods).await;
    installation.see_it_work(&account).await;

    installation.kubectl_here(&format!("delete pod {RELEASE}-manager-0"));
    installation.kubectl_here(&format!("rollout status statefulset/{RELEASE}-manager --timeout=2m"));
    installation.see_it_work(&account).await;

    for component in ["kube-apiserver", "etcd"] {
        installation.cluster.kill(component).await.unwrap();
        installation.see_it_work(&account).await;
    }

    installation.assert_only_renamed(&account, &before).await;
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_cut_between_operator_and_manager_is_said_and_made_up_for() {
    let installation = Installation::new("cut", &json!({})).await;
    let account = installation.minimal().await;

    let address = |component: &str| {
        let line = format!("get pods -l app.kubernetes.io/component={component} -o jsonpath={{.items[0].status.podIP}}");
        installation.kubectl_here(&line)
    };
    let (operator, manager) = (address("operator"), address("manager"));
    let rules = format!(
        "add table inet cut; add chain inet cut forward {{ type filter hook forward priority -1; }}; \
         add rule inet cut forward ip saddr {operator} ip daddr {manager} counter drop"
    );
    installation.cluster.nft(&[&rules]).unwrap();

    installation.rename("Renamed in the dark");
    let synced = "get dmi acme-support -o jsonpath={.status.conditions[?(@.type==\"Synced\")].status}";
    wait_for(
        "the operator to say that it cannot reach the manager",
        DEADLINE,
        async || match installation.kubectl_here(synced) {
            said if said == "False" => Ok(()),
            said => Err(format!("Synced={said}")),
        },
    )
    .await
    .unwrap();
    // The node itself is not cut off.
    assert_eq!(account.interfaces().await.unwrap()[0].spec.display_name, "Acme support");

    installation.cluster.nft(&["delete table inet cut"]).unwrap();
    installation.wait_until_renamed(&account, "Renamed in the dark").await;
    wait_for(
        "the operator to say so",
        Duration::from_mins(1),
        async || match installation.kubectl_here(synced) {
            said if said == "True" => Ok(()),
            said => Err(format!("Synced={said}")),
        },
    )
    .await
    .unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! Two replicas: one leads, the other takes over.

use serde_json::json;

use crate::installation::Installation;

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn when_the_leaders_pod_is_deleted_the_other_one_leads() {
    let installation = Installation::new("replicas", &json!({ "replicas": 2 })).await;
    let account = installation.minimal().await;
    let before = installation.state(&account).await;

    let leader = installation.leader();
    let pods = installation.pods("operator");
    assert_eq!(pods.len(), 2);
    assert!(
        pods.iter().any(|pod| leader.contains(pod)),
        "{leader} leads, the pods are {pods:?}"
    );
    let pod = pods.iter().find(|pod| leader.contains(*pod)).unwrap();
    installation.kubectl_here(&format!("delete pod {pod} --grace-period=0 --force"));
    installation.wait_for_another_leader(&leader).await;
    installation.see_it_work(&account).await;
    installation.assert_only_renamed(&account, &before).await;
}

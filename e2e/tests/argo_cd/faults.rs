// SPDX-License-Identifier: Apache-2.0

//! What goes away under Argo CD: pods, the control plane, a namespace. What git says comes back, and nothing is there twice.

use sandbox::{packaging::RELEASE, wait_for};
use serde_json::json;

use crate::bench::{Application, DEADLINE, bench, bench_alone, synced_and_healthy};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn nothing_is_lost_when_the_leader_and_the_control_plane_are_killed() {
    let (bench, _alone) = bench_alone().await;
    let client = bench.client().await;
    let mut declared = bench.example("minimal").await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let before = declared.state(bench).await;

    bench.write_operator(&json!({ "replicas": 2 }));
    bench.platform.push();
    let root = Application::named(&client, "digital-messaging");
    root.refresh().await;
    wait_for("two pods that are ready", DEADLINE, async || {
        match bench.kubectl(&format!("get deployment {RELEASE} -o jsonpath={{.status.readyReplicas}}")) {
            ready if ready == "2" => Ok(()),
            ready => Err(ready),
        }
    })
    .await
    .unwrap();
    let leader = || bench.kubectl(&format!("get lease {RELEASE} -o jsonpath={{.spec.holderIdentity}}"));
    let first = leader();
    let pods = bench.kubectl("get pods -l app.kubernetes.io/component=operator -o jsonpath={.items[*].metadata.name}");
    let pod = pods.split(' ').find(|pod| first.contains(pod)).unwrap();
    bench.kubectl(&format!("delete pod {pod} --grace-period=0 --force"));
    wait_for("the other one to lead", DEADLINE, async || match leader() {
        now if now != first && !now.is_empty() => Ok(()),
        now => Err(now),
    })
    .await
    .unwrap();
    declared.see_it_work(bench, &application, "Acme after the leader").await;

    for component in ["kube-apiserver", "etcd"] {
        bench.cluster.kill(component).await.unwrap();
    }
    declared
        .see_it_work(bench, &application, "Acme after the control plane")
        .await;
    assert_eq!(declared.state(bench).await.but_the_interface(), before.but_the_interface());

    bench.platform.revert();
    let operator = Application::named(&client, "digital-messaging-operator");
    for application in [&root, &operator] {
        application.refresh().await;
        bench.wait(application, "Synced and Healthy again", synced_and_healthy).await;
    }
}

/// Deleted by accident, that is: Argo CD makes it anew, with all that git has.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn a_namespace_that_was_deleted_comes_back_to_what_it_had_at_the_manager() {
    let (bench, _together) = bench().await;
    let declared = bench.example("minimal").await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let account = &declared.accounts[0];
    let before = account.connections().await.unwrap();

    let words = ["delete", "namespace", &declared.namespace, "--timeout=2m"];
    bench.cluster.kubectl(&words).unwrap();
    let connections = declared.api("ChannelConnection");
    wait_for("the connection to be the one of before", DEADLINE, async || {
        let found = connections.get("acme-web").await?;
        anyhow::ensure!(
            found.data["status"]["id"] == before[0].id.as_str(),
            "{}",
            found.data["status"]
        );
        Ok(())
    })
    .await
    .unwrap();
    bench.wait(&application, "Synced and Healthy again", synced_and_healthy).await;
    assert_eq!(account.connections().await.unwrap().len(), 1, "none was made anew");
}

// SPDX-License-Identifier: Apache-2.0

//! A commit of the platform's team that upgrades the operator, and one that goes back.

use sandbox::{packaging::RELEASE, wait_for};
use serde_json::json;

use crate::bench::{Application, Bench, DEADLINE, bench_alone, synced_and_healthy};

const CHART: &str = "charts/digital-messaging-operator/Chart.yaml";
const VERSION: &str = concat!("\nversion: ", env!("CARGO_PKG_VERSION"), "\n");

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn a_commit_that_upgrades_and_one_that_goes_back_change_nothing_at_the_manager() {
    let (bench, _alone) = bench_alone().await;
    let mut declared = bench.example("minimal").await;
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    let before = declared.state(bench).await;

    let chart = std::fs::read_to_string(bench.platform.path(CHART)).unwrap();
    assert!(chart.contains(VERSION), "{chart}");
    bench.platform.write(CHART, &chart.replace(VERSION, "\nversion: 9.9.9\n"));
    bench.write_operator(&json!({ "log": { "filter": "debug" }, "recheckInterval": "5m" }));
    let pods = pods(bench);
    bench.platform.push();
    wait_for_others(bench, &pods, "9.9.9").await;
    assert_eq!(declared.state(bench).await, before, "the upgrade changed something");
    declared.see_it_work(bench, &application, "Acme after the upgrade").await;
    // By now whoever leads has looked at everything.
    assert_eq!(declared.state(bench).await.but_the_interface(), before.but_the_interface());

    let before = declared.state(bench).await;
    let pods = self::pods(bench);
    bench.platform.revert();
    wait_for_others(bench, &pods, env!("CARGO_PKG_VERSION")).await;
    assert_eq!(declared.state(bench).await, before, "going back changed something");
    declared.see_it_work(bench, &application, "Acme as before").await;
    assert_eq!(declared.state(bench).await.but_the_interface(), before.but_the_interface());
}

fn pods(bench: &Bench) -> String {
    bench.kubectl("get pods -l app.kubernetes.io/component=operator -o name")
}

/// Waits until the operator's Application has this version of the chart in pods other than these, one of which leads.
async fn wait_for_others(bench: &Bench, before: &str, version: &str) {
    let client = bench.client().await;
    for name in ["digital-messaging", "digital-messaging-operator"] {
        Application::named(&client, name).refresh().await;
    }
    wait_for("other pods", DEADLINE, async || {
        let (now, leader) = (
            pods(bench),
            bench.kubectl(&format!("get lease {RELEASE} -o jsonpath={{.spec.holderIdentity}}")),
        );
        let others = now.lines().count() == 1 && !before.lines().any(|pod| now.contains(pod));
        let leads = now.lines().any(|pod| leader.contains(pod.trim_start_matches("pod/")));
        if others && leads {
            Ok(())
        } else {
            Err(format!("the pods are {now}, and {leader} leads"))
        }
    })
    .await
    .unwrap();
    let label = "get deployment digital-messaging-operator -o jsonpath={.metadata.labels.helm\\.sh/chart}";
    assert_eq!(bench.kubectl(label), format!("{RELEASE}-{version}"));
    let operator = Application::named(&client, "digital-messaging-operator");
    bench.wait(&operator, "Synced and Healthy", synced_and_healthy).await;
}

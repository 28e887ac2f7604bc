// SPDX-License-Identifier: Apache-2.0

//! The end of an installation from git: in the right order, and in the wrong one.

use sandbox::{OpensAccounts, wait_for};

use crate::bench::{Application, Bench, DEADLINE, Declared, RESOURCES, bench_alone, synced_and_healthy};

const OPERATOR: &str = "digital-messaging-operator";
const DEFINITIONS: &str = "digital-messaging-definitions";

/// The smallest example, of which nothing may stay at the manager.
async fn deletable(bench: &Bench) -> (Declared, Application) {
    let mut declared = bench.example("minimal").await;
    declared.make_deletable();
    let application = declared.deploy().await;
    bench.wait(&application, "Synced and Healthy", synced_and_healthy).await;
    (declared, application)
}

/// Puts everything back by the one Application that is published for it, and waits until it is as it was.
async fn put_back(bench: &Bench) {
    let root = bench.create_root().await;
    let client = bench.client().await;
    for name in [DEFINITIONS, OPERATOR, RESOURCES] {
        bench
            .wait(&Application::named(&client, name), "Synced and Healthy", synced_and_healthy)
            .await;
    }
    bench.wait(&root, "Synced and Healthy", synced_and_healthy).await;
    // The manager came back with its volume, at another address. The network learns of that a little later.
    let answers = async || bench.account().connections().await.map(drop);
    wait_for("the manager to answer", DEADLINE, answers).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn in_the_right_order_only_what_shall_stay_stays_and_the_next_installation_goes_on_with_it() {
    let (bench, _alone) = bench_alone().await;
    let client = bench.client().await;
    let (declared, application) = deletable(bench).await;
    let before = bench.account().connections().await.unwrap();
    assert_eq!(before.len(), 1);

    application.delete(true).await;
    application.wait_until_gone().await;
    assert!(declared.accounts[0].connections().await.unwrap().is_empty());
    assert!(declared.accounts[0].interfaces().await.unwrap().is_empty());
    // Published without a finalizer: what it brought stays.
    let root = Application::named(&client, "digital-messaging");
    root.delete(false).await;
    root.wait_until_gone().await;
    for name in [OPERATOR, DEFINITIONS] {
        let application = Application::named(&client, name);
        application.delete(true).await;
        application.wait_until_gone().await;
    }
    assert_eq!(bench.kubectl("get deployments,statefulsets,services,roles -o name"), "");
    let definitions = bench.kubectl("get crds -o name");
    assert!(
        definitions.contains("channelconnections.digitalmessaging.io"),
        "{definitions}"
    );
    let words = ["get", "chconn", "--namespace", RESOURCES, "-o", "name"];
    assert_eq!(bench.cluster.kubectl(&words).unwrap().lines().count(), 1);

    put_back(bench).await;
    assert_eq!(bench.account().connections().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the node of `make test-argocd`"]
async fn after_the_wrong_order_an_operator_put_back_finishes_the_work() {
    let (bench, _alone) = bench_alone().await;
    let client = bench.client().await;
    let (declared, application) = deletable(bench).await;

    Application::named(&client, "digital-messaging").delete(false).await;
    let operator = Application::named(&client, OPERATOR);
    operator.delete(true).await;
    operator.wait_until_gone().await;
    application.delete(true).await;
    wait_for("the resources to be deleted", DEADLINE, async || {
        let jsonpath = "jsonpath={.items[*].metadata.deletionTimestamp}";
        let said = bench
            .cluster
            .kubectl(&["get", "chconn,dmi", "--namespace", &declared.namespace, "-o", jsonpath])?;
        anyhow::ensure!(said.split(' ').count() == 2 && said.contains('T'), "{said:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(
        application.api.get_opt(&application.name).await.unwrap().is_some(),
        "it waits, too"
    );

    put_back(bench).await;
    application.wait_until_gone().await;
    let account = bench.manager.account(declared.accounts[0].credential()).unwrap();
    assert!(account.connections().await.unwrap().is_empty());
    assert!(account.interfaces().await.unwrap().is_empty());
}

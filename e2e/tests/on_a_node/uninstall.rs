// SPDX-License-Identifier: Apache-2.0

//! The end of an installation: in the right order, in the wrong one, and with its namespace.

use sandbox::{
    ManagerAccount, OpensAccounts,
    packaging::{CHART, RELEASE},
    wait_for,
};
use serde_json::json;

use crate::installation::{DEADLINE, Installation};

/// The smallest example, of which nothing may stay at the manager.
async fn deletable(installation: &Installation) -> ManagerAccount {
    let account = installation.minimal().await;
    for resource in ["chconn/acme-web", "dmi/acme-support"] {
        installation.kubectl_here(&format!(
            r#"patch {resource} --type merge --patch {{"spec":{{"policy":{{"deletion":"Delete"}}}}}}"#
        ));
        wait_for("the operator to know of it", DEADLINE, async || {
            let finalizers = installation.kubectl_here(&format!("get {resource} -o jsonpath={{.metadata.finalizers}}"));
            if finalizers.is_empty() { Err("no finalizer") } else { Ok(()) }
        })
        .await
        .unwrap();
    }
    account
}

async fn wait_until_empty(account: &ManagerAccount) {
    wait_for("nothing to be left at the manager", DEADLINE, async || {
        let (interfaces, connections) = (account.interfaces().await?.len(), account.connections().await?.len());
        anyhow::ensure!(
            interfaces + connections == 0,
            "{interfaces} interfaces, {connections} connections"
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn in_the_right_order_nothing_is_left() {
    let installation = Installation::new("right-order", &json!({})).await;
    let account = deletable(&installation).await;
    installation.kubectl_here("delete chconn,dmi,mgrcred --all --timeout=1m");
    wait_until_empty(&account).await;
    let namespace = &installation.namespace;
    installation.helm(&format!("uninstall {RELEASE} --namespace {namespace} --wait"), &json!({}));
    let left = installation.kubectl_here("get deployments,statefulsets,services,roles,rolebindings -o name");
    assert_eq!(left, "");
    // What docs/install.md says stays.
    let secrets = installation.kubectl_here("get secrets -o name");
    assert!(secrets.contains(&format!("{RELEASE}-installation")), "{secrets}");
    assert!(
        installation
            .kubectl("get crds -o name")
            .contains("channelconnections.digitalmessaging.io")
    );
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn after_the_wrong_order_an_operator_put_back_finishes_the_work() {
    let installation = Installation::new("wrong-order", &json!({})).await;
    let account = deletable(&installation).await;
    let namespace = &installation.namespace;
    installation.helm(&format!("uninstall {RELEASE} --namespace {namespace} --wait"), &json!({}));
    installation.kubectl_here("delete chconn,dmi,mgrcred --all --wait=false");
    let waiting = installation.kubectl_here("get chconn,dmi -o name");
    assert_eq!(
        waiting.lines().count(),
        2,
        "what is to be deleted at the manager waits: {waiting}"
    );

    installation.install(CHART, &json!({}));
    // The manager came back with its volume, at another address.
    let account = installation.manager.account(account.credential()).unwrap();
    wait_until_empty(&account).await;
    wait_for("the resources to go", DEADLINE, async || {
        match installation.kubectl_here("get chconn,dmi,mgrcred -o name") {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        }
    })
    .await
    .unwrap();
}

/// The smallest example in a namespace of its own, of which nothing may stay at the manager.
async fn deletable_in(installation: &Installation, tenant: &str) -> ManagerAccount {
    let mut example = installation.example_in(tenant, "minimal").await;
    for object in example.manifests.objects_mut() {
        let kind = object.types.as_ref().unwrap().kind.clone();
        if ["DigitalMessagingInterface", "ChannelConnection"].contains(&kind.as_str()) {
            object.data["spec"]["policy"] = json!({ "deletion": "Delete" });
        }
    }
    example.manifests.apply(&installation.client).await.unwrap();
    installation.wait_until_ready(&example.manifests).await;
    let account = example.accounts.pop().unwrap();
    assert_eq!(account.connections().await.unwrap().len(), 1);
    account
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn a_namespace_that_is_deleted_takes_its_resources_at_the_manager_along() {
    // The manager has to be there to the end, so the resources are in another namespace.
    let installation = Installation::new("landlord", &json!({ "watchNamespaces": [] })).await;
    installation.kubectl("create namespace tenant");
    let account = deletable_in(&installation, "tenant").await;
    installation.kubectl("delete namespace tenant --timeout=2m");
    wait_until_empty(&account).await;
}

/// Kubernetes may delete the operator's rights in the namespace before what they are needed for. The commands are those of
/// docs/deletion.md.
#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn nor_does_one_stay_in_which_the_operators_rights_went_first() {
    let tenant = "watched-tenant";
    let installation = Installation::prepared("watching").await;
    installation.kubectl(&format!("create namespace {tenant}"));
    installation.install(CHART, &json!({ "watchNamespaces": [tenant] }));
    let account = deletable_in(&installation, tenant).await;
    installation.kubectl(&format!("delete rolebindings --all --namespace {tenant}"));
    installation.kubectl(&format!("delete namespace {tenant} --wait=false"));

    installation.kubectl(
        "create clusterrole messaging-cleanup --verb=get,list,watch,update,patch,delete \
         --resource=managercredentials.digitalmessaging.io,digitalmessaginginterfaces.digitalmessaging.io,\
channelconnections.digitalmessaging.io,managercredentials.digitalmessaging.io/status,\
digitalmessaginginterfaces.digitalmessaging.io/status,channelconnections.digitalmessaging.io/status,secrets",
    );
    installation.kubectl(&format!(
        "create clusterrolebinding messaging-cleanup --clusterrole=messaging-cleanup --serviceaccount={}:{RELEASE}",
        installation.namespace
    ));
    installation.kubectl(&format!("wait --for=delete namespace/{tenant} --timeout=5m"));
    installation.kubectl("delete clusterrolebinding,clusterrole messaging-cleanup");
    wait_until_empty(&account).await;
}

// SPDX-License-Identifier: Apache-2.0

//! A whole namespace deleted at once, the user's Secret with it.

use std::{collections::BTreeMap, time::Instant};

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use serde_json::json;

use super::{held, scene};
use crate::{
    figures,
    scene::{connection, interface, web, with_deletion},
};

#[tokio::test(flavor = "multi_thread")]
async fn with_delete_nothing_is_left_at_the_manager_and_the_namespace_goes() {
    let scene = scene().await;
    let account = scene.ready_set("Delete", 3).await;
    let foreign = account
        .create_interface(
            &serde_json::from_value(json!({
                "displayName": "By hand", "templateOperator": "dm-template", "baseUrl": "https://acme.example/prweb",
            }))
            .unwrap(),
        )
        .await
        .unwrap();

    scene.delete_namespace().await;
    scene.namespace_gone().await;
    let left: Vec<_> = account.interfaces().await.unwrap().into_iter().map(|it| it.id).collect();
    assert_eq!(left, [foreign.id], "what others made stays");
    assert_eq!(account.connections().await.unwrap().len(), 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_orphan_it_goes_and_destroys_nothing_and_one_of_the_same_name_finds_everything_again() {
    let scene = scene().await;
    let account = scene.ready_set("Orphan", 2).await;
    let ids = [scene.connection_id("web-0").await, scene.connection_id("web-1").await];

    let calls = scene.journal.len();
    scene.delete_namespace().await;
    scene.namespace_gone().await;
    let writes = scene.manager_writes(calls);
    assert!(
        writes.iter().all(|write| write.starts_with("PATCH")),
        "more than letting go: {writes:?}"
    );
    assert_eq!(held(&account).await, (1, 2));

    let again: Namespace = serde_json::from_value(json!({ "metadata": { "name": scene.namespace } })).unwrap();
    scene.namespaces().create(&PostParams::default(), &again).await.unwrap();
    scene
        .apply_credential(account.credential(), account.credential().method)
        .await;
    scene
        .apply_all([
            interface("support", "acme"),
            connection("web-0", "support", &web()),
            connection("web-1", "support", &web()),
        ])
        .await;
    scene.all_ready("acme", "support", "web-0").await;
    scene.ready::<ChannelConnection>("web-1").await;
    assert_eq!([scene.connection_id("web-0").await, scene.connection_id("web-1").await], ids);
    assert_eq!(held(&account).await, (1, 2));
    assert!(scene.outputs("web-0").await.contains_key("jwtSecret"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_whose_connections_stay_at_the_manager_says_so_and_abandon_is_the_way_out() {
    let scene = scene().await;
    let account = scene.ready_credential().await;
    scene.apply(with_deletion(interface("support", "acme"), "Delete")).await;
    scene
        .apply(with_deletion(connection("web", "support", &web()), "Orphan"))
        .await;
    scene.all_ready("acme", "support", "web").await;

    scene.delete_namespace().await;
    scene.gone::<ChannelConnection>("web").await;
    let (_, synced) = scene
        .condition::<DigitalMessagingInterface>("support", "Synced", "False", "InterfaceNotEmpty")
        .await;
    assert!(synced.message.contains("digitalmessaging.io/abandon=true"), "{synced}");
    scene
        .annotate::<DigitalMessagingInterface>("support", "digitalmessaging.io/abandon", "true")
        .await;
    scene.namespace_gone().await;
    assert_eq!(held(&account).await, (1, 1));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_go_with_one_call_each() {
    const COUNT: usize = 50;
    let scene = scene().await;
    let account = scene.ready_set("Delete", COUNT).await;
    scene.counted(COUNT).await;
    let (calls, writes, began) = (scene.journal.len(), scene.audit_mark(), Instant::now());

    scene.delete_namespace().await;
    scene.empty_at_the_manager(&account).await;
    let emptied = began.elapsed();
    scene.namespace_gone().await;
    let gone = began.elapsed();

    let mut by_kind = scene.manager_writes(calls);
    by_kind.retain(|call| !call.starts_with("DELETE"));
    assert_eq!(by_kind, Vec::<String>::new());
    // One for each connection and one for the interface.
    assert_eq!(scene.manager_writes(calls).len(), COUNT + 1);
    let (accepted, refused): (Vec<_>, Vec<_>) = scene.operator_writes(writes).into_iter().partition(|write| write.code < 400);
    let show = |writes: &[sandbox::Request]| {
        let mut counts = BTreeMap::<String, usize>::new();
        for write in writes {
            *counts
                .entry(format!(
                    "{} {} {} {}",
                    write.verb, write.resource, write.subresource, write.code
                ))
                .or_default() += 1;
        }
        format!("{counts:#?}")
    };
    let seconds = |time: std::time::Duration| format!("{:.1} s", time.as_secs_f64());
    figures::record("namespace-of-50-empty-at-the-manager", seconds(emptied));
    figures::record("namespace-of-50-gone", seconds(gone));
    figures::record("namespace-of-50-manager-calls", scene.manager_writes(calls).len());
    figures::record("namespace-of-50-kubernetes-writes", accepted.len());
    figures::record("namespace-of-50-refused-writes", refused.len());
    // Each connection's finalizer, and its outputs if they are still there; for the parents, what they wait for and their
    // finalizers.
    assert!(accepted.len() <= 2 * COUNT + 15, "{}", show(&accepted));
    // Outputs that cannot be put back, because the namespace controller takes Secrets and connections in an order of its own:
    // once for each connection, with an event about that. A finalizer is tried once more only if the watch was slower than that.
    let of = |verb: &str, resource: &str| refused.iter().filter(|it| it.verb == verb && it.resource == resource).count();
    let (secrets, events) = (of("create", "secrets"), of("create", "events"));
    let others = refused.len() - secrets - events;
    assert!(
        secrets <= COUNT && events <= COUNT && others <= COUNT / 4,
        "{}",
        show(&refused)
    );
    scene.finish().await;
}

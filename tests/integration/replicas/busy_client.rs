// SPDX-License-Identifier: Apache-2.0

//! The lease does not wait for anything else that is asked of the API server.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use digital_messaging_operator::api::GROUP;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::net::TcpListener;

use super::Pair;
use crate::scene::{connection, web};

/// Requests that may be under way.
const FEW: usize = 8;

/// Has the API server ask a webhook before each status write of a connection in the namespace, and never answers it.
async fn hang_status_writes(api: &Api<ValidatingWebhookConfiguration>, namespace: &str) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut hanging = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            hanging.push(client);
            count.store(hanging.len(), Ordering::Relaxed);
        }
    });
    let webhook = json!({
        "metadata": { "name": namespace },
        "webhooks": [{
            "name": "never-answers.example.com",
            "clientConfig": { "url": url },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "rules": [{
                "apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["channelconnections/status"],
            }],
            "failurePolicy": "Ignore", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
        }],
    });
    let webhook = serde_json::from_value(webhook).unwrap();
    api.create(&PostParams::default(), &webhook).await.unwrap();
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_hang_do_not_cost_the_lease() {
    let few = FEW.to_string();
    let mut arguments = super::QUICK.to_vec();
    arguments.extend(["--max-kubernetes-requests", &few]);
    let pair = Pair::start(&arguments).await;
    let term = pair.term_began().await;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(pair.scene.client.clone());
    let asked = hang_status_writes(&webhooks, &pair.scene.namespace).await;
    let more = (0..3 * FEW).map(|number| connection(&format!("more-{number}"), "support", &web()));
    pair.scene.apply_all(more).await;
    pair.scene
        .eventually("status writes hang", async || {
            let hanging = asked.load(Ordering::Relaxed);
            if hanging >= FEW {
                Ok(())
            } else {
                Err(format!("{hanging} do"))
            }
        })
        .await;
    pair.renews_for_longer_than_its_lease().await;
    assert_eq!(pair.term_began().await, term, "{}", pair.first.operator.process().log_tail());
    webhooks
        .delete(&pair.scene.namespace, &DeleteParams::default())
        .await
        .unwrap();
    pair.end().await;
}

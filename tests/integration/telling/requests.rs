// SPDX-License-Identifier: Apache-2.0

//! Requests to the Kubernetes API are counted as client-go counts them: the API server's own log has the same numbers.

use std::{collections::BTreeMap, sync::Arc};

use digital_messaging_operator::{api::ChannelConnection, kubernetes::client::Clients, telemetry::metrics::Metrics};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
    config::Kubeconfig,
};
use regex::Regex;
use sandbox::Request;

use crate::scene::{Scene, connection, web};

/// How many, by status and method.
type Counts = BTreeMap<(String, String), u64>;

/// What the metrics say, which must all be of this host.
fn counted(metrics: &Metrics, host: &str) -> Counts {
    let sample = Regex::new(r#"^rest_client_requests_total\{code="([^"]*)",method="([^"]*)",host="([^"]*)"\} (\d+)$"#).unwrap();
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| line.starts_with("rest_client_requests_total"));
    lines
        .map(|line| {
            let found = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(&found[3], host);
            ((found[1].to_owned(), found[2].to_owned()), found[4].parse().unwrap())
        })
        .collect()
}

/// What the audit log says.
fn answered(requests: &[Request]) -> Counts {
    let mut counts = Counts::new();
    for request in requests {
        let method = match request.verb.as_str() {
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            _ => "GET",
        };
        *counts.entry((request.code.to_string(), method.to_owned())).or_default() += 1;
    }
    counts
}

/// Where the API server is for the operator of a scene.
fn host(scene: &Scene) -> String {
    let file = Kubeconfig::read_from(scene.control_plane().kubeconfig()).unwrap();
    let server = file.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap();
    server.strip_prefix("https://").unwrap().trim_end_matches('/').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_kubernetes_are_counted_as_the_api_server_counts_them() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    scene.stop_operator().await;
    let mark = scene.audit_mark();
    // By which the log tells it from the one before.
    "counted".clone_into(&mut scene.settings.identity);
    scene.start_operator().await;
    scene.apply(connection("web", "support", &web())).await;
    scene.ready::<ChannelConnection>("web").await;

    let host = host(&scene);
    let all = scene
        .eventually("both have counted the same", async || {
            let mut there = scene.operator_requests(mark);
            there.retain(|request| request.user_agent.ends_with("(counted)"));
            let (here, mut there) = (counted(&scene.metrics, &host), answered(&there));
            // One watch for each of the three kinds, the labelled Secrets and the outputs, which go on.
            *there.entry(("200".to_owned(), "GET".to_owned())).or_default() += 5;
            if here == there {
                Ok(here)
            } else {
                Err(format!("{here:?}, and the API server {there:?}"))
            }
        })
        .await;
    let of = |code: &str, method: &str| all.get(&(code.to_owned(), method.to_owned())).copied().unwrap_or_default();
    assert!(of("201", "POST") >= 1 && of("200", "PUT") >= 1, "{all:?}");
    scene.finish().await;
}

#[tokio::test]
async fn a_request_that_nobody_answers_is_counted_as_an_error() {
    let host = format!("127.0.0.1:{}", sandbox::free_port().unwrap());
    let metrics = Arc::<Metrics>::default();
    let config = kube::Config::new(format!("http://{host}").parse().unwrap());
    let clients = Clients::new(config, 1, "test", &metrics).unwrap();
    for client in [clients.general.clone(), clients.lease.clone(), clients.again().unwrap()] {
        let secrets: Api<Secret> = Api::namespaced(client, "shop");
        secrets.list(&ListParams::default()).await.unwrap_err();
        secrets.delete("acme", &DeleteParams::default()).await.unwrap_err();
    }
    let error = |method: &str| ("<error>".to_owned(), method.to_owned());
    assert_eq!(counted(&metrics, &host), [(error("DELETE"), 3), (error("GET"), 3)].into());
}

// SPDX-License-Identifier: Apache-2.0

//! What the process tells of itself: metrics in the format that is asked for, what it takes of its machine and asks of the
//! Kubernetes API, log lines that can be had at any level while it runs, and traces for a collector.

mod collector;
mod machine;
mod requests;

use std::collections::BTreeSet;

use digital_messaging_operator::api::ChannelConnection;
use http::Method;
use reqwest::{Client, Response, header::ACCEPT};
use sandbox::Operator;

use collector::{Collector, Span};

use crate::{
    lifecycle::{channel_secret, one_of_a_mix},
    scene::{DEADLINE, Scene},
};

async fn start(scene: &mut Scene, arguments: &[&str]) -> Operator {
    start_with(scene, arguments, &[]).await
}

async fn start_with(scene: &mut Scene, arguments: &[&str], environment: &[(&str, &str)]) -> Operator {
    if scene.has_operator() {
        scene.stop_operator().await;
    }
    let control_plane = sandbox::shared().await;
    let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
    let mut all = vec!["--namespaces", &scene.namespace, "--namespace", &scene.namespace];
    all.extend(arguments);
    let operator = Operator::start_with(control_plane.run(), &kubeconfig, all, environment).unwrap();
    operator.wait_until_ready().await.unwrap();
    operator
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn kind(answer: &Response) -> &str {
    answer.headers()["content-type"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let mut scene = Scene::new().await;
    let operator = start(&mut scene, &[]).await;
    let url = format!("{}/metrics", operator.url());
    // What Prometheus sends.
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2";
    let answer = client().get(&url).header(ACCEPT, accept).send().await.unwrap();
    assert!(kind(&answer).starts_with("application/openmetrics-text"), "{}", kind(&answer));
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("# TYPE digital_messaging_events_dropped counter\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
    // What is read only now is named as all others are.
    assert!(
        text.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total ")
            && text.contains("# TYPE process_open_fds gauge\nprocess_open_fds "),
        "{text}"
    );

    let answer = client().get(&url).send().await.unwrap();
    assert!(kind(&answer).starts_with("text/plain; version=0.0.4"), "{}", kind(&answer));
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("# TYPE digital_messaging_events_dropped_total counter\n") && !text.contains("# EOF"),
        "{text}"
    );
    assert!(
        text.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total ")
            && text.contains("# TYPE rest_client_requests_total counter\nrest_client_requests_total{"),
        "{text}"
    );
    operator.process().terminate(DEADLINE).await.unwrap();
    scene.finish().await;
}

async fn put(operator: &Operator, filter: &str) -> (u16, String) {
    let url = format!("{}/log-filter", operator.url());
    let answer = client().put(&url).body(filter.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// How many log lines there are of the operator's own code, by level.
fn own_lines(operator: &Operator, level: &str) -> usize {
    let log = operator.process().log().unwrap();
    let own = |line: &&str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["level"] == level && line["target"].as_str().unwrap().starts_with("digital_messaging_operator")
    };
    log.lines().filter(own).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_changes_while_it_runs_and_no_level_shows_a_secret() {
    let mut scene = Scene::new().await;
    let operator = start(&mut scene, &["--log-filter", "info"]).await;
    scene.ready_interface().await;
    assert_eq!(own_lines(&operator, "DEBUG"), 0, "{}", operator.process().log_tail());

    let (status, said) = put(&operator, "debg").await;
    assert!(status == 400 && said.contains("debg is no level"), "{status} {said}");
    assert_eq!(put(&operator, &"x".repeat(5000)).await.0, 413);
    let shown = client().get(format!("{}/log-filter", operator.url())).send().await.unwrap();
    assert_eq!(shown.text().await.unwrap(), "info\n", "what is not taken changes nothing");

    assert_eq!(put(&operator, "trace").await, (200, "trace\n".to_owned()));
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply_all((0..7).map(|number| one_of_a_mix(number, "support", "channels")))
        .await;
    for number in 0..7 {
        scene.ready::<ChannelConnection>(&format!("mixed-{number}")).await;
    }
    assert!(own_lines(&operator, "DEBUG") > 7, "{}", operator.process().log_tail());
    assert!(operator.process().log().unwrap().contains("the log filter was changed"));

    assert_eq!(put(&operator, "off").await.0, 200);
    scene
        .apply_all((7..9).map(|number| one_of_a_mix(number, "support", "channels")))
        .await;
    scene.ready::<ChannelConnection>("mixed-8").await;
    let log = operator.process().log().unwrap();
    assert!(
        log.contains("mixed-6") && !log.contains("mixed-8"),
        "{}",
        operator.process().log_tail()
    );
    operator.process().terminate(DEADLINE).await.unwrap();
    // Looks for every secret in what the process wrote.
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_reconcile_to_the_manager_and_to_kubernetes_and_tells_no_secret() {
    let mut scene = Scene::new().await;
    let collector = Collector::start().await;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer collector"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let operator = start_with(&mut scene, &[], &environment).await;
    scene.ready_interface().await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene
        .apply_all((0..7).map(|number| one_of_a_mix(number, "support", "channels")))
        .await;
    for number in 0..7 {
        scene.ready::<ChannelConnection>(&format!("mixed-{number}")).await;
    }
    // Sends what is left before it ends.
    operator.process().terminate(DEADLINE).await.unwrap();

    let spans = collector.spans();
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let of_connection = |span: &&Span| {
        span.name == "reconcile channelconnections"
            && span.attributes.get("object").is_some_and(|name| name == "mixed-0")
            && spans
                .iter()
                .any(|child| child.is_below(span) && child.name == "create_connection")
    };
    let reconcile = spans.iter().find(of_connection).unwrap_or_else(|| panic!("{names:?}"));
    assert_eq!(reconcile.attributes["k8s.namespace.name"], scene.namespace);
    assert_eq!(reconcile.attributes["result"], "success");
    let below: Vec<&Span> = spans.iter().filter(|span| span.is_below(reconcile)).collect();
    let call = below.iter().find(|span| span.name == "create_connection").unwrap();
    assert_eq!((call.attributes["class"].as_str(), call.is_client), ("ok", true));
    let writes: Vec<&str> = below
        .iter()
        .filter(|span| span.attributes.contains_key("verb"))
        .map(|span| span.name.as_str())
        .collect();
    assert!(writes.contains(&"create secrets"), "{writes:?}");
    assert!(writes.iter().any(|name| name.ends_with("channelconnections")), "{writes:?}");
    for written in below.iter().filter(|span| span.attributes.contains_key("verb")) {
        assert_eq!(written.attributes["result"], "ok", "{written:?}");
    }

    let parent = format!("00-{}-{}-01", call.trace, call.id);
    let calls = scene.journal.entries();
    let continued = calls.iter().find(|entry| entry.traceparent.as_ref() == Some(&parent));
    let continued = continued.unwrap_or_else(|| panic!("no call has the traceparent {parent}: {calls:#?}"));
    assert_eq!(
        (&continued.method, continued.path.as_str()),
        (&Method::POST, "/v1/connections")
    );

    assert_eq!(
        collector.resource("service.name"),
        ["digital-messaging-operator"].map(str::to_owned).into()
    );
    assert_eq!(
        collector.resource("deployment.environment.name"),
        ["test"].map(str::to_owned).into()
    );
    assert_eq!(collector.authorization(), ["Bearer collector"].map(str::to_owned).into());
    scene.assert_no_secret_in(&collector.text());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_stops_nothing_and_without_one_no_call_is_traced() {
    let mut scene = Scene::new().await;
    let away = format!("http://127.0.0.1:{}", sandbox::free_port().unwrap());
    let operator = start_with(&mut scene, &["--otlp-endpoint", &away], &[("OTEL_BSP_SCHEDULE_DELAY", "200")]).await;
    scene.ready_interface().await;
    assert!(scene.journal.entries().iter().any(|entry| entry.traceparent.is_some()));
    operator.process().terminate(DEADLINE).await.unwrap();
    let calls = scene.journal.len();
    let operator = start(&mut scene, &[]).await;
    scene.apply(channel_secret(&scene, "channels")).await;
    scene.apply(one_of_a_mix(0, "support", "channels")).await;
    scene.ready::<ChannelConnection>("mixed-0").await;
    let calls = scene.journal.entries().split_off(calls);
    assert!(
        !calls.is_empty() && calls.iter().all(|entry| entry.traceparent.is_none()),
        "{calls:#?}"
    );
    operator.process().terminate(DEADLINE).await.unwrap();
    scene.finish().await;
}

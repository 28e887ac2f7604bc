// SPDX-License-Identifier: Apache-2.0

//! A thousand connections: what an outage of their manager costs, and what a restart.

use std::{collections::BTreeMap, time::Instant};

use digital_messaging_contract::problem::Code;
use digital_messaging_operator::{
    api::{ManagerCredential, manager_credential::Breaker},
    controller::reason::Reason,
};
use kube::api::ListParams;
use messaging_manager::{
    faults::{Fault, Rule},
    journal::Entry,
};

use super::most_at_once;
use crate::{
    figures::record,
    lifecycle::{channel_secret, one_of_a_mix},
    scene::{Scene, expect},
};

const CONNECTIONS: usize = 1000;
const PART: usize = 100;
/// Of all metrics together. Most are the buckets of histograms: one set for each operation, controller or kind.
const MOST_SERIES: usize = 600;
/// Of requests to the Kubernetes API: a few statuses of each method.
const MOST_REQUEST_SERIES: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_a_thousand_connections_is_one_status_write_and_a_restart_is_none() {
    let mut scene = Scene::new().await;
    scene.ready_interface().await;
    let began = Instant::now();
    all_ready(&scene).await;
    series_do_not_grow_with_objects(&scene);
    record(
        "thousand-connections-ready-in",
        format!("{:.0} s", began.elapsed().as_secs_f64()),
    );

    outage(&scene).await;
    restart(&mut scene).await;
    scene.finish().await;
}

/// Has all connections ready, a part of them at a time: together they may take longer than a test waits for one thing.
async fn all_ready(scene: &Scene) {
    scene.apply(channel_secret(scene, "channels")).await;
    for first in (0..CONNECTIONS).step_by(PART) {
        let part = first..first + PART;
        scene
            .apply_all(part.clone().map(|number| one_of_a_mix(number, "support", "channels")))
            .await;
        scene
            .eventually("a part of the connections is ready", async || {
                let all = scene.connections().list(&ListParams::default()).await;
                let all = all.map_err(|error| error.to_string())?;
                let ready = all.iter().filter(|it| expect(it, "Ready", "True", "Ready").is_ok()).count();
                if ready == part.end {
                    Ok(())
                } else {
                    Err(format!("{ready} of {} are", part.end))
                }
            })
            .await;
    }
    scene.counted(CONNECTIONS).await;
    scene.time_passes(2).await;
}

/// No series for each object, each namespace or each message: what there is at a thousand is what there is at ten.
fn series_do_not_grow_with_objects(scene: &Scene) {
    let text = scene.metrics.encode().unwrap();
    let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let labels = series.iter().filter_map(|line| line.split_once('{'));
    for (_, labels) in labels {
        for name in [scene.namespace.as_str(), "mixed-", "acme", "support", "cn_"] {
            assert!(!labels.contains(name), "{name} is a label: {labels}");
        }
    }
    // The one address that is a label is that of the API server.
    let (requests, others): (Vec<&str>, Vec<&str>) = series
        .iter()
        .partition(|line| line.starts_with("rest_client_requests_total{"));
    assert!(!others.iter().any(|line| line.contains("127.0.0.1")), "{others:#?}");
    assert!((3..MOST_REQUEST_SERIES).contains(&requests.len()), "{requests:#?}");
    assert!(series.len() < MOST_SERIES, "{} series:\n{}", series.len(), series.join("\n"));
    let connections = r#"digital_messaging_resources{kind="ChannelConnection",reason="Ready"} 1000"#;
    assert!(series.contains(&connections), "no {connections} in {text}");
    assert!(scene.sample(r#"digital_messaging_time_to_ready_seconds_count{kind="ChannelConnection"}"#) >= 999.5);
    assert!(scene.sample(r#"workqueue_adds_total{name="channelconnections"}"#) >= 999.5);
    eprintln!("{} series at {CONNECTIONS} connections", series.len());
}

async fn outage(scene: &Scene) {
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.faults.push(Rule::new(Fault::Problem(Code::Unavailable, None)));
    scene
        .trouble::<ManagerCredential>("acme", Reason::ManagerUnavailable, "injected")
        .await;
    scene.time_passes(8).await;
    let written = scene.object_writes(writes);
    assert_eq!(written, ["update managercredentials/status acme"]);
    let tried = scene.manager_calls(calls);
    assert!(tried.iter().all(|call| !call.is_write()), "{tried:#?}");
    assert!(tried.len() <= 8, "{} calls", tried.len());
    record("thousand-outage-status-writes", written.len());
    record("thousand-outage-calls", format!("{} in the first 10 s", tried.len()));
    let reachability = scene.reachability("acme").await;
    assert_eq!(reachability.breaker, Breaker::Open);
    assert!(reachability.next_attempt_time.is_some() && reachability.cause.is_some());
    scene.metric_becomes("digital_messaging_breaker_opened_total", 1.0).await;

    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.faults.clear();
    scene.ready::<ManagerCredential>("acme").await;
    scene.time_passes(3).await;
    let written = scene.object_writes(writes);
    assert_eq!(written, ["update managercredentials/status acme"]);
    let calls = scene.manager_calls(calls);
    assert!(calls.iter().all(Entry::is_change_feed), "{calls:#?}");
    record("thousand-recovery-status-writes", written.len());
    record("thousand-recovery-calls", calls.len());
}

async fn restart(scene: &mut Scene) {
    scene.stop_operator().await;
    let (writes, calls) = (scene.audit_mark(), scene.journal.len());
    scene.start_operator().await;
    scene.wait_until_leading().await;
    scene.metric_becomes(r#"digital_messaging_accounts{state="up"}"#, 1.0).await;
    let reconciled = r#"controller_runtime_reconcile_total{controller="channelconnections",result="success"}"#;
    scene
        .eventually("all connections are reconciled", async || {
            let count = scene.sample(reconciled);
            let all = f64::from(u32::try_from(CONNECTIONS).unwrap());
            if count >= all { Ok(()) } else { Err(format!("{count} are")) }
        })
        .await;
    scene.time_passes(6).await;
    assert_eq!(scene.object_writes(writes), Vec::<String>::new());
    let calls = scene.manager_calls(calls);
    assert!(calls.iter().all(|call| !call.is_write()), "{calls:#?}");
    let once: Vec<Entry> = calls.iter().filter(|call| !call.is_change_feed()).cloned().collect();
    // Who it is, and a walk page by page, one call after the other.
    assert!(once.len() <= 20, "{once:#?}");
    let at_once = most_at_once(&once);
    assert!(at_once <= 2, "{at_once} calls at once: {once:#?}");

    let requests = scene.operator_requests(writes);
    let mut reads: BTreeMap<String, usize> = BTreeMap::new();
    for read in requests
        .iter()
        .filter(|request| !request.is_write() && request.resource != "leases")
    {
        *reads.entry(format!("{} {}", read.verb, read.resource)).or_default() += 1;
    }
    assert!(reads.values().sum::<usize>() < 60, "{reads:?}");
    record("thousand-restart-calls", once.len());
    record("thousand-restart-calls-at-once", at_once);
    let first = once.iter().map(|call| call.at).min().unwrap();
    let last = once.iter().filter_map(|call| call.answered).max().unwrap();
    let took = last.duration_since(first).as_secs_f64();
    record("thousand-restart-calls-took", format!("{took:.1} s"));
    record("thousand-restart-kubernetes-reads", reads.values().sum::<usize>());
}

// SPDX-License-Identifier: Apache-2.0

//! Nothing that a user or a manager sends takes more than a bounded share of the operator's memory or time.
//!
//! The operator runs as a process of its own, so that its memory can be measured.

use std::{
    convert::Infallible,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::ManagerCredential;
use futures::{StreamExt, stream};
use http::{StatusCode, header};
use sandbox::{Condition, Operator, wait_for};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::intruder::{EvilManager, Intruder, Rights, account, empty_list};
use crate::{
    figures::record,
    scene::{Scene, labelled_secret, manager_credential},
};

/// Generous: the machine may be busy, and the operator is not optimised in tests.
const DEADLINE: Duration = Duration::from_mins(4);

/// What one attack may add to the operator's memory at its worst.
const BOUND: u64 = 320;

const GIB: usize = 1 << 30;

/// `before`, then blanks until there are at least `total` bytes.
fn flood(status: StatusCode, before: &'static str, total: usize, announced: bool) -> Response {
    let chunk = Bytes::from(vec![b' '; 65536]);
    let count = (total - before.len()).div_ceil(chunk.len());
    let length = before.len() + count * chunk.len();
    let chunks = stream::iter([Bytes::from_static(before.as_bytes())]).chain(stream::iter(std::iter::repeat_n(chunk, count)));
    let mut response = Response::new(Body::from_stream(chunks.map(Ok::<_, Infallible>)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if announced {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// `count` connections that differ in nothing.
fn connections(count: usize) -> String {
    let one = json!({
        "id": "cn_1", "interfaceId": "if_1", "displayName": "n".repeat(50), "channel": {
            "type": "webMessaging", "primaryColor": "#000000", "headings": [], "allowedDomains": ["a.example"], "allowedCookies": [],
            "sessionInitialization": "automatic",
        },
        "state": "active", "webhookUrl": "https://manager.example/webhook", "hasJwtSecret": true, "revision": 1,
        "createdAt": jiff::Timestamp::now(), "updatedAt": jiff::Timestamp::now(),
    })
    .to_string();
    vec![one; count].join(",")
}

/// What hostile managers answer: to `/v1/manager` if the account is not to open, else to lists.
#[derive(Clone, Copy, Debug)]
enum Attack {
    AnnouncedGibibyte,
    EndlessGibibyte,
    EndlessRefusal,
    GibibyteOfList,
    ListOfManySmallItems,
    ItemOfManySmallValues,
    DeeplyNested,
    SameCursor,
    CursorsInCircles,
    EndlessItems,
    GzipBomb,
}

impl Attack {
    const ALL: [Self; 11] = [
        Self::AnnouncedGibibyte,
        Self::EndlessGibibyte,
        Self::EndlessRefusal,
        Self::GibibyteOfList,
        Self::ListOfManySmallItems,
        Self::ItemOfManySmallValues,
        Self::DeeplyNested,
        Self::SameCursor,
        Self::CursorsInCircles,
        Self::EndlessItems,
        Self::GzipBomb,
    ];

    fn name(self) -> String {
        format!("{self:?}").chars().fold(String::new(), |mut name, c| {
            if c.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
            name
        })
    }

    /// What the credential has to say about it.
    fn outcome(self) -> (&'static str, &'static str) {
        match self {
            Self::AnnouncedGibibyte | Self::EndlessGibibyte => ("UnexpectedResponse", "larger than 1 MiB"),
            Self::EndlessRefusal => ("Forbidden", "403"),
            Self::GibibyteOfList => ("UnexpectedResponse", "larger than 16 MiB"),
            Self::ListOfManySmallItems | Self::DeeplyNested | Self::GzipBomb => {
                ("UnexpectedResponse", "not the JSON of the contract")
            }
            // It is passed over, and the account is empty.
            Self::ItemOfManySmallValues => ("Ready", ""),
            Self::SameCursor => ("UnexpectedResponse", "does not advance"),
            Self::CursorsInCircles => ("UnexpectedResponse", "more pages than this operator reads"),
            Self::EndlessItems => ("UnexpectedResponse", "more objects than this operator reads"),
        }
    }

    fn list(self, page: usize, items: &str) -> Response {
        let most = 16 * 1024 * 1024 - 1024;
        match self {
            Self::GibibyteOfList => flood(StatusCode::OK, "{\"revision\":1,\"items\":[", GIB, false),
            Self::ListOfManySmallItems => text(format!("{{\"revision\":1,\"items\":[{}0]}}", "0,".repeat(most / 2))),
            Self::ItemOfManySmallValues => text(format!("{{\"revision\":1,\"items\":[[{}[]]]}}", "[],".repeat(most / 3))),
            Self::SameCursor => text("{\"revision\":1,\"items\":[],\"nextCursor\":\"a\"}".to_owned()),
            Self::CursorsInCircles => text(format!("{{\"revision\":1,\"items\":[],\"nextCursor\":\"{}\"}}", page % 2)),
            Self::EndlessItems => text(format!("{{\"revision\":1,\"items\":[{items}],\"nextCursor\":\"{page}\"}}")),
            _ => empty_list(),
        }
    }

    async fn start(self) -> EvilManager {
        let pages = Arc::new(AtomicUsize::new(0));
        let items: Arc<str> = connections(500).into();
        EvilManager::start(move |request: Request| {
            let (pages, items) = (pages.clone(), items.clone());
            async move {
                assert!(
                    request.headers().get(header::ACCEPT_ENCODING).is_none(),
                    "no compression is asked for"
                );
                match (self, request.uri().path()) {
                    (_, "/v1/changes") => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        empty_list()
                    }
                    (_, "/v1/interfaces" | "/v1/connections") => {
                        // The end of interfaces is reached where only connections are endless.
                        let of_interfaces = request.uri().path() == "/v1/interfaces";
                        if of_interfaces && matches!(self, Self::EndlessItems) {
                            return empty_list();
                        }
                        self.list(pages.fetch_add(1, Ordering::Relaxed), &items)
                    }
                    (Self::AnnouncedGibibyte, _) => flood(StatusCode::OK, "{\"x\":\"", GIB, true),
                    (Self::EndlessGibibyte, _) => flood(StatusCode::OK, "{\"x\":\"", GIB, false),
                    (Self::EndlessRefusal, _) => flood(StatusCode::FORBIDDEN, "{\"detail\":\"", GIB, false),
                    (Self::DeeplyNested, _) => text(format!("{{\"managerId\":\"mgr\",\"x\":{}", "[".repeat(500_000))),
                    (Self::GzipBomb, _) => {
                        // 256 KiB that would be a quarter of a gibibyte, if anyone unpacked it.
                        let mut response = flood(StatusCode::OK, "\u{1f}", 256 * 1024, true);
                        response
                            .headers_mut()
                            .insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
                        response
                    }
                    _ => account("mgr"),
                }
            }
        })
        .await
    }
}

/// A line of `/proc/<pid>/status`, in MiB.
fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':'));
    let kib: u64 = found.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024
}

/// An operator as a process, and its memory.
struct Measured {
    operator: Operator,
    pid: u32,
}

impl Measured {
    async fn start(scene: &mut Scene) -> Self {
        scene.stop_operator().await;
        let control_plane = sandbox::shared().await;
        let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
        let arguments = ["--namespaces", &scene.namespace, "--namespace", &scene.namespace];
        let operator = Operator::start(control_plane.run(), &kubeconfig, arguments).unwrap();
        operator.wait_until_ready().await.unwrap();
        let pid = operator.process().pid().unwrap();
        Self { operator, pid }
    }

    /// Forgets the peak so far, and returns what is in use.
    fn reset(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").unwrap();
        memory(self.pid, "VmRSS")
    }

    fn peak(&self) -> u64 {
        memory(self.pid, "VmHWM")
    }

    async fn end(self) {
        assert_eq!(self.operator.process().exit_status(), None, "it still runs");
        self.operator.process().terminate(DEADLINE).await.unwrap();
    }
}

async fn told(scene: &Scene, name: &str, reason: &str, hint: &str) {
    let what = format!("{name}: {reason}");
    let found = wait_for(&what, DEADLINE, async || {
        let object = scene.credentials().get(name).await.map_err(|error| error.to_string())?;
        match Condition::of(&object, "Ready") {
            Some(ready) if ready.reason == reason && ready.message.contains(hint) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    found.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_manager_takes_more_than_its_share_of_memory() {
    let mut scene = Scene::new().await;
    let measured = Measured::start(&mut scene).await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let bait = json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() });
    let mut worst = 0;
    for attack in Attack::ALL {
        let (name, (reason, hint)) = (attack.name(), attack.outcome());
        let manager = attack.start().await;
        scene.apply(labelled_secret(&name, &bait)).await;
        let (before, began) = (measured.reset(), Instant::now());
        intruder
            .create(manager_credential(&name, &manager.url, AuthenticationMethod::Jwt))
            .await
            .unwrap();
        told(&scene, &name, reason, hint).await;
        let added = measured.peak().saturating_sub(before);
        eprintln!(
            "{name}: {added} MiB more at its worst, {:?} until it was told",
            began.elapsed()
        );
        record(&format!("hostile-memory-{name}"), format!("{added} MiB"));
        worst = worst.max(added);
        intruder.delete::<ManagerCredential>(&name).await;
        scene.gone::<ManagerCredential>(&name).await;
    }
    assert!(worst < BOUND, "one answer took {worst} MiB");
    measured.end().await;
    scene.finish().await;
}

/// Answers every connection by `head`, then by `drip` once a second.
async fn raw(head: Vec<u8>, drip: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = head.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                stream.write_all(&head).await?;
                while let Some(drip) = drip {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    stream.write_all(drip).await?;
                }
                // Left open: whoever waits for more has to give up by itself.
                let _ = stream.read(&mut request).await;
                std::io::Result::Ok(())
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_headers_nor_patience_of_a_manager_are_endless() {
    let mut scene = Scene::new().await;
    let measured = Measured::start(&mut scene).await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let bait = json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() });
    scene.apply(labelled_secret("bait", &bait)).await;
    let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
    for n in 0..100_000 {
        many.extend(format!("x-{n}: y\r\n").bytes());
    }
    let mut long = b"HTTP/1.1 200 OK\r\nx-long: ".to_vec();
    long.extend(vec![b'x'; 64 << 20]);
    let drip = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let silent = b"HTTP/1.1 ".to_vec();
    let before = measured.reset();
    for (name, url, reason) in [
        ("many-headers", raw(many, None).await, "ManagerUnreachable"),
        ("long-header", raw(long, None).await, "ManagerUnreachable"),
        ("slow-body", raw(drip, Some(b"1\r\n \r\n")).await, "ManagerTimeout"),
        ("slow-head", raw(silent, None).await, "ManagerTimeout"),
    ] {
        let mut credential = manager_credential(name, &url, AuthenticationMethod::Jwt);
        credential["spec"]["authentication"]["secretRef"]["name"] = json!("bait");
        intruder.create(credential).await.unwrap();
        told(&scene, name, reason, "").await;
    }
    let added = measured.peak().saturating_sub(before);
    record("hostile-memory-headers", format!("{added} MiB"));
    assert!(added < BOUND, "headers took {added} MiB");
    measured.end().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_feed_that_never_waits_is_not_called_without_end() {
    let mut scene = Scene::new().await;
    let measured = Measured::start(&mut scene).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let manager = EvilManager::start(move |request: Request| {
        let counted = counted.clone();
        async move {
            match request.uri().path() {
                "/v1/manager" => account("mgr"),
                "/v1/changes" => {
                    let n = counted.fetch_add(1, Ordering::Relaxed);
                    let gone =
                        json!({ "kind": "deleted", "object": { "id": format!("cn_{n}"), "kind": "connection", "revision": n } });
                    text(json!({ "items": [gone], "next": n + 2, "more": true }).to_string())
                }
                _ => empty_list(),
            }
        }
    })
    .await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let bait = json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() });
    scene.apply(labelled_secret("restless", &bait)).await;
    intruder
        .create(manager_credential("restless", &manager.url, AuthenticationMethod::Jwt))
        .await
        .unwrap();
    told(&scene, "restless", "Ready", "").await;
    let (from, began) = (calls.load(Ordering::Relaxed), Instant::now());
    scene
        .eventually("twenty calls of the feed", async || {
            let made = calls.load(Ordering::Relaxed) - from;
            if made >= 20 { Ok(()) } else { Err(made.to_string()) }
        })
        .await;
    let made = calls.load(Ordering::Relaxed) - from;
    let pace = f64::from(u32::try_from(made).unwrap()) / began.elapsed().as_secs_f64();
    record("hostile-feed-calls-per-second", format!("{pace:.1}"));
    assert!(pace < 20.0, "{pace} calls a second");
    measured.end().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_does_not_get_past_the_api_server() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let intruder = Intruder::new(
        &scene,
        Rights {
            status: true,
            secrets: false,
        },
    )
    .await;
    let huge = "x".repeat(10_000_000);
    let large = "x".repeat(100_000);
    for text in [&huge, &large] {
        let mut interface = crate::scene::interface("large", "acme");
        interface["spec"]["description"] = json!(text);
        let mut credential = manager_credential("large", &format!("https://manager.example/{text}"), AuthenticationMethod::Jwt);
        credential["spec"]["application"] = json!(text);
        let mut connection = crate::scene::connection("large", "support", &crate::scene::web());
        connection["spec"]["displayName"] = json!(text);
        let mut many = crate::scene::connection("large", "support", &crate::scene::web());
        many["spec"]["channel"]["webMessaging"]["allowedDomains"] = json!(vec!["a.example"; text.len() / 10]);
        for object in [interface, credential, connection, many] {
            let refused = intruder.create(object).await.unwrap_err();
            assert!(
                matches!(&refused, kube::Error::Api(status) if [413, 422].contains(&status.code)),
                "{refused}"
            );
        }
    }
    // Deep nesting is pruned: the schema knows no such field.
    let deep = (0..200).fold(json!(1), |inner, _| json!({ "x": inner }));
    let mut nested = crate::scene::connection("nested", "support", &crate::scene::web());
    nested["spec"]["channel"]["webMessaging"]["deep"] = deep;
    intruder.create(nested).await.unwrap();
    let stored = scene.connections().get("nested").await.unwrap();
    assert!(!serde_json::to_string(&stored).unwrap().contains("deep"));
    scene
        .ready::<digital_messaging_operator::api::ChannelConnection>("nested")
        .await;
    scene.outputs("nested").await;
    scene.finish().await;
}

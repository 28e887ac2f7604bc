// SPDX-License-Identifier: Apache-2.0

//! The program as a process: what it says when it cannot work, how it ends, and how two of them share the work.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::api::{ChannelConnection, ChannelConnectionStatus, ManagerCredential, ManagerCredentialStatus};
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use messaging_manager::faults::{Fault, Rule};
use sandbox::{ControlPlane, Credential, Manifests, Operator, ReferenceManager, Signal, wait_for, wait_for_condition};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::scene::{DEADLINE, Scene, connection, interface, manager_credential, manager_secret, web};

/// A scene without an operator of its own, and the way for processes to the API.
async fn scene_for_processes() -> (Scene, PathBuf) {
    let mut scene = Scene::new().await;
    scene.stop_operator().await;
    let kubeconfig = sandbox::grant_operator_rights(sandbox::shared().await, &scene.namespace)
        .await
        .unwrap();
    (scene, kubeconfig)
}

async fn start(scene: &Scene, kubeconfig: &Path, arguments: &[&str]) -> Operator {
    let mut all = vec!["--namespaces", &scene.namespace, "--namespace", &scene.namespace];
    all.extend(arguments);
    let operator = Operator::start(sandbox::shared().await.run(), kubeconfig, all).unwrap();
    operator.wait_until_ready().await.unwrap();
    operator
}

async fn leads(operator: &Operator) -> bool {
    operator
        .metrics()
        .await
        .is_ok_and(|metrics| metrics.contains("leader_election_master_status 1"))
}

async fn wait_until_it_leads(operator: &Operator) {
    wait_for("the process leads", DEADLINE, async || {
        if leads(operator).await { Ok(()) } else { Err("it does not") }
    })
    .await
    .unwrap();
}

async fn holder(scene: &Scene) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let lease = leases.get("digital-messaging-operator").await.unwrap();
    lease.spec.unwrap().holder_identity
}

/// Waits for a process that cannot work, and returns what it says.
async fn says_why_it_ends(operator: &Operator) -> String {
    let status = operator.process().wait(Duration::from_secs(30)).await.unwrap();
    assert!(!status.success(), "{status}");
    operator.process().log().unwrap()
}

async fn answer(operator: &Operator, path: &str) -> (u16, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}{path}", operator.url())).send().await.unwrap();
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_it_is_and_logs_one_json_object_a_line() {
    let (scene, kubeconfig) = scene_for_processes().await;
    let operator = start(&scene, &kubeconfig, &["--log-filter", "debug"]).await;
    let account = scene.ready_interface().await;
    assert_eq!(answer(&operator, "/livez").await.0, 200);
    assert_eq!(answer(&operator, "/readyz").await.0, 200);
    let (status, kind, metrics) = answer(&operator, "/metrics").await;
    assert_eq!(status, 200);
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for name in [
        "leader_election_master_status 1",
        "controller_runtime_reconcile_total",
        "digital_messaging_manager_requests_total",
    ] {
        assert!(metrics.contains(name), "no {name} in {metrics}");
    }

    assert!(operator.process().terminate(Duration::from_secs(10)).await.unwrap().success());
    let log = operator.process().log().unwrap();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(),
            "{line}"
        );
    }
    assert!(
        !log.contains(account.credential().manager_key.expose()),
        "a key is in the log"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_write_finish_and_gives_the_lease_back() {
    let (scene, kubeconfig) = scene_for_processes().await;
    let first = start(&scene, &kubeconfig, &["--log-format", "human"]).await;
    wait_until_it_leads(&first).await;
    let second = start(&scene, &kubeconfig, &["--log-format", "human"]).await;
    let account = scene.ready_interface().await;

    let go_on = CancellationToken::new();
    scene.faults.push(
        Rule::new(Fault::HoldReply(go_on.clone()))
            .method(Method::POST)
            .path("/v1/connections")
            .once(),
    );
    scene.apply(connection("web", "support", &web())).await;
    let in_flight = scene
        .journal
        .wait_until(DEADLINE, |calls| {
            calls
                .iter()
                .any(|call| call.method == Method::POST && call.path == "/v1/connections")
        })
        .await;
    assert!(in_flight.is_some(), "the connection is not created");
    first.process().signal(Signal::TERM).unwrap();
    scene
        .eventually("it finishes what is under way", async || {
            let log = first.process().log().unwrap();
            if log.contains("finishing what is under way") {
                Ok(())
            } else {
                Err(log)
            }
        })
        .await;
    assert!(first.process().exit_status().is_none(), "it waits for the answer");
    assert!(!leads(&second).await);

    go_on.cancel();
    let status = first.process().wait(Duration::from_secs(10)).await.unwrap();
    let ended = Instant::now();
    assert!(status.success(), "{status}\n{}", first.process().log_tail());
    wait_until_it_leads(&second).await;
    let waited = ended.elapsed();
    eprintln!("the second process led {waited:?} after the first had ended");
    assert!(waited < Duration::from_secs(5), "{waited:?}");

    scene.ready::<ChannelConnection>("web").await;
    assert_eq!(account.connections().await.unwrap().len(), 1);
    let creations = scene
        .journal
        .count(|call| call.method == Method::POST && call.path == "/v1/connections");
    assert_eq!(creations, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_creation_and_status_makes_no_second_connection() {
    let (scene, kubeconfig) = scene_for_processes().await;
    let operator = start(&scene, &kubeconfig, &[]).await;
    let account = scene.ready_interface().await;
    let never = CancellationToken::new();
    let held = Rule::new(Fault::HoldReply(never.clone()))
        .method(Method::POST)
        .path("/v1/connections");
    scene.faults.push(held.once());
    scene.apply(connection("web", "support", &web())).await;
    scene
        .eventually("it is created", async || {
            let held = account.connections().await.map_err(|error| format!("{error:#}"))?;
            if held.len() == 1 {
                Ok(())
            } else {
                Err("it is not".to_owned())
            }
        })
        .await;
    operator.process().kill().unwrap();
    let untouched = ChannelConnectionStatus {
        observed_generation: Some(-1),
        ..ChannelConnectionStatus::default()
    };
    assert_eq!(scene.connections().get("web").await.unwrap().status, Some(untouched));

    operator.process().restart().unwrap();
    scene.ready::<ChannelConnection>("web").await;
    let held = account.connections().await.unwrap();
    assert_eq!(
        held.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
        [scene.connection_id("web").await]
    );
    assert!(scene.outputs("web").await.contains_key("jwtSecret"));
    let creations = scene
        .journal
        .count(|call| call.method == Method::POST && call.path == "/v1/connections");
    assert_eq!(creations, 1);
    never.cancel();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_in_time_even_if_the_manager_never_answers() {
    let (scene, kubeconfig) = scene_for_processes().await;
    let operator = start(&scene, &kubeconfig, &[]).await;
    scene.ready_interface().await;
    scene.faults.push(Rule::new(Fault::NeverAnswer));
    let calls = scene.journal.len();
    scene.apply(connection("web", "support", &web())).await;
    let in_flight = scene
        .journal
        .wait_until(DEADLINE, |all| all.iter().skip(calls).any(|call| call.method == Method::POST))
        .await;
    assert!(in_flight.is_some(), "the connection is not created");
    let asked = Instant::now();
    let status = operator.process().terminate(Duration::from_secs(30)).await.unwrap();
    eprintln!(
        "the process ended {:?} after SIGTERM, with a manager that never answers",
        asked.elapsed()
    );
    assert!(status.success(), "{status}");
    assert_eq!(holder(&scene).await, None);
    scene.faults.clear();
    scene.finish().await;
}

/// A forward proxy that leads every name to one address, and counts connections.
async fn proxy_to(target: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = served.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut upstream = TcpStream::connect(target).await?;
                tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    (address, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_are_called_through_the_proxy_of_the_environment() {
    const ENDPOINT: &str = "http://manager.invalid";
    let mut scene = Scene::with(|manager| manager.public_url = Some(ENDPOINT.parse().unwrap()), |_| {}).await;
    scene.stop_operator().await;
    let control_plane = sandbox::shared().await;
    let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
    let (proxy, served) = proxy_to(scene.manager.address()).await;
    let proxy = format!("http://{proxy}");
    let environment = [
        ("HTTP_PROXY", proxy.as_str()),
        ("http_proxy", &proxy),
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ];
    let arguments = ["--namespaces", &scene.namespace, "--namespace", &scene.namespace];
    let operator = Operator::start_with(control_plane.run(), &kubeconfig, arguments, &environment).unwrap();
    operator.wait_until_ready().await.unwrap();
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene
        .apply_all([
            manager_secret("acme", &credential),
            manager_credential("acme", ENDPOINT, AuthenticationMethod::Jwt),
        ])
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    assert!(served.load(Ordering::Relaxed) > 0, "the name exists for the proxy only");
    operator.process().terminate(DEADLINE).await.unwrap();
    scene.finish().await;
}

async fn apply_set(client: &Client, namespace: &str, endpoint: &str, credential: &Credential) {
    let objects = [
        manager_secret("acme", credential),
        manager_credential("acme", endpoint, AuthenticationMethod::Jwt),
        interface("support", "acme"),
        connection("web", "support", &web()),
    ];
    let text = objects.map(|object| object.to_string()).join("\n---\n");
    Manifests::parse(&text)
        .unwrap()
        .in_namespace(namespace)
        .apply(client)
        .await
        .unwrap();
}

async fn wait_until_ready(client: &Client, namespace: &str) {
    let api: Api<ChannelConnection> = Api::namespaced(client.clone(), namespace);
    wait_for_condition(&api, "web", "Ready", "True", DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_the_namespaces_that_it_is_told_and_no_other() {
    let (scene, kubeconfig) = scene_for_processes().await;
    let control_plane = sandbox::shared().await;
    let (two, other) = (
        control_plane.create_namespace("two").await.unwrap(),
        control_plane.create_namespace("other").await.unwrap(),
    );
    let namespaces = format!("{},{two}", scene.namespace);
    let arguments = ["--namespaces", &namespaces, "--namespace", &scene.namespace];
    let operator = Operator::start(control_plane.run(), &kubeconfig, arguments).unwrap();
    operator.wait_until_ready().await.unwrap();
    for namespace in [&other, &scene.namespace, &two] {
        let credential = scene.provision(AuthenticationMethod::Jwt).await;
        apply_set(&scene.client, namespace, scene.manager_url(), &credential).await;
    }
    wait_until_ready(&scene.client, &scene.namespace).await;
    wait_until_ready(&scene.client, &two).await;
    let credentials: Api<ManagerCredential> = Api::namespaced(scene.client.clone(), &other);
    let untouched = ManagerCredentialStatus {
        observed_generation: Some(-1),
        ..ManagerCredentialStatus::default()
    };
    assert_eq!(credentials.get("acme").await.unwrap().status, Some(untouched));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_definitions_it_says_how_to_install_them_and_with_them_it_serves_all_namespaces() {
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().await.unwrap();
    let own = control_plane.create_namespace("operator").await.unwrap();
    let kubeconfig = sandbox::grant_operator_rights(&control_plane, &own).await.unwrap();
    let operator = Operator::start(control_plane.run(), &kubeconfig, Vec::<String>::new()).unwrap();
    let log = says_why_it_ends(&operator).await;
    assert!(
        log.contains("digitalmessaging.io is not installed") && log.contains("kubectl apply --server-side -f crds/"),
        "{log}"
    );

    Manifests::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"))
        .unwrap()
        .apply(&client)
        .await
        .unwrap();
    operator.process().restart().unwrap();
    operator.wait_until_ready().await.unwrap();
    let manager = ReferenceManager::start(control_plane.run()).await.unwrap();
    for name in ["one", "two"] {
        let namespace = control_plane.create_namespace(name).await.unwrap();
        let credential = manager.create_credential(AuthenticationMethod::Jwt).unwrap();
        apply_set(&client, &namespace, manager.url(), &credential).await;
        wait_until_ready(&client, &namespace).await;
    }
    assert!(operator.process().terminate(Duration::from_secs(10)).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_it_lists_what_is_missing() {
    let control_plane = sandbox::shared().await;
    // Definitions first: they are looked for before rights.
    let (scene, _) = scene_for_processes().await;
    let namespace = scene.namespace.as_str();
    let kubeconfig = control_plane
        .kubeconfig_for_service_account(namespace, "powerless")
        .await
        .unwrap();
    let arguments = ["--namespaces", namespace, "--namespace", namespace, "--log-format", "human"];
    let log = says_why_it_ends(&Operator::start(control_plane.run(), &kubeconfig, arguments).unwrap()).await;
    for right in [
        "list managercredentials.digitalmessaging.io in namespace",
        "watch digitalmessaginginterfaces.digitalmessaging.io in namespace",
        "update channelconnections.digitalmessaging.io/status in namespace",
        "get secrets in namespace",
        "create secrets in namespace",
        "update leases.coordination.k8s.io in namespace",
        "deploy/overlays",
    ] {
        assert!(log.contains(right), "no {right} in {log}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_server_it_says_so() {
    let control_plane = sandbox::shared().await;
    let away = format!("https://127.0.0.1:{}", sandbox::free_port().unwrap());
    let kubeconfig = std::fs::read_to_string(control_plane.kubeconfig())
        .unwrap()
        .replace(control_plane.url(), &away);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let log = says_why_it_ends(&Operator::start(control_plane.run(), &file, ["--log-format", "human"]).unwrap()).await;
    assert!(log.contains("cannot reach the Kubernetes API"), "{log}");
}

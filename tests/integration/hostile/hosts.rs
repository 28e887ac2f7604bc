// SPDX-License-Identifier: Apache-2.0

//! The operator calls no host that it may not call, however the way there is disguised.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
    manager::transport::Lookup,
};
use futures::future::BoxFuture;
use messaging_manager::faults::{Fault, Rule};
use sandbox::{Condition, Launch};
use serde_json::json;

use super::intruder::{Intruder, Rights, Trap};
use crate::scene::{DEADLINE, Scene, connection, interface, labelled_secret, manager_credential, manager_secret};

/// Names with addresses that a test decides on. Every lookup takes the next answer; the last one stays.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    lookups: AtomicUsize,
}

impl Names {
    fn answer(&self, name: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers);
    }
}

impl Lookup for Names {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let found = answers.get_mut(name).map(|answers| {
            if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0].clone()
            }
        });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// A key that may be sent anywhere, for it opens nothing.
fn bait(name: &str, scene: &Scene) -> serde_json::Value {
    labelled_secret(name, &json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() }))
}

fn using(mut credential: serde_json::Value, secret: &str) -> serde_json::Value {
    credential["spec"]["authentication"]["secretRef"]["name"] = json!(secret);
    credential
}

/// Addresses that are not public, one of each kind.
const FORBIDDEN: &[&str] = &[
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_not_called() {
    let names = Arc::new(Names::default());
    let lookup = names.clone();
    let scene = Scene::with(
        |_| {},
        move |operator| {
            operator.hosts.private = false;
            operator.lookup = lookup;
        },
    )
    .await;
    let trap = Trap::at("0.0.0.0:0").await;
    let port = trap.address.port();
    let intruder = Intruder::new(&scene, Rights::default()).await;
    scene.apply(bait("bait", &scene)).await;
    for (n, address) in FORBIDDEN.iter().enumerate() {
        let host = format!("n{n}.evil.example");
        // Hidden behind a public one, and alone.
        names.answer(&host, &[&["203.0.114.1", address], &[address]]);
        let endpoint = format!("http://{host}:{port}");
        let credential = manager_credential(&format!("n{n}"), &endpoint, AuthenticationMethod::ApiKey);
        intruder.create(using(credential, "bait")).await.unwrap();
    }
    for (n, address) in FORBIDDEN.iter().enumerate() {
        let name = format!("n{n}");
        let object: ManagerCredential = scene.trouble(&name, Reason::HostNotAllowed, "--allow-private-hosts").await;
        let status = serde_json::to_string(&object.status).unwrap();
        assert!(!status.contains(address), "where a name leads is not told: {status}");
    }
    assert_eq!(trap.calls(), 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_public_is_not_called_in_any_spelling() {
    let names = Arc::new(Names::default());
    let lookup = names.clone();
    let scene = Scene::with(
        |_| {},
        move |operator| {
            operator.hosts.private = false;
            operator.lookup = lookup;
        },
    )
    .await;
    let trap = Trap::at("0.0.0.0:0").await;
    let port = trap.address.port();
    let intruder = Intruder::new(&scene, Rights::default()).await;
    scene.apply(bait("bait", &scene)).await;
    let mut hosts: Vec<String> = FORBIDDEN
        .iter()
        .map(|address| {
            if address.contains(':') {
                format!("[{address}]")
            } else {
                (*address).to_owned()
            }
        })
        .collect();
    hosts.extend(
        [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1.",
            "localhost",
            "localhost.",
            "LOCALHOST",
            "x.localhost",
            "metadata.google.internal",
            "kubernetes.default.svc",
            "manager",
            "①②⑦.⓪.⓪.①",
            "127%2e0%2e0%2e1",
            "manager.example@127.0.0.1",
            "127.0.0.1#manager.example",
            "127.0.0.1\\@manager.example",
        ]
        .map(str::to_owned),
    );
    let mut refused = 0;
    for (n, host) in hosts.iter().enumerate() {
        let name = format!("n{n}");
        let credential = manager_credential(&name, &format!("http://{host}:{port}"), AuthenticationMethod::ApiKey);
        match intruder.create(using(credential, "bait")).await {
            // The API server says no.
            Err(kube::Error::Api(status)) if status.code == 422 => refused += 1,
            Err(other) => panic!("{host}: {other}"),
            Ok(()) => {
                scene
                    .eventually(&format!("{host} is refused"), async || {
                        let object = scene.credentials().get(&name).await.map_err(|error| error.to_string())?;
                        let synced = Condition::of(&object, "Synced").ok_or("no condition")?;
                        if ["HostNotAllowed", "InvalidSpec"].contains(&synced.reason.as_str()) {
                            Ok(())
                        } else {
                            Err(synced.to_string())
                        }
                    })
                    .await;
            }
        }
    }
    eprintln!("{refused} of {} spellings were refused by the API server", hosts.len());
    assert_eq!(trap.calls(), 0);
    assert_eq!(names.lookups.load(Ordering::Relaxed), 0, "nothing of this was looked up");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_address_between_check_and_use_gains_nothing() {
    let names = Arc::new(Names::default());
    let lookup = names.clone();
    let scene = Scene::with(
        |_| {},
        move |operator| {
            operator.hosts.private = false;
            operator.hosts.networks = vec!["127.0.0.2/32".parse().unwrap()];
            operator.lookup = lookup;
        },
    )
    .await;
    // The manager is at an address that may be called; the trap listens on the same port of one that may not.
    let port = sandbox::free_port().unwrap();
    let public = format!("http://manager.example:{port}");
    let manager = scene
        .start_manager(&format!("127.0.0.2:{port}"), |config| {
            config.public_url = Some(public.parse().unwrap());
        })
        .await;
    let trap = Trap::at(&format!("127.0.0.1:{port}")).await;
    let new = messaging_manager::credentials::NewCredential::new(AuthenticationMethod::Jwt);
    let issued = manager.manager().credentials().create(new).await.unwrap();
    scene.secret_value(issued.manager_key.expose());
    let good: &[&str] = &["127.0.0.2"];
    let bad: &[&str] = &["127.0.0.1"];
    names.answer("manager.example", &[good, bad, bad, good, bad, good, good]);
    let secret = json!({ "managerId": issued.manager_id, "managerKey": issued.manager_key.expose() });
    scene.apply(labelled_secret("acme", &secret)).await;
    scene
        .apply(manager_credential("acme", &public, AuthenticationMethod::Jwt))
        .await;
    // Every new connection is a new lookup; the manager breaks connections until all answers have been used.
    scene.faults.push(Rule::new(Fault::DropRequest).times(3));
    for n in 0..6 {
        let retry = json!({ "metadata": { "annotations": { "digitalmessaging.io/retry": format!("{n}") } } });
        scene.patch::<ManagerCredential>("acme", retry).await;
        scene
            .eventually("an answer", async || {
                let object = scene.credentials().get("acme").await.map_err(|error| error.to_string())?;
                let handled = object.status.as_ref().and_then(|status| status.last_handled_retry.clone());
                if handled.as_deref() == Some(&n.to_string()) {
                    Ok(())
                } else {
                    Err(format!("{handled:?}"))
                }
            })
            .await;
    }
    scene.ready::<ManagerCredential>("acme").await;
    assert!(names.lookups.load(Ordering::Relaxed) >= 4, "it was looked up again and again");
    assert_eq!(trap.calls(), 0, "the address that was checked is the one that is called");
    drop(manager);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_wherever_it_leads() {
    let scene = Scene::new().await;
    let trap = Trap::at("127.0.0.1:0").await;
    let credential = scene.provision(AuthenticationMethod::ApiKey).await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    for (n, target) in [
        format!("http://{}/v1/manager", trap.address),
        format!("http://localhost:{}/latest/meta-data/", trap.address.port()),
        format!("//{}/", trap.address),
        "http://169.254.169.254/latest/api/token".to_owned(),
        "file:///etc/passwd".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        scene.faults.clear();
        scene.faults.push(Rule::new(Fault::Redirect(target)));
        let name = format!("acme-{n}");
        scene.apply(manager_secret(&name, &credential)).await;
        intruder
            .create(manager_credential(&name, scene.manager_url(), AuthenticationMethod::ApiKey))
            .await
            .unwrap();
        let hint = "redirects are not followed";
        scene
            .trouble::<ManagerCredential>(&name, Reason::UnexpectedResponse, hint)
            .await;
        intruder.delete::<ManagerCredential>(&name).await;
        scene.gone::<ManagerCredential>(&name).await;
    }
    assert_eq!(trap.calls(), 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_the_http_proxy_opens_no_way_to_what_is_near() {
    let mut scene = Scene::new().await;
    scene.stop_operator().await;
    let control_plane = sandbox::shared().await;
    let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
    let trap = Trap::at("127.0.0.1:0").await;
    // The proxy has a name that leads to a private address, and is passed by for itself, as is usual.
    let proxy = format!("http://localhost.localdomain:{}", trap.address.port());
    let program = sandbox::program::workspace_binary("digital-messaging-operator").unwrap();
    let launch = Launch::new("operator", program)
        .env("KUBECONFIG", &kubeconfig)
        .env("HTTP_PROXY", &proxy)
        .env("http_proxy", &proxy)
        .env("NO_PROXY", "127.0.0.1,.localdomain")
        .env("no_proxy", "127.0.0.1,.localdomain")
        .args(["run", "--allow-insecure-endpoints", "--listen", "127.0.0.1:0"])
        .args(["--namespaces", &scene.namespace, "--namespace", &scene.namespace]);
    let operator = control_plane.run().spawn(launch).unwrap();
    let intruder = Intruder::new(&scene, Rights::default()).await;
    scene.apply(bait("bait", &scene)).await;
    let credential = manager_credential("proxy", &proxy, AuthenticationMethod::ApiKey);
    intruder.create(using(credential, "bait")).await.unwrap();
    scene
        .trouble::<ManagerCredential>("proxy", Reason::HostNotAllowed, "--allow-private-hosts")
        .await;
    assert_eq!(trap.calls(), 0);
    operator.terminate(DEADLINE).await.unwrap();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_are_only_passed_on_are_not_called() {
    let scene = Scene::new().await;
    scene.ready_credential().await;
    let trap = Trap::at("127.0.0.1:0").await;
    let url = format!("http://{}", trap.address);
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let mut support = interface("support", "acme");
    support["spec"]["baseUrl"] = json!(format!("{url}/prweb"));
    let logo = json!({ "webMessaging": { "logoUrl": format!("{url}/logo.png") } });
    let webhook = json!({ "clientChannel": { "webhookUrl": format!("{url}/webhook") } });
    intruder
        .create_all([
            support,
            connection("web", "support", &logo),
            connection("client", "support", &webhook),
        ])
        .await;
    scene.ready::<DigitalMessagingInterface>("support").await;
    for name in ["web", "client"] {
        scene.ready::<ChannelConnection>(name).await;
        scene.outputs(name).await;
    }
    assert_eq!(trap.calls(), 0);
    scene.finish().await;
}

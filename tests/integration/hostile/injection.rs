// SPDX-License-Identifier: Apache-2.0

//! What others write does not break out of logs, metric labels, headers and paths.

use axum::{Json, extract::Request, response::IntoResponse};
use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{
    api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential},
    controller::reason::Reason,
};
use http::StatusCode;
use messaging_manager::journal::Entry;
use sandbox::Launch;
use serde_json::{Value, json};

use super::intruder::{EvilManager, Intruder, Rights, account, problem};
use crate::scene::{DEADLINE, Scene, connection, interface, labelled_secret, manager_credential, manager_secret, web};

/// Breaks lines, colours terminals, closes strings, and turns text around.
const BREAKOUT: &str =
    "x\r\nERROR forged=marker\n\u{1b}[31mred\u{1b}[0m\u{2028}\u{202e}\", \"forged\": \"marker\", \"x\":\"{{}}%s${jndi:x}";

/// One refuses in bad words; the other opens an account whose objects and problems are full of them.
async fn talkative_managers() -> (EvilManager, EvilManager) {
    let refusing = EvilManager::start(async |_: Request| problem(StatusCode::FORBIDDEN, BREAKOUT, BREAKOUT));
    let listing = EvilManager::start(async |request: Request| match request.uri().path() {
        "/v1/manager" => account("mgr"),
        "/v1/changes" => problem(StatusCode::FORBIDDEN, "forbidden", BREAKOUT),
        _ => {
            let item =
                json!({ "id": BREAKOUT, "interfaceId": "../x", "externalReference": BREAKOUT, "state": BREAKOUT, BREAKOUT: 1 });
            Json(json!({ "items": [item, BREAKOUT, { "kind": BREAKOUT }], "revision": 1 })).into_response()
        }
    });
    tokio::join!(refusing, listing)
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_stay_lines_whatever_names_and_managers_say() {
    let mut scene = Scene::new().await;
    scene.stop_operator().await;
    let control_plane = sandbox::shared().await;
    let kubeconfig = sandbox::grant_operator_rights(control_plane, &scene.namespace).await.unwrap();
    let good = scene.provision(AuthenticationMethod::Jwt).await;
    scene.apply_credential(&good, AuthenticationMethod::Jwt).await;
    let (refusing, listing) = talkative_managers().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let bait = json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() });
    scene
        .apply_all([labelled_secret("refusing", &bait), labelled_secret("listing", &bait)])
        .await;
    let mut web = connection("web", "support", &web());
    web["spec"]["displayName"] = json!(BREAKOUT.chars().take(100).collect::<String>());
    let mut support = interface("support", "acme");
    support["spec"]["displayName"] = json!(BREAKOUT.chars().take(100).collect::<String>());
    intruder
        .create_all([
            manager_credential("refusing", &refusing.url, AuthenticationMethod::Jwt),
            manager_credential("listing", &listing.url, AuthenticationMethod::Jwt),
            support,
            web,
        ])
        .await;
    for format in ["json", "human"] {
        let program = sandbox::program::workspace_binary("digital-messaging-operator").unwrap();
        let port = sandbox::free_port().unwrap();
        let listen = format!("127.0.0.1:{port}");
        let launch = Launch::new(format!("operator-{format}"), program)
            .env("KUBECONFIG", &kubeconfig)
            .args([
                "run",
                "--allow-insecure-endpoints",
                "--allow-private-hosts",
                "--listen",
                &listen,
            ])
            .args([
                "--log-format",
                format,
                "--log-filter",
                "debug,hyper=info,rustls=info,tower=info",
            ])
            .args(["--namespaces", &scene.namespace, "--namespace", &scene.namespace]);
        let operator = control_plane.run().spawn(launch).unwrap();
        scene
            .trouble::<ManagerCredential>("refusing", Reason::Forbidden, "x  ERROR")
            .await;
        scene
            .condition::<ManagerCredential>("listing", "Synced", "False", Reason::Forbidden.as_str())
            .await;
        scene
            .eventually("the log tells of what was passed over", async || {
                let log = operator.log().map_err(|error| error.to_string())?;
                if log.contains("passed over") && log.contains("cannot observe the account") {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            })
            .await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let metrics = client.get(format!("http://{listen}/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        for hostile in ["marker", "refusing", "listing", "support", "evil", &scene.namespace] {
            assert!(!metrics.contains(hostile), "{hostile} is in the metrics");
        }
        operator.terminate(DEADLINE).await.unwrap();
        let log = operator.log().unwrap();
        assert!(log.contains("marker"), "the hostile text was logged");
        for line in log.lines() {
            assert!(
                !line.contains("\u{1b}[31m") && !line.contains(['\u{2028}', '\u{202e}']),
                "{line:?}"
            );
            assert!(!line.trim_start().starts_with("ERROR forged"), "{line:?}");
            if format == "json" {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                assert!(value.get("forged").is_none(), "{line:?}");
            }
        }
    }
    let objects = serde_json::to_string(
        &scene
            .credentials()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items,
    )
    .unwrap();
    assert!(
        !objects.contains("\\n") && !objects.contains("\\u001b") && !objects.contains('\u{202e}'),
        "{objects}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_id_that_would_break_a_header_is_told_by_its_place_and_not_sent() {
    let scene = Scene::new().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let good = scene.provision(AuthenticationMethod::ApiKey).await;
    let key = scene.new_secret_value();
    let cases = [
        ("crlf", "mgr", format!("{key}\r\nX-Forged: 1"), "managerKey"),
        ("newline", "mgr", format!("{key}\nX-Forged: 1"), "managerKey"),
        ("nul", "mgr", format!("{key}\0"), "managerKey"),
        ("space", "mgr", format!("{key} {key}"), "managerKey"),
        ("umlaut", "mgr", format!("{key}ä"), "managerKey"),
        ("endless", "mgr", key.repeat(200), "managerKey"),
        ("id-crlf", "mgr\r\nX-Forged: 1", key.clone(), "managerId"),
        ("id-path", "../mgr", key.clone(), "managerId"),
        ("id-color", "mgr\u{1b}[31m", key.clone(), "managerId"),
    ];
    for (name, id, key, told) in cases {
        scene
            .apply(labelled_secret(name, &json!({ "managerId": id, "managerKey": key })))
            .await;
        intruder
            .create(manager_credential(name, scene.manager_url(), AuthenticationMethod::ApiKey))
            .await
            .unwrap();
        let hint = format!("key {told} of Secret {name} must have");
        scene
            .trouble::<ManagerCredential>(name, Reason::SecretKeyMissing, &hint)
            .await;
    }
    assert!(scene.journal.is_empty(), "none was sent");
    // A key with a line break at its end, as files have it, is fine.
    let mut secret = manager_secret("acme", &good);
    secret["stringData"]["managerKey"] = json!(format!("{}\r\n", good.manager_key.expose()));
    scene.apply(secret).await;
    intruder
        .create(manager_credential("acme", scene.manager_url(), AuthenticationMethod::ApiKey))
        .await
        .unwrap();
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_id_of_a_user_or_a_manager_leads_to_another_path() {
    let scene = Scene::new().await;
    scene.ready_interface().await;
    let intruder = Intruder::new(&scene, Rights::default()).await;
    let mark = scene.journal.len();
    for id in ["../interfaces/x", "a/b", "a%2fb", "a?b=c", "a#b", "a\nb", "a;b", "a\\b", " "] {
        let mut adopting = connection("adopting", "support", &web());
        adopting["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
        let refused = intruder.create(adopting).await.unwrap_err();
        assert!(
            matches!(&refused, kube::Error::Api(status) if status.code == 422),
            "{id:?}: {refused}"
        );
    }
    // The schema takes dots; a path must not.
    for (name, id) in [("dot", "."), ("dots", "..")] {
        let mut adopting = connection(name, "support", &web());
        adopting["spec"]["adoption"] = json!({ "by": "ID", "id": id, "mode": "Override" });
        intruder.create(adopting).await.unwrap();
        scene
            .trouble::<ChannelConnection>(name, Reason::AdoptionTargetNotFound, "")
            .await;
    }
    let strays: Vec<Entry> = scene
        .manager_calls(mark)
        .into_iter()
        .filter(|call| !["/v1/changes", "/v1/interfaces", "/v1/connections"].contains(&call.path.as_str()))
        .collect();
    assert_eq!(strays, []);

    // A manager that gives such IDs to what it makes.
    let evil = EvilManager::start(async |request: Request| {
        let path = request.uri().path().to_owned();
        match (request.method().as_str(), path.as_str()) {
            (_, "/v1/manager") => account("mgr"),
            ("GET", "/v1/changes") => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                super::intruder::empty_list()
            }
            ("POST", _) => Json(json!({
                "id": "../../admin?x=", "displayName": "Acme support", "templateOperator": "dm-template",
                "baseUrl": "https://acme.example/prweb", "bot": {}, "callbackUrl": "https://x.example", "revision": 2,
                "createdAt": jiff::Timestamp::now(), "updatedAt": jiff::Timestamp::now(),
            }))
            .into_response(),
            ("GET", "/v1/interfaces" | "/v1/connections") => super::intruder::empty_list(),
            _ => panic!("called {path}"),
        }
    })
    .await;
    scene
        .apply(labelled_secret(
            "evil",
            &json!({ "managerId": "mgr", "managerKey": scene.new_secret_value() }),
        ))
        .await;
    intruder
        .create_all([
            manager_credential("evil", &evil.url, AuthenticationMethod::Jwt),
            interface("led-astray", "evil"),
        ])
        .await;
    let astray: DigitalMessagingInterface = scene.trouble("led-astray", Reason::UnexpectedResponse, "").await;
    assert_eq!(astray.status.unwrap().id, None);
    scene.finish().await;
}

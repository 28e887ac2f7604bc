// SPDX-License-Identifier: Apache-2.0

//! Nobody keeps a Manager ID from those whose it is by naming it first, nor learns anything by naming it.

use digital_messaging_contract::account::AuthenticationMethod;
use digital_messaging_operator::{api::ManagerCredential, controller::reason::Reason, desired::pump::Scope};
use http::Uri;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use sandbox::{Condition, wait_for};
use serde_json::json;

use super::intruder::{EvilManager, Intruder, Rights, account, empty_list};
use crate::scene::{DEADLINE, Scene, labelled_secret, manager_credential, manager_secret};

async fn scene_and_neighbour(manager: impl FnOnce(&mut messaging_manager::config::Config)) -> (Scene, Intruder) {
    let neighbour = sandbox::shared().await.create_namespace("test").await.unwrap();
    let both = neighbour.clone();
    let scene = Scene::with(manager, |operator| {
        if let Scope::Namespaces(names) = &mut operator.scope {
            names.insert(both);
        }
    })
    .await;
    let rights = Rights {
        status: false,
        secrets: true,
    };
    let intruder = Intruder::within(&scene, &neighbour, rights).await;
    (scene, intruder)
}

/// All that the intruder can read of its credential, once it is in trouble for this reason.
async fn answer(intruder: &Intruder, name: &str, reason: Reason) -> String {
    let api: Api<ManagerCredential> = Api::namespaced(intruder.client.clone(), &intruder.namespace);
    let what = format!("{name}: {reason}");
    let told = wait_for(&what, DEADLINE, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        match Condition::of(&object, "Synced") {
            Some(synced) if synced.reason == reason.as_str() => Ok(serde_json::to_string(&object.status).unwrap()),
            other => Err(format!("{other:?}")),
        }
    });
    told.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_authenticate_claims_nothing_and_learns_nothing() {
    let (scene, intruder) = scene_and_neighbour(|_| {}).await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    // First come: the ID with rubbish for a key, with the other method, and an ID that nobody has.
    let guess = |id: &str| json!({ "managerId": id, "managerKey": "mk-rubbish" });
    intruder
        .create_all([
            labelled_secret("garbage", &guess(&credential.manager_id)),
            labelled_secret("nobody", &guess("mgr-nobody-has-this")),
            manager_credential("garbage", scene.manager_url(), AuthenticationMethod::Jwt),
            manager_credential("nobody", scene.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
    let mut mismatch = manager_credential("mismatch", scene.manager_url(), AuthenticationMethod::ApiKey);
    mismatch["spec"]["authentication"]["secretRef"]["name"] = json!("garbage");
    intruder.create(mismatch).await.unwrap();
    let garbage = answer(&intruder, "garbage", Reason::InvalidCredentials).await;
    let nobody = answer(&intruder, "nobody", Reason::InvalidCredentials).await;
    let mismatch = answer(&intruder, "mismatch", Reason::InvalidCredentials).await;

    // The owner comes second, and is served at once.
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    scene.ready::<ManagerCredential>("acme").await;
    let asked_again = json!({ "metadata": { "annotations": { "digitalmessaging.io/retry": "1" } } });
    for name in ["garbage", "nobody", "mismatch"] {
        intruder.patch::<ManagerCredential>(name, asked_again.clone()).await;
    }
    scene.meanwhile().await;
    let after = [
        answer(&intruder, "garbage", Reason::InvalidCredentials).await,
        answer(&intruder, "nobody", Reason::InvalidCredentials).await,
        answer(&intruder, "mismatch", Reason::InvalidCredentials).await,
    ];
    for told in [garbage.clone(), nobody.clone(), mismatch].iter().chain(&after) {
        for hidden in [scene.namespace.as_str(), "acme", "ManagerIDInUse", "in use"] {
            assert!(!told.contains(hidden), "tells of {hidden}: {told}");
        }
    }
    let neutral = |told: &str, name: &str| {
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        let conditions = told["conditions"].as_array().unwrap();
        // The fingerprint is of what the intruder sent, and another one for each object.
        let fingerprint = regex::Regex::new("refused key: [^)]+").unwrap();
        let messages = conditions.iter().map(|it| it["message"].as_str().unwrap().replace(name, "?"));
        messages
            .map(|message| fingerprint.replace(&message, "refused key: ?").into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        neutral(&garbage, "garbage"),
        neutral(&nobody, "nobody"),
        "whether an ID exists is not told"
    );
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_status_keeps_no_account_from_who_can_open_it() {
    let (mut scene, intruder) = scene_and_neighbour(|_| {}).await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    scene.stop_operator().await;
    let rubbish = json!({ "managerId": credential.manager_id, "managerKey": "mk-rubbish" });
    intruder
        .create_all([
            labelled_secret("forger", &rubbish),
            manager_credential("forger", scene.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
    // As if it had held the account before.
    let forged = json!({ "status": { "managerId": credential.manager_id } });
    let all: Api<ManagerCredential> = Api::namespaced(scene.client.clone(), &intruder.namespace);
    all.patch_status("forger", &PatchParams::default(), &Patch::Merge(forged))
        .await
        .unwrap();
    scene.start_operator().await;
    scene.apply_credential(&credential, AuthenticationMethod::Jwt).await;
    scene.ready::<ManagerCredential>("acme").await;
    answer(&intruder, "forger", Reason::InvalidCredentials).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_holder_of_the_key_is_not_told_who_the_first_is() {
    let (scene, intruder) = scene_and_neighbour(|_| {}).await;
    let acme = scene.ready_credential().await;
    intruder
        .create_all([
            manager_secret("second", acme.credential()),
            manager_credential("second", scene.manager_url(), AuthenticationMethod::Jwt),
        ])
        .await;
    let told = answer(&intruder, "second", Reason::ManagerIDInUse).await;
    assert!(!told.contains(&scene.namespace) && !told.contains("acme"), "{told}");
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(scene.client.clone(), &intruder.namespace);
    let events = serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap();
    assert!(!events.contains(&scene.namespace), "{events}");
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_below_another_path_of_the_same_host_claims_no_account_of_the_manager() {
    // A gateway with the manager below /real, and something below /fake that says yes to everybody.
    let port = sandbox::free_port().unwrap();
    let public = format!("http://127.0.0.1:{port}/real");
    let (scene, intruder) = scene_and_neighbour(|manager| manager.public_url = Some(public.parse().unwrap())).await;
    let credential = scene.provision(AuthenticationMethod::Jwt).await;
    let (upstream, victim) = (scene.manager.address(), credential.manager_id.clone());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let gateway = EvilManager::start_on(&format!("127.0.0.1:{port}"), move |request: axum::extract::Request| {
        let (client, victim) = (client.clone(), victim.clone());
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
            if let Some(path) = path.strip_prefix("/real") {
                let url: Uri = format!("http://{upstream}{path}").parse().unwrap();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let call = client
                    .request(parts.method, url.to_string())
                    .headers(parts.headers)
                    .body(body);
                let answer = call.send().await.unwrap();
                let mut response = axum::response::Response::builder().status(answer.status());
                response.headers_mut().unwrap().extend(answer.headers().clone());
                response.headers_mut().unwrap().remove("transfer-encoding");
                return response.body(axum::body::Body::from(answer.bytes().await.unwrap())).unwrap();
            }
            if path == "/fake/v1/manager" {
                account(&victim)
            } else {
                empty_list()
            }
        }
    })
    .await;
    let fake = format!("{}/fake", gateway.url);
    intruder
        .create_all([
            labelled_secret(
                "squatter",
                &json!({ "managerId": credential.manager_id, "managerKey": "mk-rubbish" }),
            ),
            manager_credential("squatter", &fake, AuthenticationMethod::Jwt),
        ])
        .await;
    answer(&intruder, "squatter", Reason::Synced).await;

    scene.apply(manager_secret("acme", &credential)).await;
    scene
        .apply(manager_credential("acme", &public, AuthenticationMethod::Jwt))
        .await;
    scene.ready::<ManagerCredential>("acme").await;
    scene.finish().await;
}

// SPDX-License-Identifier: Apache-2.0

//! What has to be true in the end, whatever happened on the way.

use std::{collections::BTreeSet, fmt::Display};

use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use kube::{Api, Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use sandbox::Condition;
use serde_json::Value;

use super::stage::{CONNECTIONS, Stage};
use crate::scene::{Conditioned, Scene, expect};

/// Fails unless this round's objects are ready, the manager holds each of them exactly once, the statuses know which, the
/// outputs are right and nobody else's, and no finalizer is left.
pub async fn is_sound(stage: &Stage) -> Result<(), String> {
    let scene = &stage.scene;
    at_peace::<ManagerCredential>(scene, &stage.name("acme")).await?;
    let interface = at_peace::<DigitalMessagingInterface>(scene, &stage.name("support")).await?;
    let status = interface.status.clone().unwrap_or_default();
    let (interfaces, connections) = (
        told(stage.account.interfaces().await)?,
        told(stage.account.connections().await)?,
    );
    let held: Vec<_> = interfaces
        .iter()
        .filter(|it| references(it.spec.external_reference.as_deref(), &interface))
        .collect();
    match held.as_slice() {
        [held] if Some(&held.id) == status.id.as_ref() => {}
        held => {
            return Err(format!(
                "{} interfaces carry the mark; the status knows {:?}",
                held.len(),
                status.id
            ));
        }
    }
    let counts = status.connections.unwrap_or_default();
    // Those are written a few seconds later; rounds with objects of their own do not wait for that.
    if stage.suffix.is_empty() && (counts.desired, counts.ready) != (2, 2) {
        return Err(format!("the interface counts {counts:?}"));
    }
    for name in CONNECTIONS {
        let connection = at_peace::<ChannelConnection>(scene, &stage.name(name)).await?;
        let status = connection.status.clone().unwrap_or_default();
        let held: Vec<_> = connections
            .iter()
            .filter(|it| references(it.external_reference.as_deref(), &connection))
            .collect();
        let held = match held.as_slice() {
            [held] if Some(&held.id) == status.id.as_ref() => held,
            held => {
                return Err(format!(
                    "{} connections {name} carry the mark; the status knows {:?}",
                    held.len(),
                    status.id
                ));
            }
        };
        let outputs = scene.secret(&connection.output_secret_name()).await.ok_or("no outputs")?;
        let value = |key: &str| {
            let data = outputs.data.as_ref()?.get(key)?;
            String::from_utf8(data.0.clone()).ok()
        };
        if value("connectionId").as_ref() != Some(&held.id) {
            return Err(format!("the outputs of {name} are for {:?}", value("connectionId")));
        }
        if held.has_jwt_secret {
            let secret = told(stage.account.jwt_secret(&held.id).await)?;
            if value("jwtSecret").as_deref() != Some(secret.jwt_secret.expose()) {
                return Err(format!("the outputs of {name} hold another secret than the manager"));
            }
        }
    }
    if connections.len() != CONNECTIONS.len() || interfaces.len() != 1 {
        let count = (interfaces.len(), connections.len());
        return Err(format!("the account holds {count:?} interfaces and connections"));
    }
    let expected = [("acme", "proven"), ("web", "connection"), ("phone", "connection")];
    let made = made_secrets(stage).await;
    if made != BTreeSet::from(expected.map(|(name, kind)| format!("{}-{kind}", stage.name(name)))) {
        return Err(format!("Secrets of the operator: {made:?}"));
    }
    Ok(())
}

/// The Secrets that the operator made for this round.
pub async fn made_secrets(stage: &Stage) -> BTreeSet<String> {
    let labelled = ListParams::default().labels("digitalmessaging.io/outputs=true");
    let secrets = stage.scene.secrets().list(&labelled).await.unwrap();
    let of_round = |name: &String| stage.suffix.is_empty() || name.contains(&format!("{}-", stage.suffix));
    secrets.iter().map(ResourceExt::name_any).filter(of_round).collect()
}

/// An object that is Ready and Synced for its present spec, with nothing else to say and nothing left to do.
pub async fn at_peace<K: Conditioned>(scene: &Scene, name: &str) -> Result<K, String> {
    let object = get::<K>(scene, name).await?;
    for (kind, reason) in [("Ready", "Ready"), ("Synced", "Synced")] {
        let condition = expect(&object, kind, "True", reason).map_err(|error| format!("{name}: {error}"))?;
        if condition.observed_generation != object.meta().generation {
            return Err(format!("{name}: {kind} of an older generation"));
        }
    }
    for condition in Condition::all(&object) {
        if ["Drifted", "Reconciling", "Stalled"].contains(&condition.type_.as_str()) {
            return Err(format!("{name}: {condition}"));
        }
    }
    if !object.finalizers().is_empty() {
        return Err(format!("{name} carries {:?}", object.finalizers()));
    }
    let status = &serde_json::to_value(&object).unwrap()["status"];
    for waiting in ["plan", "creation"] {
        if status[waiting] != Value::Null {
            return Err(format!("{name}: status.{waiting} is {}", status[waiting]));
        }
    }
    Ok(object)
}

pub async fn get<K: Conditioned + Resource<Scope = NamespaceResourceScope>>(scene: &Scene, name: &str) -> Result<K, String> {
    let api: Api<K> = Api::namespaced(scene.client.clone(), &scene.namespace);
    told(api.get(name).await)
}

fn references<K: Conditioned>(reference: Option<&str>, object: &K) -> bool {
    let place = format!("/{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    reference.is_some_and(|reference| reference.ends_with(&place))
}

pub fn told<T, E: Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{error:#}"))
}

/// How many objects the operator has made in the account of this round, however often.
pub async fn made(stage: &Stage) -> usize {
    let records = stage
        .scene
        .manager
        .manager()
        .write_records(&stage.credential.manager_id)
        .await;
    let made = records
        .unwrap()
        .into_iter()
        .filter(|it| it.method == "POST" && it.epoch.is_some());
    made.map(|it| it.id).collect::<BTreeSet<_>>().len()
}

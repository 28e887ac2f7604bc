// SPDX-License-Identifier: Apache-2.0

//! `/v1/connections`: one list for the whole account.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{
    account::ChannelSupport,
    change::Page,
    channel::Channel,
    connection::{Connection, ConnectionSpec, ConnectionState, CreatedConnection, Widget},
    interface::Interface,
    problem::Code,
    secret::SecretValue,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    App,
    admission::Caller,
    interfaces::{check_quota, check_reference},
    problem::Refusal,
    request::{JsonObject, ListParameters, Parameters, Precondition, cursor_after, entity_tag},
};
use crate::{
    store::{Author, ConnectionSecrets, Document, Write},
    token::{self, JWT_SECRET_PREFIX},
    validation::{self, Rules},
};

/// Why a new Messenger connection carries no messages yet.
const NEEDS_AUTHORIZATION: &str = "an administrator of the page must authorise the connection";

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Json<Page<Connection>>, Refusal> {
    let (after, limit) = (parameters.after()?, parameters.limit()?);
    let mut snapshot = app.store.read(&caller.sender.manager_id).await?;
    let (mut page, last) = snapshot.list(&after, limit, parameters.external_reference.as_deref()).await?;
    page.next_cursor = last.as_deref().map(cursor_after);
    Ok(Json(page))
}

pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Refusal> {
    let found = app
        .store
        .read(&caller.sender.manager_id)
        .await?
        .get::<Connection>(&id)
        .await?;
    found
        .map(|connection| answer(StatusCode::OK, &connection))
        .ok_or_else(not_found)
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    author: Author,
    JsonObject(body): JsonObject,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let mut held = Value::Null;
    json_patch::merge(&mut held, &body);
    let spec = validation::connection(held, Rules::of(&app.config))?;
    let channel_type = spec.channel.channel_type();
    if app.config.support(channel_type) != ChannelSupport::Create {
        let detail = format!("this manager does not create {} connections", channel_type.as_str());
        return Err(Refusal::field(Code::ChannelUnsupported, "/channel/type", detail));
    }
    check_reference(&mut write, &app, None, spec.external_reference.as_deref()).await?;
    if write.get::<Interface>(&spec.interface_id).await?.is_none() {
        let detail = "there is no such interface in this account";
        return Err(Refusal::field(Code::ValidationFailed, "/interfaceId", detail));
    }
    check_quota(&mut write, &app).await?;
    let (connection, secrets) = make(&app, spec, write.next_revision().await?)?;
    check_switching(&mut write, &connection).await?;
    check_natural_key(&mut write, &connection).await?;
    write.insert(&connection).await?;
    write.put_secrets(&connection.id, &secrets).await?;
    write.commit().await?;
    let headers = [
        (
            header::LOCATION,
            app.public_url.join(&format!("/v1/connections/{}", connection.id)),
        ),
        (header::ETAG, entity_tag(connection.revision)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let created = CreatedConnection {
        connection,
        jwt_secret: secrets.jwt_secret,
    };
    Ok((StatusCode::CREATED, headers, Json(created)).into_response())
}

pub(crate) async fn update(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
    JsonObject(patch): JsonObject,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let current = write.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    precondition.check(current.revision)?;
    validation::refuse_replacement(&current, &patch)?;
    let held_secrets = write.secrets(&id).await?.unwrap_or_default();
    let mut target = as_spec(&current, &held_secrets.inputs)?;
    json_patch::merge(&mut target, &patch);
    validation::release_claimant(&mut target, &patch);
    validation::forget_unneeded_secrets(&mut target, &patch);
    let spec = validation::connection(target, Rules::of(&app.config))?;
    let secrets = ConnectionSecrets {
        inputs: spec.secrets,
        ..held_secrets.clone()
    };
    let mut connection = Connection {
        external_reference: spec.external_reference,
        claimant: spec.claimant,
        display_name: spec.display_name,
        channel: spec.channel,
        ..current.clone()
    };
    if connection == current && secrets == held_secrets {
        return Ok(answer(StatusCode::OK, &current));
    }
    check_reference(&mut write, &app, Some(&id), connection.external_reference.as_deref()).await?;
    check_switching(&mut write, &connection).await?;
    check_natural_key(&mut write, &connection).await?;
    stamp(&mut write, &mut connection).await?;
    write.update(&connection).await?;
    write.put_secrets(&id, &secrets).await?;
    write.commit().await?;
    Ok(answer(StatusCode::OK, &connection))
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let mut write = app.store.write(&author).await?;
    let current = write.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    precondition.check(current.revision)?;
    for mut other in write.switching_to(&id).await? {
        if let Channel::WebMessaging(channel) = &mut other.channel
            && let Some(switching) = &mut channel.switching
        {
            switching.connection_ids.retain(|target| *target != id);
        }
        stamp(&mut write, &mut other).await?;
        write.update(&other).await?;
    }
    write.delete::<Connection>(&id).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn not_found() -> Refusal {
    Refusal::not_found("connection")
}

/// Gives a changed connection its new revision.
pub(crate) async fn stamp(write: &mut Write<'_>, connection: &mut Connection) -> Result<(), sqlx::Error> {
    connection.revision = write.next_revision().await?;
    connection.updated_at = Timestamp::now();
    Ok(())
}

/// What the manager adds to what the client said.
fn make(app: &App, spec: ConnectionSpec, revision: u64) -> Result<(Connection, ConnectionSecrets), Refusal> {
    let id = token::id("cn_");
    let now = Timestamp::now();
    let widget = matches!(spec.channel, Channel::WebMessaging(_)).then(|| {
        let widget_id = uuid::Uuid::new_v4().to_string();
        let script_url = app.public_url.join(&format!("/widgets/{widget_id}/messaging.js"));
        Widget {
            id: widget_id,
            script_url,
        }
    });
    let webhook_url = widget.is_none().then(|| app.public_url.join(&format!("/webhooks/{id}")));
    let waits = app.config.facebook_needs_authorization && matches!(spec.channel, Channel::FacebookMessenger(_));
    let jwt_secret = if spec.channel.has_jwt_secret() {
        Some(token::secret(JWT_SECRET_PREFIX)?)
    } else {
        None
    };
    let connection = Connection {
        id,
        interface_id: spec.interface_id,
        external_reference: spec.external_reference,
        claimant: spec.claimant,
        display_name: spec.display_name,
        has_jwt_secret: jwt_secret.is_some(),
        jwt_secret_rotation: None,
        channel: spec.channel,
        state: if waits {
            ConnectionState::PendingAuthorization
        } else {
            ConnectionState::Active
        },
        state_message: waits.then(|| NEEDS_AUTHORIZATION.to_owned()),
        webhook_url,
        widget,
        revision,
        created_at: now,
        updated_at: now,
    };
    Ok((
        connection,
        ConnectionSecrets {
            inputs: spec.secrets,
            jwt_secret,
            previous: None,
        },
    ))
}

/// What a merge patch is applied to.
fn as_spec(current: &Connection, secrets: &BTreeMap<String, SecretValue>) -> Result<Value, Refusal> {
    let channel = serde_json::to_value(&current.channel).map_err(|_| Refusal::internal())?;
    let secrets = serde_json::to_value(secrets).map_err(|_| Refusal::internal())?;
    Ok(json!({
        "interfaceId": current.interface_id,
        "externalReference": current.external_reference,
        "claimant": current.claimant,
        "displayName": current.display_name,
        "channel": channel,
        "secrets": secrets,
    }))
}

async fn check_switching(write: &mut Write<'_>, connection: &Connection) -> Result<(), Refusal> {
    let mut unknown = Vec::new();
    for (index, target) in connection.switch_targets().iter().enumerate() {
        let detail = if *target == connection.id {
            "a connection cannot switch to itself"
        } else if write.get::<Connection>(target).await?.is_none() {
            "there is no such connection in this account"
        } else {
            continue;
        };
        let pointer = format!("/channel/switching/connectionIds/{index}");
        unknown.push(digital_messaging_contract::problem::FieldProblem {
            pointer,
            detail: detail.to_owned(),
        });
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Refusal::fields(Code::ValidationFailed, unknown))
    }
}

async fn check_natural_key(write: &mut Write<'_>, connection: &Connection) -> Result<(), Refusal> {
    let Some(key) = connection.natural_key() else { return Ok(()) };
    match write.holder_of_natural_key(&key).await? {
        Some(holder) if holder != connection.id => {
            let pointer = validation::natural_key_pointer(&connection.channel);
            let detail = "another connection of this account has it";
            Err(Refusal::field(Code::NaturalKeyClaimed, pointer, detail).held_by(holder))
        }
        _ => Ok(()),
    }
}

fn answer(status: StatusCode, connection: &Connection) -> Response {
    (status, [(header::ETAG, entity_tag(connection.revision))], Json(connection)).into_response()
}

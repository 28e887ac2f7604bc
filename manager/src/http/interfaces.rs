// SPDX-License-Identifier: Apache-2.0

//! `/v1/interfaces`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{
    change::Page,
    interface::{Interface, InterfaceSpec},
    problem::Code,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    App,
    admission::Caller,
    problem::Refusal,
    request::{JsonObject, ListParameters, Parameters, Precondition, cursor_after, entity_tag},
};
use crate::{
    store::{Author, Write},
    token,
    validation::{self, Rules},
};

/// The manager's own path below the base URL of an interface.
const CALLBACK_PATH: &str = "/PRRestService/botAgent/v1/messaging";

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Json<Page<Interface>>, Refusal> {
    let (after, limit) = (parameters.after()?, parameters.limit()?);
    let mut snapshot = app.store.read(&caller.sender.manager_id).await?;
    let (mut page, last) = snapshot.list(&after, limit, parameters.external_reference.as_deref()).await?;
    page.next_cursor = last.as_deref().map(cursor_after);
    Ok(Json(page))
}

pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Refusal> {
    let found = app.store.read(&caller.sender.manager_id).await?.get::<Interface>(&id).await?;
    found
        .map(|interface| answer(StatusCode::OK, &interface))
        .ok_or_else(|| Refusal::not_found("interface"))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    author: Author,
    JsonObject(body): JsonObject,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let spec = parse(&app, Value::Null, &body)?;
    check_reference(&mut write, &app, None, spec.external_reference.as_deref()).await?;
    check_quota(&mut write, &app).await?;
    let now = Timestamp::now();
    let interface = Interface {
        id: token::id("if_"),
        callback_url: callback_url(&spec),
        spec,
        revision: write.next_revision().await?,
        created_at: now,
        updated_at: now,
    };
    write.insert(&interface).await?;
    write.commit().await?;
    let location = [(
        header::LOCATION,
        app.public_url.join(&format!("/v1/interfaces/{}", interface.id)),
    )];
    Ok((location, answer(StatusCode::CREATED, &interface)).into_response())
}

pub(crate) async fn update(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
    JsonObject(patch): JsonObject,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let current = write
        .get::<Interface>(&id)
        .await?
        .ok_or_else(|| Refusal::not_found("interface"))?;
    precondition.check(current.revision)?;
    let held = serde_json::to_value(&current.spec).map_err(|_| Refusal::internal())?;
    let spec = parse(&app, held, &patch)?;
    if spec == current.spec {
        return Ok(answer(StatusCode::OK, &current));
    }
    check_reference(&mut write, &app, Some(&id), spec.external_reference.as_deref()).await?;
    let interface = Interface {
        callback_url: callback_url(&spec),
        spec,
        revision: write.next_revision().await?,
        updated_at: Timestamp::now(),
        ..current
    };
    write.update(&interface).await?;
    write.commit().await?;
    Ok(answer(StatusCode::OK, &interface))
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let mut write = app.store.write(&author).await?;
    let current = write
        .get::<Interface>(&id)
        .await?
        .ok_or_else(|| Refusal::not_found("interface"))?;
    precondition.check(current.revision)?;
    let connections = write.count_connections(&id).await?;
    if connections > 0 {
        return Err(Refusal::new(
            Code::InterfaceNotEmpty,
            format!("{connections} connections are assigned to this interface"),
        ));
    }
    write.delete::<Interface>(&id).await?;
    write.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses an external reference that another object has.
pub(super) async fn check_reference(
    write: &mut Write<'_>,
    app: &App,
    own_id: Option<&str>,
    reference: Option<&str>,
) -> Result<(), Refusal> {
    let Some(reference) = reference.filter(|_| app.config.has_unique_references()) else {
        return Ok(());
    };
    match write.holder_of_reference(reference).await? {
        Some(holder) if Some(holder.as_str()) != own_id => {
            let detail = "another object of this account has this external reference";
            Err(Refusal::field(Code::ReferenceExists, "/externalReference", detail).held_by(holder))
        }
        _ => Ok(()),
    }
}

/// Refuses one object too many.
pub(super) async fn check_quota(write: &mut Write<'_>, app: &App) -> Result<(), Refusal> {
    let limit = app.config.max_objects;
    if write.count_objects().await? >= limit {
        return Err(Refusal::new(
            Code::QuotaExceeded,
            format!("the account holds {limit} objects, its limit"),
        ));
    }
    Ok(())
}

fn parse(app: &App, mut held: Value, patch: &Value) -> Result<InterfaceSpec, Refusal> {
    json_patch::merge(&mut held, patch);
    validation::release_claimant(&mut held, patch);
    validation::interface(held, Rules::of(&app.config))
}

fn callback_url(spec: &InterfaceSpec) -> String {
    format!("{}{CALLBACK_PATH}", spec.base_url)
}

fn answer(status: StatusCode, interface: &Interface) -> Response {
    (status, [(header::ETAG, entity_tag(interface.revision))], Json(interface)).into_response()
}

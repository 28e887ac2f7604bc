//! `/v1/connections/{id}/jwt-secret`: the generated secret, on explicit call only, and its rotation.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{
    connection::{Connection, JwtSecret},
    problem::Code,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    App,
    admission::Caller,
    connections::{not_found, stamp},
    problem::Refusal,
    request::{Precondition, entity_tag},
};
use crate::{
    store::{Author, ConnectionSecrets},
    token::{self, JWT_SECRET_PREFIX},
};

pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Refusal> {
    let mut snapshot = app.store.read(&caller.sender.manager_id).await?;
    let connection = snapshot.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    let secrets = snapshot.secrets(&id).await?.unwrap_or_default();
    answer(&connection, secrets)
}

pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let mut connection = write.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    precondition.check(connection.revision)?;
    let mut secrets = write.secrets(&id).await?.unwrap_or_default();
    let Some(old) = secrets.jwt_secret.take() else {
        return Err(no_secret());
    };
    let grace = SignedDuration::try_from(app.config.jwt_secret_grace).unwrap_or(SignedDuration::MAX);
    let until = Timestamp::now().saturating_add(grace).map_err(|_| Refusal::internal())?;
    secrets.jwt_secret = Some(token::secret(JWT_SECRET_PREFIX)?);
    secrets.previous = Some((old, until));
    stamp(&mut write, &mut connection).await?;
    write.update(&connection).await?;
    write.put_secrets(&id, &secrets).await?;
    write.commit().await?;
    answer(&connection, secrets)
}

fn no_secret() -> Refusal {
    Refusal::new(Code::NotFound, "connections of this channel type have no JWT secret")
}

fn answer(connection: &Connection, secrets: ConnectionSecrets) -> Result<Response, Refusal> {
    let jwt_secret = secrets.jwt_secret.ok_or_else(no_secret)?;
    let now = Timestamp::now();
    let previous_valid_until = secrets.previous.map(|(_, until)| until).filter(|until| *until > now);
    let headers = [
        (header::ETAG, entity_tag(connection.revision)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((
        headers,
        Json(JwtSecret {
            jwt_secret,
            previous_valid_until,
        }),
    )
        .into_response())
}

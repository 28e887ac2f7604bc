// SPDX-License-Identifier: Apache-2.0

//! `/v1/connections/{id}/jwt-secret`: the generated secret, on explicit call only, and its rotation.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{
    connection::{Connection, JwtSecret, JwtSecretRotation, RotatedConnection},
    problem::Code,
    secret::SecretValue,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    App,
    admission::Caller,
    connections::{not_found, stamp},
    problem::Refusal,
    request::{JsonObject, Precondition, entity_tag},
};
use crate::{
    store::{Author, ConnectionSecrets},
    token::{self, JWT_SECRET_PREFIX},
    validation,
};

pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<String>) -> Result<Response, Refusal> {
    let mut snapshot = app.store.read(&caller.sender.manager_id).await?;
    let connection = snapshot.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    let secrets = snapshot.secrets(&id).await?.unwrap_or_default();
    let (jwt_secret, previous_valid_until) = told(secrets)?;
    #[cfg(feature = "faults")]
    if app.config.secrets_told_once {
        return Err(Refusal::new(
            Code::SecretWithheld,
            "this manager tells a secret only when it makes it",
        ));
    }
    let body = JwtSecret {
        jwt_secret,
        previous_valid_until,
    };
    Ok((headers(&connection), Json(body)).into_response())
}

pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    author: Author,
    precondition: Precondition,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Response, Refusal> {
    let mut write = app.store.write(&author).await?;
    let JwtSecretRotation { token } = validation::rotation(body)?;
    let mut connection = write.get::<Connection>(&id).await?.ok_or_else(not_found)?;
    let mut secrets = write.secrets(&id).await?.unwrap_or_default();
    // The answer to the first call was lost: its revision is not the one that the client knows.
    if connection.jwt_secret_rotation.as_ref() == Some(&token) {
        return answer(connection, secrets);
    }
    precondition.check(connection.revision)?;
    let Some(old) = secrets.jwt_secret.take() else {
        return Err(no_secret());
    };
    let grace = SignedDuration::try_from(app.config.jwt_secret_grace).unwrap_or(SignedDuration::MAX);
    let until = Timestamp::now().saturating_add(grace).map_err(|_| Refusal::internal())?;
    secrets.jwt_secret = Some(token::secret(JWT_SECRET_PREFIX)?);
    secrets.previous = Some((old, until));
    connection.jwt_secret_rotation = Some(token);
    stamp(&mut write, &mut connection).await?;
    write.update(&connection).await?;
    write.put_secrets(&id, &secrets).await?;
    write.commit().await?;
    answer(connection, secrets)
}

fn no_secret() -> Refusal {
    Refusal::new(Code::NotFound, "connections of this channel type have no JWT secret")
}

fn answer(connection: Connection, secrets: ConnectionSecrets) -> Result<Response, Refusal> {
    let (jwt_secret, previous_valid_until) = told(secrets)?;
    let headers = headers(&connection);
    let body = RotatedConnection {
        connection,
        jwt_secret,
        previous_valid_until,
    };
    Ok((headers, Json(body)).into_response())
}

/// The secret, and until when the one before is honoured.
fn told(secrets: ConnectionSecrets) -> Result<(SecretValue, Option<Timestamp>), Refusal> {
    let jwt_secret = secrets.jwt_secret.ok_or_else(no_secret)?;
    let now = Timestamp::now();
    let previous_valid_until = secrets.previous.map(|(_, until)| until).filter(|until| *until > now);
    Ok((jwt_secret, previous_valid_until))
}

fn headers(connection: &Connection) -> [(HeaderName, String); 2] {
    [
        (header::ETAG, entity_tag(connection.revision)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]
}

// SPDX-License-Identifier: Apache-2.0

//! The secrets of connections, apart from the documents that lists and the change feed read.

use std::collections::BTreeMap;

use digital_messaging_contract::secret::SecretValue;
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::document;

/// The secrets of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionSecrets {
    /// What the client gave, by name.
    pub(crate) inputs: BTreeMap<String, SecretValue>,
    /// What the manager made.
    pub(crate) jwt_secret: Option<SecretValue>,
    /// The one before, and until when it is honoured.
    pub(crate) previous: Option<(SecretValue, Timestamp)>,
}

pub(super) async fn get(
    transaction: &mut Transaction<'static, Sqlite>,
    account: &str,
    connection_id: &str,
) -> Result<Option<ConnectionSecrets>, sqlx::Error> {
    type Row = (String, Option<String>, Option<String>, Option<String>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT inputs, jwt_secret, previous_jwt_secret, previous_valid_until FROM connection_secrets \
         WHERE account = ?1 AND connection_id = ?2",
    )
    .bind(account)
    .bind(connection_id)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((inputs, jwt_secret, previous, valid_until)) = row else {
        return Ok(None);
    };
    let valid_until = valid_until
        .map(|text| {
            text.parse::<Timestamp>()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))
        })
        .transpose()?;
    Ok(Some(ConnectionSecrets {
        inputs: document::decode(&inputs)?,
        jwt_secret: jwt_secret.map(SecretValue::from),
        previous: previous.map(SecretValue::from).zip(valid_until),
    }))
}

pub(super) async fn put(
    transaction: &mut Transaction<'static, Sqlite>,
    account: &str,
    connection_id: &str,
    secrets: &ConnectionSecrets,
) -> Result<(), sqlx::Error> {
    let previous = secrets.previous.as_ref();
    sqlx::query(
        "INSERT OR REPLACE INTO connection_secrets \
         (account, connection_id, inputs, jwt_secret, previous_jwt_secret, previous_valid_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(account)
    .bind(connection_id)
    .bind(document::encode(&secrets.inputs)?)
    .bind(secrets.jwt_secret.as_ref().map(SecretValue::expose))
    .bind(previous.map(|(secret, _)| secret.expose()))
    .bind(previous.map(|(_, until)| until.to_string()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    transaction: &mut Transaction<'static, Sqlite>,
    account: &str,
    connection_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM connection_secrets WHERE account = ?1 AND connection_id = ?2")
        .bind(account)
        .bind(connection_id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0

//! Sets of credentials: a Manager ID, its method, and its Manager Keys.
//!
//! HS256 is symmetric, so the keys are stored as they are and the database file is private to its owner (mode 0600).
//! A rotation keeps the old key valid for a grace period, so that clients can move over one by one. Keys that are
//! out of grace or revoked are remembered (a few an account) so that whoever still uses one is told what happened,
//! and nobody else is.

use std::{fmt, sync::Arc, time::Duration};

use digital_messaging_contract::{account::AuthenticationMethod, secret::SecretValue};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Sqlite, Transaction};
use thiserror::Error;

use crate::{
    store::Store,
    token::{self, MANAGER_KEY_PREFIX, RandomError},
};

/// Keys of an account that are remembered, the valid ones included.
const REMEMBERED_KEYS: i64 = 16;

/// Longest Manager ID.
pub(crate) const MAX_MANAGER_ID: usize = 128;

/// A new or rotated key, on its only way out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedCredential {
    /// The Manager ID.
    pub manager_id: String,
    /// The Manager Key. Not to be had again.
    pub manager_key: SecretValue,
    /// The method provisioned for it.
    pub method: AuthenticationMethod,
}

/// A set of credentials without its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSummary {
    /// The Manager ID.
    pub manager_id: String,
    /// What the account is called.
    pub name: String,
    /// The method provisioned for it.
    pub method: AuthenticationMethod,
    /// How many keys are valid now: 0 when revoked, more than 1 within the grace period of a rotation.
    pub valid_keys: usize,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Generated if absent.
    pub manager_id: Option<String>,
    /// What to call the account. Default: the Manager ID.
    pub name: Option<String>,
    /// How its requests are authenticated.
    pub method: AuthenticationMethod,
}

impl NewCredential {
    /// A set with a generated Manager ID.
    pub fn new(method: AuthenticationMethod) -> Self {
        Self {
            manager_id: None,
            name: None,
            method,
        }
    }

    /// With this Manager ID.
    #[must_use]
    pub fn with_manager_id(mut self, manager_id: impl Into<String>) -> Self {
        self.manager_id = Some(manager_id.into());
        self
    }
}

/// Why a set of credentials cannot be made or changed.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// It is taken.
    #[error("the Manager ID {0} exists already")]
    Exists(String),
    /// There is none.
    #[error("there is no Manager ID {0}")]
    Unknown(String),
    /// It cannot be a header value or a path.
    #[error("a Manager ID is 1 to {MAX_MANAGER_ID} letters, digits, '-', '_' and '.'")]
    Invalid,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Makes, rotates and revokes sets of credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    store: Arc<Store>,
}

/// What authentication needs to know of a Manager ID.
#[derive(Clone, Debug)]
pub(crate) struct Provisioned {
    pub(crate) name: String,
    pub(crate) method: AuthenticationMethod,
    pub(crate) keys: Vec<Key>,
}

/// One key, newest first in [`Provisioned::keys`].
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) value: SecretValue,
    pub(crate) valid: bool,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("valid", &self.valid).finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Makes a Manager ID with its first key.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn create(&self, new: NewCredential) -> Result<IssuedCredential, CredentialError> {
        let manager_id = new.manager_id.unwrap_or_else(|| token::id("mgr-"));
        if !is_manager_id(&manager_id) {
            return Err(CredentialError::Invalid);
        }
        let name = new.name.unwrap_or_else(|| manager_id.clone());
        let mut transaction = self.store.begin().await?;
        let made = sqlx::query("INSERT OR IGNORE INTO accounts (manager_id, name, method, created_at) VALUES (?1, ?2, ?3, ?4)")
            .bind(&manager_id)
            .bind(name)
            .bind(new.method.as_str())
            .bind(Timestamp::now().to_string())
            .execute(&mut *transaction)
            .await?;
        if made.rows_affected() == 0 {
            return Err(CredentialError::Exists(manager_id));
        }
        let manager_key = add_key(&mut transaction, &manager_id).await?;
        transaction.commit().await?;
        Ok(IssuedCredential {
            manager_id,
            manager_key,
            method: new.method,
        })
    }

    /// Makes a new key. Those valid now stay so for the grace period, unless they end sooner.
    /// A revoked Manager ID is usable again by the new key alone.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn rotate(&self, manager_id: &str, grace: Duration) -> Result<IssuedCredential, CredentialError> {
        let mut transaction = self.store.begin().await?;
        let method = method_of(&mut transaction, manager_id).await?;
        let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let ends = Timestamp::now().as_second().saturating_add(grace);
        sqlx::query("UPDATE manager_keys SET valid_until = min(coalesce(valid_until, ?2), ?2) WHERE manager_id = ?1")
            .bind(manager_id)
            .bind(ends)
            .execute(&mut *transaction)
            .await?;
        let manager_key = add_key(&mut transaction, manager_id).await?;
        sqlx::query(
            "DELETE FROM manager_keys WHERE manager_id = ?1 AND sequence NOT IN \
             (SELECT sequence FROM manager_keys WHERE manager_id = ?1 ORDER BY sequence DESC LIMIT ?2)",
        )
        .bind(manager_id)
        .bind(REMEMBERED_KEYS)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(IssuedCredential {
            manager_id: manager_id.to_owned(),
            manager_key,
            method,
        })
    }

    /// Ends all keys of a Manager ID at once. What the account holds stays.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn revoke(&self, manager_id: &str) -> Result<(), CredentialError> {
        let mut transaction = self.store.begin().await?;
        method_of(&mut transaction, manager_id).await?;
        sqlx::query("UPDATE manager_keys SET revoked = 1 WHERE manager_id = ?1")
            .bind(manager_id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends the keys before the newest one at once, within their grace period.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub async fn revoke_previous(&self, manager_id: &str) -> Result<(), CredentialError> {
        let mut transaction = self.store.begin().await?;
        method_of(&mut transaction, manager_id).await?;
        sqlx::query(
            "UPDATE manager_keys SET revoked = 1 WHERE manager_id = ?1 \
             AND sequence < (SELECT max(sequence) FROM manager_keys WHERE manager_id = ?1)",
        )
        .bind(manager_id)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All sets of credentials, by Manager ID.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(&self) -> Result<Vec<CredentialSummary>, CredentialError> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "SELECT manager_id, name, method, created_at, \
             (SELECT count(*) FROM manager_keys k WHERE k.manager_id = a.manager_id AND NOT revoked \
              AND (valid_until IS NULL OR valid_until > ?1)) FROM accounts a ORDER BY manager_id",
        )
        .bind(Timestamp::now().as_second())
        .fetch_all(self.store.reader())
        .await?;
        rows.into_iter()
            .map(|(manager_id, name, method, created_at, valid_keys)| {
                Ok(CredentialSummary {
                    manager_id,
                    name,
                    method: method_from(&method),
                    valid_keys: usize::try_from(valid_keys).unwrap_or(0),
                    created_at: created_at
                        .parse()
                        .map_err(|error: jiff::Error| sqlx::Error::Decode(Box::new(error)))?,
                })
            })
            .collect()
    }

    /// What is provisioned for a Manager ID. Read for each request: another process may have changed it.
    pub(crate) async fn find(&self, manager_id: &str, now: Timestamp) -> Result<Option<Provisioned>, sqlx::Error> {
        let rows: Vec<(String, String, String, Option<i64>, bool)> = sqlx::query_as(
            "SELECT name, method, manager_key, valid_until, revoked FROM accounts JOIN manager_keys USING (manager_id) \
             WHERE manager_id = ?1 ORDER BY sequence DESC",
        )
        .bind(manager_id)
        .fetch_all(self.store.reader())
        .await?;
        let mut found: Option<Provisioned> = None;
        for (name, method, key, valid_until, revoked) in rows {
            let provisioned = found.get_or_insert_with(|| Provisioned {
                name,
                method: method_from(&method),
                keys: Vec::new(),
            });
            let valid = !revoked && valid_until.is_none_or(|until| until > now.as_second());
            provisioned.keys.push(Key {
                value: SecretValue::from(key),
                valid,
            });
        }
        Ok(found)
    }
}

fn is_manager_id(text: &str) -> bool {
    (1..=MAX_MANAGER_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

async fn add_key(transaction: &mut Transaction<'static, Sqlite>, manager_id: &str) -> Result<SecretValue, CredentialError> {
    let key = token::secret(MANAGER_KEY_PREFIX)?;
    sqlx::query("INSERT INTO manager_keys (manager_id, manager_key, created_at) VALUES (?1, ?2, ?3)")
        .bind(manager_id)
        .bind(key.expose())
        .bind(Timestamp::now().to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(key)
}

async fn method_of(
    transaction: &mut Transaction<'static, Sqlite>,
    manager_id: &str,
) -> Result<AuthenticationMethod, CredentialError> {
    let method: Option<String> = sqlx::query_scalar("SELECT method FROM accounts WHERE manager_id = ?1")
        .bind(manager_id)
        .fetch_optional(&mut **transaction)
        .await?;
    method
        .map(|method| method_from(&method))
        .ok_or_else(|| CredentialError::Unknown(manager_id.to_owned()))
}

/// Back from the database, where a constraint allows just these.
fn method_from(name: &str) -> AuthenticationMethod {
    if name == AuthenticationMethod::ApiKey.as_str() {
        AuthenticationMethod::ApiKey
    } else {
        AuthenticationMethod::Jwt
    }
}

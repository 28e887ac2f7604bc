// SPDX-License-Identifier: Apache-2.0

//! Who writes: the operator installation and its term, and what each write was.
//!
//! The highest epoch of an installation is remembered even when the write that brought it is then refused for
//! another reason: from then on its predecessor must not get through.

use digital_messaging_contract::change::Resource;
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{Store, WriteError, document, from_sql, to_sql};

/// Most installations that an account may have seen. A bound, not a quota: far above any real number.
const MAX_INSTALLATIONS: i64 = 1000;

/// Writes of an account that are remembered.
const MAX_RECORDS: u64 = 10_000;

/// The term of an operator installation, from the `Operator-Epoch` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) installation: String,
    pub(crate) number: u64,
}

/// The token that a write was authenticated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenUse {
    pub(crate) digest: Vec<u8>,
    /// Seconds since the epoch after which the token is refused anyway.
    pub(crate) expires_at: i64,
}

/// Who writes, by which request.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) account: String,
    pub(crate) method: String,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) token: Option<TokenUse>,
}

/// One write, as the manager remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRecord {
    /// Revision that it made.
    pub revision: u64,
    /// The operator installation, if the request said one.
    pub installation: Option<String>,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// HTTP method.
    pub method: String,
    /// What was written.
    pub resource: Resource,
    /// Its ID.
    pub id: String,
    /// When.
    pub written_at: Timestamp,
}

/// Whether an epoch may write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Known,
    /// Higher than any before; remembered now.
    New,
}

pub(super) async fn check(
    transaction: &mut Transaction<'static, Sqlite>,
    account: &str,
    epoch: &Epoch,
) -> Result<Standing, WriteError> {
    let highest: Option<i64> = sqlx::query_scalar("SELECT epoch FROM epochs WHERE account = ?1 AND installation = ?2")
        .bind(account)
        .bind(&epoch.installation)
        .fetch_optional(&mut **transaction)
        .await?;
    match highest.map(from_sql) {
        Some(highest) if highest > epoch.number => return Err(WriteError::EpochSuperseded { highest }),
        Some(highest) if highest == epoch.number => return Ok(Standing::Known),
        Some(_) => {}
        None => {
            let known: i64 = sqlx::query_scalar("SELECT count(*) FROM epochs WHERE account = ?1")
                .bind(account)
                .fetch_one(&mut **transaction)
                .await?;
            if known >= MAX_INSTALLATIONS {
                return Err(WriteError::TooManyInstallations);
            }
        }
    }
    sqlx::query("INSERT OR REPLACE INTO epochs (account, installation, epoch) VALUES (?1, ?2, ?3)")
        .bind(account)
        .bind(&epoch.installation)
        .bind(to_sql(epoch.number))
        .execute(&mut **transaction)
        .await?;
    Ok(Standing::New)
}

pub(super) async fn record(
    transaction: &mut Transaction<'static, Sqlite>,
    author: &Author,
    (resource, id): (Resource, &str),
    revision: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO write_records (account, revision, installation, epoch, method, resource, id, written_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(&author.account)
    .bind(to_sql(revision))
    .bind(author.epoch.as_ref().map(|epoch| &epoch.installation))
    .bind(author.epoch.as_ref().map(|epoch| to_sql(epoch.number)))
    .bind(&author.method)
    .bind(document::name(resource))
    .bind(id)
    .bind(Timestamp::now().to_string())
    .execute(&mut **transaction)
    .await?;
    sqlx::query("DELETE FROM write_records WHERE account = ?1 AND revision <= ?2")
        .bind(&author.account)
        .bind(to_sql(revision.saturating_sub(MAX_RECORDS)))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Store {
    /// The tokens that made a write and are not expired yet, with their account.
    pub(crate) async fn used_tokens(&self, now: i64) -> Result<Vec<(String, TokenUse)>, sqlx::Error> {
        let rows: Vec<(String, Vec<u8>, i64)> =
            sqlx::query_as("SELECT account, digest, expires_at FROM used_tokens WHERE expires_at >= ?1")
                .bind(now)
                .fetch_all(&self.reader)
                .await?;
        Ok(rows
            .into_iter()
            .map(|(account, digest, expires_at)| (account, TokenUse { digest, expires_at }))
            .collect())
    }

    /// The newest writes of an account, oldest first.
    pub(crate) async fn write_records(&self, account: &str) -> Result<Vec<WriteRecord>, sqlx::Error> {
        type Record = (i64, Option<String>, Option<i64>, String, String, String, String);
        let rows: Vec<Record> = sqlx::query_as(
            "SELECT revision, installation, epoch, method, resource, id, written_at FROM write_records \
             WHERE account = ?1 ORDER BY revision",
        )
        .bind(account)
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(revision, installation, epoch, method, resource, id, written_at)| {
                Ok(WriteRecord {
                    revision: from_sql(revision),
                    installation,
                    epoch: epoch.map(from_sql),
                    method,
                    resource: document::resource(&resource),
                    id,
                    written_at: written_at
                        .parse()
                        .map_err(|error: jiff::Error| sqlx::Error::Decode(Box::new(error)))?,
                })
            })
            .collect()
    }
}

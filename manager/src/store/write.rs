// SPDX-License-Identifier: Apache-2.0

//! A write: one transaction that checks, changes, stamps with the next revision, records, commits and then wakes
//! the long polls. Dropped before the commit it leaves nothing behind.

use digital_messaging_contract::change::Resource;
use digital_messaging_contract::connection::Connection;
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};
use thiserror::Error;

use super::{Author, ConnectionSecrets, Document, Store, document, epochs, from_sql, read, secrets, to_sql};

/// Why a write cannot begin or go on.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("a higher epoch of the same installation, {highest}, has been seen")]
    EpochSuperseded { highest: u64 },
    #[error("more operator installations have written to this account than the manager remembers")]
    TooManyInstallations,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// A transaction on one account.
pub(crate) struct Write<'a> {
    store: &'a Store,
    author: &'a Author,
    transaction: Transaction<'static, Sqlite>,
    revision: Option<u64>,
}

impl Store {
    /// Begins a write, unless a successor of the author has been seen.
    pub(crate) async fn write<'a>(&'a self, author: &'a Author) -> Result<Write<'a>, WriteError> {
        let mut transaction = self.begin().await?;
        if let Some(epoch) = &author.epoch
            && epochs::check(&mut transaction, &author.account, epoch).await? == epochs::Standing::New
        {
            // Committed on its own: the epoch counts even if the write is refused.
            transaction.commit().await?;
            transaction = self.begin().await?;
            epochs::check(&mut transaction, &author.account, epoch).await?;
        }
        Ok(Write {
            store: self,
            author,
            transaction,
            revision: None,
        })
    }
}

impl Write<'_> {
    pub(crate) async fn get<D: Document>(&mut self, id: &str) -> Result<Option<D>, sqlx::Error> {
        read::get(&mut self.transaction, &self.author.account, id).await
    }

    pub(crate) async fn secrets(&mut self, connection_id: &str) -> Result<Option<ConnectionSecrets>, sqlx::Error> {
        secrets::get(&mut self.transaction, &self.author.account, connection_id).await
    }

    /// The object that has this external reference.
    pub(crate) async fn holder_of_reference(&mut self, reference: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM objects WHERE account = ?1 AND external_reference = ?2")
            .bind(&self.author.account)
            .bind(reference)
            .fetch_optional(&mut *self.transaction)
            .await
    }

    /// The connection that has this natural key, as [`Document::natural_key`] says it.
    pub(crate) async fn holder_of_natural_key(&mut self, key: &str) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM objects WHERE account = ?1 AND natural_key = ?2")
            .bind(&self.author.account)
            .bind(key)
            .fetch_optional(&mut *self.transaction)
            .await
    }

    pub(crate) async fn count_connections(&mut self, interface_id: &str) -> Result<u64, sqlx::Error> {
        sqlx::query_scalar("SELECT count(*) FROM objects WHERE account = ?1 AND interface_id = ?2")
            .bind(&self.author.account)
            .bind(interface_id)
            .fetch_one(&mut *self.transaction)
            .await
            .map(from_sql)
    }

    pub(crate) async fn count_objects(&mut self) -> Result<u64, sqlx::Error> {
        sqlx::query_scalar("SELECT count(*) FROM objects WHERE account = ?1")
            .bind(&self.author.account)
            .fetch_one(&mut *self.transaction)
            .await
            .map(from_sql)
    }

    /// The connections that offer a switch to this one.
    pub(crate) async fn switching_to(&mut self, connection_id: &str) -> Result<Vec<Connection>, sqlx::Error> {
        let sources: Vec<String> =
            sqlx::query_scalar("SELECT source_id FROM switches WHERE account = ?1 AND target_id = ?2 ORDER BY source_id")
                .bind(&self.author.account)
                .bind(connection_id)
                .fetch_all(&mut *self.transaction)
                .await?;
        let mut connections = Vec::with_capacity(sources.len());
        for source in sources {
            connections.extend(self.get::<Connection>(&source).await?);
        }
        Ok(connections)
    }

    /// The next revision of the account. Each object written gets one of its own.
    pub(crate) async fn next_revision(&mut self) -> Result<u64, sqlx::Error> {
        let revision: i64 =
            sqlx::query_scalar("UPDATE accounts SET revision = revision + 1 WHERE manager_id = ?1 RETURNING revision")
                .bind(&self.author.account)
                .fetch_one(&mut *self.transaction)
                .await?;
        let revision = from_sql(revision);
        self.revision = Some(revision);
        Ok(revision)
    }

    pub(crate) async fn insert<D: Document>(&mut self, document: &D) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO objects (account, resource, id, interface_id, external_reference, natural_key, revision, document) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(&self.author.account)
        .bind(document::name(D::RESOURCE))
        .bind(document.id())
        .bind(document.interface_id())
        .bind(document.external_reference())
        .bind(document.natural_key())
        .bind(to_sql(document.revision()))
        .bind(document::encode(document)?)
        .execute(&mut *self.transaction)
        .await?;
        self.put_switches(document).await?;
        self.record(D::RESOURCE, document.id(), document.revision()).await
    }

    pub(crate) async fn update<D: Document>(&mut self, document: &D) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE objects SET external_reference = ?4, natural_key = ?5, revision = ?6, document = ?7 \
             WHERE account = ?1 AND resource = ?2 AND id = ?3",
        )
        .bind(&self.author.account)
        .bind(document::name(D::RESOURCE))
        .bind(document.id())
        .bind(document.external_reference())
        .bind(document.natural_key())
        .bind(to_sql(document.revision()))
        .bind(document::encode(document)?)
        .execute(&mut *self.transaction)
        .await?;
        self.put_switches(document).await?;
        self.record(D::RESOURCE, document.id(), document.revision()).await
    }

    pub(crate) async fn put_secrets(&mut self, connection_id: &str, secrets: &ConnectionSecrets) -> Result<(), sqlx::Error> {
        secrets::put(&mut self.transaction, &self.author.account, connection_id, secrets).await
    }

    /// Removes an object and leaves a tombstone.
    pub(crate) async fn delete<D: Document>(&mut self, id: &str) -> Result<(), sqlx::Error> {
        let revision = self.next_revision().await?;
        sqlx::query("DELETE FROM objects WHERE account = ?1 AND resource = ?2 AND id = ?3")
            .bind(&self.author.account)
            .bind(document::name(D::RESOURCE))
            .bind(id)
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query("DELETE FROM switches WHERE account = ?1 AND source_id = ?2")
            .bind(&self.author.account)
            .bind(id)
            .execute(&mut *self.transaction)
            .await?;
        secrets::delete(&mut self.transaction, &self.author.account, id).await?;
        sqlx::query("INSERT INTO tombstones (account, revision, resource, id, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(&self.author.account)
            .bind(to_sql(revision))
            .bind(document::name(D::RESOURCE))
            .bind(id)
            .bind(Timestamp::now().as_second())
            .execute(&mut *self.transaction)
            .await?;
        self.record(D::RESOURCE, id, revision).await?;
        self.compact(revision).await
    }

    /// Makes it last, then tells whoever waits for it.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if let Some(token) = &self.author.token {
            sqlx::query("INSERT OR IGNORE INTO used_tokens (digest, account, expires_at) VALUES (?1, ?2, ?3)")
                .bind(&token.digest)
                .bind(&self.author.account)
                .bind(token.expires_at)
                .execute(&mut *self.transaction)
                .await?;
            sqlx::query("DELETE FROM used_tokens WHERE expires_at < ?1")
                .bind(Timestamp::now().as_second())
                .execute(&mut *self.transaction)
                .await?;
        }
        self.transaction.commit().await?;
        if let Some(revision) = self.revision {
            self.store.signals.announce(&self.author.account, revision);
        }
        Ok(())
    }

    async fn record(&mut self, resource: Resource, id: &str, revision: u64) -> Result<(), sqlx::Error> {
        epochs::record(&mut self.transaction, self.author, (resource, id), revision).await
    }

    async fn put_switches<D: Document>(&mut self, document: &D) -> Result<(), sqlx::Error> {
        if D::RESOURCE != Resource::Connection {
            return Ok(());
        }
        sqlx::query("DELETE FROM switches WHERE account = ?1 AND source_id = ?2")
            .bind(&self.author.account)
            .bind(document.id())
            .execute(&mut *self.transaction)
            .await?;
        for target in document.switch_targets() {
            sqlx::query("INSERT OR IGNORE INTO switches (account, target_id, source_id) VALUES (?1, ?2, ?3)")
                .bind(&self.author.account)
                .bind(target)
                .bind(document.id())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Drops tombstones that are past retention. The feed no longer serves revisions before the newest one dropped.
    async fn compact(&mut self, revision: u64) -> Result<(), sqlx::Error> {
        let age = i64::try_from(self.store.retention.age.as_secs()).unwrap_or(i64::MAX);
        let by_age: Option<i64> =
            sqlx::query_scalar("SELECT max(revision) FROM tombstones WHERE account = ?1 AND deleted_at <= ?2")
                .bind(&self.author.account)
                .bind(Timestamp::now().as_second().saturating_sub(age))
                .fetch_one(&mut *self.transaction)
                .await?;
        let by_revision = to_sql(revision.saturating_sub(self.store.retention.revisions));
        let dropped: Vec<i64> =
            sqlx::query_scalar("DELETE FROM tombstones WHERE account = ?1 AND revision <= ?2 RETURNING revision")
                .bind(&self.author.account)
                .bind(by_revision.max(by_age.unwrap_or(0)))
                .fetch_all(&mut *self.transaction)
                .await?;
        if let Some(newest) = dropped.into_iter().max() {
            sqlx::query("UPDATE accounts SET compacted = max(compacted, ?2) WHERE manager_id = ?1")
                .bind(&self.author.account)
                .bind(newest)
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }
}

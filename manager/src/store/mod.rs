// SPDX-License-Identifier: Apache-2.0

//! Everything that outlives the process: one SQLite file.
//!
//! Writes go through a single connection, one transaction each (`BEGIN IMMEDIATE`), so that a check and what
//! depends on it cannot be torn apart. Reads have connections of their own and see a snapshot (WAL). With
//! `synchronous = FULL` a commit is on disk before it is acknowledged: `kill -9` or a power cut loses nothing
//! that a client was told.
//!
//! | Module | Holds |
//! |---|---|
//! | `document` | what the store wants to know of an interface or a connection |
//! | `read` | a snapshot: single objects, pages, the change feed |
//! | `write` | a transaction: epoch check, revision, insert, update, delete, record |
//! | `secrets` | the secrets of connections |
//! | `epochs` | which operator installation is in which term |
//! | `signals` | wakes the long polls of an account |

mod document;
mod epochs;
mod read;
mod secrets;
mod signals;
mod write;

use std::{fs::OpenOptions, io, path::Path, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tokio::sync::watch;
use tracing::warn;

pub(crate) use document::Document;
pub use epochs::WriteRecord;
pub(crate) use epochs::{Author, Epoch, TokenUse};
pub(crate) use read::{FeedPage, Snapshot};
pub(crate) use secrets::ConnectionSecrets;
pub(crate) use write::{Write, WriteError};

use crate::config::Retention;
use signals::Signals;

/// How long a connection waits for another process (the credentials command) to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections for reads. SQLite reads are short; more than a few only compete for the processor.
const READERS: u32 = 4;

/// The database.
#[derive(Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    signals: Signals,
    retention: Retention,
}

/// Why the database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be made or read.
    #[error("cannot open the database file")]
    File(#[source] io::Error),
    /// SQLite refuses it.
    #[error("cannot open the database")]
    Database(#[from] sqlx::Error),
    /// It was written by another version.
    #[error("cannot bring the database to the schema of this version")]
    Migrate(#[from] MigrateError),
}

impl Store {
    pub(crate) async fn open(file: &Path, retention: Retention) -> Result<Self, OpenError> {
        make_private(file).map_err(OpenError::File)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("src/store/migrations").run(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_connections(READERS)
            .connect_with(options)
            .await?;
        Ok(Self {
            writer,
            reader,
            signals: Signals::default(),
            retention,
        })
    }

    /// From now on several objects may have the same external reference.
    #[cfg(feature = "faults")]
    pub(crate) async fn allow_duplicate_references(&self) -> Result<(), sqlx::Error> {
        sqlx::query("DROP INDEX IF EXISTS objects_by_reference")
            .execute(&self.writer)
            .await
            .map(drop)
    }

    /// A consistent view of one account.
    pub(crate) async fn read(&self, account: &str) -> Result<Snapshot, sqlx::Error> {
        Ok(Snapshot::new(self.reader.begin().await?, account))
    }

    /// A transaction that is not about the objects of an account.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Connections for reads.
    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Changes whenever the account does. Subscribe first, then read: so nothing is missed in between.
    pub(crate) fn subscribe(&self, account: &str) -> watch::Receiver<u64> {
        self.signals.subscribe(account)
    }

    /// Whether the database answers.
    pub(crate) async fn is_ready(&self) -> bool {
        sqlx::query("SELECT 1 FROM accounts LIMIT 1")
            .fetch_optional(&self.reader)
            .await
            .is_ok()
    }

    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// The file holds Manager Keys: nobody but its owner may read it. SQLite gives its side files the same mode.
fn make_private(file: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let opened = options.open(file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if opened.metadata()?.permissions().mode() & 0o077 != 0 {
            warn!(file = %file.display(), "others can read the database file, which holds Manager Keys");
        }
    }
    drop(opened);
    Ok(())
}

/// SQLite has no unsigned integers. A revision never gets anywhere near the limit.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from SQLite.
pub(crate) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

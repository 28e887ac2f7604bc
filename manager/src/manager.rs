// SPDX-License-Identifier: Apache-2.0

//! A manager with its database open: what the binary serves, and tests hold in their hands.

use std::sync::Arc;

use axum::Router;
use digital_messaging_contract::connection::{Connection, ConnectionState};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use thiserror::Error;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    config::Config,
    credentials::Credentials,
    http::{self, App, PublicUrl},
    replay::ReplayMemory,
    store::{Author, OpenError, Store, WriteError, WriteRecord},
};

/// A manager with its database open. Clones are the same manager.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    replay: Arc<ReplayMemory>,
    limiter: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) writes: TaskTracker,
}

/// Why a connection cannot be authorised.
#[derive(Debug, Error)]
pub enum AuthorizeError {
    /// There is none.
    #[error("there is no such connection in this account")]
    UnknownConnection,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Manager {
    /// Opens the database, making it or bringing it up to date where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let store = Store::open(&config.database, config.retention).await?;
        #[cfg(feature = "faults")]
        if !config.unique_references {
            store.allow_duplicate_references().await?;
        }
        let replay = ReplayMemory::default();
        let now = Timestamp::now().as_second();
        for (account, token) in store.used_tokens(now).await? {
            replay.remember(&account, token.digest, token.expires_at, now);
        }
        let limiter = config.rate_limit.map(|limit| {
            Arc::new(RateLimiter::keyed(
                Quota::per_second(limit.requests_per_second).allow_burst(limit.burst),
            ))
        });
        Ok(Self {
            config: Arc::new(config),
            store: Arc::new(store),
            replay: Arc::new(replay),
            limiter,
            shutdown: CancellationToken::new(),
            writes: TaskTracker::new(),
        })
    }

    /// Makes, rotates and revokes sets of credentials.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(Arc::clone(&self.store))
    }

    /// All routes. Tokens are checked against the public URL.
    pub fn router(&self, public_url: &Url) -> Router {
        http::router(Arc::new(App {
            config: Arc::clone(&self.config),
            store: Arc::clone(&self.store),
            credentials: self.credentials(),
            replay: Arc::clone(&self.replay),
            limiter: self.limiter.clone(),
            public_url: PublicUrl::new(public_url),
            shutdown: self.shutdown.clone(),
            writes: self.writes.clone(),
        }))
    }

    /// The newest writes of an account, oldest first, at most 10,000: who wrote what when.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn write_records(&self, manager_id: &str) -> Result<Vec<WriteRecord>, sqlx::Error> {
        self.store.write_records(manager_id).await
    }

    /// What a page's administrator does: lets a connection that waits for authorisation carry messages.
    ///
    /// # Errors
    /// See [`AuthorizeError`].
    pub async fn authorize(&self, manager_id: &str, connection_id: &str) -> Result<(), AuthorizeError> {
        let author = Author {
            account: manager_id.to_owned(),
            method: "AUTHORIZE".to_owned(),
            epoch: None,
            token: None,
        };
        let mut write = self.store.write(&author).await.map_err(|error| match error {
            WriteError::Database(error) => error,
            // Only an author with an epoch can be refused.
            WriteError::EpochSuperseded { .. } | WriteError::TooManyInstallations => sqlx::Error::WorkerCrashed,
        })?;
        let mut connection = write
            .get::<Connection>(connection_id)
            .await?
            .ok_or(AuthorizeError::UnknownConnection)?;
        connection.state = ConnectionState::Active;
        connection.state_message = None;
        connection.revision = write.next_revision().await?;
        connection.updated_at = Timestamp::now();
        write.update(&connection).await?;
        write.commit().await?;
        Ok(())
    }
}

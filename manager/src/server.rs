// SPDX-License-Identifier: Apache-2.0

//! Listening, and ending in good order.
//!
//! On shutdown the manager stops accepting, long polls answer at once, requests in flight finish, writes whose
//! client has gone finish too, and the database is closed. All of that within the configured grace.

use std::{io, net::SocketAddr};

use axum::serve::ListenerExt;
use thiserror::Error;
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use crate::{
    Manager,
    tls::{TlsError, TlsListener},
};

/// Why a manager cannot be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be bound or read.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
    /// The bound address makes no URL.
    #[error("the bound address makes no URL")]
    Url(#[from] url::ParseError),
    /// Certificate or key.
    #[error("cannot serve https")]
    Tls(#[from] TlsError),
    /// The server task ended in a panic.
    #[error("the server task failed")]
    Task(#[from] tokio::task::JoinError),
}

impl Manager {
    /// Serves until the token is cancelled, then ends in good order and closes the database.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let router = self.router(&self.public_url(listener.local_addr().map_err(ServeError::Listen)?)?);
        let ending = self.shutdown.clone();
        let graceful = async move {
            shutdown.cancelled().await;
            ending.cancel();
        };
        // Requests are small and latency matters more than packets.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server = async {
            match &self.config.tls {
                None => axum::serve(listener, router).with_graceful_shutdown(graceful).await,
                Some(files) => {
                    let listener = TlsListener::new(listener, files)?;
                    axum::serve(listener, router).with_graceful_shutdown(graceful).await
                }
            }
            .map_err(ServeError::Listen)
        };
        let grace = self.config.shutdown_grace;
        let too_late = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = server => ended?,
            () = too_late => warn!("requests were still in flight at the end of the grace period"),
        }
        self.writes.close();
        if timeout(grace, self.writes.wait()).await.is_err() {
            warn!("writes were still under way at the end of the grace period");
        }
        self.store.close().await;
        info!("stopped");
        Ok(())
    }

    /// Binds and serves in a task of its own.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn start(self, address: impl ToSocketAddrs) -> Result<Running, ServeError> {
        let listener = TcpListener::bind(address).await.map_err(ServeError::Listen)?;
        let address = listener.local_addr().map_err(ServeError::Listen)?;
        let url = self.public_url(address)?;
        let shutdown = CancellationToken::new();
        let manager = self.clone();
        let task = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { self.serve(listener, shutdown).await }
        });
        Ok(Running {
            manager,
            url,
            address,
            shutdown,
            task,
        })
    }

    /// The configured public URL, or the bound address.
    ///
    /// # Errors
    /// If the address makes no URL.
    pub fn public_url(&self, address: SocketAddr) -> Result<Url, url::ParseError> {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        self.config
            .public_url
            .clone()
            .map_or_else(|| Url::parse(&format!("{scheme}://{address}")), Ok)
    }
}

/// A manager that serves in a task of its own. Dropped, it stops without waiting.
#[derive(Debug)]
pub struct Running {
    manager: Manager,
    url: Url,
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// How clients reach it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The manager itself: credentials, records.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.shutdown.cancel();
        (&mut self.task).await?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

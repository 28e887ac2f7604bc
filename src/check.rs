// SPDX-License-Identifier: Apache-2.0

//! Looks from inside a cluster whether the operator can work there, and whether one does.
//!
//! An image without a shell has nothing else to look with: `helm test` runs this.

use std::time::{Duration, Instant};

use kube::Client;
use thiserror::Error;
use tokio::time::sleep;
use url::Url;

use crate::{
    desired::pump::Scope,
    kubernetes::preflight::{self, PreflightError},
};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the operator does not work here.
#[derive(Debug, Error)]
pub enum CheckError {
    /// It cannot.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// It could, but does not.
    #[error("the operator at {url} was not ready within {within:?}: {last}")]
    NotReady {
        /// Where it was asked.
        url: Url,
        /// How long.
        within: Duration,
        /// What it said last.
        last: String,
    },
}

/// Checks definitions and rights, and waits until the operator at `url` says that it is ready.
///
/// # Errors
/// See [`CheckError`].
pub async fn run(
    client: &Client,
    scope: &Scope,
    own_namespace: &str,
    url: Option<&Url>,
    within: Duration,
) -> Result<(), CheckError> {
    preflight::check(client, scope, own_namespace).await?;
    let Some(url) = url else { return Ok(()) };
    let start = Instant::now();
    loop {
        let Err(last) = ask(url).await else { return Ok(()) };
        if start.elapsed() + PAUSE > within {
            return Err(CheckError::NotReady {
                url: url.clone(),
                within,
                last,
            });
        }
        sleep(PAUSE).await;
    }
}

async fn ask(url: &Url) -> Result<(), String> {
    // Services are not reached through a proxy.
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| error.to_string())?;
    let answer = client.get(url.clone()).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("{status}: {}", answer.text().await.unwrap_or_default()))
    }
}

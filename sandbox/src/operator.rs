//! The operator as a process.

use std::{ffi::OsString, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    port::free_port,
    process::{Launch, Process},
    program::workspace_binary,
    run::Run,
    waiting::wait_for,
};

const START_DEADLINE: Duration = Duration::from_mins(1);

/// A running `digital-messaging-operator run`.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    url: String,
}

impl Operator {
    /// Starts it with the rights of a kubeconfig, on a free loopback port, and lets it talk to managers on loopback by
    /// http. `args` are added to `digital-messaging-operator run`.
    ///
    /// It may still be on its way to [`Self::wait_until_ready`].
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(run: &Run, kubeconfig: &Path, args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let launch = Launch::new("operator", workspace_binary("digital-messaging-operator")?)
            .env("KUBECONFIG", kubeconfig)
            .args([
                "run",
                "--allow-insecure-endpoints",
                "--allow-private-hosts",
                "--listen",
                &address,
            ])
            .args(args);
        Ok(Self {
            process: run.spawn(launch)?,
            url: format!("http://{address}"),
        })
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process, to be killed, stopped and restarted.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until `/readyz` is fine.
    ///
    /// # Errors
    /// When it ends or takes longer than a minute; the message has the end of its log.
    pub async fn wait_until_ready(&self) -> Result<()> {
        let ready = wait_for("the operator to be ready", START_DEADLINE, async || {
            if self.process.exit_status().is_some() {
                return Ok(false);
            }
            self.get("/readyz").await.map(|_| true)
        })
        .await;
        match ready {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the operator ended during its start\n{}", self.process.log_tail()),
            Err(error) => bail!("{error:#}\n{}", self.process.log_tail()),
        }
    }

    /// Reads `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    async fn get(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let answer = client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .context("ask the operator")?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            Ok(text)
        } else {
            bail!("{path} answered {status}: {text}")
        }
    }
}

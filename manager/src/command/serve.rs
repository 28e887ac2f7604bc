// SPDX-License-Identifier: Apache-2.0

//! `messaging-manager serve`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal},
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use digital_messaging_contract::{account::ChannelSupport, channel::ChannelType};
use messaging_manager::{
    Manager,
    config::{Config, RateLimit, Retention, TlsFiles},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
use url::Url;

/// Settings of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The SQLite file; made if it is not there, readable by its owner only
    #[arg(long, env = "MESSAGING_MANAGER_DATABASE")]
    database: PathBuf,
    /// Address and port to listen on; port 0: a free one
    #[arg(long, env = "MESSAGING_MANAGER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Write the bound address into this file once the manager listens
    #[arg(long, env = "MESSAGING_MANAGER_ADDRESS_FILE")]
    address_file: Option<PathBuf>,
    /// How clients reach the manager: tokens are checked against it; default: the bound address
    #[arg(long, env = "MESSAGING_MANAGER_PUBLIC_URL")]
    public_url: Option<Url>,
    /// Where the accounts live
    #[arg(long, env = "MESSAGING_MANAGER_REGION", default_value = "local")]
    region: String,
    /// How far a channel type is supported, e.g. twitterDirectMessage=unsupported (create, adoptOnly, unsupported);
    /// may be repeated
    #[arg(long = "channel", env = "MESSAGING_MANAGER_CHANNELS", value_parser = channel_offer, value_delimiter = ',')]
    channels: Vec<(ChannelType, ChannelSupport)>,
    /// Leave new Messenger connections waiting for a page administrator
    #[arg(long, env = "MESSAGING_MANAGER_FACEBOOK_NEEDS_AUTHORIZATION")]
    facebook_needs_authorization: bool,
    /// Accept http for base URLs, webhooks and logos; for tests and sandboxes
    #[arg(long, env = "MESSAGING_MANAGER_ALLOW_INSECURE_URLS")]
    allow_insecure_urls: bool,
    /// Requests per second of one account; default: no limit
    #[arg(long, env = "MESSAGING_MANAGER_RATE_LIMIT")]
    rate_limit: Option<NonZeroU32>,
    /// Requests that an account may send at once; default: the rate limit
    #[arg(long, env = "MESSAGING_MANAGER_RATE_BURST", requires = "rate_limit")]
    rate_burst: Option<NonZeroU32>,
    /// Largest request body in bytes
    #[arg(long, env = "MESSAGING_MANAGER_MAX_BODY_BYTES", default_value_t = 1024 * 1024)]
    max_body_bytes: usize,
    /// Most interfaces and connections in one account
    #[arg(long, env = "MESSAGING_MANAGER_MAX_OBJECTS", default_value_t = 100_000)]
    max_objects: u64,
    /// Revisions after which the change feed forgets a deleted object
    #[arg(long, env = "MESSAGING_MANAGER_KEEP_REVISIONS", default_value_t = 100_000)]
    keep_revisions: u64,
    /// Time after which the change feed forgets a deleted object
    #[arg(long, env = "MESSAGING_MANAGER_KEEP_DELETED", default_value = "7d", value_parser = seconds)]
    keep_deleted: Duration,
    /// How long the JWT secret of a connection is honoured after its rotation
    #[arg(long, env = "MESSAGING_MANAGER_JWT_SECRET_GRACE", default_value = "24h", value_parser = seconds)]
    jwt_secret_grace: Duration,
    /// How long a shutdown waits for requests in flight
    #[arg(long, env = "MESSAGING_MANAGER_SHUTDOWN_GRACE", default_value = "10s", value_parser = seconds)]
    shutdown_grace: Duration,
    /// PEM file of a certificate chain: serve https
    #[arg(long, env = "MESSAGING_MANAGER_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, env = "MESSAGING_MANAGER_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// What to log: a level, or targets with levels
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
    /// How to log, to standard error; default: text on a terminal, else json
    #[arg(long, env = "MESSAGING_MANAGER_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.start_logging()?;
        // Before anything else: a launcher may tell us to stop at any time.
        let shutdown = stop_on_signal()?;
        let config = self.config();
        let database = config.database.display().to_string();
        let manager = Manager::open(config).await.with_context(|| format!("database {database}"))?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        info!(%address, public_url = %manager.public_url(address)?, database, "listening");
        if let Some(file) = &self.address_file {
            publish(file, address).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(manager.serve(listener, shutdown).await?)
    }

    fn config(&self) -> Config {
        Config {
            public_url: self.public_url.clone(),
            region: self.region.clone(),
            channels: self.channels.iter().copied().collect::<BTreeMap<_, _>>(),
            facebook_needs_authorization: self.facebook_needs_authorization,
            allow_insecure_urls: self.allow_insecure_urls,
            rate_limit: self.rate_limit.map(|requests_per_second| RateLimit {
                requests_per_second,
                burst: self.rate_burst.unwrap_or(requests_per_second),
            }),
            max_body_bytes: self.max_body_bytes,
            max_objects: self.max_objects,
            retention: Retention {
                revisions: self.keep_revisions,
                age: self.keep_deleted,
            },
            jwt_secret_grace: self.jwt_secret_grace,
            shutdown_grace: self.shutdown_grace,
            tls: self
                .tls_cert
                .clone()
                .zip(self.tls_key.clone())
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            ..Config::new(&self.database)
        }
    }

    fn start_logging(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).context("--log")?;
        let is_terminal = io::stderr().is_terminal();
        let format = self
            .log_format
            .unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
        let registry = tracing_subscriber::registry().with(filter);
        match format {
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(io::stderr).with_ansi(is_terminal))
                .try_init()?,
            LogFormat::Json => registry
                .with(fmt::layer().json().flatten_event(true).with_writer(io::stderr))
                .try_init()?,
        }
        Ok(())
    }
}

/// Cancelled by SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            info!("stopping");
            shutdown.cancel();
        }
    });
    Ok(shutdown)
}

/// By rename, so that whoever waits for the file never reads half of it.
fn publish(file: &PathBuf, address: SocketAddr) -> io::Result<()> {
    let mut unfinished = file.clone().into_os_string();
    unfinished.push(".unfinished");
    fs::write(&unfinished, address.to_string())?;
    fs::rename(unfinished, file)
}

fn channel_offer(text: &str) -> Result<(ChannelType, ChannelSupport), String> {
    let (name, support) = text
        .split_once('=')
        .ok_or("write <channel type>=<create|adoptOnly|unsupported>")?;
    let channel_type = ChannelType::ALL
        .into_iter()
        .find(|channel_type| channel_type.as_str() == name)
        .ok_or_else(|| format!("channel types are {}", ChannelType::ALL.map(ChannelType::as_str).join(", ")))?;
    let support = match support {
        "create" => ChannelSupport::Create,
        "adoptOnly" => ChannelSupport::AdoptOnly,
        "unsupported" => ChannelSupport::Unsupported,
        _ => return Err("support is create, adoptOnly or unsupported".to_owned()),
    };
    Ok((channel_type, support))
}

/// A time in seconds, or as `30s`, `15m`, `24h`, `7d`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().find(|(_, character)| !character.is_ascii_digit()) {
        None => (text, "s"),
        Some((at, _)) => text.split_at_checked(at).unwrap_or((text, "s")),
    };
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err("write seconds, or a number with s, m, h or d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write seconds, or a number with s, m, h or d")?;
    Ok(Duration::from_secs(number.saturating_mul(seconds_per_unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        for (text, expected) in [
            ("0", 0),
            ("45", 45),
            ("30s", 30),
            ("15m", 900),
            ("24h", 86_400),
            ("7d", 604_800),
        ] {
            assert_eq!(seconds(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for wrong in ["", "h", "-1", "1w", "1.5h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn offers_name_a_type_and_its_support() {
        let offer = channel_offer("twitterDirectMessage=unsupported");
        assert_eq!(offer, Ok((ChannelType::TwitterDirectMessage, ChannelSupport::Unsupported)));
        for wrong in ["twitterDirectMessage", "fax=create", "sms=maybe"] {
            assert!(channel_offer(wrong).is_err(), "{wrong}");
        }
    }
}

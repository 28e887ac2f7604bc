// SPDX-License-Identifier: Apache-2.0

//! What can be set about a manager. The command line fills it in; tests build it in code.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use digital_messaging_contract::{
    account::{ChannelOffer, ChannelSupport},
    channel::ChannelType,
};
use url::Url;

/// Settings of a manager.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Config {
    /// The SQLite file; made if it is not there.
    pub database: PathBuf,
    /// Scheme, authority and optional path that clients reach the manager by. Tokens are checked against it, and
    /// webhook and script URLs lie below it. Default: the bound address.
    pub public_url: Option<Url>,
    /// Where accounts live.
    pub region: String,
    /// Deviations from the offer: a channel type that is not here can be created.
    pub channels: BTreeMap<ChannelType, ChannelSupport>,
    /// New Messenger connections wait for a page administrator (see [`Manager::authorize`](crate::Manager::authorize)).
    pub facebook_needs_authorization: bool,
    /// Accept `http` for base URLs, webhooks and logos. For tests and sandboxes.
    pub allow_insecure_urls: bool,
    /// Requests per account. Default: no limit.
    pub rate_limit: Option<RateLimit>,
    /// Largest request body in bytes. Default 1 MiB.
    pub max_body_bytes: usize,
    /// Most interfaces and connections in one account. Default 100,000.
    pub max_objects: u64,
    /// How far back the change feed reaches.
    pub retention: Retention,
    /// How long the JWT secret before a rotation is honoured. Default 24 h.
    pub jwt_secret_grace: Duration,
    /// How long a request body may take to arrive. Default 30 s.
    pub body_timeout: Duration,
    /// How long a shutdown waits for requests in flight. Default 10 s.
    pub shutdown_grace: Duration,
    /// Serve https with this certificate. Default: http.
    pub tls: Option<TlsFiles>,
    /// Refuse a second object with the same external reference. Default true, as the contract wants it; without, the
    /// manager is like those that know nothing of references.
    #[cfg(feature = "faults")]
    pub unique_references: bool,
    /// Misbehave on demand.
    #[cfg(feature = "faults")]
    pub faults: Option<crate::faults::Faults>,
    /// Tell a generated secret only in the answer to the call that made it.
    #[cfg(feature = "faults")]
    pub secrets_told_once: bool,
    /// Note every request.
    #[cfg(feature = "faults")]
    pub journal: Option<crate::journal::Journal>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How fast it fills up.
    pub requests_per_second: NonZeroU32,
    /// How much it holds.
    pub burst: NonZeroU32,
}

/// What is kept of deleted objects. Whichever bound is reached first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Drop tombstones that are more than this many revisions old. Default 100,000.
    pub revisions: u64,
    /// Drop tombstones that are older than this. Default 7 days.
    pub age: Duration,
}

/// PEM files of a server certificate.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Config {
    /// Defaults, with this database file.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self {
            database: database.into(),
            public_url: None,
            region: "local".to_owned(),
            channels: BTreeMap::new(),
            facebook_needs_authorization: false,
            allow_insecure_urls: false,
            rate_limit: None,
            max_body_bytes: 1024 * 1024,
            max_objects: 100_000,
            retention: Retention::default(),
            jwt_secret_grace: Duration::from_hours(24),
            body_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            tls: None,
            #[cfg(feature = "faults")]
            unique_references: true,
            #[cfg(feature = "faults")]
            faults: None,
            #[cfg(feature = "faults")]
            secrets_told_once: false,
            #[cfg(feature = "faults")]
            journal: None,
        }
    }

    /// How far a channel type is supported.
    pub fn support(&self, channel_type: ChannelType) -> ChannelSupport {
        self.channels.get(&channel_type).copied().unwrap_or(ChannelSupport::Create)
    }

    /// Whether a second object with the same external reference is refused.
    #[cfg(feature = "faults")]
    pub(crate) fn has_unique_references(&self) -> bool {
        self.unique_references
    }

    /// Whether a second object with the same external reference is refused.
    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "tests can set it")]
    pub(crate) fn has_unique_references(&self) -> bool {
        true
    }

    /// What the manager offers, all types of the contract.
    pub(crate) fn offers(&self) -> Vec<ChannelOffer> {
        ChannelType::ALL
            .into_iter()
            .map(|channel_type| ChannelOffer {
                channel_type,
                support: self.support(channel_type),
            })
            .collect()
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            revisions: 100_000,
            age: Duration::from_hours(7 * 24),
        }
    }
}

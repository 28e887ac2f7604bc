// SPDX-License-Identifier: Apache-2.0

//! The port: what the operator needs of a messaging manager, whichever it is. No Kubernetes type in here.
//!
//! An adapter implements [`Manager`] for one kind of manager. It translates and transports; it decides nothing:
//! differences are computed once, in [`crate::plan`], and when to call is up to [`crate::session`].
//!
//! | Module | Holds |
//! |---|---|
//! | [`capabilities`] | what a kind of manager can do: pure data |
//! | [`settings`] | the settable part of interfaces and connections, desired or observed, in the words of the resources |
//! | [`values`] | newtypes that cannot hold an invalid value |
//! | [`observed`] | what a manager reports |
//! | [`write`] | what can be asked of a manager |
//! | [`error`] | the closed error classes |
//! | [`transport`] | HTTP with the operator's rules: allowed hosts, no redirects, bounded bodies |
//! | [`connect`] | builds the adapter that a credential asks for |
//! | [`digital_messaging`] | the adapter to our own contract |

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

pub mod capabilities;
pub mod connect;
pub mod digital_messaging;
pub mod error;
pub mod observed;
pub mod settings;
pub mod transport;
pub mod values;
pub mod write;

use capabilities::Capabilities;
use error::Error;
use observed::{Cursor, Identity, Observation, ObservedConnection, ObservedInterface};
use values::RemoteId;
use write::{ConnectionOutcome, ConnectionWrite, Fence, InterfaceWrite};

/// One manager account, opened by one set of credentials.
///
/// Every method is one or few calls to the manager, bounded in time and size by the transport. None retries.
#[async_trait]
pub trait Manager: Send + Sync + 'static {
    /// What this kind of manager can do.
    fn capabilities(&self) -> &Capabilities;

    /// Proves that the credentials open the account, and says which account that is.
    async fn probe(&self) -> Result<Identity, Error>;

    /// Looks at the whole account: a complete walk without a cursor, or what changed since one.
    ///
    /// With a change feed the call returns as soon as something changes, at the latest after `wait`.
    async fn observe(&self, since: Option<&Cursor>, wait: Duration) -> Result<Observation, Error>;

    /// Looks at one interface. [`Error`] of class `NotFound` if there is none.
    async fn interface(&self, id: &RemoteId) -> Result<Arc<ObservedInterface>, Error>;

    /// Looks at one connection. [`Error`] of class `NotFound` if there is none.
    async fn connection(&self, id: &RemoteId) -> Result<Arc<ObservedConnection>, Error>;

    /// The secret that the manager generated for a connection. [`Error`] of class `Withheld` if it told it once and does not again.
    async fn generated_secret(&self, id: &RemoteId) -> Result<SecretString, Error>;

    /// Creates, updates or claims an interface.
    async fn ensure_interface(&self, write: &InterfaceWrite, fence: &Fence) -> Result<Arc<ObservedInterface>, Error>;

    /// Deletes an interface. One that is not there any more is a success.
    async fn retire_interface(&self, id: &RemoteId, fence: &Fence) -> Result<(), Error>;

    /// Makes changes to the connections of one interface; one outcome for each, in order.
    async fn apply(
        &self,
        interface: &RemoteId,
        writes: &[ConnectionWrite],
        fence: &Fence,
    ) -> Vec<Result<ConnectionOutcome, Error>>;
}

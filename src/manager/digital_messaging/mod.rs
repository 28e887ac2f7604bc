// SPDX-License-Identifier: Apache-2.0

//! Adapter to the `digitalMessaging` manager contract: our own, see the `digital-messaging-contract` package.
//!
//! [`call`] sends signed requests and turns answers into [`Error`] classes; [`translate`] turns wire types into the
//! port's types and back. What is left here is which call serves which purpose.

mod call;
mod items;
#[cfg(test)]
mod properties;
mod translate;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use digital_messaging_contract as contract;
use http::Method;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::{
    Manager,
    capabilities::{Capabilities, WriteGranularity},
    connect::Access,
    error::{Class, Error, Outage},
    observed::{Cursor, Identity, Observation, ObservedChange, ObservedConnection, ObservedInterface, ObservedObject},
    values::RemoteId,
    write::{ConnectionOutcome, ConnectionWrite, Fence, InterfaceWrite},
};
use call::{Call, Caller};
use items::{Changes, Page, Skipped};

/// Objects of one account that are read at most; a manager that goes on for ever is broken or hostile.
const MAX_OBJECTS: usize = 100_000;
/// Pages of one list that are read at most: a manager may make them as small as it likes, but not empty for ever.
const MAX_PAGES: usize = 5_000;
/// Bytes of one list that are read at most.
const MAX_WALK: usize = 128 * 1024 * 1024;
/// Longest cursor: it travels in a URL.
const MAX_CURSOR: usize = 2048;

static CAPABILITIES: Capabilities = Capabilities {
    replace_only: &[
        "/channel/facebookMessenger/pageId",
        "/channel/whatsApp/phoneNumber",
        "/channel/sms/phoneNumber",
        "/channel/appleMessages/businessId",
        "/channel/twitterDirectMessage/accountHandle",
    ],
    granularity: WriteGranularity::PerConnection,
    change_feed: true,
};

/// One account at a manager that implements the contract.
pub struct DigitalMessaging {
    caller: Caller,
}

impl DigitalMessaging {
    /// An adapter that opens an account with these credentials.
    pub fn new(client: reqwest::Client, access: Access) -> Self {
        Self {
            caller: Caller::new(client, access),
        }
    }

    async fn walk<T>(&self, path: &str, mut found: impl FnMut(T, &mut Skipped) -> Result<(), Error>) -> Result<u64, Error>
    where
        T: DeserializeOwned,
    {
        let mut cursor: Option<String> = None;
        let mut start = None;
        let mut bytes = 0_usize;
        let mut skipped = Skipped::default();
        for _ in 0..MAX_PAGES {
            let mut call = Call::get(path)
                .query("limit", contract::change::MAX_PAGE.to_string())
                .listing();
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor.clone());
            }
            let page: Page = self.caller.json(call).await?;
            start.get_or_insert(page.revision);
            bytes = bytes.saturating_add(page.items.bytes());
            if bytes > MAX_WALK {
                return Err(unexpected("the manager's list is larger than this operator reads"));
            }
            for item in page.items.read() {
                match item {
                    Ok(item) => found(item, &mut skipped)?,
                    Err(error) => skipped.add(error),
                }
            }
            match page.next_cursor {
                Some(next) if cursor.as_ref() == Some(&next) || next.len() > MAX_CURSOR => {
                    return Err(unexpected("the manager's list does not advance"));
                }
                Some(next) => cursor = Some(next),
                None => {
                    skipped.tell(path);
                    return Ok(start.unwrap_or_default());
                }
            }
        }
        Err(unexpected("the manager's list has more pages than this operator reads"))
    }

    async fn snapshot(&self) -> Result<Observation, Error> {
        let mut objects = Vec::new();
        let next = self
            .walk::<contract::interface::Interface>("/v1/interfaces", |wire, skipped| {
                push(
                    &mut objects,
                    skipped,
                    translate::interface(wire).map(ObservedObject::Interface),
                )
            })
            .await?;
        self.walk::<contract::connection::Connection>("/v1/connections", |wire, skipped| {
            push(
                &mut objects,
                skipped,
                translate::connection(wire).map(ObservedObject::Connection),
            )
        })
        .await?;
        Ok(Observation::Snapshot {
            objects,
            next: Some(Cursor(next)),
        })
    }

    async fn delta(&self, since: &Cursor, wait: Duration) -> Result<Observation, Error> {
        let wait = wait.min(Duration::from_secs(contract::change::MAX_WAIT_SECONDS));
        let call = Call::get("/v1/changes")
            .query("since", since.0.to_string())
            .query("wait", wait.as_secs().to_string())
            .waiting(wait)
            .listing();
        let answer: Changes = match self.caller.json(call).await {
            Ok(answer) => answer,
            Err(Error { class: Class::Stale, .. }) => return Ok(Observation::Expired),
            Err(error) => return Err(error),
        };
        let (mut changes, mut skipped) = (Vec::new(), Skipped::default());
        for item in answer.items.read::<contract::change::Change>() {
            let change = item.and_then(|change| match change {
                contract::change::Change::Interface(wire) => {
                    translate::interface(wire).map(|it| ObservedChange::Present(ObservedObject::Interface(it)))
                }
                contract::change::Change::Connection(wire) => {
                    translate::connection(wire).map(|it| ObservedChange::Present(ObservedObject::Connection(it)))
                }
                contract::change::Change::Deleted(tombstone) => tombstone
                    .id
                    .parse()
                    .map(ObservedChange::Gone)
                    .map_err(|error| unexpected(&format!("an ID of the manager: {error}"))),
            });
            match change {
                Ok(change) => changes.push(change),
                Err(error) => skipped.add(error),
            }
        }
        skipped.tell("/v1/changes");
        Ok(Observation::Delta {
            changes,
            next: Cursor(answer.next),
            more: answer.more,
        })
    }

    async fn write_connection(
        &self,
        interface: &RemoteId,
        write: &ConnectionWrite,
        fence: &Fence,
    ) -> Result<ConnectionOutcome, Error> {
        match write {
            ConnectionWrite::Create { mark, settings, secrets } => {
                let body = translate::new_connection(interface, mark, settings, secrets);
                let created: contract::connection::CreatedConnection = self
                    .caller
                    .json(Call::new(Method::POST, "/v1/connections").body(body).fenced(fence))
                    .await?;
                let observed = translate::connection(created.connection)?;
                Ok(ConnectionOutcome::Present {
                    observed,
                    secret: created.jwt_secret.map(|secret| secret.expose().to_owned().into()),
                })
            }
            ConnectionWrite::Update {
                observed,
                settings,
                cleared,
                secrets,
                mark,
            } => {
                let body = translate::connection_patch(observed, settings, cleared, secrets.as_ref(), mark.as_ref());
                let call = Call::new(Method::PATCH, connection_path(&observed.id))
                    .body(body)
                    .if_match(observed.revision)
                    .fenced(fence);
                let wire: contract::connection::Connection = self.caller.json(call).await?;
                Ok(ConnectionOutcome::Present {
                    observed: translate::connection(wire)?,
                    secret: None,
                })
            }
            ConnectionWrite::Delete { id } => {
                self.caller
                    .gone(Call::new(Method::DELETE, connection_path(id)).fenced(fence))
                    .await?;
                Ok(ConnectionOutcome::Gone)
            }
            ConnectionWrite::RotateSecret { observed, token } => {
                let path = format!("{}/jwt-secret/rotate", connection_path(&observed.id));
                let call = Call::new(Method::POST, path)
                    .body(translate::rotation(token))
                    .if_match(observed.revision)
                    .fenced(fence);
                let answer: contract::connection::RotatedConnection = self.caller.json(call).await?;
                Ok(ConnectionOutcome::Rotated {
                    observed: translate::connection(answer.connection)?,
                    secret: answer.jwt_secret.expose().to_owned().into(),
                    previous_valid_until: answer.previous_valid_until,
                })
            }
        }
    }
}

fn push(objects: &mut Vec<ObservedObject>, skipped: &mut Skipped, object: Result<ObservedObject, Error>) -> Result<(), Error> {
    match object {
        Ok(_) if objects.len() >= MAX_OBJECTS => Err(unexpected("the manager lists more objects than this operator reads")),
        Ok(object) => {
            objects.push(object);
            Ok(())
        }
        Err(error) => {
            skipped.add(error);
            Ok(())
        }
    }
}

/// A refusal that makes no sense for a request that names no object and sends no values: whatever answers there, it is
/// not the API of a manager.
fn of_the_account(error: Error) -> Error {
    match error.class {
        Class::NotFound
        | Class::Invalid { .. }
        | Class::CredentialsRejected { .. }
        | Class::AlreadyClaimed { .. }
        | Class::InUse
        | Class::QuotaExceeded
        | Class::ReplaceRequired { .. }
        | Class::Unsupported => unexpected(&format!(
            "check the endpoint: asked about the account, it answered: {}",
            error.message
        )),
        _ => error,
    }
}

fn unexpected(message: &str) -> Error {
    Error::new(Class::Unavailable(Outage::UnexpectedResponse), message)
}

fn interface_path(id: &RemoteId) -> String {
    format!("/v1/interfaces/{id}")
}

fn connection_path(id: &RemoteId) -> String {
    format!("/v1/connections/{id}")
}

#[async_trait]
impl Manager for DigitalMessaging {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    async fn probe(&self) -> Result<Identity, Error> {
        let account: call::LenientAccount = self.caller.json(Call::get("/v1/manager")).await.map_err(of_the_account)?;
        Ok(translate::identity(account))
    }

    async fn observe(&self, since: Option<&Cursor>, wait: Duration) -> Result<Observation, Error> {
        let observed = match since {
            None => self.snapshot().await,
            Some(cursor) => self.delta(cursor, wait).await,
        };
        observed.map_err(of_the_account)
    }

    async fn interface(&self, id: &RemoteId) -> Result<Arc<ObservedInterface>, Error> {
        let wire = self.caller.json(Call::get(interface_path(id))).await?;
        translate::interface(wire)
    }

    async fn connection(&self, id: &RemoteId) -> Result<Arc<ObservedConnection>, Error> {
        let wire = self.caller.json(Call::get(connection_path(id))).await?;
        translate::connection(wire)
    }

    async fn generated_secret(&self, id: &RemoteId) -> Result<SecretString, Error> {
        let answer: contract::connection::JwtSecret = self
            .caller
            .json(Call::get(format!("{}/jwt-secret", connection_path(id))))
            .await?;
        Ok(answer.jwt_secret.expose().to_owned().into())
    }

    async fn ensure_interface(&self, write: &InterfaceWrite, fence: &Fence) -> Result<Arc<ObservedInterface>, Error> {
        let call = match write {
            InterfaceWrite::Create { mark, settings } => {
                Call::new(Method::POST, "/v1/interfaces").body(translate::new_interface(mark, settings))
            }
            InterfaceWrite::Update {
                observed,
                settings,
                cleared,
                mark,
            } => Call::new(Method::PATCH, interface_path(&observed.id))
                .body(translate::interface_patch(observed, settings, cleared, mark.as_ref()))
                .if_match(observed.revision),
        };
        let wire = self
            .caller
            .json(call.fenced(fence))
            .await
            .map_err(|error| match (&error.class, write) {
                (Class::NotFound, InterfaceWrite::Create { .. }) => of_the_account(error),
                _ => error,
            })?;
        translate::interface(wire)
    }

    async fn retire_interface(&self, id: &RemoteId, fence: &Fence) -> Result<(), Error> {
        self.caller
            .gone(Call::new(Method::DELETE, interface_path(id)).fenced(fence))
            .await
    }

    async fn apply(
        &self,
        interface: &RemoteId,
        writes: &[ConnectionWrite],
        fence: &Fence,
    ) -> Vec<Result<ConnectionOutcome, Error>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(self.write_connection(interface, write, fence).await);
        }
        outcomes
    }
}

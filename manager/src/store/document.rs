// SPDX-License-Identifier: Apache-2.0

//! What the store wants to know of an interface or a connection, beside the document itself.

use digital_messaging_contract::{
    change::{Change, Resource},
    channel::Channel,
    connection::Connection,
    interface::Interface,
};
use serde::{Serialize, de::DeserializeOwned};

/// A document that the store can hold.
pub(crate) trait Document: Serialize + DeserializeOwned + Send + Sync + Unpin {
    const RESOURCE: Resource;

    fn id(&self) -> &str;
    fn revision(&self) -> u64;
    fn interface_id(&self) -> Option<&str>;
    fn external_reference(&self) -> Option<&str>;
    /// What only one connection of an account may have, made unique across channel types.
    fn natural_key(&self) -> Option<String>;
    /// IDs of the connections that it offers a switch to.
    fn switch_targets(&self) -> &[String];
    fn into_change(self) -> Change;
}

impl Document for Interface {
    const RESOURCE: Resource = Resource::Interface;

    fn id(&self) -> &str {
        &self.id
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn interface_id(&self) -> Option<&str> {
        None
    }

    fn external_reference(&self) -> Option<&str> {
        self.spec.external_reference.as_deref()
    }

    fn natural_key(&self) -> Option<String> {
        None
    }

    fn switch_targets(&self) -> &[String] {
        &[]
    }

    fn into_change(self) -> Change {
        Change::Interface(self)
    }
}

impl Document for Connection {
    const RESOURCE: Resource = Resource::Connection;

    fn id(&self) -> &str {
        &self.id
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn interface_id(&self) -> Option<&str> {
        Some(&self.interface_id)
    }

    fn external_reference(&self) -> Option<&str> {
        self.external_reference.as_deref()
    }

    fn natural_key(&self) -> Option<String> {
        let key = match &self.channel {
            Channel::ClientChannel(_) => &self.display_name,
            channel => channel.natural_key()?,
        };
        Some(format!("{}:{key}", self.channel.channel_type().as_str()))
    }

    fn switch_targets(&self) -> &[String] {
        match &self.channel {
            Channel::WebMessaging(channel) => channel.switching.as_ref().map_or(&[], |switching| &switching.connection_ids),
            _ => &[],
        }
    }

    fn into_change(self) -> Change {
        Change::Connection(self)
    }
}

/// The name of a resource in the database.
pub(super) fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Interface => "interface",
        Resource::Connection => "connection",
    }
}

/// Back from the database, where a constraint allows just these.
pub(super) fn resource(name: &str) -> Resource {
    if name == "interface" {
        Resource::Interface
    } else {
        Resource::Connection
    }
}

/// Reads a document back.
pub(super) fn decode<D: DeserializeOwned>(json: &str) -> Result<D, sqlx::Error> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Writes a document down.
pub(super) fn encode<D: Serialize>(document: &D) -> Result<String, sqlx::Error> {
    serde_json::to_string(document).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

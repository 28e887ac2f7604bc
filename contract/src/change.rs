// SPDX-License-Identifier: Apache-2.0

//! Reading an account: cursor paging, and the change feed.
//!
//! List and watch, as Kubernetes has it: walk `/v1/interfaces` and `/v1/connections` page by page, remember the
//! `revision` of the very first page, then ask `/v1/changes?since=<revision>&wait=<seconds>` again and again.
//! The feed is inclusive of everything that happened since, also during the walk, so an item may be seen twice.
//! 410 [`RevisionCompacted`](crate::problem::Code::RevisionCompacted) means that the feed no longer reaches back that far: list again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{connection::Connection, interface::Interface};

/// Largest page a client may ask for, and the default.
pub const MAX_PAGE: u32 = 500;

/// Longest `wait` of the change feed, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 60;

/// One page of a list, ordered by ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Pass as `cursor` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Revision of the account when this page was read.
    pub revision: u64,
}

/// What happened since a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// In order of revision; only the latest state of each object.
    pub items: Vec<Change>,
    /// Pass as `since` of the next call.
    pub next: u64,
    /// There is more to read at once, without waiting.
    #[serde(default)]
    pub more: bool,
}

/// One change of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "kind", content = "object")]
pub enum Change {
    /// An interface was created or updated.
    Interface(Interface),
    /// A connection was created or updated.
    Connection(Connection),
    /// An object was deleted: its tombstone.
    Deleted(Tombstone),
}

/// What remains of a deleted object in the change feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// What was deleted.
    pub resource: Resource,
    /// Its ID.
    pub id: String,
    /// Revision of the account at which it was deleted.
    pub revision: u64,
}

/// The kinds of objects in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Resource {
    /// See [`Interface`].
    Interface,
    /// See [`Connection`].
    Connection,
}

// SPDX-License-Identifier: Apache-2.0

//! Reading the API server's audit log: who asked for what. Tests count requests with it.

use std::{
    fs,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::PathBuf,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// The log of one control plane.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark(u64);

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked, such as `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
    /// What the client calls itself, empty if it does not.
    pub user_agent: String,
    /// When the server received it.
    pub received: Timestamp,
    /// When the server had answered it.
    pub answered: Timestamp,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// The plural resource name; empty for paths such as `/readyz`.
    pub resource: String,
    /// Such as `status`, else empty.
    pub subresource: String,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty for lists, and for creates with a generated name.
    pub name: String,
    /// HTTP status.
    pub code: u16,
    /// Path and query.
    pub uri: String,
}

impl Request {
    /// Whether it asked to change something. Reviews (`tokenreviews`, `selfsubjectaccessreviews`, …) are created, but
    /// change nothing.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && !self.resource.ends_with("reviews")
    }
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log now.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn mark(&self) -> Result<AuditMark> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(AuditMark(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(AuditMark(0)),
            Err(error) => Err(error).with_context(|| format!("look at {}", self.path.display())),
        }
    }

    /// All finished requests of `user` since `since`, in order. A watch counts when it ends.
    ///
    /// The server writes an entry when it has answered; so a request that was answered a moment ago may be missing.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests_by(&self, user: &str, since: AuditMark) -> Result<Vec<Request>> {
        let mut text = Vec::new();
        let mut file = fs::File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        file.seek(SeekFrom::Start(since.0))?;
        file.read_to_end(&mut text)?;
        let mut requests = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // The last line may still be in the making.
            if line.ends_with(b"\n") {
                let entry: Entry = serde_json::from_slice(line).context("read an audit entry")?;
                if entry.user.username == user && entry.stage == "ResponseComplete" {
                    requests.push(entry.into());
                }
            }
        }
        Ok(requests)
    }

    /// The requests of `user` since `since` that asked to change something, whether granted or refused.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn writes_by(&self, user: &str, since: AuditMark) -> Result<Vec<Request>> {
        let mut requests = self.requests_by(user, since)?;
        requests.retain(Request::is_write);
        Ok(requests)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Entry> for Request {
    fn from(entry: Entry) -> Self {
        let object = entry.object_ref.unwrap_or_default();
        Self {
            user: entry.user.username,
            user_agent: entry.user_agent,
            received: entry.request_received_timestamp,
            answered: entry.stage_timestamp,
            verb: entry.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            code: entry.response_status.map_or(0, |status| status.code),
            uri: entry.request_uri,
        }
    }
}

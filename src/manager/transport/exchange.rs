// SPDX-License-Identifier: Apache-2.0

//! One request and its answer, bounded in time and size.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::manager::error::{Class, Error, Outage};

/// Time for one ordinary call, connection included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest body of an answer that lists objects; a page of 500 connections is about 1 MiB.
pub const MAX_LIST: usize = 16 * 1024 * 1024;
/// Largest body of any other answer: one object, or who the account is.
pub const MAX_OBJECT: usize = 1024 * 1024;
/// What is read of the body of a refusal: a problem of the contract is much shorter, and the status says enough.
const MAX_PROBLEM: usize = 64 * 1024;

/// How much time and room one exchange gets.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Added to the time limit, for calls that are meant to wait.
    pub wait: Duration,
    /// Largest body of a successful answer, in bytes.
    pub body: usize,
}

/// An answer, read completely.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body within the bounds; empty if it is a refusal that takes too many words.
    pub body: Vec<u8>,
}

/// Sends one request and reads the answer.
///
/// # Errors
/// Class `Unavailable` or `NotAllowed`.
pub async fn exchange(client: &reqwest::Client, request: reqwest::Request, bounds: Bounds) -> Result<Answer, Error> {
    tokio::time::timeout(CALL_TIMEOUT.saturating_add(bounds.wait), async {
        let mut response = client.execute(request).await.map_err(|error| broken(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status.is_success() { bounds.body } else { MAX_PROBLEM };
        let body = match read(&mut response, limit).await? {
            Some(body) => body,
            None if status.is_success() => {
                return Err(Error::new(
                    Class::Unavailable(Outage::UnexpectedResponse),
                    format!("the manager's answer is larger than {} MiB", limit / 1024 / 1024),
                ));
            }
            None => Vec::new(),
        };
        Ok(Answer { status, headers, body })
    })
    .await
    .unwrap_or_else(|_| {
        Err(Error::new(
            Class::Unavailable(Outage::Timeout),
            "the manager did not answer in time",
        ))
    })
}

/// The body, unless it is longer than `limit`: then no more than that was read.
async fn read(response: &mut reqwest::Response, limit: usize) -> Result<Option<Vec<u8>>, Error> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > limit) {
        return Ok(None);
    }
    let mut body = Vec::with_capacity(announced.unwrap_or_default());
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn broken(error: &reqwest::Error) -> Error {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Error>() {
            return refused.clone();
        }
        if let Some(failed) = cause.downcast_ref::<rustls::Error>() {
            return Error::new(
                Class::Unavailable(Outage::Tls),
                format!("TLS with the manager failed: {failed}"),
            );
        }
        // An I/O error passes over what it wraps when it is asked for its source, and it may wrap another one.
        source = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    if error.is_timeout() {
        return Error::new(Class::Unavailable(Outage::Timeout), "the manager did not answer in time");
    }
    Error::new(
        Class::Unavailable(Outage::Unreachable),
        format!("cannot reach the manager: {}", innermost(error)),
    )
}

/// The innermost cause in words: outer ones of an HTTP library only repeat the URL.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

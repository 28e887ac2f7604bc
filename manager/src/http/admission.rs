// SPDX-License-Identifier: Apache-2.0

//! The door of `/v1`: reads the body within bounds, finds out who sends, limits the rate, refuses replays.
//!
//! Writes run in a task of their own: a client that hangs up in the middle never cuts one in half, and a shutdown
//! waits for it.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use digital_messaging_contract::{problem::Code, signing};
use governor::clock::{Clock, DefaultClock};
use http_body_util::LengthLimitError;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{Instrument, error};

use super::{App, access_log::LoggedSender, problem::Refusal};
use crate::{
    authentication::{Proof, Refused, Sender},
    replay::Use,
};

/// What admission found out about the sender, for handlers.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) sender: Sender,
    pub(crate) account_name: Arc<str>,
    pub(crate) method: digital_messaging_contract::account::AuthenticationMethod,
}

pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = match read_body(&app, &parts.headers, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let signed = signing::Request {
        method: parts.method.as_str(),
        url: &app.public_url.of(&parts.uri),
        audience: app.public_url.origin(),
        body: &body,
    };
    let caller = match identify(&app, &parts.headers, &signed).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    let sender = LoggedSender(caller.sender.manager_id.clone());
    let is_write = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = if is_write {
        let write = app.writes.spawn(next.run(request).in_current_span());
        write.await.unwrap_or_else(|error| {
            error!(%error, "a write failed");
            Refusal::internal().into_response()
        })
    } else {
        next.run(request).await
    };
    response.extensions_mut().insert(sender);
    response
}

async fn read_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let limit = app.config.max_body_bytes;
    let too_large = || Refusal::new(Code::BodyTooLarge, format!("a body may have {limit} bytes"));
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match timeout(app.config.body_timeout, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::malformed("the body broke off")),
        Err(_) => Err(Refusal::malformed("the body did not arrive in time")),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<LengthLimitError>)
}

async fn identify(app: &App, headers: &HeaderMap, request: &signing::Request<'_>) -> Result<Caller, Refusal> {
    let now = Timestamp::now();
    let proof = Proof::read(headers)?;
    let provisioned = app.credentials.find(proof.manager_id(), now).await?;
    let sender = proof.verify(provisioned.as_ref(), request, now)?;
    let provisioned = provisioned.ok_or(Refused::Invalid)?;
    if let Some(limiter) = &app.limiter
        && let Err(not_until) = limiter.check_key(&sender.manager_id)
    {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        return Err(Refusal::new(Code::RateLimited, "too many requests of this account").retry_after(seconds));
    }
    if let Some(token) = &sender.token {
        match app
            .replay
            .remember(&sender.manager_id, token.digest.clone(), token.expires_at, now.as_second())
        {
            Use::First => {}
            Use::Repeated => return Err(Refusal::new(Code::TokenReplayed, "a token is good for one request")),
            Use::NoRoom => return Err(Refusal::new(Code::RateLimited, "too many tokens of this account").retry_after(30)),
        }
    }
    Ok(Caller {
        sender,
        account_name: provisioned.name.into(),
        method: provisioned.method,
    })
}

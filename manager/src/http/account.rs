// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/manager`: what the credentials of the request open.

use std::sync::Arc;

use axum::{Json, extract::State};
use digital_messaging_contract::{API_VERSION, account::Account};
use jiff::Timestamp;

use super::{App, admission::Caller};

pub(crate) async fn get(State(app): State<Arc<App>>, caller: Caller) -> Json<Account> {
    Json(Account {
        manager_id: caller.sender.manager_id,
        name: caller.account_name.to_string(),
        region: app.config.region.clone(),
        api_version: API_VERSION.to_owned(),
        authentication_method: caller.method,
        server_time: Timestamp::now(),
        channels: app.config.offers(),
        unique_references: app.config.has_unique_references(),
    })
}

// SPDX-License-Identifier: Apache-2.0

//! The messaging manager contract: what the operator and a messaging manager say to each other.
//!
//! This contract is the project's own. It is not, and does not claim to be, the interface of any
//! vendor's manager. A gateway that implements it can put any messaging service behind it.
//!
//! | Module | Holds |
//! |---|---|
//! | [`account`] | what a Manager ID opens: identity and capabilities |
//! | [`interface`] | one bot experience |
//! | [`connection`] | one channel assigned to an interface |
//! | [`channel`] | the channel types and their settings |
//! | [`change`] | paging and the change feed (list, then watch) |
//! | [`problem`] | errors: RFC 9457 problem details with a closed `code` |
//! | [`secret`] | secret values that do not print themselves |
//! | [`signing`] | API key and JWT authentication of a request |
//! | [`header`] | header names |
//! | [`openapi`] | the description of all of it |
//!
//! The generated description is `contract/openapi.yaml`.

pub mod account;
pub mod change;
pub mod channel;
pub mod connection;
pub mod header;
pub mod interface;
pub mod openapi;
pub mod problem;
pub mod secret;
pub mod signing;

/// The API version this contract describes; `Account::api_version` of a manager that implements it.
pub const API_VERSION: &str = "v1";

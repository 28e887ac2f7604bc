// SPDX-License-Identifier: Apache-2.0

//! Header names of the contract, in lower case as HTTP libraries want them.

/// The Manager ID that an API key belongs to. Not sent with JWT: there `iss` says it.
pub const MANAGER_ID: &str = "manager-id";

/// `<installation>/<epoch>`: who writes, and which term of its leadership this is.
///
/// The manager remembers the highest epoch of each installation in an account and answers a write
/// of a lower one with 412 [`EpochSuperseded`](crate::problem::Code::EpochSuperseded): a former leader
/// whose request was on its way for too long cannot overwrite its successor. The installation is part of
/// the value because two installations that share an account count their terms apart.
pub const OPERATOR_EPOCH: &str = "operator-epoch";

/// Media type of errors.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Media type of updates (RFC 7396): a member that is `null` returns to the manager's default.
pub const MERGE_PATCH_JSON: &str = "application/merge-patch+json";

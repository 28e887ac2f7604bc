// SPDX-License-Identifier: Apache-2.0

//! The edge towards the Kubernetes API: small pieces of I/O, each readable at a glance.

pub mod client;
pub mod events;
pub mod finalizer;
pub mod installation;
pub mod lease;
pub mod made_secret;
pub mod preflight;
mod requests;
pub mod secrets;
pub mod status;

// SPDX-License-Identifier: Apache-2.0

//! Tests of what tools that deploy from git make of the custom resources: Argo CD with the settings that are published for
//! it, and whatever builds on kstatus, as Flux does.
//!
//! `make test` runs those that need no Argo CD, `make test-argocd` all.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod actions;
mod health;
mod kstatus;
mod settings;
mod states;

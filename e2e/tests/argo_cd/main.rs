// SPDX-License-Identifier: Apache-2.0

//! The whole of it from git: a real Argo CD installs definitions, operator and resources as the published Applications say,
//! and the operator runs in pods of its own image on a real kubelet.
//!
//! Argo CD itself runs as processes in the node's network, from where nothing gets out. All tests share it, on the one node
//! that `make test-argocd` starts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod bench;
mod definitions;
mod faults;
mod life;
mod platform;
mod processes;
mod repository;
mod uninstall;

// SPDX-License-Identifier: Apache-2.0

//! The operator as people install it: pods of its own image on a real kubelet, installed by real Helm.
//!
//! Each test has an installation in a namespace of its own, on the one node that `make e2e` starts. They run one after
//! the other, because some break what all need.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod faults;
mod image;
mod install;
mod installation;
mod kubectl;
mod life;
mod network;
mod replicas;
mod uninstall;

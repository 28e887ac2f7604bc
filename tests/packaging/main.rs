// SPDX-License-Identifier: Apache-2.0

//! Tests of what users install: the charts with real Helm, the kustomize overlays with real kubectl, both against a real
//! API server. One module a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod accepted;
mod approval;
mod chart;
mod check;
mod combinations;
mod defaults;
mod kustomize;
mod life;
mod lint;
mod manager;
mod monitoring;
mod names;
mod network;
mod pods;
mod release;
mod rights;
mod values;

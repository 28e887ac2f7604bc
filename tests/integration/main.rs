// SPDX-License-Identifier: Apache-2.0

//! Integration tests on a real API server, one module a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod bad_input;
mod crash;
mod figures;
mod first_light;
mod going;
mod guarantees;
mod health;
mod hostile;
mod life_of_a_channel;
mod lifecycle;
mod moving;
mod policy;
mod replicas;
mod rotation;
mod scene;
mod schema;
mod telling;
mod walk;

// SPDX-License-Identifier: Apache-2.0

//! The operator: custom resources reconciled with a messaging manager.

pub mod api;
pub mod check;
pub mod cli;
pub mod controller;
pub mod desired;
pub mod generate;
pub mod kubernetes;
pub mod manager;
pub mod operator;
pub mod plan;
pub mod session;
pub mod telemetry;

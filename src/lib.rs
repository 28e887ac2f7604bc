//! The operator: custom resources reconciled with a messaging manager.

pub mod api;
pub mod generate;
pub mod manager;
pub mod plan;
pub mod session;
pub mod telemetry;

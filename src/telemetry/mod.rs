// SPDX-License-Identifier: Apache-2.0

//! What the operator tells about itself.

pub mod health;
pub mod load;
pub mod logs;
pub mod metrics;
mod process;
pub mod text;
pub mod traces;

use std::sync::Arc;

use logs::LogFilter;
use metrics::Metrics;

/// What the process tells, as far as it is served or changed while it runs.
#[derive(Clone)]
pub struct Telemetry {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Which log lines are written; none where logging is somebody else's.
    pub log_filter: Option<LogFilter>,
}

impl From<Arc<Metrics>> for Telemetry {
    fn from(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            log_filter: None,
        }
    }
}

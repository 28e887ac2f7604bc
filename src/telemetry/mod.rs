//! What the operator tells about itself.

pub mod logs;
pub mod metrics;

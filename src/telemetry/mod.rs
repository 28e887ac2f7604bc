//! What the operator tells about itself.

pub mod health;
pub mod logs;
pub mod metrics;

//! What the operator tells about itself.

pub mod health;
pub mod load;
pub mod logs;
pub mod metrics;

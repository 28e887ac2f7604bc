// SPDX-License-Identifier: Apache-2.0

//! End-to-end tests: pods of the operator's own image on a real kubelet, installed by real Helm.
//!
//! - [`Node`] is a cluster of one node, started from nothing in seconds and gone without a trace: [`Traces`] compares.
//! - `e2e <command>` starts one and runs a command inside its network; tests find it as [`Cluster`].
//! - [`ManagerInPod`] is the reference manager that the chart installs there.
//!
//! Needs Linux, root, and what `install.sh` installs. `make e2e` builds the rest.

mod cluster;
mod manager;
mod node;
mod state;
mod traces;

pub use cluster::{CLUSTER_VARIABLE, Cluster};
pub use manager::{MANAGER_PORT, ManagerInPod};
pub use node::Node;
pub use state::State;
pub use traces::Traces;

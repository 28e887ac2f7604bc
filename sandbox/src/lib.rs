// SPDX-License-Identifier: Apache-2.0

//! Starts the real parts on this machine: etcd and kube-apiserver, the reference manager, the operator. The demo, the
//! tests and the benchmarks run on it.
//!
//! - [`Run`] is a temporary folder with the processes started in it. It leaves nothing behind, however this process
//!   ends; its module says how.
//! - [`ControlPlane`] is a Kubernetes API in a run. Tests take the [`shared`] one and a namespace of their own; only
//!   tests that break the API server start their own.
//! - [`Link`] is a way to a server that can be cut.
//! - [`packaging`] makes what users install from the charts.
//! - [`Manifests`] applies what users would apply, [`AuditLog`] tells who wrote what, [`wait_for`] and its like wait.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let control_plane = sandbox::shared().await;
//! let namespace = control_plane.create_namespace("switching").await?;
//! let client = control_plane.client().await?;
//! # Ok(())
//! # }
//! ```

mod audit;
mod certificates;
mod control_plane;
mod controllers;
mod example;
pub mod kubeconfig;
mod link;
pub mod manifests;
mod operator;
pub mod packaging;
mod port;
mod process;
pub mod program;
mod reference_manager;
mod run;
mod shared;
mod waiting;

pub use audit::{AuditLog, AuditMark, Request};
pub use certificates::{Certificates, Identity};
pub use control_plane::{CONTROL_PLANE_VARIABLE, ControlPlane, service_account_user};
pub use example::Example;
pub use link::Link;
pub use manifests::{Manifests, api_for};
pub use operator::{Operator, grant_operator_rights};
pub use port::free_port;
pub use process::{Launch, Process, Signal};
pub use reference_manager::{Credential, ManagerAccount, OpensAccounts, ReferenceManager, Refusal};
pub use run::{LOGS_VARIABLE, Run};
pub use shared::shared;
pub use waiting::{Condition, wait_for, wait_for_condition, wait_for_object};

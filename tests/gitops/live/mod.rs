// SPDX-License-Identifier: Apache-2.0

//! The whole of it: a real Argo CD installs definitions, operator and resources from git as the published Applications say,
//! on a real API server with a real manager. There is no kubelet: the operator runs as a process with the account that Argo
//! CD made, and what a kubelet would say of its Deployment is said by the test.
//!
//! Argo CD serves metrics on all addresses, so this runs in a network of its own that has nothing but loopback.

mod argo_cd;
mod bench;
mod definitions;
mod life;
mod repository;

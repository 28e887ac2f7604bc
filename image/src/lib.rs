// SPDX-License-Identifier: Apache-2.0

//! The container image: the operator and the reference manager, and what they need to run from nothing else.
//!
//! [`Contents`] is the one list of what is inside. [`archive`] writes it as an image that `docker load`, `podman load`
//! and `ctr images import` read; [`Contents::write_into`] as a folder, for the `Containerfile` to copy. Nothing depends
//! on the time or the machine, so the same binaries make the same digest.

pub mod archive;
mod authorities;
mod bill_of_materials;
mod contents;
mod dependencies;
mod licences;
mod runtime;

pub use contents::Contents;

// SPDX-License-Identifier: Apache-2.0

//! What someone with rights only on our resources (and Secrets, where it says so) in one namespace tries, and does not get.

mod forged_status;
mod hosts;
mod injection;
mod intruder;
mod memory;
mod other_namespace;
mod other_secrets;
mod overwriting;
mod squatting;

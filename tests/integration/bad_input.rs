// SPDX-License-Identifier: Apache-2.0

//! What bad input gets: a condition that says what to do, one event, no hot retry, and recovery as soon as it is put right.

mod answers;
mod credentials;
mod endpoints;
mod objects;
mod secrets;
mod unreadable;
mod writes;

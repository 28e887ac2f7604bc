// SPDX-License-Identifier: Apache-2.0

//! The reference messaging manager: implements the manager contract over HTTP and SQLite.
//!
//! It holds what a manager holds (credentials, interfaces, connections), validates as one does and generates what
//! one generates (IDs, widget IDs, URLs, JWT secrets). It carries no messages: there is no provider behind it.
//!
//! | Module | Holds |
//! |---|---|
//! | [`config`] | what can be set |
//! | [`credentials`] | Manager IDs and Manager Keys: create, rotate, revoke |
//! | `authentication` | who sends a request, decided without I/O |
//! | `replay` | the memory of used tokens |
//! | `validation` | what is refused in a body, with field pointers |
//! | `store` | SQLite: objects, revisions, tombstones, epochs |
//! | `http` | routes, and the path of every request |
//! | [`server`] | listening, TLS, shutdown |
//! | `faults`, `journal` | misbehaviour and bookkeeping for tests; feature `faults`, never shipped |
//!
//! In a test:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use digital_messaging_contract::account::AuthenticationMethod;
//! use messaging_manager::{Manager, config::Config, credentials::NewCredential};
//!
//! let manager = Manager::open(Config::new("/tmp/manager.sqlite")).await?;
//! let issued = manager.credentials().create(NewCredential::new(AuthenticationMethod::Jwt)).await?;
//! let running = manager.start("127.0.0.1:0").await?;
//! println!("{} {}", running.url(), issued.manager_id);
//! running.stop().await?;
//! # Ok(()) }
//! ```

mod authentication;
pub mod config;
pub mod credentials;
#[cfg(feature = "faults")]
pub mod faults;
mod http;
#[cfg(feature = "faults")]
pub mod journal;
mod manager;
mod replay;
pub mod server;
mod store;
mod tls;
mod token;
mod validation;

pub use manager::{AuthorizeError, Manager};
pub use store::{OpenError, WriteRecord};
pub use token::RandomError;

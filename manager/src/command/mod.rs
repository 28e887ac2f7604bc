// SPDX-License-Identifier: Apache-2.0

//! The commands, one file each.

mod credentials;
mod serve;

use std::io::{self, Write};

use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the manager until it is told to stop (SIGTERM or SIGINT)
    Serve(Box<serve::Serve>),
    /// Make, list, rotate or revoke Manager IDs and their keys; works beside a running manager
    #[command(subcommand)]
    Credentials(credentials::Credentials),
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Credentials(credentials) => credentials.run().await,
        }
    }
}

/// One line with the whole chain of causes.
pub(crate) fn complain(error: &anyhow::Error) {
    drop(writeln!(io::stderr(), "error: {error:#}"));
}

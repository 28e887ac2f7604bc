// SPDX-License-Identifier: Apache-2.0

//! `messaging-manager`: serves the reference manager, and makes its credentials.

mod command;

use std::process::ExitCode;

use clap::Parser;

use command::Command;

/// The reference messaging manager.
#[derive(Debug, Parser)]
#[command(name = "messaging-manager", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::complain(&error);
            ExitCode::FAILURE
        }
    }
}

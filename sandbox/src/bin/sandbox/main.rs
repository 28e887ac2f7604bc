// SPDX-License-Identifier: Apache-2.0

//! Command line of the sandbox.

mod demo;
mod exec;
mod figures;
mod interrupt;
mod manifests;
mod terminal;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use interrupt::Interrupts;

/// Starts the real parts on this machine and leaves nothing behind.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// End when the process that started this one has ended
    #[arg(long)]
    end_with_parent: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Kubernetes, the reference manager and the operator, apply the examples and show what came of it
    Demo(demo::Arguments),
    /// Run a command with a Kubernetes control plane: KUBECONFIG is set, kubectl is in PATH, and tests in it share the
    /// control plane. Ends with the exit code of the command.
    Exec(exec::Arguments),
    /// Put the figures that tests measured into a page
    Figures(figures::Arguments),
    /// Write the kustomize overlays and the charts' tables of values, which are made from the charts
    Manifests(manifests::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse()).await.unwrap_or_else(|error| {
        terminal::progress(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let interrupts = Interrupts::listen(arguments.end_with_parent)?;
    match arguments.command {
        Command::Demo(arguments) => Box::pin(demo::run(&arguments, interrupts)).await,
        Command::Exec(arguments) => exec::run(arguments, interrupts).await,
        Command::Figures(arguments) => figures::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Manifests(arguments) => manifests::run(&arguments).map(|()| ExitCode::SUCCESS),
    }
}

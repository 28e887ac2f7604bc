//! Command line of the sandbox.

mod exec;
mod interrupt;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Starts the real parts on this machine and leaves nothing behind.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a command with a Kubernetes control plane: KUBECONFIG is set, kubectl is in PATH, and tests in it share the
    /// control plane. Ends with the exit code of the command.
    Exec(exec::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Exec(arguments) => exec::run(arguments).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last words of a command-line program")]
            {
                eprintln!("sandbox: {error:?}");
            }
            ExitCode::FAILURE
        }
    }
}

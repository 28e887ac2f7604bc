// SPDX-License-Identifier: Apache-2.0

//! `e2e <command…>`: a cluster for one command.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::{CLUSTER_VARIABLE, Node, Traces};
use sandbox::Launch;
use tokio::signal::unix::{SignalKind, signal};

/// Starts a one-node cluster, runs a command inside its network, takes the cluster away, and looks whether anything of it
/// is left.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Image archives that the node has
    #[arg(long = "image")]
    images: Vec<PathBuf>,
    /// The command with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    Node::clear_after_a_kill()?;
    let before = Traces::now()?;
    let start = Instant::now();
    let node = Node::start(&arguments.images).await?;
    say(&format!(
        "e2e: the node is ready after {:.1} s",
        start.elapsed().as_secs_f32()
    ));
    let ended = run(&node, &arguments.command).await;
    if !matches!(&ended, Ok(status) if status.success()) {
        say(&node.logs());
    }
    node.stop().await?;
    let left = Traces::now()?.beyond(&before);
    if !left.is_empty() {
        say(&format!("e2e: the machine is not as it was before:\n{}", left.join("\n")));
        return Ok(ExitCode::FAILURE);
    }
    say("e2e: the node is gone, and nothing of it is left");
    let code = ended?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

async fn run(node: &Node, command: &[OsString]) -> Result<ExitStatus> {
    let label = command.first().context("no command")?.to_string_lossy();
    let launch = Launch::new(label, "nsenter")
        .args(node.network()?)
        .args(command)
        .env(CLUSTER_VARIABLE, node.folder())
        .in_foreground();
    let command = node.run().spawn(launch)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        status = command.wait(Duration::MAX) => status,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stderr, reason = "beside what the command prints")]
fn say(text: &str) {
    eprintln!("{text}");
}

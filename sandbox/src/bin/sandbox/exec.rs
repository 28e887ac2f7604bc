// SPDX-License-Identifier: Apache-2.0

//! `sandbox exec -- <command…>`

use std::{
    env,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result};
use sandbox::{CONTROL_PLANE_VARIABLE, ControlPlane, Launch, Signal, program};

use crate::{interrupt::Interrupts, terminal::step};

/// What an interrupted command gets to end by itself.
const GRACE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The command with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) async fn run(arguments: Arguments, mut interrupts: Interrupts) -> Result<ExitCode> {
    let control_plane = tokio::select! {
        control_plane = step("etcd and kube-apiserver", ControlPlane::start()) => control_plane?,
        signal = interrupts.next() => return Ok(code_of_signal(signal)),
    };
    let mut words = arguments.command.into_iter();
    let command = words.next().context("no command")?;
    let mut path = program::tools()?.into_os_string();
    if let Some(inherited) = env::var_os("PATH") {
        path.push(":");
        path.push(inherited);
    }
    // In a process group of its own, so that a killed sandbox can take all of the command's processes with it.
    let command = control_plane.run().spawn(
        Launch::new(command.to_string_lossy(), &command)
            .args(words)
            .in_foreground()
            .env(CONTROL_PLANE_VARIABLE, control_plane.describe()?)
            .env("KUBECONFIG", control_plane.kubeconfig())
            .env("PATH", path),
    )?;
    let ended = tokio::select! {
        status = command.wait(Duration::MAX) => code_of_status(status?),
        signal = interrupts.next() => {
            command.signal(signal)?;
            let _ = command.wait(GRACE).await;
            code_of_signal(signal)
        }
    };
    Ok(ended)
}

/// As a shell has it: the code of the command, or 128 and the number of the signal that ended it.
fn code_of_status(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

pub(crate) fn code_of_signal(signal: Signal) -> ExitCode {
    u8::try_from(128 + signal.as_raw()).map_or(ExitCode::FAILURE, ExitCode::from)
}

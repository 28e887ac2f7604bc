// SPDX-License-Identifier: Apache-2.0

//! Being asked to end: Ctrl-C, a polite kill, a closed terminal, the end of whoever started us.

use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, getppid};
use sandbox::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

pub(crate) struct Interrupts {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    parent: Option<Pid>,
}

impl Interrupts {
    /// From now on these signals no longer end the process by themselves. With `with_parent`, the end of the process
    /// that started this one counts as SIGTERM: a killed `make` signals nobody.
    pub(crate) fn listen(with_parent: bool) -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            parent: with_parent.then(getppid).flatten(),
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
            () = end_of(self.parent) => Signal::TERM,
        }
    }
}

async fn end_of(parent: Option<Pid>) {
    if parent.is_none() {
        std::future::pending::<()>().await;
    }
    while getppid() == parent {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

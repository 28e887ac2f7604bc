// SPDX-License-Identifier: Apache-2.0

//! The folder of one run and the reaper that empties it.
//!
//! Whatever happens to the launching process – normal end, panic, Ctrl-C, `kill -9` – no process and no file of the
//! run may stay behind. So the cleaning is never done by the launcher: a reaper (`/bin/sh`, in a process group of its
//! own, out of reach of Ctrl-C) blocks on a pipe whose other end only the launcher holds. The kernel closes that end
//! when the launcher is gone, however it went; the reaper then kills what is listed in the run's `processes` folder and
//! deletes the run. An orderly end takes the same way: [`Run`] closes the pipe and waits for the reaper.
//!
//! A child enters itself in `processes` before it becomes the real program (see [`crate::process`]), and the reaper
//! renames the folder before it reads it. A child that is late finds the folder gone and ends, so there is no moment in
//! which a process runs unlisted.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::process::{Launch, Process};

/// Set to a folder to keep the components' logs there; otherwise they go with the run.
pub const LOGS_VARIABLE: &str = "SANDBOX_LOGS";

const REAPER: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
mv "$1/processes" "$1/ended"
for entry in "$1"/ended/*; do
    pid=${entry##*/}
    kill -s KILL -- "-$pid" || kill -s KILL "$pid"
done
tries=0
while [ -e "$1" ] && [ "$tries" -lt 200 ]; do
    rm -rf "$1" || sleep 0.05
    tries=$((tries + 1))
done
"#;

/// One run: a private folder for data, logs and credentials, and the processes started in it.
///
/// Cloning gives another handle to the same run. The run ends when the last handle, those inside its [`Process`]es
/// included, is dropped, or when this process ends.
#[derive(Debug, Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    logs: PathBuf,
    launches: AtomicU32,
    reaper: Mutex<Child>,
}

impl Run {
    /// Makes the folder and starts its reaper.
    ///
    /// # Errors
    /// When the temporary folder cannot be written or `/bin/sh` does not start.
    pub fn new() -> Result<Self> {
        let id = Uuid::new_v4().simple().to_string();
        let folder = env::temp_dir().join(format!("messaging-sandbox-{id}"));
        // The reaper comes first, so that not even the empty folder can be left behind.
        let mut reaper = Command::new("/bin/sh")
            .args(["-c", REAPER, "sandbox-reaper"])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the reaper")?;
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        if let Err(error) = private.create(&folder) {
            // Someone else's folder must not be reaped.
            let _ = reaper.kill();
            let _ = reaper.wait();
            return Err(error).with_context(|| format!("create {}", folder.display()));
        }
        let inner = Inner {
            logs: env::var_os(LOGS_VARIABLE)
                .filter(|logs| !logs.is_empty())
                .map_or_else(|| folder.join("logs"), PathBuf::from),
            folder,
            launches: AtomicU32::new(0),
            reaper: Mutex::new(reaper),
        };
        fs::create_dir(inner.folder.join("processes")).context("create the list of processes")?;
        fs::create_dir_all(&inner.logs).with_context(|| format!("create {}", inner.logs.display()))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The run's folder; everything in it goes when the run ends.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Where the components' logs are: in the run's folder, or where `SANDBOX_LOGS` says.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.inner.logs
    }

    /// Makes a new folder in the run whose name starts with `prefix`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn subfolder(&self, prefix: &str) -> Result<PathBuf> {
        let folder = self.inner.folder.join(self.unique(prefix));
        let mut private = fs::DirBuilder::new();
        private
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts a program that lives no longer than the run.
    ///
    /// # Errors
    /// When the program does not exist or does not start.
    pub fn spawn(&self, launch: Launch) -> Result<Process> {
        let log = self.inner.logs.join(format!("{}.log", self.unique(launch.name())));
        Process::spawn(self.clone(), launch, log)
    }

    pub(crate) fn unique(&self, prefix: &str) -> String {
        let launch = self.inner.launches.fetch_add(1, Ordering::Relaxed);
        // Several test processes may share one log folder.
        format!("{prefix}-{}-{launch}", std::process::id())
    }

    pub(crate) fn process_list(&self) -> PathBuf {
        self.inner.folder.join("processes")
    }

    pub(crate) fn forget_process(&self, pid: u32) {
        let _ = fs::remove_file(self.process_list().join(pid.to_string()));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let reaper = self.reaper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(reaper.stdin.take());
        let _ = reaper.wait();
        // Only if somebody killed the reaper.
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != ErrorKind::NotFound
        {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Programs that run in the background of a [`Run`]: started, logged, signalled, restarted, never left behind.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::run::Run;

/// What a background program sees of this process's environment. Proxies, kubeconfigs and the like stay out, so that a
/// run does not depend on the shell it was started from.
const INHERITED: &[&str] = &["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// Enters itself in the run's list of processes (`$0`), then becomes the program. If the list is gone, so is the run.
const REGISTER_AND_BECOME: &str = r#": >"$0/$$" && exec "$@""#;

/// How to start a program; can be used again for a restart.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    in_foreground: bool,
}

impl Launch {
    /// `name` labels the log file and messages.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            environment: Vec::new(),
            in_foreground: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lets the program read and write where this process does, with the whole of its environment, instead of a log.
    #[must_use]
    pub fn in_foreground(mut self) -> Self {
        self.in_foreground = true;
        self
    }

    /// The label of the log file and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A started program. Dropping it kills it, with everything that it started in its process group.
#[derive(Debug)]
pub struct Process {
    run: Run,
    launch: Launch,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Running(Child),
    Ended(ExitStatus),
}

impl Process {
    pub(crate) fn spawn(run: Run, launch: Launch, log: PathBuf) -> Result<Self> {
        let child = start(&run, &launch, &log)?;
        Ok(Self {
            run,
            launch,
            log,
            state: Mutex::new(State::Running(child)),
        })
    }

    /// The name given at launch.
    #[must_use]
    pub fn name(&self) -> &str {
        self.launch.name()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &*self.settled() {
            State::Running(child) => Some(child.id()),
            State::Ended(_) => None,
        }
    }

    /// How it ended, or nothing while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match &*self.settled() {
            State::Running(_) => None,
            State::Ended(status) => Some(*status),
        }
    }

    /// Sends a signal to the program and what it started; nothing happens when it has ended.
    ///
    /// [`Signal::STOP`] and [`Signal::CONT`] make a program that hangs.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match &*self.settled() {
            State::Running(child) => {
                kill_process_group(Pid::from_child(child), signal).with_context(|| format!("signal {}", self.name()))
            }
            State::Ended(_) => Ok(()),
        }
    }

    /// Ends it at once, without a chance to finish anything, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<()> {
        let mut state = self.settled();
        if let State::Running(child) = &mut *state {
            *state = State::Ended(end(&self.run, child).with_context(|| format!("kill {}", self.name()))?);
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it still runs after `within`; it is then killed.
    pub async fn terminate(&self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Ok(status) = self.wait(within).await {
            Ok(status)
        } else {
            self.kill()?;
            bail!(
                "{} did not end within {within:?} of being asked to; killed\n{}",
                self.name(),
                self.log_tail()
            )
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            if start.elapsed() > within {
                bail!("{} still runs after {within:?}", self.name());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it again as it was started before, logging to the same file. Kills it first if it runs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<()> {
        self.kill()?;
        let child = start(&self.run, &self.launch, &self.log)?;
        *self.locked() = State::Running(child);
        Ok(())
    }

    /// Everything that it wrote to standard output and standard error.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The log's file.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of the log, at most 4 KiB, under a heading: for messages about failures.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = tail(&self.log, 4096).unwrap_or_else(|error| format!("(no log: {error})"));
        let ended = self
            .exit_status()
            .map_or_else(String::new, |status| format!(", ended: {status}"));
        format!("--- end of the log of {}{ended} ---\n{}\n", self.name(), text.trim_end())
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after a look at whether it ended meanwhile.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.locked();
        if let State::Running(child) = &mut *state
            && has_ended(child)
            && let Ok(status) = end(&self.run, child)
        {
            *state = State::Ended(status);
        }
        state
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn start(run: &Run, launch: &Launch, log: &Path) -> Result<Child> {
    // Said here, because the shell in between would only put it into the log.
    if launch.program.components().count() > 1 && !launch.program.exists() {
        bail!("{} does not exist", launch.program.display());
    }
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", REGISTER_AND_BECOME])
        .arg(run.process_list())
        .arg(&launch.program)
        .args(&launch.args)
        .process_group(0);
    if !launch.in_foreground {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        command
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((*name, env::var_os(name)?))))
            .current_dir(run.folder())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the log")?)
            .stderr(output);
    }
    command
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .with_context(|| format!("start {}", launch.name))
}

/// Leaves the dead process as it is, so that its id, which is that of its group, stays taken.
fn has_ended(child: &Child) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(Pid::from_child(child)), look), Ok(Some(_)))
}

fn end(run: &Run, child: &mut Child) -> Result<ExitStatus> {
    // A program that has ended may have left others behind: a shell's background jobs do not even hear of Ctrl-C.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let status = child.wait()?;
    run.forget_process(child.id());
    Ok(status)
}

fn tail(path: &Path, bytes: u64) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

// SPDX-License-Identifier: Apache-2.0

//! However a launcher ends, its processes and its folder end with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Result, bail};
use rustix::process::{Pid, kill_process, kill_process_group};
use sandbox::{Launch, Run, Signal, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// A sandbox that runs a command which never ends.
struct Launcher {
    child: Child,
    run: PathBuf,
    processes: Vec<u32>,
}

impl Launcher {
    fn start() -> Self {
        // The inner sleep is a grandchild that only its process group ties to the run.
        let command = "sleep 1000 & echo $! $SANDBOX_CONTROL_PLANE; wait";
        let child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["exec", "--", "/bin/sh", "-c", command])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self::observe(child)
    }

    fn observe(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        let said = output
            .lines()
            .map_while(Result::ok)
            .find(|line| line.contains("messaging-sandbox-"))
            .unwrap();
        let (inner, description) = said.trim().split_once(' ').unwrap();
        let run = Path::new(description).parent().unwrap().to_owned();
        let mut processes: Vec<u32> = fs::read_dir(run.join("processes"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().parse().unwrap())
            .collect();
        processes.push(inner.parse().unwrap());
        Self { child, run, processes }
    }

    fn running(&self) -> Vec<u32> {
        self.processes.iter().copied().filter(|pid| is_running(*pid)).collect()
    }

    async fn assert_nothing_remains(&self) {
        wait_for("the run to vanish", SOON, async || {
            let running = self.running();
            if !running.is_empty() {
                bail!("still running: {running:?}");
            }
            if self.run.exists() {
                bail!("{} still exists", self.run.display());
            }
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        wait_for("the launcher to end", SOON, async || {
            self.child.try_wait()?.ok_or(anyhow::anyhow!("it runs"))
        })
        .await
        .unwrap()
    }
}

/// A zombie, whose parent has not looked at it yet, does not run.
fn is_running(pid: u32) -> bool {
    let ps = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8(ps.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

#[tokio::test]
async fn when_the_launcher_is_killed() {
    let mut launcher = Launcher::start();
    assert_eq!(
        launcher.running().len(),
        4,
        "etcd, kube-apiserver, the command and what it started"
    );

    launcher.child.kill().unwrap();
    launcher.child.wait().unwrap();

    launcher.assert_nothing_remains().await;
}

#[tokio::test]
async fn when_the_terminal_sends_ctrl_c() {
    let mut launcher = Launcher::start();

    // A terminal signals the whole foreground group.
    kill_process_group(Pid::from_child(&launcher.child), Signal::INT).unwrap();

    assert_eq!(launcher.ended().await.code(), Some(130));
    launcher.assert_nothing_remains().await;
}

#[tokio::test]
async fn when_it_is_asked_to_terminate() {
    let mut launcher = Launcher::start();

    kill_process(Pid::from_child(&launcher.child), Signal::TERM).unwrap();

    assert_eq!(launcher.ended().await.code(), Some(143));
    launcher.assert_nothing_remains().await;
}

#[tokio::test]
async fn when_a_test_panics() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "panics_with_a_running_process"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut launcher = Launcher::observe(child);

    assert!(!launcher.ended().await.success());
    launcher.assert_nothing_remains().await;
}

#[test]
#[ignore = "started by when_a_test_panics"]
fn panics_with_a_running_process() {
    let run = Run::new().unwrap();
    let process = run.spawn(Launch::new("sleep", "sleep").arg("1000")).unwrap();
    while fs::read_dir(run.folder().join("processes")).unwrap().count() == 0 {
        std::thread::yield_now();
    }
    println!(
        "{} {}",
        process.pid().unwrap(),
        run.folder().join("control-plane.json").display()
    );
    // The other end has to look before it is over.
    std::thread::sleep(Duration::from_millis(300));
    panic!("as intended");
}

#[tokio::test]
async fn when_it_ends_in_good_order_and_the_exit_code_is_that_of_the_command() {
    let ended = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args([
            "exec",
            "--",
            "/bin/sh",
            "-c",
            "kubectl get namespaces >&2 && echo $SANDBOX_CONTROL_PLANE && exit 7",
        ])
        .output()
        .unwrap();

    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    let description = String::from_utf8(ended.stdout).unwrap();
    assert!(description.contains("messaging-sandbox-"));
    assert!(!Path::new(description.trim()).parent().unwrap().exists());
}

#[tokio::test]
async fn when_a_process_or_a_run_is_dropped() {
    let run = Run::new().unwrap();
    let folder = run.folder().to_owned();
    let process = run.spawn(Launch::new("sleep", "sleep").arg("1000")).unwrap();
    let pid = process.pid().unwrap();

    drop(run);
    assert!(folder.exists(), "the process still needs it");
    assert!(is_running(pid));
    drop(process);

    assert!(!folder.exists());
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_process_that_does_not_end_when_asked_is_killed() {
    let run = Run::new().unwrap();
    let stubborn = run
        .spawn(Launch::new("stubborn", "/bin/sh").args(["-c", "trap '' TERM; echo up; sleep 1000; sleep 1000"]))
        .unwrap();
    wait_for("it to be up", SOON, async || {
        if stubborn.log()?.contains("up") {
            Ok(())
        } else {
            bail!("not yet")
        }
    })
    .await
    .unwrap();

    let error = stubborn.terminate(Duration::from_millis(100)).await.unwrap_err();

    assert!(error.to_string().contains("stubborn did not end"), "{error}");
    assert_eq!(stubborn.exit_status().unwrap().signal(), Some(9));
}

#[tokio::test]
async fn when_whoever_started_it_is_killed() {
    // As make would, which cannot tell anyone when it is killed.
    let command = "\"$0\" --end-with-parent exec -- /bin/sh -c 'sleep 1000 & echo $! $SANDBOX_CONTROL_PLANE; wait'; true";
    let child = Command::new("/bin/sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_sandbox")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut starter = Launcher::observe(child);

    starter.child.kill().unwrap();
    starter.child.wait().unwrap();

    starter.assert_nothing_remains().await;
}

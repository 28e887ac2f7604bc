// SPDX-License-Identifier: Apache-2.0

//! The real binary in a process of its own.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use messaging_manager::credentials::IssuedCredential;
use url::Url;

use super::DEADLINE;

const BINARY: &str = env!("CARGO_BIN_EXE_messaging-manager");

/// A manager that ends with the test, whatever happens.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub log: std::path::PathBuf,
}

impl Process {
    /// Starts it and waits until it listens.
    pub fn start(folder: &Path, listen: &str, arguments: &[&str]) -> Self {
        let (address_file, log) = (folder.join("address"), folder.join("log"));
        drop(fs::remove_file(&address_file));
        let log_file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command(folder, "serve")
            .args(["--listen", listen, "--log-format", "json", "--address-file"])
            .arg(&address_file)
            .args(arguments)
            .stderr(log_file)
            .spawn()
            .unwrap();
        let started = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(&address_file) {
                return Self {
                    child,
                    address: text.parse().unwrap(),
                    log,
                };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(&log).unwrap());
            }
            assert!(started.elapsed() < DEADLINE, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(name.split(' '))
        .arg("--database")
        .arg(folder.join("manager.sqlite"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs `messaging-manager credentials …` and gives what it printed.
pub fn credentials(folder: &Path, name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = command(folder, &format!("credentials {name}"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// Reads what `-o json` printed.
pub fn issued(json: &str) -> IssuedCredential {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    IssuedCredential {
        manager_id: value["managerId"].as_str().unwrap().to_owned(),
        manager_key: value["managerKey"].as_str().unwrap().into(),
        method: serde_json::from_value(value["method"].clone()).unwrap(),
    }
}

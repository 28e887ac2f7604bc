// SPDX-License-Identifier: Apache-2.0

//! The published settings, and the real Argo CD that reads them, without a cluster.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use sandbox::{
    Run,
    packaging::ARGOCD_SETTINGS,
    program::{self, project},
};
use serde_json::Value;

/// `argocd admin settings` over the published settings, with a folder of its own for objects.
pub struct Settings {
    run: Run,
    file: &'static str,
}

impl Settings {
    /// Makes sure that Argo CD takes them.
    pub fn new() -> Self {
        Self::of(ARGOCD_SETTINGS)
    }

    /// The same, for a file of one's choice.
    pub fn of(file: &'static str) -> Self {
        let settings = Self {
            run: Run::new().unwrap(),
            file,
        };
        let output = settings.argocd(&["admin", "settings", "validate"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        settings
    }

    /// Runs `argocd admin settings resource-overrides` on an object.
    pub fn resource_overrides(&self, command: &str, object: &Value, more: &[&str]) -> Output {
        let file = self.file(object);
        let mut arguments = vec!["admin", "settings", "resource-overrides", command, file.to_str().unwrap()];
        arguments.extend(more);
        self.argocd(&arguments)
    }

    /// The same, for what must work; what it writes.
    pub fn say(&self, command: &str, object: &Value, more: &[&str]) -> String {
        let output = self.resource_overrides(command, object, more);
        assert!(output.status.success(), "{command} {object}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn argocd(&self, arguments: &[&str]) -> Output {
        Command::new(program::argocd().unwrap())
            .args(arguments)
            .arg("--argocd-cm-path")
            .arg(project().join(self.file))
            .env_clear()
            // It writes a folder into its home, and runs `diff`.
            .env("HOME", self.run.folder())
            .env("TMPDIR", self.run.folder())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .output()
            .unwrap()
    }

    fn file(&self, object: &Value) -> PathBuf {
        let folder = self.run.subfolder("object").unwrap();
        let path = folder.join("object.json");
        std::fs::write(&path, object.to_string()).unwrap();
        path
    }
}

/// What a program wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

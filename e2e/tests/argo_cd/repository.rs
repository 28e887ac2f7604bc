// SPDX-License-Identifier: Apache-2.0

//! A git repository on disk that Argo CD reads and the test writes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sandbox::Run;

/// A bare repository with a working copy.
pub struct Repository {
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// An empty one.
    pub fn new(run: &Run) -> Self {
        let (bare, work) = (run.subfolder("git").unwrap(), run.subfolder("work").unwrap());
        let repository = Self { bare, work };
        Self::git(&repository.bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
        Self::git(&repository.work, &["init", "--quiet", "--initial-branch=main"]);
        let remote = repository.bare.to_str().unwrap();
        Self::git(&repository.work, &["remote", "add", "origin", remote]);
        repository
    }

    /// Its address for Argo CD.
    pub fn url(&self) -> String {
        format!("file://{}", self.bare.display())
    }

    /// A file of the working copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Writes a file into the working copy.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Copies a folder into the working copy under the same name.
    pub fn copy(&self, root: &Path, folder: &str) {
        let to = self.path(folder);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-r").arg(root.join(folder)).arg(&to).status().unwrap();
        assert!(copied.success(), "copy {folder}");
    }

    /// Commits what the working copy has, and pushes it. Returns the revision.
    pub fn push(&self) -> String {
        Self::git(&self.work, &["add", "--all"]);
        Self::git(&self.work, &["commit", "--quiet", "--message", "change"]);
        Self::git(&self.work, &["push", "--quiet", "origin", "HEAD:main"]);
        Self::git(&self.work, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Takes the last commit back by another one.
    pub fn revert(&self) {
        Self::git(&self.work, &["revert", "--no-edit", "HEAD"]);
        Self::git(&self.work, &["push", "--quiet", "origin", "HEAD:main"]);
    }

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=test",
                "-c",
                "user.email=test@example.com",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

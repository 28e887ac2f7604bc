// SPDX-License-Identifier: Apache-2.0

//! What a node could leave behind on the machine.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::Result;

use crate::node::{FOLDER, NAME};

/// The machine's links, mounts, network namespaces, firewall rules and kernel settings; and processes, control groups and
/// folders of a node.
#[derive(Debug)]
pub struct Traces(BTreeSet<String>);

/// What the kubelet would change, and what a node needs in its own network.
const SETTINGS: [&str; 7] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
];

/// What runs in the containers of a node.
const PROGRAMS: [&str; 3] = ["/pause", "/usr/bin/digital-messaging-operator", "/usr/bin/messaging-manager"];

impl Traces {
    /// As they are now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn now() -> Result<Self> {
        let mut found = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let place = line.split(' ').nth(4).unwrap_or_default();
            found.insert(format!("mount {place}"));
        }
        for name in SETTINGS {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
            found.insert(format!("setting {name} {}", value.trim()));
        }
        for (what, folder) in [
            ("link", "/sys/class/net"),
            ("network namespace", "/run/netns"),
            ("folder", "/var/lib"),
        ] {
            for name in names(Path::new(folder)) {
                found.insert(format!("{what} {name}"));
            }
        }
        for command in [
            "nft list ruleset",
            "iptables-legacy-save",
            "ip6tables-legacy-save",
            "ipset list -name",
        ] {
            let mut words = command.split(' ');
            // Where one of them is missing, a node did not use it.
            let Ok(rules) = Command::new(words.next().unwrap_or_default()).args(words).output() else {
                continue;
            };
            // Comments tell the time, and counters go on.
            for line in String::from_utf8_lossy(&rules.stdout)
                .lines()
                .filter(|line| !line.starts_with(['#', ':']))
            {
                found.insert(format!("{command}: {line}"));
            }
        }
        groups(Path::new("/sys/fs/cgroup"), &mut found);
        for process in names(Path::new("/proc")) {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // The shims of containers name containerd's socket; their folders are the node's.
            let in_a_container = PROGRAMS.iter().any(|program| line.starts_with(program));
            if line.contains(FOLDER) || line.contains("containerd-shim") || in_a_container {
                found.insert(format!("process {process} {line}"));
            }
        }
        Ok(Self(found))
    }

    /// What is here now and was not before, and the other way round.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let new = self.0.difference(&before.0).map(|trace| format!("new: {trace}"));
        let gone = before.0.difference(&self.0).map(|trace| format!("gone: {trace}"));
        new.chain(gone).collect()
    }
}

fn groups(folder: &Path, found: &mut BTreeSet<String>) {
    for name in names(folder) {
        let group = folder.join(&name);
        if name == NAME {
            found.insert(format!("control group {}", group.display()));
        } else if group.is_dir() && !group.is_symlink() && folder.components().count() < 5 {
            groups(&group, found);
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

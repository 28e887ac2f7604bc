//! A release, as far as it can be made without sending anything anywhere.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use regex::Regex;
use sandbox::{
    Run,
    program::{self, project},
};
use serde_json::Value;

fn release(step: &str, folder: &Path) -> String {
    let output = Command::new(project().join("tools/release.sh"))
        .arg(step)
        .arg(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder.parent().unwrap())
        .env("DRY_RUN", "1")
        .env("REGISTRY", "registry.example.com/messaging")
        .env("HELM", program::helm().unwrap())
        .env("SANDBOX", program::workspace_binary("sandbox").unwrap())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{step}: {said}");
    said
}

#[test]
fn a_dry_run_makes_every_file_and_would_publish_and_sign_all_of_it() {
    let run = Run::new().unwrap();
    let folder = run.folder().join("release");
    let version = env!("CARGO_PKG_VERSION");
    release("files", &folder);
    let names: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".spdx.json") && !name.ends_with(".cdx.json"))
        .collect();
    let operator = format!("digital-messaging-operator-{version}.tgz");
    let definitions = format!("digital-messaging-operator-crds-{version}.tgz");
    let expected = [
        "SHA256SUMS",
        "argocd-cm.yaml",
        "crds.yaml",
        &definitions,
        &operator,
        "install.yaml",
        "openapi.yaml",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());

    let said = release("publish", &folder);
    let commands: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("release: would run: "))
        .collect();
    for (program, part) in [
        (
            "skopeo copy",
            "docker://registry.example.com/messaging/digital-messaging-operator:",
        ),
        ("cosign sign", "digital-messaging-operator@sha256:"),
        ("push", &operator),
        ("push", &definitions),
        ("cosign sign", "charts/digital-messaging-operator:"),
        ("cosign sign", "charts/digital-messaging-operator-crds:"),
        ("cosign sign-blob", "SHA256SUMS"),
        ("gh release create", "install.yaml"),
    ] {
        let found = commands
            .iter()
            .any(|command| command.contains(program) && command.contains(part));
        assert!(found, "no {program} of {part} in {said}");
    }
}

#[test]
fn what_was_changed_after_its_checksum_is_not_published() {
    let run = Run::new().unwrap();
    let folder = run.folder().join("release");
    release("files", &folder);
    fs::write(folder.join("install.yaml"), "somebody was here").unwrap();
    let output = Command::new(project().join("tools/release.sh"))
        .arg("publish")
        .arg(&folder)
        .env("DRY_RUN", "1")
        .env("REGISTRY", "registry.example.com/messaging")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("would run"));
}

/// What a workflow runs, somebody can run before the workflow does.
#[test]
fn every_step_of_the_workflows_runs_here_too() {
    let makefile = fs::read_to_string(project().join("Makefile")).unwrap();
    let mut steps = 0;
    for entry in fs::read_dir(project().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let workflow: Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(workflow["permissions"].is_object(), "{}: no permissions", path.display());
        for job in workflow["jobs"].as_object().unwrap().values() {
            for step in job["steps"].as_array().unwrap() {
                let Some(command) = step["run"].as_str() else {
                    assert!(step["uses"].is_string(), "{}: {step}", path.display());
                    continue;
                };
                steps += 1;
                let known = match command.strip_prefix("make ") {
                    Some(target) => Regex::new(&format!("(?m)^{}:", regex::escape(target)))
                        .unwrap()
                        .is_match(&makefile),
                    None => project().join(command).is_file(),
                };
                assert!(
                    known,
                    "{}: `{command}` is neither a target of the Makefile nor a file",
                    path.display()
                );
            }
        }
    }
    assert!(steps > 3, "{steps} steps");
}

#[test]
fn the_rules_for_dependencies_are_those_that_are_checked() {
    let rules = fs::read_to_string(project().join("deny.toml")).unwrap();
    let page = fs::read_to_string(project().join("docs/dependencies.md")).unwrap();
    let licences = rules.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    let quoted = Regex::new(r#""([^"]+)""#).unwrap();
    for licence in quoted.captures_iter(licences) {
        assert!(
            page.contains(&format!("`{}`", &licence[1])),
            "docs/dependencies.md does not name {}",
            &licence[1]
        );
    }
    let refused = Regex::new(r#"crate = "([^"]+)""#).unwrap();
    assert!(refused.captures_iter(&rules).count() >= 5);
    for refused in refused.captures_iter(&rules) {
        assert!(
            page.contains(&format!("`{}`", &refused[1])),
            "docs/dependencies.md does not name {}",
            &refused[1]
        );
    }
    for rule in [
        "unknown-registry = \"deny\"",
        "unknown-git = \"deny\"",
        "wildcards = \"deny\"",
    ] {
        assert!(rules.contains(rule), "{rule}");
    }
}

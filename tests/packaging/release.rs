// SPDX-License-Identifier: Apache-2.0

//! A release, as far as it can be made without sending anything anywhere.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use sandbox::{
    Run,
    program::{self, project},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{chart::HELM, combinations::DIGEST};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Owners may have capitals, images not.
const REGISTRY: &str = "registry.example.com/Messaging";
const IMAGE: &str = "registry.example.com/messaging/digital-messaging-operator";
/// What the stand-in for `helm push` says it has pushed.
const CHART_DIGEST: &str = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const RECORD: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>\"$CALLS\"\n";

/// The project with a changelog that has the version, an image, and stand-ins for the programs that reach out.
struct Bench {
    folder: PathBuf,
    _run: Run,
}

impl Bench {
    fn new() -> Self {
        let run = Run::new().unwrap();
        let bench = Self {
            folder: run.folder().to_owned(),
            _run: run,
        };
        for folder in ["project/tools", "bin", "home"] {
            fs::create_dir_all(bench.at(folder)).unwrap();
        }
        for name in ["Cargo.toml", "charts", "contract", "crds", "deploy"] {
            symlink(project().join(name), bench.at("project").join(name)).unwrap();
        }
        fs::copy(project().join("tools/release.sh"), bench.at("project/tools/release.sh")).unwrap();
        fs::write(bench.at("project/CHANGELOG.md"), format!("# Changelog\n\n## {VERSION}\n")).unwrap();
        fs::write(bench.at("image.cdx.json"), json!({ "bomFormat": "CycloneDX" }).to_string()).unwrap();
        fs::write(bench.at("image.digest"), DIGEST).unwrap();
        for name in ["skopeo", "cosign", "gh"] {
            bench.program(name, RECORD);
        }
        let real = program::helm().unwrap();
        let push = format!(
            "{RECORD}[ \"$1\" = push ] || exec {} \"$@\"\necho 'Digest: {CHART_DIGEST}' >&2\n",
            real.display()
        );
        bench.program("helm", &push);
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether it went well, and what it said.
    fn release(&self, step: &str, variables: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new(self.at("project/tools/release.sh"))
            .arg(step)
            .arg(self.at("release"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.at("bin").display()))
            .env("HOME", self.at("home"))
            .env("CALLS", self.at("calls"))
            .env("REGISTRY", REGISTRY)
            .env("IMAGE", self.at("image"))
            .env("HELM", self.at("bin/helm"))
            .env("SANDBOX", program::workspace_binary("sandbox").unwrap())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), said.concat())
    }

    fn done(&self, step: &str, variables: &[(&str, &str)]) -> String {
        let (done, said) = self.release(step, variables);
        assert!(done, "{step}: {said}");
        said
    }

    fn refused(&self, step: &str, variables: &[(&str, &str)]) -> String {
        let (done, said) = self.release(step, variables);
        assert!(!done, "{step}: {said}");
        said
    }

    /// What would have reached out.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let outward = calls.lines().filter(|line| !line.starts_with("helm package"));
        outward.map(str::to_owned).collect()
    }

    fn images(&self, objects: &[Value]) -> BTreeSet<String> {
        let mut images = BTreeSet::new();
        for object in objects {
            let pod = object.pointer("/spec/template/spec").unwrap_or(&object["spec"]);
            for container in pod["containers"].as_array().into_iter().flatten() {
                images.insert(container["image"].as_str().unwrap().to_owned());
            }
        }
        assert!(!images.is_empty(), "no pods in {}", self.folder.display());
        images
    }

    /// The images that `install.yaml` starts.
    fn installed(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.at("release/install.yaml")).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
        self.images(&documents.collect::<Vec<_>>())
    }

    /// The images that the packaged chart starts.
    fn packaged(&self) -> BTreeSet<String> {
        let chart = self.at(&format!("release/digital-messaging-operator-{VERSION}.tgz"));
        let values = json!({ "manager": { "enabled": true } });
        let rendered = HELM
            .template(chart.to_str().unwrap(), "release", "messaging", &values)
            .unwrap();
        let objects = rendered
            .into_iter()
            .map(|rendered| serde_json::to_value(rendered.object).unwrap());
        self.images(&objects.collect::<Vec<_>>())
    }
}

#[test]
fn a_dry_run_makes_every_file_and_would_publish_and_sign_all_of_it() {
    let bench = Bench::new();
    let dry = [("DRY_RUN", "1")];
    bench.done("files", &dry);
    let names: BTreeSet<String> = fs::read_dir(bench.at("release"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let operator = format!("digital-messaging-operator-{VERSION}.tgz");
    let definitions = format!("digital-messaging-operator-crds-{VERSION}.tgz");
    let bill = format!("digital-messaging-operator-{VERSION}.cdx.json");
    let expected = [
        "SHA256SUMS",
        "approval-roles.yaml",
        "approval.yaml",
        "argocd-cm-applications.yaml",
        "argocd-cm.yaml",
        "crds.yaml",
        &bill,
        &definitions,
        &operator,
        "install.yaml",
        "openapi.yaml",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());

    let said = bench.done("publish", &dry);
    let commands: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("release: would run: "))
        .collect();
    for (program, part) in [
        ("skopeo copy", format!("docker://{IMAGE}:{VERSION}")),
        ("cosign sign", format!("{IMAGE}@{DIGEST}")),
        ("cosign attest", bill),
        ("push", operator),
        ("push", definitions),
        ("cosign sign", "charts/digital-messaging-operator@sha256:".to_owned()),
        ("cosign sign", "charts/digital-messaging-operator-crds@sha256:".to_owned()),
        ("cosign sign-blob", "SHA256SUMS".to_owned()),
        ("gh release create", "install.yaml".to_owned()),
    ] {
        let found = commands
            .iter()
            .any(|command| command.contains(program) && command.contains(&part));
        assert!(found, "no {program} of {part} in {said}");
    }
    assert_eq!(bench.calls(), Vec::<String>::new(), "a dry run reaches nobody");
}

#[test]
fn a_dry_run_needs_no_image() {
    let bench = Bench::new();
    for name in ["image.cdx.json", "image.digest"] {
        fs::remove_file(bench.at(name)).unwrap();
    }
    let said = bench.done("files", &[("DRY_RUN", "1")]);
    assert!(said.contains("no bill of materials"), "{said}");
    assert_eq!(bench.installed(), [format!("{IMAGE}:{VERSION}")].into());
    bench.done("publish", &[("DRY_RUN", "1")]);
}

#[test]
fn what_a_release_installs_is_the_image_that_it_publishes() {
    let bench = Bench::new();
    bench.done("files", &[]);
    let published: BTreeSet<String> = [format!("{IMAGE}@{DIGEST}")].into();
    assert_eq!(bench.installed(), published);
    assert_eq!(bench.packaged(), published);
}

#[test]
fn image_and_charts_are_signed_by_digest_and_the_image_has_its_bill_attested() {
    let bench = Bench::new();
    let tag = format!("v{VERSION}");
    bench.done("files", &[("GITHUB_REF_NAME", &tag)]);
    bench.done("publish", &[("GITHUB_REF_NAME", &tag)]);
    let (folder, image) = (bench.at("release"), bench.at("image"));
    let (folder, image) = (folder.display(), image.display());
    let charts = "registry.example.com/messaging/charts";
    let mut calls = bench.calls();
    let made = calls.pop().unwrap();
    assert!(
        made.starts_with(&format!("gh release create v{VERSION} --verify-tag")),
        "{made}"
    );
    for attached in ["SHA256SUMS", "install.yaml", ".cdx.json", ".tgz"] {
        assert!(made.contains(attached), "no {attached} in {made}");
    }
    assert_eq!(
        calls,
        [
            format!("skopeo copy --preserve-digests oci-archive:{image}.tar docker://{IMAGE}:{VERSION}"),
            format!("cosign sign --yes {IMAGE}@{DIGEST}"),
            format!(
                "cosign attest --yes --type cyclonedx --predicate {folder}/digital-messaging-operator-{VERSION}.cdx.json {IMAGE}@{DIGEST}"
            ),
            format!("helm push {folder}/digital-messaging-operator-{VERSION}.tgz oci://{charts}"),
            format!("cosign sign --yes {charts}/digital-messaging-operator@{CHART_DIGEST}"),
            format!("helm push {folder}/digital-messaging-operator-crds-{VERSION}.tgz oci://{charts}"),
            format!("cosign sign --yes {charts}/digital-messaging-operator-crds@{CHART_DIGEST}"),
            format!("cosign sign-blob --yes --bundle {folder}/SHA256SUMS.sigstore.json {folder}/SHA256SUMS"),
        ]
    );
}

#[test]
fn without_its_bill_of_materials_nothing_is_released() {
    let bench = Bench::new();
    bench.done("files", &[]);
    for (missing, said) in [
        ("image.digest", "image.digest is missing"),
        ("image.cdx.json", "image.cdx.json is missing"),
    ] {
        let content = fs::read(bench.at(missing)).unwrap();
        fs::remove_file(bench.at(missing)).unwrap();
        let refusal = bench.refused("files", &[]);
        assert!(refusal.contains(said), "{refusal}");
        fs::write(bench.at(missing), content).unwrap();
    }
    bench.done("files", &[]);
    let bill = format!("release/digital-messaging-operator-{VERSION}.cdx.json");
    fs::remove_file(bench.at(&bill)).unwrap();
    bench.refused("publish", &[]);
    assert_eq!(bench.calls(), Vec::<String>::new());
}

#[test]
fn a_tag_that_is_not_the_version_is_not_released() {
    let bench = Bench::new();
    bench.done("files", &[]);
    for step in ["files", "publish"] {
        let refusal = bench.refused(step, &[("GITHUB_REF_NAME", "v0.0.0-other")]);
        assert!(refusal.contains("the tag is v0.0.0-other"), "{refusal}");
    }
    assert_eq!(bench.calls(), Vec::<String>::new());
}

#[test]
fn a_version_without_a_section_in_the_changelog_is_not_released() {
    let bench = Bench::new();
    fs::write(bench.at("project/CHANGELOG.md"), "# Changelog\n\n## Unreleased\n").unwrap();
    let refusal = bench.refused("files", &[]);
    assert!(refusal.contains("CHANGELOG.md has no section"), "{refusal}");
}

#[test]
fn what_was_changed_after_its_checksum_is_not_published() {
    let bench = Bench::new();
    bench.done("files", &[]);
    fs::write(bench.at("release/install.yaml"), "somebody was here").unwrap();
    for variables in [&[][..], &[("DRY_RUN", "1")]] {
        let said = bench.refused("publish", variables);
        assert!(!said.contains("would run"), "{said}");
    }
    assert_eq!(bench.calls(), Vec::<String>::new());
}

/// The workflows by their file, without what only the host of the workflows knows.
fn workflows() -> Vec<(String, Value)> {
    let files = fs::read_dir(project().join(".github/workflows")).unwrap();
    let workflows = files.map(|entry| {
        let path = entry.unwrap().path();
        let workflow = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), workflow)
    });
    workflows.collect()
}

fn jobs(workflow: &Value) -> impl Iterator<Item = (&String, &Value)> {
    workflow["jobs"].as_object().unwrap().iter()
}

/// What a workflow runs, somebody can run before the workflow does.
#[test]
fn every_step_of_the_workflows_runs_here_too() {
    let makefile = fs::read_to_string(project().join("Makefile")).unwrap();
    let as_root = Regex::new(r#"^sudo env( "[A-Z_]+=[^"]*")+ "#).unwrap();
    let mut steps = 0;
    for (file, workflow) in workflows() {
        for (name, job) in jobs(&workflow) {
            assert!(
                job["defaults"].is_null(),
                "{file}: {name}: a shell of its own is started by no shell"
            );
            for step in job["steps"].as_array().unwrap() {
                let Some(command) = step["run"].as_str() else {
                    assert!(step["uses"].is_string(), "{file}: {step}");
                    continue;
                };
                steps += 1;
                if command.starts_with("rustup toolchain install ") {
                    continue;
                }
                let command = as_root.replace(command, "");
                let known = match command.strip_prefix("make ") {
                    Some(target) => Regex::new(&format!("(?m)^{}:", regex::escape(target)))
                        .unwrap()
                        .is_match(&makefile),
                    None => project().join(&*command).is_file(),
                };
                assert!(known, "{file}: `{command}` is neither a target of the Makefile nor a file");
            }
        }
    }
    assert!(steps > 3, "{steps} steps");
}

/// A job that may publish runs nothing that builds or tests: that is other people's code.
#[test]
fn nothing_but_publishing_runs_with_the_rights_to_publish() {
    let mut publishing = Vec::new();
    for (file, workflow) in workflows() {
        assert_eq!(workflow["permissions"], json!({ "contents": "read" }), "{file}");
        for (name, job) in jobs(&workflow) {
            let Some(permissions) = job["permissions"].as_object() else {
                continue;
            };
            assert!(permissions.values().any(|right| right == "write"), "{file}: {name}");
            let steps = job["steps"].as_array().unwrap().iter();
            let commands: Vec<&str> = steps.filter_map(|step| step["run"].as_str()).collect();
            assert_eq!(commands, ["make release-publish"], "{file}: {name}");
            publishing.push(name.clone());
        }
    }
    assert_eq!(publishing, ["publish"]);
}

#[test]
fn actions_are_pinned_by_what_is_in_them() {
    let pinned = Regex::new(r"^[a-z-]+/[a-z-]+@[0-9a-f]{40}$").unwrap();
    for (file, workflow) in workflows() {
        for (name, job) in jobs(&workflow) {
            for action in job["steps"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|step| step["uses"].as_str())
            {
                assert!(pinned.is_match(action), "{file}: {name}: {action}");
            }
        }
    }
}

/// Another compiler makes other programs, and so another digest.
#[test]
fn everything_is_built_with_one_compiler() {
    let read = |name: &str| fs::read_to_string(project().join(name)).unwrap();
    let pinned = read(".github/workflows/release.yaml");
    let channel = Regex::new(r"RUSTUP_TOOLCHAIN: ([0-9]+\.[0-9]+\.[0-9]+)").unwrap();
    let version = &channel.captures(&pinned).unwrap()[1];
    let (minor, _) = version.rsplit_once('.').unwrap();
    for (file, part) in [
        ("Cargo.toml", format!("rust-version = \"{minor}\"")),
        (".github/workflows/test.yaml", format!("RUSTUP_TOOLCHAIN: {version}")),
        ("Containerfile", format!("/rust:{version}-")),
        ("Containerfile", format!("ENV RUSTUP_TOOLCHAIN={version}")),
        ("docs/dependencies.md", format!("`rust:{version}-")),
        ("README.md", format!("Rust {minor} ")),
        ("CONTRIBUTING.md", format!("Rust {minor} ")),
    ] {
        assert!(read(file).contains(&part), "{file} lacks: {part}");
    }
}

/// Files below a folder, but for what is built and what belongs to git.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let built = folder == project() && ["build", "target", ".git"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !built {
            files.extend(files_below(&path));
        } else if !path.is_dir() {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_source_file_says_its_licence() {
    let mut checked = 0;
    for path in files_below(project()) {
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let whole = ["Makefile", "Containerfile", ".ci/run"];
        // Not migrations: a database knows those that it has by their checksum.
        if !["rs", "go", "lua", "sh"].contains(&kind) && !whole.iter().any(|name| path == project().join(name)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let header = text
            .lines()
            .take(2)
            .any(|line| line.ends_with(" SPDX-License-Identifier: Apache-2.0"));
        assert!(header, "{} lacks the header of its licence", path.display());
        checked += 1;
    }
    assert!(checked > 300, "{checked} files");
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

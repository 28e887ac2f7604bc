// SPDX-License-Identifier: Apache-2.0

//! What is in the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{authorities, bill_of_materials, dependencies, licences};

const PROGRAMS: [&str; 2] = ["digital-messaging-operator", "messaging-manager"];
const ABOUT: &str = "usr/share/doc/digital-messaging-operator";
const BILL: &str = "usr/share/doc/digital-messaging-operator/bill-of-materials.cdx.json";
const USERS: &str = "root:x:0:0:root:/:/sbin/nologin\noperator:x:65532:65532:operator:/:/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\noperator:x:65532:\n";
/// The list of hosts that the kubelet writes comes before DNS.
const NAME_SERVICES: &str = "hosts: files dns\n";

/// The files of an image by their path, without a slash at the beginning.
#[derive(Debug, Default)]
pub struct Contents {
    files: BTreeMap<String, File>,
}

/// A file of the image.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Contents {
    /// Collects them from a folder with built programs, and from the project.
    ///
    /// # Errors
    /// When a program is missing or not static, or a dependency has no licence.
    pub fn of_project(project: &Path, programs: &Path) -> Result<Self> {
        let dependencies = dependencies::of_programs(project)?;
        let mut contents = Self::default();
        // Both are linked with the same.
        let program = read(&programs.join(PROGRAMS[0]))?;
        let licences = licences::texts(&dependencies, &program)?;
        let bill = bill_of_materials::of(&dependencies, &program)?.to_string();
        for name in PROGRAMS {
            let bytes = read(&programs.join(name))?;
            refuse_dynamic(name, &bytes)?;
            contents.add(&format!("usr/bin/{name}"), 0o755, bytes);
        }
        contents.add("etc/passwd", 0o644, USERS.into());
        contents.add("etc/group", 0o644, GROUPS.into());
        contents.add("etc/nsswitch.conf", 0o644, NAME_SERVICES.into());
        contents.add(authorities::PATH, 0o644, authorities::bundle().into());
        for name in ["LICENSE", "NOTICE"] {
            contents.add(&format!("{ABOUT}/{name}"), 0o644, read(&project.join(name))?);
        }
        contents.add(&format!("{ABOUT}/THIRD-PARTY-LICENSES"), 0o644, licences.into());
        contents.add(BILL, 0o644, bill.into());
        Ok(contents)
    }

    /// Adds a file, or replaces it.
    pub fn add(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), File { mode, bytes });
    }

    /// Writes them into a new folder.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn write_into(&self, root: &Path) -> Result<()> {
        fs::create_dir(root).with_context(|| format!("create {}", root.display()))?;
        for folder in self.folders() {
            fs::create_dir(root.join(folder))?;
        }
        for (path, file) in &self.files {
            let out = root.join(path);
            fs::write(&out, &file.bytes).with_context(|| format!("write {}", out.display()))?;
            fs::set_permissions(&out, fs::Permissions::from_mode(file.mode))?;
        }
        Ok(())
    }

    /// The bill of materials, to be attached to the image beside being in it.
    #[must_use]
    pub fn bill_of_materials(&self) -> Option<&[u8]> {
        self.files.get(BILL).map(|file| &file.bytes[..])
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The folders that the files are in, each before what is in it.
    pub(crate) fn folders(&self) -> BTreeSet<PathBuf> {
        let paths = self.files.keys().flat_map(|path| Path::new(path).ancestors().skip(1));
        paths.filter(|folder| *folder != Path::new("")).map(Path::to_owned).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// A program that asks for a dynamic linker would not start: there is none in the image.
fn refuse_dynamic(name: &str, program: &[u8]) -> Result<()> {
    let linker = b"/lib64/ld-linux";
    if program.windows(linker.len()).any(|bytes| bytes == linker) {
        bail!("{name} is linked dynamically: build it with -C target-feature=+crt-static, as `make image` does");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    fn project() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    fn text<'a>(contents: &'a Contents, path: &str) -> &'a str {
        std::str::from_utf8(&contents.files[path].bytes).unwrap()
    }

    #[test]
    fn an_image_has_programs_authorities_licences_and_nothing_else() {
        let programs = tempfile::tempdir().unwrap();
        for name in PROGRAMS {
            fs::write(programs.path().join(name), "a program").unwrap();
        }
        let contents = Contents::of_project(project(), programs.path()).unwrap();
        let paths: Vec<&str> = contents.files.keys().map(String::as_str).collect();
        let expected = [
            "etc/group",
            "etc/nsswitch.conf",
            "etc/passwd",
            "etc/ssl/certs/ca-certificates.crt",
            "usr/bin/digital-messaging-operator",
            "usr/bin/messaging-manager",
            "usr/share/doc/digital-messaging-operator/LICENSE",
            "usr/share/doc/digital-messaging-operator/NOTICE",
            "usr/share/doc/digital-messaging-operator/THIRD-PARTY-LICENSES",
            "usr/share/doc/digital-messaging-operator/bill-of-materials.cdx.json",
        ];
        assert_eq!(paths, expected);
        let certificates = text(&contents, authorities::PATH);
        assert!(certificates.matches("-----BEGIN CERTIFICATE-----").count() > 100);

        let licences = text(&contents, &format!("{ABOUT}/THIRD-PARTY-LICENSES"));
        let bill: serde_json::Value = serde_json::from_slice(contents.bill_of_materials().unwrap()).unwrap();
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| each["name"].as_str().unwrap())
            .collect();
        for name in ["kube-client", "rustls", "sqlx-sqlite", "glibc", "libgcc", "rust-std"] {
            assert!(names.contains(&name), "{name} is linked in, and not in the bill of materials");
            assert!(
                licences.contains(&format!("\n{name} ")),
                "{name} is linked in, and its licence is not there"
            );
        }
        for name in ["tempfile", "proptest", "sandbox", "cc"] {
            assert!(
                !names.contains(&name),
                "{name} is in the bill of materials, and not linked in"
            );
        }
        assert!(licences.contains("with another version"), "nothing about linking anew");
        let graph = bill["dependencies"].as_array().unwrap();
        let of = |name: &str| {
            let mut found = graph.iter().filter(|each| each["ref"].as_str().unwrap().contains(name));
            found.next().unwrap()["dependsOn"].as_array().unwrap()
        };
        for name in PROGRAMS {
            assert!(of(&format!("/{name}@")).contains(&"pkg:generic/glibc".into()), "{name}");
        }
        for written in [licences, &bill.to_string()] {
            let machine = project().to_str().unwrap();
            assert!(
                !written.contains(machine),
                "the path of the machine that built is in the image"
            );
        }

        let folder = programs.path().join("root");
        contents.write_into(&folder).unwrap();
        let program = folder.join("usr/bin/messaging-manager");
        assert_eq!(fs::read(&program).unwrap(), b"a program");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_program_that_needs_a_dynamic_linker_is_refused() {
        let programs = tempfile::tempdir().unwrap();
        fs::write(programs.path().join(PROGRAMS[0]), "\x7fELF /lib64/ld-linux-x86-64.so.2").unwrap();
        let error = Contents::of_project(project(), programs.path()).unwrap_err();
        assert!(error.to_string().contains("linked dynamically"), "{error:#}");
    }

    #[test]
    fn the_containerfile_makes_the_same_image() {
        let recipe = fs::read_to_string(project().join("Containerfile")).unwrap();
        let (_, image) = recipe.split_once("\nFROM --platform=linux/amd64 scratch\n").unwrap();
        let mut expected = vec![
            "ARG SOURCE=\"\"".to_owned(),
            "ARG REVISION=\"\"".to_owned(),
            "COPY --from=build /source/build/image /".to_owned(),
            format!("USER {}", archive::USER),
            "WORKDIR /".to_owned(),
            "ENV PATH=/usr/bin".to_owned(),
        ];
        let given = [("source", "$SOURCE"), ("revision", "$REVISION")];
        let labels = archive::LABELS.into_iter().chain(given);
        expected.extend(labels.map(|(name, value)| format!("LABEL org.opencontainers.image.{name}=\"{value}\"")));
        expected.push(format!("ENTRYPOINT [\"{}\"]", archive::ENTRY_POINT));
        assert_eq!(image.lines().collect::<Vec<_>>(), expected);
    }

    /// docker looks for the one, podman for the other.
    #[test]
    fn whoever_builds_with_it_sends_the_same_files() {
        let [one, other] =
            [".containerignore", "Containerfile.dockerignore"].map(|name| fs::read_to_string(project().join(name)).unwrap());
        assert_eq!(one, other);
        for built in ["build", "target", ".git"] {
            assert!(one.lines().any(|line| line == built), "{built}");
        }
    }
}

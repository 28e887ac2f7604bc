// SPDX-License-Identifier: Apache-2.0

//! What the compiler links into the programs beside cargo's packages: Rust's standard library, the C library, and the helper of
//! the C compiler. The programs say the versions themselves.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// A part that no package of cargo stands for.
pub(crate) struct Part {
    name: &'static str,
    what: &'static str,
    licence: &'static str,
    /// Comes before the version in a program.
    mark: &'static [u8],
    /// Comes before the version behind the mark.
    before_version: &'static str,
}

/// All of them. glibc and libgcc are linked statically, which the licence of the first ties to the possibility to link anew.
pub(crate) const PARTS: [Part; 3] = [
    Part {
        name: "glibc",
        what: "The GNU C library",
        licence: "LGPL-2.1-or-later",
        mark: b"GNU C Library (",
        before_version: "stable release version ",
    },
    Part {
        name: "libgcc",
        what: "The runtime library of the GNU compilers",
        licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
        mark: b"GCC: (",
        before_version: ") ",
    },
    Part {
        name: "rust-std",
        what: "The standard library of Rust",
        licence: "MIT OR Apache-2.0",
        mark: b"rustc version ",
        before_version: "",
    },
];

/// What the licences have to be told about the first two.
pub(crate) const NOTE: &str = "\
glibc is linked statically. Its licence lets whoever has this image run the programs with another version of it: they are
linked anew, with the glibc of the machine, by `make image` in the source code of this version, which is under the Apache
License 2.0. Whoever hands the programs on has to leave that possibility open.
";

impl Part {
    /// The version that is in a program; none if it does not say so.
    pub(crate) fn version(&self, program: &[u8]) -> Option<String> {
        let at = program.windows(self.mark.len()).position(|bytes| bytes == self.mark)?;
        let rest = program.get(at + self.mark.len()..)?;
        let line = rest.split(|byte| *byte == 0 || *byte == b'\n').next()?;
        let line = std::str::from_utf8(line).ok()?;
        let (_, version) = line.split_once(self.before_version)?;
        let end = version.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let version = version.get(..end.unwrap_or(version.len()))?.trim_end_matches('.');
        (!version.is_empty()).then(|| version.to_owned())
    }

    /// As a heading in the list of licences.
    pub(crate) fn heading(&self, program: &[u8]) -> String {
        let version = self.version(program).map(|version| format!(" {version}")).unwrap_or_default();
        format!("{}{version} ({})", self.name, self.licence)
    }

    /// As a component of the bill of materials.
    pub(crate) fn component(&self, program: &[u8]) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": self.reference(program),
            "name": self.name,
            "description": self.what,
            "purl": self.reference(program),
            "licenses": [{ "expression": self.licence }],
        });
        if let (Some(version), Some(members)) = (self.version(program), component.as_object_mut()) {
            members.insert("version".to_owned(), version.into());
        }
        component
    }

    /// Its package URL.
    pub(crate) fn reference(&self, program: &[u8]) -> String {
        let version = self.version(program).map(|version| format!("@{version}")).unwrap_or_default();
        format!("pkg:generic/{}{version}", self.name)
    }

    /// The texts of its licence.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        let parsed = spdx::Expression::parse(self.licence).with_context(|| format!("{}: licence", self.name))?;
        let mut texts = Vec::new();
        for requirement in parsed.requirements() {
            let licence = requirement
                .req
                .license
                .id()
                .with_context(|| format!("{}: licence", self.name))?;
            texts.push(licence.text().to_owned());
            let exception = requirement.req.addition.as_ref().and_then(spdx::AdditionItem::id);
            texts.extend(exception.map(|exception| exception.text().to_owned()));
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_the_versions() {
        let program = b"\x7fELF\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopyright\0\
                        rustc version 1.95.0 (59807616e)\0GCC: (Debian 12.2.0-14) 12.2.0\0";
        let versions = PARTS.each_ref().map(|part| part.reference(program));
        assert_eq!(
            versions,
            [
                "pkg:generic/glibc@2.36",
                "pkg:generic/libgcc@12.2.0",
                "pkg:generic/rust-std@1.95.0"
            ]
        );
        let [glibc, ..] = &PARTS;
        assert_eq!(glibc.component(program)["version"], "2.36");
        let silent = PARTS.each_ref().map(|part| part.version(b"a program"));
        assert_eq!(silent, [None, None, None]);
    }

    #[test]
    fn every_text_is_there() {
        let counts = PARTS.each_ref().map(|part| part.texts().unwrap().len());
        assert_eq!(counts, [1, 2, 2]);
        let [glibc, libgcc, _] = PARTS.each_ref().map(|part| part.texts().unwrap().concat());
        assert!(glibc.contains("GNU LESSER GENERAL PUBLIC LICENSE"), "{glibc}");
        assert!(libgcc.contains("GCC RUNTIME LIBRARY EXCEPTION"), "{libgcc}");
    }
}

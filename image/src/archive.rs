// SPDX-License-Identifier: Apache-2.0

//! The image as an archive: one layer, in the OCI layout.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::Contents;

/// The user that programs run as: no name, no home, no rights.
pub(crate) const USER: &str = "65532:65532";

/// What a container runs.
pub(crate) const ENTRY_POINT: &str = "/usr/bin/digital-messaging-operator";

/// What the image says of itself, whoever builds it: each behind `org.opencontainers.image.`.
pub(crate) const LABELS: [(&str, &str); 4] = [
    ("title", "digital-messaging-operator"),
    (
        "description",
        "Kubernetes operator for digital messaging, and the reference messaging manager",
    ),
    ("version", env!("CARGO_PKG_VERSION")),
    ("licenses", env!("CARGO_PKG_LICENSE")),
];

/// How containers of the image start.
#[derive(Clone, Debug)]
pub struct Config {
    entry_point: String,
    labels: Value,
}

impl Config {
    /// Runs this program.
    #[must_use]
    pub fn running(entry_point: &str) -> Self {
        let entry_point = entry_point.to_owned();
        let labels = json!({});
        Self { entry_point, labels }
    }

    /// Runs the operator, unless a command is given: the other program is found by its name. `source` says where the source
    /// code is, `revision` which of it this is; without, the image does not say.
    #[must_use]
    pub fn of_operator(source: Option<&str>, revision: Option<&str>) -> Self {
        let known = LABELS.map(|(name, value)| (name, Some(value)));
        let given = [("source", source), ("revision", revision)];
        let labels = known.into_iter().chain(given);
        let labels = labels.filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?.into())));
        Self {
            labels: Value::Object(labels.collect()),
            ..Self::running(ENTRY_POINT)
        }
    }
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The image's digest, `sha256:…`.
    pub digest: String,
    /// Bytes of the layer as it is pulled.
    pub compressed: usize,
    /// Bytes of the layer unpacked.
    pub unpacked: usize,
}

/// Writes the archive.
///
/// # Errors
/// When it cannot be written.
pub fn write(contents: &Contents, config: &Config, name: &str, path: &Path) -> Result<Written> {
    let layer = layer(contents)?;
    let mut compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    compressed.write_all(&layer)?;
    let compressed = compressed.finish()?;
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);

    let layer_blob = Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", compressed);
    let config_blob = Blob::json(
        "application/vnd.oci.image.config.v1+json",
        &json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [config.entry_point],
                "WorkingDir": "/",
                "Env": ["PATH=/usr/bin"],
                "Labels": config.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        }),
    );
    let manifest = Blob::json(
        MANIFEST,
        &json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_blob.descriptor(),
            "layers": [layer_blob.descriptor()],
        }),
    );
    let described = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "platform": { "architecture": "amd64", "os": "linux" },
        "annotations": {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": tag,
        },
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    });

    let mut archive = Builder::new(Vec::new());
    append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
    for blob in [&layer_blob, &config_blob, &manifest] {
        let path = format!("blobs/{}", blob.digest.replace(':', "/"));
        append(&mut archive, &path, 0o644, &blob.bytes)?;
    }
    fs::write(path, archive.into_inner()?).with_context(|| format!("write {}", path.display()))?;
    Ok(Written {
        digest: manifest.digest,
        compressed: layer_blob.bytes.len(),
        unpacked: layer.len(),
    })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A part of the image that others name by its digest.
struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self {
            media_type,
            digest,
            bytes,
        }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn layer(contents: &Contents) -> Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for folder in contents.folders() {
        let mut header = header(0o755, 0);
        header.set_entry_type(EntryType::Directory);
        layer.append_data(&mut header, folder.join(""), std::io::empty())?;
    }
    for (path, file) in contents.files() {
        append(&mut layer, path, file.mode, &file.bytes)?;
    }
    Ok(layer.into_inner()?)
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = header(mode, u64::try_from(bytes.len())?);
    archive
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("add {path}"))
}

/// Owned by root, made at no time.
fn header(mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn archive_of(contents: &Contents, folder: &Path, name: &str) -> (Written, Vec<u8>) {
        let path = folder.join(name);
        let written = write(contents, &Config::of_operator(None, None), "localhost/example:1", &path).unwrap();
        (written, fs::read(path).unwrap())
    }

    fn example() -> Contents {
        let mut contents = Contents::default();
        contents.add("usr/bin/one", 0o755, b"first".to_vec());
        contents.add("etc/two", 0o644, b"second".to_vec());
        contents
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, first_bytes) = archive_of(&example(), folder.path(), "first.tar");
        let (second, second_bytes) = archive_of(&example(), folder.path(), "second.tar");
        assert_eq!(first.digest, second.digest);
        assert_eq!(first_bytes, second_bytes);

        let mut other = example();
        other.add("etc/two", 0o755, b"second".to_vec());
        let (third, _) = archive_of(&other, folder.path(), "third.tar");
        assert_ne!(first.digest, third.digest, "a mode that differs is another image");
    }

    #[test]
    fn an_image_says_what_it_was_built_from_if_that_is_known() {
        let said = Config::of_operator(Some("https://git.example/operator"), Some("0123abc")).labels;
        let name = |name: &str| format!("org.opencontainers.image.{name}");
        assert_eq!(said[name("source")], "https://git.example/operator");
        assert_eq!(said[name("revision")], "0123abc");
        assert_eq!(said[name("version")], env!("CARGO_PKG_VERSION"));
        let silent = Config::of_operator(None, None).labels;
        assert_eq!(silent.as_object().unwrap().len(), LABELS.len(), "{silent}");
    }

    #[test]
    fn the_archive_holds_each_part_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (written, bytes) = archive_of(&example(), folder.path(), "image.tar");
        let mut found = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(named) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest(&content), format!("sha256:{named}"));
                found.push(named.to_owned());
            }
        }
        assert_eq!(found.len(), 3);
        assert!(found.iter().any(|named| written.digest.ends_with(named)));
    }
}

// SPDX-License-Identifier: Apache-2.0

//! Command line of the image.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use image::{
    Contents,
    archive::{self, Config},
};

/// Writes the container image of the operator without a container daemon.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder with the programs `digital-messaging-operator` and `messaging-manager`, linked statically
    #[arg(long)]
    programs: PathBuf,
    /// Name and tag that the archive is loaded under
    #[arg(long, default_value_t = format!("localhost/digital-messaging-operator:{}", env!("CARGO_PKG_VERSION")))]
    name: String,
    /// Write an image archive here, with its digest and bill of materials beside it, and print its name, digest and size
    #[arg(long)]
    archive: Option<PathBuf>,
    /// Where the source code is, for the image's label
    #[arg(long, env = "IMAGE_SOURCE")]
    source: Option<String>,
    /// The revision of the source code, for the image's label
    #[arg(long, env = "IMAGE_REVISION")]
    revision: Option<String>,
    /// Write what is in the image into this folder, which must not exist
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package has no parent")?;
    let contents = Contents::of_project(project, &arguments.programs)?;
    if let Some(folder) = &arguments.folder {
        contents.write_into(folder)?;
    }
    if let Some(path) = &arguments.archive {
        let config = Config::of_operator(arguments.source.as_deref(), arguments.revision.as_deref());
        let written = archive::write(&contents, &config, &arguments.name, path)?;
        write(&path.with_extension("digest"), written.digest.as_bytes())?;
        let bill = contents.bill_of_materials().context("there is no bill of materials")?;
        write(&path.with_extension("cdx.json"), bill)?;
        writeln!(
            std::io::stdout(),
            "{}@{}\n{}: {:.1} MB compressed, {:.1} MB unpacked",
            arguments.name,
            written.digest,
            path.display(),
            megabytes(written.compressed),
            megabytes(written.unpacked),
        )?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1_000_000.0
}

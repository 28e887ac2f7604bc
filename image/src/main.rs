//! Command line of the image.

use std::{
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
    /// Write an image archive here, and print its name, digest and size
    #[arg(long)]
    archive: Option<PathBuf>,
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
        let written = archive::write(&contents, &Config::of_operator(), &arguments.name, path)?;
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

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1_000_000.0
}

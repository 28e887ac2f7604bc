// SPDX-License-Identifier: Apache-2.0

//! Writes what is made from the charts.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use sandbox::{
    Run,
    packaging::{self, Helm},
    program::project,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write everything that a cluster needs into this one file, and nothing else
    #[arg(long, value_name = "FILE")]
    single: Option<PathBuf>,
    /// The operator's image in that file, as `repository@digest` or `repository:tag`
    #[arg(long, requires = "single")]
    image: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let helm = Helm::new(&Run::new()?)?;
    if let Some(path) = &arguments.single {
        let text = packaging::single_file(&helm, arguments.image.as_deref())?;
        return fs::write(path, text).with_context(|| format!("write {}", path.display()));
    }
    for file in packaging::files(&helm)? {
        let path = project().join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&path, &file.content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

// SPDX-License-Identifier: Apache-2.0

//! Figures that tests measure, for docs/guarantees.md. `make figures` puts those of the last runs there.

use std::{fmt::Display, fs, path::Path};

/// Remembers a figure: prints it, and keeps it where `make figures` finds it.
///
/// `id` is what the page names it by; `value` carries its unit.
pub fn record(id: &str, value: impl Display) {
    eprintln!("figure {id}: {value}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(id), value.to_string()).unwrap();
}

// SPDX-License-Identifier: Apache-2.0

//! Puts the figures that tests measured into a page.
//!
//! A page marks a figure with `<!-- figure: id -->…<!-- end -->`; what stands between is replaced.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

const BEGIN: &str = "<!-- figure: ";
const END: &str = "<!-- end -->";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the tests left them, one file a figure
    #[arg(long, default_value = "target/tmp/figures")]
    from: PathBuf,
    /// The page
    page: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let page = fs::read_to_string(&arguments.page).with_context(|| format!("cannot read {}", arguments.page.display()))?;
    let filled = fill(&page, |id| measured(&arguments.from, id))?;
    if filled.text != page {
        fs::write(&arguments.page, &filled.text)?;
    }
    super::terminal::progress(&format!("{} figure(s) put into {}", filled.found, arguments.page.display()));
    for id in filled.missing {
        super::terminal::progress(&format!("{id} was not measured: the page keeps what it had"));
    }
    Ok(())
}

fn measured(folder: &Path, id: &str) -> Option<String> {
    Some(fs::read_to_string(folder.join(id)).ok()?.trim().to_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Filled {
    text: String,
    found: usize,
    missing: Vec<String>,
}

fn fill(page: &str, measured: impl Fn(&str) -> Option<String>) -> Result<Filled> {
    let (mut text, mut found, mut missing) = (String::new(), 0, Vec::new());
    let mut rest = page;
    while let Some((before, marked)) = rest.split_once(BEGIN) {
        let Some((id, after)) = marked.split_once(" -->") else {
            bail!(
                "a mark of a figure has no end: {BEGIN}{}",
                marked.lines().next().unwrap_or_default()
            );
        };
        let Some((present, after)) = after.split_once(END) else {
            bail!("figure {id} has no {END}");
        };
        let value = measured(id).unwrap_or_else(|| {
            missing.push(id.to_owned());
            present.to_owned()
        });
        found += 1;
        text.extend([before, BEGIN, id, " -->", &value, END]);
        rest = after;
    }
    found -= missing.len();
    text.push_str(rest);
    Ok(Filled { text, found, missing })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn what_was_measured_is_put_in_and_the_rest_stays() {
        let page = "a <!-- figure: x -->old<!-- end --> b <!-- figure: y -->kept<!-- end -->.";
        let filled = fill(page, |id| (id == "x").then(|| "new".to_owned())).unwrap();
        assert_eq!(filled.text, page.replace("old", "new"));
        assert_eq!((filled.found, filled.missing), (1, vec!["y".to_owned()]));
    }

    #[test]
    fn a_mark_without_end_is_named() {
        let error = fill("<!-- figure: x -->1", |_| None).unwrap_err();
        assert!(error.to_string().contains("figure x"), "{error}");
    }
}

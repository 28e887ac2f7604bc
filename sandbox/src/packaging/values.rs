// SPDX-License-Identifier: Apache-2.0

//! The table of a chart's values, from the comments above them.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::{Context, Result, bail};
use serde_yaml::Value;

const BEGIN: &str = "<!-- values: written by `make manifests` from values.yaml -->\n";
const END: &str = "<!-- end -->";

/// The page with the table of these values between its two marks.
pub(super) fn put_table(page: &str, values: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("the page lacks {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page lacks {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(values)?))
}

fn table(text: &str) -> Result<String> {
    let comments = comments(text);
    let mut table = String::from("| Value | Default | Meaning |\n|---|---|---|\n");
    add(&mut table, &comments, "", &serde_yaml::from_str(text)?)?;
    Ok(table)
}

/// A mapping whose members have comments is a section, anything else is a value.
fn add(table: &mut String, comments: &BTreeMap<String, String>, path: &str, value: &Value) -> Result<()> {
    let below = format!("{path}.");
    let is_section = path.is_empty() || comments.keys().any(|name| name.starts_with(&below));
    let meaning = comments.get(path);
    let Some(members) = value.as_mapping().filter(|_| is_section) else {
        let meaning = meaning.with_context(|| format!("{path} has no comment"))?;
        let default = serde_json::to_string(value)?.replace('|', r"\|");
        writeln!(table, "| `{path}` | `{default}` | {} |", meaning.replace('|', r"\|"))?;
        return Ok(());
    };
    if let Some(meaning) = meaning {
        writeln!(table, "| `{path}` | | {} |", meaning.replace('|', r"\|"))?;
    }
    for (name, value) in members {
        let Some(name) = name.as_str() else {
            bail!("a name below {path} is no text")
        };
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{below}{name}")
        };
        add(table, comments, &path, value)?;
    }
    Ok(())
}

/// The comments right above a name, by its path.
fn comments(text: &str) -> BTreeMap<String, String> {
    let (mut comments, mut pending) = (BTreeMap::new(), Vec::new());
    let mut parents: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(comment) = content.strip_prefix("# ") {
            pending.push(comment);
            continue;
        }
        if let Some((name, _)) = content.split_once(':').filter(|_| !content.starts_with("- ")) {
            while parents.last().is_some_and(|(outer, _)| *outer >= indent) {
                parents.pop();
            }
            let path = parents
                .last()
                .map_or_else(|| name.to_owned(), |(_, parent)| format!("{parent}.{name}"));
            if !pending.is_empty() {
                comments.insert(path.clone(), pending.join(" "));
            }
            parents.push((indent, path));
        }
        pending.clear();
    }
    comments
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    const PAGE: &str = "before\n<!-- values: written by `make manifests` from values.yaml -->\nold\n<!-- end --> after";

    #[test]
    fn each_value_has_a_row_and_a_mapping_without_comments_inside_is_one_value() {
        let values = "# How many.\nreplicas: 1\nlog:\n  # json | human,\n  # as you like.\n  format: json\n\n# All of it.\nlimits:\n  memory: 1Gi\n";
        let page = put_table(PAGE, values).unwrap();
        let table = "| Value | Default | Meaning |\n|---|---|---|\n\
                     | `replicas` | `1` | How many. |\n\
                     | `log.format` | `\"json\"` | json \\| human, as you like. |\n\
                     | `limits` | `{\"memory\":\"1Gi\"}` | All of it. |\n";
        assert_eq!(page, PAGE.replace("old\n", table));
    }

    #[test]
    fn a_value_without_a_comment_is_named() {
        let error = put_table(PAGE, "# A.\na: 1\n\nb:\n  # C.\n  c: 1\n  d: 1\n").unwrap_err();
        assert!(error.to_string().contains("b.d has no comment"), "{error}");
    }
}

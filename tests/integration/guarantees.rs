// SPDX-License-Identifier: Apache-2.0

//! docs/guarantees.md promises nothing that no test holds, nor do other pages that name tests: each test and each figure
//! exists.

use std::{fs, path::Path};

use regex::Regex;

/// Pages that name tests, with how many of them at least.
const PAGES: &[(&str, usize)] = &[
    ("guarantees.md", 50),
    ("threats.md", 50),
    ("backup.md", 5),
    ("life-of-a-channel.md", 1),
];

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let link = Regex::new(r"\[`([a-z0-9_]+)`\]\(\.\./([^)]+\.rs)\)").unwrap();
    for (name, least) in PAGES {
        let page = page(name);
        let mut named = 0;
        for found in link.captures_iter(&page) {
            let (test, file) = (&found[1], &found[2]);
            let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("docs/{name} names {file}: {error}"));
            assert!(
                source.contains(&format!("fn {test}(")),
                "docs/{name} names {test}, which is not in {file}"
            );
            named += 1;
        }
        assert!(named >= *least, "docs/{name} names only {named} tests: has its form changed?");
    }
}

#[test]
fn every_promise_and_every_threat_names_a_test() {
    for name in ["guarantees.md", "threats.md"] {
        let page = page(name);
        // Tables that have a column for tests.
        let has_tests = |table: &&str| table.lines().next().unwrap().ends_with("| Test |");
        let (tables, others): (Vec<&str>, Vec<&str>) =
            page.split("\n\n").filter(|block| block.starts_with('|')).partition(has_tests);
        // Who there is, and what is worth protecting.
        let expected = if name == "threats.md" { 2 } else { 0 };
        assert_eq!(others.len(), expected, "docs/{name}: tables without tests: {others:?}");
        let mut rows = 0;
        for line in tables.iter().flat_map(|table| table.lines().skip(2)) {
            assert!(line.contains(".rs)"), "docs/{name}: a row without a test: {line}");
            rows += 1;
        }
        assert!(
            rows > 20,
            "docs/{name} has only {rows} rows with tests: has its form changed?"
        );
    }
}

/// Figures are recorded under a name, or under one with parts that only the test knows.
#[test]
fn every_figure_on_the_page_is_measured_by_a_test() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    let record = Regex::new(r#"record\(\s*&?(?:format!\(\s*)?"([^"]+)""#).unwrap();
    let part = Regex::new(r"\\\{[^}]*\\\}").unwrap();
    let measured: Vec<Regex> = record
        .captures_iter(&sources)
        .map(|found| {
            let name = regex::escape(&found[1]);
            Regex::new(&format!("^{}$", part.replace_all(&name, ".+"))).unwrap()
        })
        .collect();
    let mark = Regex::new(r"<!-- figure: ([^ ]+) -->").unwrap();
    for found in mark.captures_iter(&page("guarantees.md")) {
        let name = &found[1];
        assert!(
            measured.iter().any(|recorded| recorded.is_match(name)),
            "no test records the figure {name}"
        );
    }
}

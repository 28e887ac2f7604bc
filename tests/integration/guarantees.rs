//! docs/guarantees.md promises nothing that no test holds: each test and each figure that it names exists.

use std::{fs, path::Path};

use regex::Regex;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guarantees.md")).unwrap()
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
    let page = page();
    let mut named = 0;
    for found in link.captures_iter(&page) {
        let (test, file) = (&found[1], &found[2]);
        let source =
            fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("docs/guarantees.md names {file}: {error}"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "docs/guarantees.md names {test}, which is not in {file}"
        );
        named += 1;
    }
    assert!(named > 50, "the page names only {named} tests: has its form changed?");
}

#[test]
fn every_promise_names_a_test() {
    let is_row = |line: &&str| line.starts_with("| ") && !line.contains("| Test |");
    for line in page().lines().filter(is_row) {
        assert!(line.contains(".rs)"), "a row without a test: {line}");
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
    for found in mark.captures_iter(&page()) {
        let name = &found[1];
        assert!(
            measured.iter().any(|recorded| recorded.is_match(name)),
            "no test records the figure {name}"
        );
    }
}

//! What the documentation shows is what the reader takes, and what it says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::file::{Projection, listed};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The fenced blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim().strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| !line.trim().starts_with("```")).collect();
            blocks.push((language, inside.join("\n")));
        }
    }
    blocks
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_projection_of_the_documentation_is_one_but_for_the_one_that_shows_errors() {
    let mut all = Vec::new();
    pages(&docs(), &mut all);
    let mut seen = 0;
    for page in all {
        let text = fs::read_to_string(&page).expect("a page");
        let files = blocks(&text).into_iter().filter(|(language, _)| *language == "sql").map(|(_, file)| file);
        for file in files.filter(|file| file.contains("-- projection:") && !file.contains("-- verson:")) {
            if let Err(findings) = Projection::parse("a.sql", &file) {
                panic!("{}:\n{}\n{file}", page.display(), listed(&findings));
            }
            seen += 1;
        }
    }
    assert!(seen >= 2, "the reference has two at least");
}

#[test]
fn the_reference_shows_the_errors_as_they_are() {
    let page = fs::read_to_string(docs().join("reference/projections.md")).expect("the reference");
    let blocks = blocks(&page);
    let wrong = blocks.iter().position(|(_, text)| text.contains("-- verson:")).expect("a file with mistakes");
    let findings = Projection::parse("deposits.sql", &blocks[wrong].1).expect_err("it has mistakes");
    assert_eq!(listed(&findings), blocks[wrong + 1].1);
}

#[test]
fn the_reference_names_every_value() {
    let page = fs::read_to_string(docs().join("reference/projections.md")).expect("the reference");
    for (name, _) in crate::file::Source::NAMED {
        assert!(page.contains(&format!("`:{name}`")), ":{name}");
    }
}

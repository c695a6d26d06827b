//! `cargo x release`: checks that a release could be made and prints the commands that make it. It changes nothing.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{
    run::{self, Outcome, Steps},
    test, tidy,
};

const CHANGELOG: &str = "CHANGELOG.md";

/// Cheap checks first: a missing changelog section should not cost a test run.
pub(crate) fn run(online: bool) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let mut steps = Steps::default();
    steps.step("git tree", || tree_is_clean().map(|()| Outcome::Done))?;
    steps.step("changelog", || {
        let text = std::fs::read_to_string(run::root().join(CHANGELOG))
            .with_context(|| format!("could not read {CHANGELOG}; a release needs one"))?;
        if !has_section(&text, version) {
            bail!("{CHANGELOG} has no section for {version}. Add a heading `## {version}` and what changed for users");
        }
        Ok(Outcome::Done)
    })?;
    steps.step("tidy", || tidy::run(&tidy::Options { online, fix: false }).map(|()| Outcome::Done))?;
    steps.step("test", || test::run(false, &[], &[]).map(|()| Outcome::Done))?;
    steps.print_summary();

    println!("\nEvery check passed. Nothing was tagged, pushed or published.");
    if !online {
        println!("The advisory database was not checked; add --online for that.");
    }
    println!("To release {version}:\n  git tag --annotate v{version} --message \"Pacioli {version}\"");
    println!(
        "  git push origin v{version}\n  cargo build --release --locked    # the binary is target/release/pacioli"
    );
    Ok(())
}

fn tree_is_clean() -> Result<()> {
    let output = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(run::root())
        .output()
        .context("could not start git")?;
    if !output.status.success() {
        bail!("git status failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let changes = String::from_utf8_lossy(&output.stdout);
    if !changes.is_empty() {
        bail!("the git tree has changes. Commit or stash them first:\n{}", changes.trim_end());
    }
    Ok(())
}

/// A section is a second-level heading whose first word is the version, `[1.2.3]` or `v1.2.3` included.
fn has_section(changelog: &str, version: &str) -> bool {
    changelog.lines().filter_map(|line| line.strip_prefix("## ")).any(|heading| {
        let first = heading.split_whitespace().next().unwrap_or_default();
        first.trim_start_matches(['[', 'v']).trim_end_matches(']') == version
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_section_names_the_whole_version() {
        assert!(has_section("# Changelog\n\n## 0.1.0 - 2026-01-01\n", "0.1.0"));
        assert!(has_section("## [0.1.0]\n", "0.1.0"));
        assert!(!has_section("## 0.1.0-rc.1\n## Unreleased\nabout 0.1.0\n", "0.1.0"));
    }
}

//! `cargo x tidy`: style made executable. Every finding says where, what is wrong, and what to write instead.

mod files;
mod imports;
mod markdown;
mod source;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::run::{self, Outcome, Steps};

pub(crate) struct Options {
    /// Fetch the advisory database and check it.
    pub(crate) online: bool,
    /// Format instead of checking the format.
    pub(crate) fix: bool,
}

/// What to do when a part of the Rust toolchain is not installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingTool {
    /// Say so and go on: `cargo x test` passes on a machine with the smallest toolchain.
    Skip,
    Fail,
}

/// Every check there is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::default();
    fast_steps(&mut steps, options, MissingTool::Fail)?;
    steps.step("clippy", || {
        let mut command = run::cargo();
        command.args(["clippy", "--workspace", "--all-targets", "--all-features"]).args(run::locked());
        command.args(["--", "-D", "warnings"]);
        run::check(&mut command, "clippy has warnings. Each one above says what to write instead")?;
        Ok(Outcome::Done)
    })?;
    steps.step("rustdoc", || {
        let mut command = run::cargo();
        command.args(["doc", "--workspace", "--no-deps"]).args(run::locked()).env("RUSTDOCFLAGS", "-D warnings");
        run::check(&mut command, "the documentation has warnings. Fix the links and code blocks named above")?;
        Ok(Outcome::Done)
    })?;
    steps.step("generated code", || {
        if !run::root().join("crates/api/proto").is_dir() {
            return Ok(Outcome::Skipped("there is no crates/api/proto yet".to_owned()));
        }
        crate::codegen::run(true)?;
        Ok(Outcome::Done)
    })?;
    steps.step("cargo deny", || dependencies(options.online).map(|()| Outcome::Done))?;
    steps.print_summary();
    if !options.online {
        println!("\nAdvisories were not checked; `cargo x tidy --online` fetches and checks them.");
    }
    Ok(())
}

/// The checks that take seconds, which `cargo x test` runs too.
pub(crate) fn fast_steps(steps: &mut Steps, options: &Options, missing: MissingTool) -> Result<()> {
    steps.step("format", || format(options.fix, missing))?;
    let workspace = Workspace::read(&run::root())?;
    steps.step("import rules", || {
        report(imports::check(&workspace, &imports::crates(&workspace.root)?)).map(|()| Outcome::Done)
    })?;
    steps.step("file rules", || {
        let mut findings = files::check(&workspace);
        findings.extend(markdown::check(&workspace));
        report(findings).map(|()| Outcome::Done)
    })
}

/// The crates, by directory below `crates/`, whose tests start PostgreSQL.
pub(crate) fn crates_tested_on_postgres() -> Result<Vec<String>> {
    let of_harness = |one: &imports::Crate| one.dir == imports::HARNESS;
    let crates = imports::crates(&run::root())?.into_iter();
    let tested = crates.filter(|one| {
        of_harness(one) || one.dependencies.iter().any(|other| other.sibling.as_deref() == Some(imports::HARNESS))
    });
    Ok(tested.map(|one| one.dir).collect())
}

fn format(fix: bool, missing: MissingTool) -> Result<Outcome> {
    if !run::succeeds(run::cargo().args(["fmt", "--version"])) {
        let advice = "rustfmt is not installed; `rustup component add rustfmt` adds it";
        match missing {
            MissingTool::Skip => return Ok(Outcome::Skipped(advice.to_owned())),
            MissingTool::Fail => bail!("{advice}"),
        }
    }
    let mut command = run::cargo();
    command.args(["fmt", "--all"]);
    if !fix {
        command.arg("--check");
    }
    run::check(&mut command, "some files are not formatted. Run `cargo x tidy --fix`")?;
    Ok(Outcome::Done)
}

/// Runs cargo-deny, installing it first if need be.
fn dependencies(online: bool) -> Result<()> {
    if !run::succeeds(run::cargo().args(["deny", "--version"])) {
        println!("    cargo-deny is not installed. Installing it now, which takes some minutes, once");
        let mut install = run::cargo();
        install.args(["install", "cargo-deny", "--locked"]);
        run::check(&mut install, "could not install cargo-deny. Install it by hand and run this again")?;
    }
    let mut command = run::cargo();
    command.args(["deny", "--all-features", "check", "bans", "licenses", "sources"]);
    if online {
        command.arg("advisories");
    }
    run::check(&mut command, "a dependency breaks a rule of deny.toml; see above for which and why")
}

/// One broken rule.
#[derive(Debug)]
struct Finding {
    /// Relative to the workspace, with forward slashes.
    path: String,
    line: usize,
    wrong: String,
    instead: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}\n    instead: {}", self.path, self.line, self.wrong, self.instead)
    }
}

fn report(findings: Vec<Finding>) -> Result<()> {
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 rule is broken; the line above says where and what to write instead"),
        count => bail!("{count} rules are broken; the lines above say where and what to write instead"),
    }
}

/// A text file that a person maintains.
struct TextFile {
    path: String,
    text: String,
}

impl TextFile {
    fn finding(&self, line: usize, wrong: impl Into<String>, instead: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, wrong: wrong.into(), instead: instead.into() }
    }

    /// Lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }

    fn has_extension(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }
}

/// The files the rules read.
struct Workspace {
    root: PathBuf,
    files: Vec<TextFile>,
}

impl Workspace {
    const EXTENSIONS: [&str; 5] = ["rs", "md", "sql", "proto", "toml"];

    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        read_dir(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_path_buf(), files })
    }
}

/// Reads below `dir`, leaving out hidden directories, build output and generated code.
fn read_dir(dir: &Path, prefix: &str, files: &mut Vec<TextFile>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            let build_output = entry.path().join("CACHEDIR.TAG").exists();
            if !name.starts_with('.') && name != "target" && !build_output && path != "crates/api/src/generated" {
                read_dir(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if Path::new(&name)
            .extension()
            .is_some_and(|found| Workspace::EXTENSIONS.iter().any(|one| found == *one))
        {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("could not read {path}"))?;
            files.push(TextFile { path, text });
        }
    }
    Ok(())
}

/// Builds a workspace out of literals, for the tests of the rules.
#[cfg(test)]
fn fixture(files: &[(&str, &str)]) -> Workspace {
    let files = files.iter().map(|(path, text)| TextFile { path: (*path).to_owned(), text: (*text).to_owned() });
    Workspace { root: PathBuf::new(), files: files.collect() }
}

/// Asserts that there is exactly one finding for each expected `path:line` and part of its text, in any order.
#[cfg(test)]
fn assert_findings(findings: &[Finding], expected: &[(&str, &str)]) {
    let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (place, part) in expected {
        let hit = found.iter().any(|one| one.starts_with(&format!("{place}: ")) && one.contains(part));
        assert!(hit, "no finding at {place} with {part:?} in {found:#?}");
    }
}

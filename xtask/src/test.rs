//! `cargo x test`: what the README names and what CI runs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{
    postgres::{self, package::Wanted},
    run::{self, Outcome, Steps},
    tidy,
};

/// The crates whose tests are about PostgreSQL alone. In others they are in modules with this word in their name.
const ABOUT_POSTGRES: [&str; 2] = ["pgtest", "postgres"];
/// Modules of tests that need what the packages of other versions do not have, such as `pg_rewind`.
const SYSTEM_ONLY: &str = "system_only";

/// Runs the fast checks, then the tests, then those on PostgreSQL on other versions; ends with how many passed.
pub(crate) fn run(skip_slow: bool, versions: &[Wanted], args: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    tidy::fast_steps(&mut steps, &tidy::Options { online: false, fix: false }, tidy::MissingTool::Skip)?;

    let on_postgres = tidy::crates_tested_on_postgres()?;
    if concerns(&on_postgres, args) {
        steps.step("PostgreSQL", || postgres::ensure().map(|()| Outcome::Done))?;
    }
    let mut counts = Vec::new();
    steps.step("tests", || {
        counts.push(("in all".to_owned(), cargo_test(&test_arguments(skip_slow, args), None)?));
        Ok(Outcome::Done)
    })?;
    for wanted in versions {
        let name = format!("PostgreSQL {wanted}");
        steps.step(&name, || {
            let binaries = postgres::package::binaries(wanted)?;
            let mut passed = Counts::default();
            for arguments in version_arguments(skip_slow, &on_postgres, args) {
                passed.add_all(&cargo_test(&arguments, Some(binaries.directory()))?);
            }
            counts.push((format!("on PostgreSQL {}", binaries.version()), passed));
            Ok(Outcome::Done)
        })?;
    }
    steps.print_summary();
    println!();
    for (of_what, counts) in counts {
        println!("{of_what}: {counts}");
    }
    Ok(())
}

/// Whether these arguments for `cargo test` may run tests of one of the crates.
fn concerns(crates: &[String], args: &[String]) -> bool {
    let for_cargo = args.split(|arg| arg == "--").next().unwrap_or_default();
    let all = !narrowed(for_cargo) || for_cargo.iter().any(|arg| arg == "--workspace" || arg == "--all");
    all || for_cargo.iter().any(|arg| crates.iter().any(|one| arg.ends_with(&package(one))))
}

/// Whether the arguments name packages.
fn narrowed(for_cargo: &[String]) -> bool {
    for_cargo.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

fn package(crate_dir: &str) -> String {
    format!("pacioli-{crate_dir}")
}

/// The `cargo test` runs on another version: all of what is about PostgreSQL, and of the other crates what names it; or
/// what the arguments ask for.
fn version_arguments(skip_slow: bool, on_postgres: &[String], args: &[String]) -> Vec<Vec<String>> {
    let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (for_cargo, for_harness) = (&args[..split], args.get(split + 1..).unwrap_or_default());
    let one_run = |crates: &[&String], filter: Option<&str>| {
        let packages = crates.iter().flat_map(|one| ["--package".to_owned(), package(one)]);
        let to_cargo = packages.chain(for_cargo.iter().cloned()).chain(["--".to_owned()]);
        let filter = filter.into_iter().map(str::to_owned);
        let to_harness = filter.chain(for_harness.iter().cloned()).chain(["--skip".to_owned(), SYSTEM_ONLY.to_owned()]);
        test_arguments(skip_slow, &to_cargo.chain(to_harness).collect::<Vec<_>>())
    };
    if narrowed(for_cargo) {
        return vec![one_run(&[], None)];
    }
    let (about, others): (Vec<&String>, Vec<&String>) =
        on_postgres.iter().partition(|one| ABOUT_POSTGRES.contains(&one.as_str()));
    if !args.is_empty() {
        return vec![one_run(&[about, others].concat(), None)];
    }
    let mut runs = vec![one_run(&about, None)];
    if !others.is_empty() {
        runs.push(one_run(&others, Some("postgres")));
    }
    runs
}

/// The arguments of the one `cargo test` run. Every failure is shown, not only those of the first test binary.
fn test_arguments(skip_slow: bool, args: &[String]) -> Vec<String> {
    let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (for_cargo, for_harness) = (&args[..split], args.get(split + 1..).unwrap_or_default());

    let mut all = vec!["test".to_owned(), "--no-fail-fast".to_owned()];
    if !narrowed(for_cargo) {
        all.push("--workspace".to_owned());
    }
    all.extend(run::locked().iter().map(ToString::to_string));
    all.extend_from_slice(for_cargo);
    if skip_slow || !for_harness.is_empty() {
        all.push("--".to_owned());
        all.extend_from_slice(for_harness);
    }
    if skip_slow {
        all.extend(["--skip".to_owned(), "slow::".to_owned()]);
    }
    all
}

/// Runs `cargo test`, passing its output through and adding up the `test result:` lines on the way. The tests start the
/// PostgreSQL of that directory, if one is named.
fn cargo_test(arguments: &[String], postgres: Option<&Path>) -> Result<Counts> {
    let mut command = run::cargo();
    command.args(arguments);
    match postgres {
        Some(directory) => {
            println!("    PG_BIN={} cargo {}", directory.display(), arguments.join(" "));
            command.env("PG_BIN", directory);
        }
        None => println!("    cargo {}", arguments.join(" ")),
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("could not start cargo test")?;
    let output = child.stdout.take().expect("the child's standard output is piped");
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("could not read the output of cargo test")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&line);
    }
    let succeeded = child.wait().context("could not wait for cargo test")?.success();

    // The most telling reason first: a test that failed, then a run that broke, then a run that proved nothing.
    if counts.failed > 0 {
        bail!("{counts}. Read the first `---- NAME stdout ----` above, then rerun it: cargo x test -- NAME");
    }
    if !succeeded {
        bail!("{counts}, but a build or a test binary broke. Read the first `error` above and fix that");
    }
    if counts.passed == 0 {
        bail!("0 tests ran. If you gave a filter, it matches no test's name");
    }
    Ok(counts)
}

/// Tests that passed and failed, over every test binary.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    fn add_all(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Takes in one line of output; only `test result: ok. 3 passed; 0 failed; …` says anything.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            match (words.next().and_then(|count| count.parse::<u64>().ok()), words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn counts_are_summed_over_test_binaries() {
        let mut counts = Counts::default();
        counts.add("running 4 tests");
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        counts.add("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out");
        assert_eq!(counts, Counts { passed: 13, failed: 2 });
        assert_eq!(counts.to_string(), "13 passed, 2 failed");
    }

    #[test]
    fn slow_tests_are_skipped_behind_the_separator() {
        let all = test_arguments(true, &strings(&["decide", "--", "--nocapture"]));
        assert!(all.contains(&"--workspace".to_owned()));
        assert_eq!(all[all.len() - 5..], strings(&["decide", "--", "--nocapture", "--skip", "slow::"]));
    }

    #[test]
    fn other_versions_run_what_is_about_postgres_and_no_system_programs() {
        let run = |skip_slow, crates: &[&str], args: &[&str]| {
            let runs = version_arguments(skip_slow, &strings(crates), &strings(args));
            runs.into_iter().map(|run| run.join(" ").replace("--locked ", "")).collect::<Vec<_>>()
        };
        let expected = [
            "test --no-fail-fast --package pacioli-pgtest --package pacioli-postgres -- --skip system_only --skip slow::",
            "test --no-fail-fast --package pacioli-server -- postgres --skip system_only --skip slow::",
        ];
        assert_eq!(run(true, &["pgtest", "postgres", "server"], &[]), expected);
        assert_eq!(run(false, &["pgtest"], &[]).len(), 1);
        assert_eq!(
            run(false, &["pgtest", "server"], &["order", "--", "--nocapture"]),
            [
                "test --no-fail-fast --package pacioli-pgtest --package pacioli-server order -- --nocapture --skip system_only"
            ]
        );
        assert_eq!(
            run(false, &["pgtest", "server"], &["-p", "pacioli-server", "order"]),
            ["test --no-fail-fast -p pacioli-server order -- --skip system_only"]
        );
    }

    #[test]
    fn postgres_is_looked_for_unless_the_run_is_narrowed_to_crates_without_it() {
        let crates = strings(&["pgtest", "server"]);
        for (args, concerned) in [
            (&[][..], true),
            (&["decide"][..], true),
            (&["-p", "pacioli-core"][..], false),
            (&["-ppacioli-core", "--", "-p", "pacioli-server"][..], false),
            (&["-p", "pacioli-core", "--package=pacioli-server"][..], true),
            (&["--workspace", "-p", "pacioli-core"][..], true),
        ] {
            assert_eq!(concerns(&crates, &strings(args)), concerned, "{args:?}");
        }
    }

    #[test]
    fn a_package_replaces_the_workspace() {
        assert!(!test_arguments(false, &strings(&["-p", "pacioli-core"])).contains(&"--workspace".to_owned()));
    }
}

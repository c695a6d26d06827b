//! `cargo x test`: what the README names and what CI runs.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{
    run::{self, Outcome, Steps},
    tidy,
};

/// Runs the fast checks, then the tests, and ends with how many passed.
pub(crate) fn run(skip_slow: bool, args: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    tidy::fast_steps(&mut steps, &tidy::Options { online: false, fix: false }, tidy::MissingTool::Skip)?;

    let mut counts = Counts::default();
    let tested = steps.step("tests", || {
        counts = cargo_test(&test_arguments(skip_slow, args))?;
        Ok(Outcome::Done)
    });
    if tested.is_ok() {
        steps.print_summary();
        println!("\n{counts}");
    }
    tested
}

/// The arguments of the one `cargo test` run. Every failure is shown, not only those of the first test binary.
fn test_arguments(skip_slow: bool, args: &[String]) -> Vec<String> {
    let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (for_cargo, for_harness) = (&args[..split], args.get(split + 1..).unwrap_or_default());
    let narrowed = for_cargo.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));

    let mut all = vec!["test".to_owned(), "--no-fail-fast".to_owned()];
    if !narrowed {
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

/// Runs `cargo test`, passing its output through and adding up the `test result:` lines on the way.
fn cargo_test(arguments: &[String]) -> Result<Counts> {
    println!("    cargo {}", arguments.join(" "));
    let mut child =
        run::cargo().args(arguments).stdout(Stdio::piped()).spawn().context("could not start cargo test")?;
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
    fn a_package_replaces_the_workspace() {
        assert!(!test_arguments(false, &strings(&["-p", "pacioli-core"])).contains(&"--workspace".to_owned()));
    }
}

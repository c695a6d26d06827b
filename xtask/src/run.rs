//! Child processes, and the list of steps a command went through with their times.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().expect("xtask lives one level below the workspace root").to_path_buf()
}

/// A cargo command that runs in the workspace root.
///
/// `cargo run` describes xtask to its child in variables such as `CARGO_PKG_NAME`. Build scripts that watch those
/// (ring's does) would rebuild each time a person alternates between `cargo test` and `cargo x test`, so they go.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let described = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        if described {
            command.env_remove(name);
        }
    }
    command
}

/// `--locked` once there is a lock file, so that a run never changes it behind anyone's back.
pub(crate) fn locked() -> &'static [&'static str] {
    if root().join("Cargo.lock").exists() { &["--locked"] } else { &[] }
}

/// Runs the command with its output shown, and fails with `advice` unless it succeeds.
pub(crate) fn check(command: &mut Command, advice: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start {command:?}"))?;
    if !status.success() {
        bail!("{advice}");
    }
    Ok(())
}

/// Whether the command starts and succeeds; its output is hidden.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What a step that did not fail came to.
pub(crate) enum Outcome {
    Done,
    /// It could not run here, and this is why.
    Skipped(String),
}

/// The steps of one command, in the order they ran.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<(String, Duration, String)>,
}

impl Steps {
    /// Announces a step, runs it and remembers its time. The first failure ends the command.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        println!("==> {name}");
        let started = Instant::now();
        let result = work();
        let elapsed = started.elapsed();
        let word = match &result {
            Ok(Outcome::Done) => "ok".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        println!("    {name}: {word} ({})", seconds(elapsed));
        self.finished.push((name.to_owned(), elapsed, word));
        if result.is_err() {
            self.print_summary();
        }
        result.map(drop)
    }

    pub(crate) fn print_summary(&self) {
        println!("\nsteps:");
        for (name, elapsed, word) in &self.finished {
            println!("  {name:<16} {:>8}  {word}", seconds(*elapsed));
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

//! `pacioli projection add`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pacioli_api::problem::Kind;
use pacioli_client::http::HttpError;
use pacioli_projection::Projection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::told;
use crate::failure::{Code, Failure};
use crate::output::{Form, OutputArgs, Paint, grouped, plain};
use crate::progress::Progress;
use crate::read_models::{ReadModelsDoor, understood};
use crate::target::StoreArgs;

/// How long the answer may take until its progress is shown, and how often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Steps of the bar.
const BAR_STEPS: f64 = 10_000.0;

/// Register a projection's file
///
/// The same file again does nothing. A higher version is filled beside the one that serves and then takes over; the same
/// version with another text is refused. What is wrong with a file is told with its line, exit 2.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection add balances.sql
  pacioli projection add balances.sql --server https://events.example.com --token TOKEN"#)]
pub(super) struct Add {
    /// The file: SQL with annotations in its comments
    file: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What became of the file.
#[derive(Deserialize)]
struct Added {
    name: String,
    version: u32,
    outcome: String,
    #[serde(default)]
    warnings: Vec<Value>,
}

impl Add {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let file = base_name(&self.file)?;
        let text = std::fs::read_to_string(&self.file)
            .map_err(Failure::io(format!("could not read {}", self.file.display())))?;
        let body = json!({ "file": file, "text": text });
        let answer = ReadModelsDoor::with(&self.store, false, async |door| {
            let adding = door.try_command("/v1/projections".to_owned(), &body);
            let added = tokio::select! {
                added = adding => added,
                never = shown(door, &file, &text) => never,
            };
            added.map_err(|error| refused(error, &self.file))
        })
        .await?;
        let added: Added = understood(&answer)?;
        added.warnings.iter().for_each(|warning| say_finding(warning, &self.file));
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", String::from_utf8_lossy(&answer))?,
            Form::Table => {
                let (name, version) = (plain(&added.name), added.version);
                match added.outcome.as_str() {
                    "unchanged" => writeln!(out, "{name} has version {version} already; nothing to do")?,
                    "rebuilding" => writeln!(
                        out,
                        "rebuilding {name}: version {version} fills beside the one that serves, and then takes over"
                    )?,
                    _ => writeln!(out, "added {name}, version {version}")?,
                }
            }
        }
        Ok(out.flush()?)
    }
}

/// The file's name without its directory, as findings tell it.
fn base_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| Failure::usage(format!("{} is no file's name", path.display())))
}

/// Shows how far the first build is that a `sync` projection waits for. Never ends by itself.
async fn shown<T>(door: &ReadModelsDoor, file: &str, text: &str) -> Result<T, HttpError> {
    let Ok(projection) = Projection::parse(file, text) else { return std::future::pending().await };
    let mut bar: Option<Progress> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // It may not be there yet, and what matters is the answer to the command.
        let Ok(all) = told::ask(door, Some(projection.name.as_str())).await else { continue };
        let Some(progress) = all.first().and_then(|told| told.status.progress) else { continue };
        let rate = grouped(all[0].status.events_per_second.round().max(0.0) as u64);
        let bar = bar.get_or_insert_with(|| Progress::new(Some(BAR_STEPS as u64)));
        bar.update((progress.clamp(0.0, 1.0) * BAR_STEPS) as u64, format!("{}, {rate} events/s", projection.name));
    }
}

/// Says what is wrong with the file, a line each; anything else is told as ever.
fn refused(error: HttpError, file: &Path) -> Failure {
    let HttpError::Problem(problem) = &error else { return error.into() };
    let findings = problem.member("findings").and_then(Value::as_array);
    let (Kind::FileRefused, Some(findings)) = (problem.kind(), findings) else { return error.into() };
    findings.iter().for_each(|found| say_finding(found, file));
    let errors = findings.iter().filter(|found| found["severity"] == "error").count();
    let count = crate::output::count_of(errors as u64, "error");
    Failure::new(
        Code::from(problem.exit_code()),
        format!("{} cannot run: {count}; nothing was registered", file.display()),
    )
}

fn say_finding(found: &Value, file: &Path) {
    // Coloured by hand, because `say` would show the colours.
    let _ = writeln!(std::io::stderr(), "{}", finding(found, file, Paint::stderr()));
}

/// `projections/balances.sql:12: error: …`, with the file as it was named here.
fn finding(found: &Value, file: &Path, paint: Paint) -> String {
    let text = |name: &str| plain(found[name].as_str().unwrap_or(""));
    let severity = match found["severity"].as_str() {
        Some("warning") => paint.yellow("warning:"),
        _ => paint.red("error:"),
    };
    let line = found["line"].as_u64().unwrap_or(1);
    format!("{}:{line}: {severity} {}", plain(&file.to_string_lossy()), text("problem"))
}

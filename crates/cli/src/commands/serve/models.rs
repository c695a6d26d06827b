//! The read models of a server: its options, and the files that are registered when it starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pacioli_projection::file::{Finding, Severity};
use pacioli_projection::service::{Adding, CommandError};
use pacioli_projection::{ReadModels, ReadModelsOptions};
use pacioli_server::{EngineSource, Models, OpenReadModels};
use serde_json::json;

use super::{Level, LogFormat, say_in};
use crate::failure::Failure;
use crate::read_models::duration;

/// How long the start waits for the files; a `sync` projection over a long log fills while the server serves already.
const REGISTER_PATIENCE: Duration = Duration::from_secs(5);

/// Read models, and the projections that keep them.
#[derive(Args, Debug)]
#[command(next_help_heading = "Read models")]
pub(super) struct ReadModelsArgs {
    /// Register each .sql file of this directory as a projection, in the order of their names. One that cannot run is told
    /// with its line, and the server serves all the same
    #[arg(long, value_name = "DIR")]
    projections: Option<PathBuf>,
    /// Keep read models there and not beside the log: sqlite:DIR for a store on SQLite, postgres://USER@HOST/DATABASE for
    /// one on PostgreSQL
    #[arg(long, value_name = "URL", env = "PACIOLI_READ_MODELS", hide_env_values = true)]
    read_models: Option<String>,
    /// PostgreSQL: run queries under this login, which may read and nothing else
    #[arg(long, value_name = "URL", env = "PACIOLI_READER", hide_env_values = true)]
    reader: Option<String>,
    /// Keep the read model `rewind` of the whole log: one row an event with what it changed, and one row a stream with its
    /// state
    #[arg(long)]
    rewind: bool,
    /// Warn of a projection that is behind and has not moved for so long
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    stalled_after: Duration,
}

/// A file to register: its name and its text.
pub(super) struct ProjectionFile {
    name: String,
    text: String,
}

impl ReadModelsArgs {
    /// Whether an option asks for read models, so that a server without them would not be what was wanted.
    fn is_asked_for(&self) -> bool {
        self.projections.is_some() || self.read_models.is_some() || self.reader.is_some() || self.rewind
    }

    /// The files of the directory, read before there is a store.
    pub(super) fn files(&self) -> Result<Vec<ProjectionFile>, Failure> {
        match &self.projections {
            Some(directory) => files(directory),
            None => Ok(Vec::new()),
        }
    }

    /// Opens the read models of a store. Where nobody asked for them and they cannot be, the server has none and says why.
    pub(super) async fn open(&self, engine: &EngineSource, log: LogFormat) -> Result<Models, Failure> {
        let run = ReadModelsOptions { stalled_after: self.stalled_after, ..ReadModelsOptions::default() };
        let options = OpenReadModels { url: self.read_models.clone(), reader: self.reader.clone(), run };
        match Box::pin(engine.open_read_models(options)).await {
            Ok(models) => Ok(Models::On(models)),
            Err(error) if self.is_asked_for() => Err(error.into()),
            Err(error) => {
                let why = error.to_string();
                if !matches!(engine, EngineSource::Memory) {
                    let text = format!("this server has no read models: {why}");
                    say_in(log, Level::Warn, &text, json!({ "why": why }));
                }
                Ok(Models::Off { why })
            }
        }
    }

    /// Registers what the options name. Returns after a while at the latest, and goes on by itself.
    pub(super) async fn register(
        &self,
        models: &Models,
        engine: &EngineSource,
        files: Vec<ProjectionFile>,
        log: LogFormat,
    ) -> Result<(), Failure> {
        let Models::On(models) = models else { return Ok(()) };
        let mut all = Vec::new();
        if self.rewind {
            let (name, text) =
                engine.rewind().ok_or_else(|| Failure::usage("--rewind: this store has no such read model"))?;
            all.push(ProjectionFile { name: name.to_owned(), text: text.to_owned() });
        }
        all.extend(files);
        if all.is_empty() {
            return Ok(());
        }
        let models = models.clone();
        let registering = tokio::spawn(async move {
            for file in all {
                register(&models, file, log).await;
            }
        });
        if tokio::time::timeout(REGISTER_PATIENCE, registering).await.is_err() {
            say_in(log, Level::Info, "projections are still being registered; the server serves meanwhile", json!({}));
        }
        Ok(())
    }
}

fn files(directory: &Path) -> Result<Vec<ProjectionFile>, Failure> {
    let failed = |error| Failure::usage(format!("--projections: could not read {}: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let file = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(path)
            .map_err(Failure::io(format!("--projections: could not read {}", path.display())))?;
        Ok(ProjectionFile { name, text })
    };
    paths.iter().map(file).collect()
}

/// Registers one file, and says what came of it where that is news.
async fn register(models: &ReadModels, file: ProjectionFile, log: LogFormat) {
    match models.add(&file.name, &file.text, None).await {
        Ok(added) => {
            added.warnings.iter().for_each(|warning| say_finding(warning, log));
            let (name, version) = (added.name.to_string(), added.version);
            let what = match added.outcome {
                Adding::Unchanged => return,
                Adding::Created => "runs",
                Adding::Rebuilding => "is being filled beside the one that serves",
            };
            let text = format!("projection {name} version {version} {what}");
            say_in(
                log,
                Level::Info,
                &text,
                json!({ "projection": name, "version": version, "outcome": added.outcome }),
            );
        }
        Err(CommandError::File(findings)) => findings.iter().for_each(|finding| say_finding(finding, log)),
        Err(error) => {
            let text = format!("{}: error: {error}", file.name);
            say_in(log, Level::Error, &text, json!({ "file": file.name }));
        }
    }
}

fn say_finding(finding: &Finding, log: LogFormat) {
    let level = match finding.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
    };
    say_in(log, level, &finding.to_string(), json!({ "file": finding.file, "line": finding.line }));
}

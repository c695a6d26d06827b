//! What a server asks about read models: commands on projections, their status, queries that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pacioli_core::place::Checkpoint;
use pacioli_core::{EventStore, StoreError};
use serde::Serialize;

use crate::answer::Answer;
use crate::engine::{
    BuildNumber, Engine, EngineError, Lookup, Materialized, Moment, QueryError, QueryLimits, Sample, Verified,
};
use crate::file::{Finding, Name};

/// How read models are run.
#[derive(Clone, Debug)]
pub struct ReadModelsOptions {
    /// Who runs them, for the leases: another word for each process.
    pub owner: String,
    /// Events of one transaction at most.
    pub batch_max: usize,
    /// How long another server waits until it takes over from one that is gone.
    pub lease_for: Duration,
    /// How long a projection may be behind without moving until it is called stalled.
    pub stalled_after: Duration,
    /// Bytes of point reads that are kept in memory.
    pub cache_bytes_max: u64,
}

impl Default for ReadModelsOptions {
    fn default() -> Self {
        ReadModelsOptions {
            owner: format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()),
            batch_max: 5_000,
            lease_for: Duration::from_secs(3),
            stalled_after: Duration::from_secs(300),
            cache_bytes_max: 32 << 20,
        }
    }
}

/// The read models of one store: runs their projections and answers questions. Clones share it.
#[derive(Clone)]
pub struct ReadModels {
    engine: Arc<dyn Engine>,
    store: Arc<dyn EventStore>,
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Added {
    /// The projection.
    pub name: Name,
    /// The file's version.
    pub version: u32,
    /// What was done.
    pub outcome: Adding,
    /// What its author should know.
    pub warnings: Vec<Finding>,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adding {
    /// The same file is known: nothing.
    Unchanged,
    /// A new projection runs.
    Created,
    /// A new version fills beside the one that serves.
    Rebuilding,
}

/// Why a command was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such projection, build or table.
    #[error("{0}")]
    NotFound(String),
    /// It does not fit how the projection is; says how it is and what to do.
    #[error("{0}")]
    State(String),
    /// The file cannot run.
    #[error("{}", crate::file::listed(.0))]
    File(Vec<Finding>),
    /// The storage failed; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> CommandError {
        match error {
            EngineError::Refused(reason) => CommandError::State(reason),
            EngineError::File(findings) => CommandError::File(findings),
            EngineError::Store(error) => CommandError::Store(error),
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// A projection has not come to the checkpoint that was asked for in time.
    #[error(
        "projection `{projection}` is at {checkpoint} and was to be at {at_least}{}; it goes on, ask again later",
        .why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    Behind {
        /// Which.
        projection: Name,
        /// Where it is.
        checkpoint: Checkpoint,
        /// Where it was to be.
        at_least: Checkpoint,
        /// Paused, or what it failed on.
        why: Option<String>,
    },
    /// There is no such table or column, or a part of the request is malformed.
    #[error("{0}")]
    NotFound(String),
    /// As the engine says.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// A question in SQL, and from when on it is to be answered.
#[derive(Clone, Debug)]
pub struct Ask {
    /// One statement that reads.
    pub sql: String,
    /// As of when; `None` is now.
    pub as_of: Option<Moment>,
    /// Not before every projection that the statement names has come to this checkpoint.
    pub at_least: Option<Checkpoint>,
    /// How long to wait for that, and then for the answer.
    pub deadline: Duration,
    /// Rows and bytes at most.
    pub limits: QueryLimits,
}

/// How a projection is, as `GET /v1/projections` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The version that serves; `None` while the first build of a `sync` projection fills.
    pub version: Option<u32>,
    /// The version that is being filled.
    pub building: Option<u32>,
    /// `running`, `rebuilding`, `paused` or `failed`.
    pub state: &'static str,
    /// `async` or `sync`.
    pub mode: &'static str,
    /// Where the serving build stands.
    pub checkpoint: String,
    /// The head of the log.
    pub head: String,
    /// How many events the serving build is behind the head, those of other categories and types too.
    pub lag_events: u64,
    /// How old the oldest event is that it has not looked at; 0 at the head.
    pub lag_seconds: f64,
    /// Events it applied in a second, over the last few seconds.
    pub events_per_second: f64,
    /// When the build that fills, or else the one that serves, will be at the head at this rate.
    pub eta_seconds: Option<f64>,
    /// How much of the log the build that fills has taken, 0 to 1.
    pub progress: Option<f64>,
    /// The event and the error that it stopped at.
    pub error: Option<ErrorStatus>,
    /// How long it has not moved though it is behind.
    pub stalled_seconds: f64,
    /// The tables to query.
    pub tables: Vec<String>,
    /// The version that is kept for `rollback`.
    pub kept: Option<u32>,
    /// How many workers the serving build has.
    pub workers: u16,
    /// The server that runs it; `None` where nobody does.
    pub runner: Option<String>,
    /// Materialized views with their age in seconds.
    pub materialized: BTreeMap<String, Option<f64>>,
    /// What the last `verify` found and when.
    pub verified: Option<VerifiedStatus>,
    /// SHA-256 of the serving file.
    pub hash: String,
}

/// Where and why a projection stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorStatus {
    /// `partition:position` of the event.
    pub place: String,
    /// What the database said.
    pub error: String,
    /// When, RFC 3339.
    pub at: String,
    /// The version of the file that failed.
    pub version: u32,
}

/// What a `verify` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedStatus {
    /// Up to where.
    pub checkpoint: String,
    /// When, RFC 3339.
    pub at: String,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that differ.
    pub different: u64,
    /// The first few of them in words.
    pub differences: Vec<String>,
}

impl ReadModels {
    /// Starts the runner: it takes the leases of projections that nobody runs and advances them, until [`ReadModels::stop`].
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub async fn start(
        engine: Arc<dyn Engine>,
        store: Arc<dyn EventStore>,
        options: ReadModelsOptions,
    ) -> Result<ReadModels, EngineError> {
        let _ = options;
        Ok(ReadModels { engine, store })
    }

    /// Stops the runner and gives its leases back.
    pub async fn stop(&self) {}

    /// Registers a file. The same file again does nothing; the same version with another text is refused; a higher version
    /// is filled beside the one that serves and takes over by itself. Returns at once, but a `sync` projection's first
    /// build is waited for, since it can be relied on only then.
    ///
    /// # Errors
    /// Findings of the check.
    pub async fn add(&self, file: &str, text: &str, by: Option<&str>) -> Result<Added, CommandError> {
        let _ = (file, text, by, &self.store);
        unimplemented!()
    }

    /// How all projections are, by name.
    pub async fn list(&self) -> Result<Vec<Status>, CommandError> {
        unimplemented!()
    }

    /// How one is.
    pub async fn status(&self, name: &Name) -> Result<Status, CommandError> {
        let _ = name;
        unimplemented!()
    }

    /// Fills a new build of the version that serves (or of the newest). Written down before it returns.
    pub async fn rebuild(&self, name: &Name, workers: Option<u16>, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, workers, by);
        unimplemented!()
    }

    /// Gives up the build that fills, and drops its tables.
    pub async fn cancel(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, by);
        unimplemented!()
    }

    /// Stops it where it is.
    pub async fn pause(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, by);
        unimplemented!()
    }

    /// Lets it go on after a pause.
    pub async fn resume(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, by);
        unimplemented!()
    }

    /// Tries the event again that it failed on.
    pub async fn retry(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, by);
        unimplemented!()
    }

    /// Passes over the event that it failed on.
    pub async fn skip(&self, name: &Name, reason: &str, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, reason, by);
        unimplemented!()
    }

    /// Lets the version before serve again: it is brought to the head and then takes over.
    pub async fn rollback(&self, name: &Name, by: Option<&str>) -> Result<Status, CommandError> {
        let _ = (name, by);
        unimplemented!()
    }

    /// Drops the version that is kept for a rollback; with `all`, the projection with all its builds.
    pub async fn drop_builds(&self, name: &Name, all: bool, by: Option<&str>) -> Result<(), CommandError> {
        let _ = (name, all, by);
        unimplemented!()
    }

    /// Folds again and compares with what serves. The runner of that build waits meanwhile only as long as it must.
    pub async fn verify(
        &self,
        name: &Name,
        sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, CommandError> {
        let _ = (name, sample, progress);
        unimplemented!()
    }

    /// Refreshes a materialized view now.
    pub async fn refresh(&self, name: &Name, view: &str) -> Result<Vec<Materialized>, CommandError> {
        let _ = (name, view);
        unimplemented!()
    }

    /// Answers a question in SQL.
    pub async fn query(&self, ask: Ask) -> Result<Answer, AskError> {
        let _ = ask;
        unimplemented!()
    }

    /// Answers a point read, from memory where nothing was committed to that projection since.
    pub async fn lookup(
        &self,
        lookup: Lookup,
        at_least: Option<&Checkpoint>,
        deadline: Duration,
    ) -> Result<Arc<Answer>, AskError> {
        let _ = (lookup, at_least, deadline);
        unimplemented!()
    }

    /// What a table had at one moment and not at another: the rows of both that differ, behind a column `change` that says
    /// `-` (only `from` has it) or `+` (only `to`).
    pub async fn diff(&self, table: &str, from: Moment, to: Moment, limits: QueryLimits) -> Result<Answer, AskError> {
        let _ = (table, from, to, limits, BuildNumber(0), &self.engine);
        unimplemented!()
    }
}

//! What a server asks about read models: commands on projections, their status, queries that wait.

mod adding;
mod asking;
mod cache;
mod commands;
mod difference;
mod record;
mod status;

use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, Weak};
use std::time::Duration;

use pacioli_core::place::Checkpoint;
use pacioli_core::{Clock, EventStore, ReadError, StoreError, SystemClock};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::engine::{Engine, EngineError, Moment, QueryError, QueryLimits};
use crate::file::{Finding, Name};
use crate::runner::{Shared, supervise};

use cache::PointReads;

pub(crate) use record::{Command, last_verified, record};
pub(crate) use status::verified_status;
pub use status::{ErrorStatus, ProjectionReader, Status, VerifiedStatus};

/// How read models are run.
#[derive(Clone)]
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
    /// The time, for ages and schedules. No decision about order depends on it.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ReadModelsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadModelsOptions")
            .field("owner", &self.owner)
            .field("batch_max", &self.batch_max)
            .field("lease_for", &self.lease_for)
            .field("stalled_after", &self.stalled_after)
            .field("cache_bytes_max", &self.cache_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Default for ReadModelsOptions {
    fn default() -> Self {
        ReadModelsOptions {
            owner: format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()),
            batch_max: 5_000,
            lease_for: Duration::from_secs(3),
            stalled_after: Duration::from_secs(300),
            cache_bytes_max: 32 << 20,
            clock: Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)))),
        }
    }
}

/// The read models of one store: runs their projections and answers questions. Clones share it; when the last one is
/// dropped, everything it started ends.
///
/// Commands work on every server, also where another one runs the projection: what is to be lies in the engine's
/// catalogue, which every leader reads twice a second, and the server that got the command at once. Commands of all servers
/// come one after the other. Each is done as a whole even where its caller goes away, and is then written into the stream
/// `$projection-NAME` with its actor. A command that was done and could not be written there is not undone: the server logs
/// an error that holds all that the event would have said.
#[derive(Clone)]
pub struct ReadModels {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Held by the command that is under way.
    commanding: Mutex<()>,
    point_reads: PointReads,
    stop: watch::Sender<bool>,
    supervisor: SyncMutex<Option<JoinHandle<()>>>,
}

/// Read models of which somebody only wants to know while they are there: it does not keep them.
#[derive(Clone)]
pub struct WeakReadModels(Weak<Inner>);

impl WeakReadModels {
    /// The read models, if they are there still.
    pub fn upgrade(&self) -> Option<ReadModels> {
        self.0.upgrade().map(|inner| ReadModels { inner })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            supervisor.abort();
        }
    }
}

impl ReadModels {
    /// Starts the runner: it takes the leases of projections that nobody runs and advances them, until
    /// [`ReadModels::stop`]. To be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The catalogue or the head cannot be read.
    pub async fn start(
        engine: Arc<dyn Engine>,
        store: Arc<dyn EventStore>,
        options: ReadModelsOptions,
    ) -> Result<ReadModels, EngineError> {
        let point_reads = PointReads::new(options.cache_bytes_max);
        let shared = Arc::new(Shared::open(engine, store, options).await?);
        let stop = watch::Sender::new(false);
        let supervisor = tokio::spawn(supervise(Arc::clone(&shared), stop.subscribe()));
        let supervisor = SyncMutex::new(Some(supervisor));
        Ok(ReadModels {
            inner: Arc::new(Inner { shared, commanding: Mutex::default(), point_reads, stop, supervisor }),
        })
    }

    /// Stops the runner and gives its leases back, within a few seconds. Questions are answered still.
    pub async fn stop(&self) {
        self.inner.stop.send_replace(true);
        let supervisor = self.inner.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut supervisor) = supervisor
            && tokio::time::timeout(STOP_MAX, &mut supervisor).await.is_err()
        {
            supervisor.abort();
        }
    }

    /// A handle that does not keep them.
    pub fn downgrade(&self) -> WeakReadModels {
        WeakReadModels(Arc::downgrade(&self.inner))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn commanding(&self) -> &Mutex<()> {
        &self.inner.commanding
    }

    fn point_reads(&self) -> &PointReads {
        &self.inner.point_reads
    }
}

/// How long the runner may take to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

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

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// A projection has not come to the checkpoint that was asked for in time.
    #[error(
        "projection `{projection}` is at {checkpoint} and was to be at {at_least}{}",
        .why.as_deref().map_or("; it goes on, ask again later".to_owned(), |why| format!(": {why}"))
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

fn no_such_projection(name: &Name) -> CommandError {
    CommandError::NotFound(format!(
        "there is no projection `{name}`; `pacioli projection list` shows those that there are"
    ))
}

fn no_such_table(table: &str) -> AskError {
    AskError::NotFound(format!(
        "no projection that serves has a table or view `{table}`; `pacioli projection list` shows those that there are"
    ))
}

fn store_error(error: ReadError) -> CommandError {
    CommandError::Store(as_store_error(error))
}

fn as_store_error(error: ReadError) -> StoreError {
    match error {
        ReadError::Store(error) => error,
        other => StoreError::new(other.to_string()),
    }
}

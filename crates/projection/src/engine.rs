//! What an engine does for read models. The runner decides when; an engine keeps the tables, the progress and the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::place::{Checkpoint, Epoch, Partition, Place, Position};
use pacioli_core::schemas::Gate;
use pacioli_core::{EventType, StoreError, Timestamp};

use crate::answer::Answer;
use crate::file::{Finding, Mode, Name, Projection};

/// The number of one filling of a projection's tables: 1, 2, 3 … for each projection, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildNumber(pub u32);

/// One filling of a projection's tables, as the engine's catalogue has it.
#[derive(Clone, Debug)]
pub struct Build {
    /// The projection as it was when the build began, parsed again from the text that the catalogue keeps.
    pub projection: Arc<Projection>,
    /// Which build of it.
    pub number: BuildNumber,
    /// What it is for.
    pub role: Role,
    /// How it is.
    pub state: State,
    /// Where it stands: one row for each worker and partition.
    pub progress: Vec<Progress>,
    /// What it passed over since it began, because it does not understand the versions: how many events of each type. They
    /// are counted in the transaction that moves the progress over them.
    pub passed_over: PassedOver,
    /// How many workers share its streams; 1 unless the file says `parallel-by: stream`. Fixed when it begins.
    pub workers: u16,
    /// When it began.
    pub began_at: Timestamp,
    /// When it came to serve; `None` while it fills.
    pub served_at: Option<Timestamp>,
}

impl Build {
    /// Whether appends themselves keep it at the head: it is `sync`, serves, and did not fail.
    pub fn runs_in_appends(&self) -> bool {
        self.role == Role::Serving && self.projection.mode == Mode::Sync && self.state == State::Running
    }

    /// Everything up to here is in its tables: the least of its workers.
    pub fn checkpoint(&self, head: &Checkpoint) -> Checkpoint {
        least(&self.progress, head.partitions(), head.epoch())
    }
}

/// The least position of all workers in each partition.
pub(crate) fn least(progress: &[Progress], partitions: u16, epoch: Epoch) -> Checkpoint {
    let least = |partition: u16| {
        let stands = progress.iter().filter(|stands| stands.partition == Partition(partition));
        stands.map(|stands| stands.position).min().unwrap_or_default()
    };
    Checkpoint::new((0..partitions).map(least), epoch)
}

/// How many events of each type were passed over.
pub type PassedOver = BTreeMap<EventType, u64>;

/// What a build is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is being filled, to serve later.
    Filling,
    /// Queries read it.
    Serving,
    /// It served before and can again (`rollback`). Nothing advances it.
    Kept,
}

/// How a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It advances, or is at the head.
    Running,
    /// Somebody paused it.
    Paused,
    /// A statement failed on an event. It stays there until somebody retries or skips.
    Failed(Failed),
}

/// The event that a build stopped at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Where the event is; nothing of it is in the tables.
    pub place: Place,
    /// What the database said, with the statement's file and line where they are known.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

/// Where one worker of a build stands in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which worker: 0 up to the build's number of workers.
    pub worker: u16,
    /// Which partition.
    pub partition: Partition,
    /// Everything up to and including this position is in the tables.
    pub position: Position,
    /// How many events were applied.
    pub events: u64,
    /// The epoch of the log in which it was written: a log that was rewound since may not have all of these events.
    pub epoch: Epoch,
}

/// A bounded piece of work: the events of one partition and one worker, in order, in one transaction with the progress.
#[derive(Clone, Debug)]
pub struct Advance {
    /// Which build, as [`Engine::builds`] or [`Engine::begin`] told it.
    pub build: Arc<Build>,
    /// Which worker: it applies the events of the streams whose hash falls to it.
    pub worker: u16,
    /// Which partition.
    pub partition: Partition,
    /// From where the worker stands. The engine refuses with [`AdvanceError::Moved`] where it stands elsewhere.
    pub after: Position,
    /// To this position at most, which is committed.
    pub up_to: Position,
    /// Events that match, at most; the engine stops behind the last of them.
    pub events_max: usize,
    /// The log's epoch, to be written beside the progress.
    pub epoch: Epoch,
}

/// What an [`Advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// Where the worker stands now: `up_to`, or the last of `events_max` events.
    pub position: Position,
    /// Events that were applied.
    pub events: u64,
}

/// Why a build did not advance. Its tables and its progress are as they were.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdvanceError {
    /// Another runner moved it, or it is gone: look at the catalogue again.
    #[error("the build stands elsewhere than was thought")]
    Moved,
    /// A statement failed. Where the event is not known (a set-based statement saw all of them), ask for fewer.
    #[error("{error}")]
    Event {
        /// The event, where it is known.
        place: Option<Place>,
        /// What the database said.
        error: String,
    },
    /// The storage failed; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command on a projection was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be, and why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The file is not one that can run here.
    #[error("{}", crate::file::listed(.0))]
    File(Vec<Finding>),
    /// The storage failed; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A question in SQL.
#[derive(Clone, Debug)]
pub struct Query {
    /// One statement that reads.
    pub sql: String,
    /// As of when; `None` is now.
    pub as_of: Option<Moment>,
    /// Its bounds.
    pub limits: QueryLimits,
}

/// A moment of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// What was recorded up to and including this time.
    Recorded(Timestamp),
    /// What was recorded up to this checkpoint.
    At(Checkpoint),
    /// What had occurred by then, by `occurred_at`, in the order of the log, whenever it was recorded.
    Occurred(Timestamp),
}

/// What is too much for a query.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Rows at most.
    pub rows_max: usize,
    /// Bytes of the answer at most.
    pub bytes_max: usize,
    /// How long it may take.
    pub time_max: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits { rows_max: 100_000, bytes_max: 64 << 20, time_max: Duration::from_secs(30) }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// It is not one statement that reads, or uses what a query may not; and what would do instead.
    #[error("{0}")]
    Refused(String),
    /// The database did not understand it.
    #[error("{0}")]
    Invalid(String),
    /// It is over one of the [limits](QueryLimits); says which and what to do.
    #[error("{0}")]
    TooMuch(String),
    /// It took longer than its time.
    #[error("the query took longer than {} ms; ask for less, or give it more time", .0.as_millis())]
    Late(Duration),
    /// The storage failed; try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A point read of one table of a read model: rows where columns have these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The table.
    pub table: String,
    /// Column and value as text; the engine converts the value to the column's type.
    pub equals: Vec<(String, String)>,
    /// Column to order by, and whether the greatest comes first.
    pub order: Option<(String, bool)>,
    /// Rows at most.
    pub limit: usize,
}

/// What a comparison of a build's tables with a fresh fold found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Up to where both were folded.
    pub checkpoint: Checkpoint,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that differ, the first few in words: table, row, which side has it.
    pub differences: Vec<String>,
    /// How many rows differ.
    pub different: u64,
}

/// How much of a build to verify.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// All of it.
    All,
    /// The streams of one part in `of`, chosen by hash; only where the file says `parallel-by: stream`.
    Streams {
        /// One of this many parts.
        of: u16,
        /// Which of them.
        part: u16,
    },
}

/// A materialized view of a build, which is refreshed as a whole (PostgreSQL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Materialized {
    /// Its name.
    pub view: String,
    /// How often; `None` is on demand.
    pub every: Option<Duration>,
    /// When it was last refreshed.
    pub refreshed_at: Option<Timestamp>,
}

/// What an engine can do beyond the common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// `mode: sync`.
    pub sync: bool,
    /// Workers of one build that advance at the same time, at most.
    pub workers_max: u16,
}

/// Keeps the tables of projections and answers queries over them. The runner is the only caller of what changes a build.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// What knows which versions of schemas a projection understands; `None` where the store was opened without one.
    fn gate(&self) -> Option<Arc<dyn Gate>> {
        None
    }

    /// The log's head, asked of the storage.
    async fn head(&self) -> Result<Checkpoint, StoreError>;

    /// The last position of each partition that was recorded up to and including `moment`'s time; for a moment of
    /// occurrence, the head.
    async fn cut(&self, moment: &Moment) -> Result<Checkpoint, StoreError>;

    /// Returns once the head may lie past `seen`, or after `patience`. A hint: ask [`Engine::head`].
    async fn moved(&self, seen: &Checkpoint, patience: Duration);

    /// Checks a file against this database: its statements are prepared where its tables would be, and thrown away.
    /// Findings are errors or warnings, each with its line.
    async fn check(&self, projection: &Projection) -> Result<Vec<Finding>, EngineError>;

    /// All builds there are. Asked twice a second: a file that was parsed once need not be parsed again.
    async fn builds(&self) -> Result<Vec<Build>, EngineError>;

    /// The build that serves and where it stands; `None` where none does. Asked every 20 ms while somebody waits for a
    /// projection that another server runs, so an engine that can answer it from one row should.
    async fn serving(&self, name: &Name) -> Result<Option<(BuildNumber, Vec<Progress>)>, EngineError> {
        let builds = self.builds().await?;
        let serves = |build: &Build| build.projection.name == *name && build.role == Role::Serving;
        Ok(builds.into_iter().find(serves).map(|build| (build.number, build.progress)))
    }

    /// Makes the tables of a new build at the start of the log and writes it into the catalogue. A projection's first
    /// build serves at once unless it is `sync`; any other is [`Role::Filling`]. Never called while
    /// another build of it fills, unless two servers give commands at once: that may be refused.
    async fn begin(&self, projection: &Projection, workers: u16) -> Result<Build, EngineError>;

    /// Applies events and moves the progress, in one transaction. A build that is kept does not move
    /// ([`AdvanceError::Moved`]): a server that was asleep may still believe that it serves.
    async fn advance(&self, advance: Advance) -> Result<Advanced, AdvanceError>;

    /// Passes over the one event that a build failed at, and sets it running.
    async fn skip(&self, name: &Name, build: BuildNumber, place: Place) -> Result<(), EngineError>;

    /// Writes down how a build is.
    async fn set_state(&self, name: &Name, build: BuildNumber, state: State) -> Result<(), EngineError>;

    /// Lets a build that fills serve, in one transaction; the one that served is kept, and one kept before is dropped.
    /// A `sync` build is first taken to the head while nobody appends. Refused where the build does not fill (any more):
    /// two servers may both believe that they run a projection.
    async fn swap(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError>;

    /// Lets a kept build fill again from where it stands, so that the runner brings it to the head and swaps. Refused where
    /// the build is not kept (any more).
    async fn take_back(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError>;

    /// Drops a build's tables and its catalogue row.
    async fn drop_build(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError>;

    /// Saves the tables of the serving build as they are, for queries of the past. Keeps the newest few.
    async fn keep_copy(&self, name: &Name, build: BuildNumber) -> Result<Checkpoint, EngineError>;

    /// Folds again and compares. `progress` is told the share that is done, 0 to 1.
    async fn verify(
        &self,
        name: &Name,
        build: BuildNumber,
        sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, EngineError>;

    /// The materialized views of a build, with their age.
    async fn materialized(&self, name: &Name, build: BuildNumber) -> Result<Vec<Materialized>, EngineError>;

    /// Refreshes one of them; two refreshes of one view never overlap.
    async fn refresh(&self, name: &Name, build: BuildNumber, view: &str) -> Result<(), EngineError>;

    /// The projections whose tables a statement names.
    async fn named_by(&self, sql: &str) -> Result<Vec<Name>, QueryError>;

    /// Answers a query: over the serving builds and the relation `events`, read-only by construction.
    async fn query(&self, query: Query) -> Result<Answer, QueryError>;

    /// Answers a point read of a serving build.
    async fn lookup(&self, lookup: Lookup, limits: QueryLimits) -> Result<Answer, QueryError>;

    /// The rows of one relation of a serving build as of a moment, as a query for all of its columns would give them.
    async fn rows_as_of(&self, table: &str, moment: &Moment, limits: QueryLimits) -> Result<Answer, QueryError>;
}

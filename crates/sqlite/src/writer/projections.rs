//! `sync` projections: they run in the transaction of every batch, in files that are attached to the writer's connection.
//!
//! ```text
//!   an append ──► decide ──► would it be accepted? run the projections on its events ──► accepted
//!                                │ a statement fails
//!                                ▼
//!                             back to the savepoint; those behind it are run again; this one is refused
//!
//!   all of them ──► move the projections' progress ──► write the log's rows ──► COMMIT: the log's file first, then theirs
//! ```
//!
//! **Invariants.** A build that serves stands at the head after every batch, or it is known to be behind and takes no append
//! that it wants until it is at the head again. Its file is never ahead of the log: COMMIT syncs the log before it writes to
//! the file. Its rows and its progress move together, and only from where they stood.

mod attach;
mod behind;
mod catch_up;
mod rounds;
mod serving;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, params};

use pacioli_core::append::Refusal;
use pacioli_core::place::{Checkpoint, Position};
use pacioli_core::schemas::Gate;
use pacioli_core::store::StoreError;
use pacioli_core::{EventType, RecordedEvent, Timestamp};
use pacioli_projection::Projection;
use pacioli_projection::engine::{BuildNumber, Failed, PassedOver};
use pacioli_projection::file::Name;

use crate::error::Error;
use crate::models::handlers::{Applier, ApplyError, Handlers};
use crate::models::shapes::count_passed_over;
use attach::Attached;

pub(crate) use attach::relations;
pub(crate) use serving::{NotServing, ProjectionCommand};

/// How many `sync` projections a store has at most: SQLite attaches ten files to a connection.
pub(crate) const SYNC_PROJECTIONS_MAX: usize = 8;

/// How many appends one savepoint is for at most.
const APPENDS_A_SAVEPOINT: usize = 64;

/// What is said where there is no room for another one.
pub(crate) fn no_room() -> String {
    format!(
        "a store on SQLite has at most {SYNC_PROJECTIONS_MAX} sync projections, since each is another file in every append's \
         transaction: drop one, or make this one async"
    )
}

/// A build of a `sync` projection that is to serve.
#[derive(Clone, Debug)]
pub(crate) struct SyncBuild {
    /// Its projection.
    pub(crate) projection: Arc<Projection>,
    /// Which build of it.
    pub(crate) number: BuildNumber,
    /// Its file.
    pub(crate) file: PathBuf,
    /// What it does.
    pub(crate) handlers: Arc<Handlers>,
}

impl SyncBuild {
    /// The build of this projection in this file.
    pub(crate) fn new(
        projection: Arc<Projection>,
        number: BuildNumber,
        file: PathBuf,
        gate: Option<&Arc<dyn Gate>>,
    ) -> SyncBuild {
        let handlers = Arc::new(Handlers::new(&projection, gate));
        SyncBuild { projection, number, file, handlers }
    }

    fn name(&self) -> &Name {
        &self.projection.name
    }
}

/// How a `sync` projection that serves is, for those who ask.
#[derive(Clone, Debug)]
pub(crate) struct SyncStands {
    /// Its name.
    pub(crate) name: Name,
    /// The build that serves.
    pub(crate) number: BuildNumber,
    /// Its file.
    pub(crate) file: PathBuf,
    /// Where and why it is behind the log, where it is.
    pub(crate) behind: Option<Failed>,
}

/// The `sync` projections that serve.
#[derive(Debug, Default)]
pub(super) struct SyncProjections {
    served: Vec<Served>,
}

/// One of them.
#[derive(Debug)]
struct Served {
    build: SyncBuild,
    /// `None` where its file could not be attached.
    attached: Option<Attached>,
    standing: Standing,
}

/// Whether a build can be relied on.
#[derive(Debug)]
enum Standing {
    /// Everything up to the head is in its tables.
    AtHead,
    /// It is behind. Appends that it wants are not taken until it is not.
    Behind(Behind),
}

#[derive(Debug)]
struct Behind {
    /// As appenders are told it.
    why: StoreError,
    /// As it is told of the projection: the event it stopped at, where that is known, and else the first that it has not.
    failed: Failed,
    /// When to try again to bring it to the head.
    again_at: Timestamp,
}

/// Why the projections did not take the events of an append, or not move on.
#[derive(Debug)]
enum RunError {
    /// A statement failed.
    Refused(Refusal),
    /// The build with this index does not stand where it was left.
    Moved(usize),
    /// The file of the build with this index is damaged or cannot be used, and the others can.
    Broken(usize, Error),
    /// The storage failed.
    Storage(Error),
}

impl From<rusqlite::Error> for RunError {
    fn from(error: rusqlite::Error) -> RunError {
        RunError::Storage(error.into())
    }
}

impl Served {
    fn wants(&self, event: &RecordedEvent) -> bool {
        self.build.handlers.filter().matches(event) && self.build.handlers.wants(event)
    }
}

impl SyncProjections {
    pub(super) fn is_empty(&self) -> bool {
        self.served.is_empty()
    }

    fn position(&self, name: &Name) -> Option<usize> {
        self.served.iter().position(|served| served.build.name() == name)
    }

    /// Why an append with these events cannot be taken now: a projection that wants them is behind the log.
    fn unavailable(&self, events: &[Arc<RecordedEvent>]) -> Option<StoreError> {
        self.served.iter().find_map(|served| match &served.standing {
            Standing::Behind(behind) if events.iter().any(|event| served.wants(event)) => Some(StoreError {
                reason: format!(
                    "the sync projection `{}` is behind the log and takes no events until it is not: {}",
                    served.build.name(),
                    behind.why.reason
                ),
                is_full: behind.why.is_full,
            }),
            _ => None,
        })
    }

    /// Those that are at the head, to be run in the transaction that `conn` has begun.
    fn running<'c>(&'c self, conn: &'c Connection) -> Running<'c> {
        let mut running = Running {
            conn,
            projections: Vec::with_capacity(self.served.len()),
            since_savepoint: None,
            appends_max: APPENDS_A_SAVEPOINT,
        };
        for (index, served) in self.served.iter().enumerate() {
            if let (Some(attached), Standing::AtHead) = (&served.attached, &served.standing) {
                running.projections.push(RunningProjection {
                    index,
                    served,
                    attached,
                    applier: Applier::new(&served.build.handlers, conn),
                    wanted: Vec::new(),
                    passing: Vec::new(),
                    passed_over: PassedOver::new(),
                    applied: Vec::new(),
                });
            }
        }
        running
    }
}

/// The projections in one transaction.
struct Running<'c> {
    conn: &'c Connection,
    projections: Vec<RunningProjection<'c>>,
    /// The events of each append that was taken since the savepoint, where there is one.
    since_savepoint: Option<Vec<Vec<Arc<RecordedEvent>>>>,
    /// How many appends the next savepoint is for.
    appends_max: usize,
}

struct RunningProjection<'c> {
    index: usize,
    served: &'c Served,
    attached: &'c Attached,
    applier: Applier<'c>,
    /// The events of the append that it wants.
    wanted: Vec<Arc<RecordedEvent>>,
    /// What it passes over of that append.
    passing: Vec<(Position, EventType)>,
    /// What it passed over.
    passed_over: PassedOver,
    /// How many events of each partition it took.
    applied: Vec<u64>,
}

impl Running<'_> {
    /// Runs them on the events of one append. Where one of them refuses it, nothing of it is there afterwards, unless SQLite
    /// has rolled back the whole transaction. After any other error the transaction has to be.
    fn append(&mut self, events: &[Arc<RecordedEvent>]) -> std::result::Result<(), RunError> {
        if !self.projections.iter().any(|projection| events.iter().any(|event| projection.served.wants(event))) {
            return Ok(());
        }
        self.set_savepoint_if_due()?;
        match self.run(events) {
            Ok(()) => {
                self.projections.iter_mut().for_each(RunningProjection::count);
                self.since_savepoint.get_or_insert_default().push(events.to_vec());
                Ok(())
            }
            Err(RunError::Refused(refusal)) if !self.conn.is_autocommit() => {
                self.return_to_savepoint()?;
                Err(RunError::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// A savepoint is for many appends, because some kinds of tables pay for each. Behind a refused append the next one is
    /// for one, then for two, and so on: what is run again is never more than what was run before it.
    fn set_savepoint_if_due(&mut self) -> std::result::Result<(), RunError> {
        if self.since_savepoint.as_ref().is_some_and(|since| since.len() >= self.appends_max) {
            self.release_savepoint()?;
            self.appends_max = (self.appends_max * 2).min(APPENDS_A_SAVEPOINT);
        }
        if self.since_savepoint.is_none() {
            self.execute(sql!("sync/begin_appends"))?;
            self.since_savepoint = Some(Vec::new());
        }
        Ok(())
    }

    fn release_savepoint(&mut self) -> std::result::Result<(), RunError> {
        if self.since_savepoint.take().is_some() {
            self.execute(sql!("sync/keep_appends"))?;
        }
        Ok(())
    }

    fn return_to_savepoint(&mut self) -> std::result::Result<(), RunError> {
        self.execute(sql!("sync/undo_appends"))?;
        for events in self.since_savepoint.take().unwrap_or_default() {
            self.run(&events).map_err(|error| match error {
                RunError::Refused(refusal) => RunError::Storage(Error::Store(format!(
                    "{refusal}; and that of an event that it took when it was run on it before"
                ))),
                error => error,
            })?;
        }
        self.execute(sql!("sync/keep_appends"))?;
        self.appends_max = 1;
        Ok(())
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(statement)?.execute([]).map(drop)
    }

    fn run(&mut self, events: &[Arc<RecordedEvent>]) -> std::result::Result<(), RunError> {
        for projection in &mut self.projections {
            projection.wanted.clear();
            projection.wanted.extend(events.iter().filter(|event| projection.served.wants(event)).cloned());
            let brought = projection.served.build.handlers.shapes().bring(&mut projection.wanted);
            if let Some(withheld) = brought.withheld {
                return Err(projection.refused(withheld.to_string()));
            }
            projection.passing = brought.passed_over;
            projection.take(self.conn)?;
        }
        Ok(())
    }

    /// Moves all of them on, with everything they took and everything they did not want.
    fn finish(mut self, before: &Checkpoint, after: &Checkpoint) -> std::result::Result<(), RunError> {
        self.release_savepoint()?;
        self.flush_full_text()?;
        for projection in &self.projections {
            for (from, to) in before.iter().zip(after.iter()).filter(|(from, to)| from.position < to.position) {
                let events = projection.applied.get(to.partition.index()).copied().unwrap_or(0);
                let mut statement = self.conn.prepare_cached(&projection.attached.move_progress)?;
                let row = params![to.partition.0, from.position.0 as i64, to.position.0 as i64, events as i64];
                if statement.execute(row).map_err(|error| projection.failed(error.into()))? != 1 {
                    return Err(RunError::Moved(projection.index));
                }
            }
            count_passed_over(self.conn, &projection.attached.count_passed_over, &projection.passed_over)
                .map_err(|error| projection.failed(error.into()))?;
        }
        Ok(())
    }

    /// Writes what full-text tables keep in memory, so that it cannot fail in COMMIT.
    fn flush_full_text(&self) -> std::result::Result<(), RunError> {
        let Some(first) = self.projections.iter().find(|projection| projection.attached.has_full_text) else {
            return Ok(());
        };
        for statement in [sql!("sync/begin_appends"), sql!("sync/keep_appends")] {
            self.execute(statement).map_err(|error| first.failed(error.into()))?;
        }
        Ok(())
    }
}

impl RunningProjection<'_> {
    fn take(&mut self, conn: &Connection) -> std::result::Result<(), RunError> {
        apply(conn, self.attached, &mut self.applier, &self.wanted).map_err(|error| match error {
            ApplyError::Statement { error, .. } => self.refused(error),
            ApplyError::Sqlite(error) => self.failed(error.into()),
        })
    }

    fn refused(&self, reason: String) -> RunError {
        RunError::Refused(Refusal::ByProjection { projection: self.served.build.name().to_string(), reason })
    }

    fn count(&mut self) {
        for (_, event_type) in self.passing.drain(..) {
            *self.passed_over.entry(event_type).or_default() += 1;
        }
        for event in self.wanted.drain(..) {
            let partition = event.partition.index();
            if self.applied.len() <= partition {
                self.applied.resize(partition + 1, 0);
            }
            self.applied[partition] += 1;
        }
    }

    /// A damaged file is the trouble of its projection. A full disk or a failed write is everybody's.
    fn failed(&self, error: Error) -> RunError {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly};
        match error.code() {
            Some(DatabaseCorrupt | NotADatabase | CannotOpen | ReadOnly) => RunError::Broken(self.index, error),
            _ => RunError::Storage(error),
        }
    }
}

/// Applies events to an attached build: for each the statements of its type, then those that see all of them.
fn apply(
    conn: &Connection,
    attached: &Attached,
    applier: &mut Applier<'_>,
    events: &[Arc<RecordedEvent>],
) -> std::result::Result<(), ApplyError> {
    for event in events {
        applier.event(event)?;
    }
    if let (Some(batch), [first, others @ ..]) = (&attached.batch, events) {
        batch.fill(conn, events)?;
        applier.batch(others.is_empty().then(|| first.place()))?;
    }
    Ok(())
}

//! Advancing a build: events, rows and progress in one transaction, from where it stood and nowhere else.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use pacioli_core::store::StoreError;
use pacioli_core::{Place, RecordedEvent};
use pacioli_projection::crash_point;
use pacioli_projection::engine::{Advance, AdvanceError, Advanced};

use super::build::{BuildFile, Writing};
use super::events::{self, Wanted};
use super::handlers::{Applier, ApplyError, Handlers};
use super::shapes;
use crate::error::Error;
use crate::store::Shared;

/// Why nothing was applied.
#[derive(Debug)]
enum Stopped {
    /// The build stands elsewhere.
    Moved,
    /// A statement or the build's file failed.
    Apply(ApplyError),
    /// The log could not be read.
    Log(Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Stopped {
        Stopped::Apply(error.into())
    }
}

impl From<ApplyError> for Stopped {
    fn from(error: ApplyError) -> Stopped {
        Stopped::Apply(error)
    }
}

impl From<Stopped> for AdvanceError {
    fn from(stopped: Stopped) -> AdvanceError {
        match stopped {
            Stopped::Moved => AdvanceError::Moved,
            Stopped::Apply(ApplyError::Statement { place, error }) => AdvanceError::Event { place, error },
            Stopped::Apply(ApplyError::Sqlite(error)) => AdvanceError::Store(of_read_model(error.into())),
            // One event that cannot be relied on stops the projection, until somebody decides to pass over it.
            Stopped::Log(Error::Damaged { place, problem }) => AdvanceError::Event {
                place: Some(place),
                error: format!("the event is damaged: {problem}; restore the log from a backup, or skip the event"),
            },
            Stopped::Log(error) => AdvanceError::Store(error.into_store_error()),
        }
    }
}

/// Does one advance. Runs on a thread that may block.
pub(super) fn advance(
    shared: &Arc<Shared>,
    file: &Arc<BuildFile>,
    advance: &Advance,
) -> Result<Advanced, AdvanceError> {
    let Advance { worker, partition, after, up_to, events_max, .. } = *advance;
    let wanted = Wanted { partition, after, up_to, events_max: events_max.max(1) };
    if up_to <= after {
        return Ok(Advanced { position: after, events: 0 });
    }
    let advanced = file.write(|writing| {
        let is_there = |stands: Option<i64>| stands == Some(after.0 as i64);
        // Asked before anything is read, and again in the transaction, which has the file for itself.
        if !is_there(stands(&writing.conn, worker, partition.0)?) {
            return Err(Stopped::Moved);
        }
        let mut found = events::next(shared, file, wanted).map_err(Stopped::Log)?;
        if let Some(withheld) = found.withheld.take().filter(|_| found.events.is_empty()) {
            return Err(Stopped::Apply(withheld.into()));
        }
        begin(&writing.conn)?;
        if !is_there(stands(&writing.conn, worker, partition.0)?) {
            return Err(Stopped::Moved);
        }
        apply(&file.handlers, writing, &found.events)?;
        let applied = found.events.len() as u64;
        let moved = params![worker, partition.0, found.up_to.0 as i64, applied as i64];
        writing.conn.prepare_cached(sql!("models/move_progress"))?.execute(moved)?;
        let passed_over = found.passed_over();
        shapes::count_passed_over(&writing.conn, sql!("models/count_passed_over"), &passed_over)?;
        crash_point("advance:before-commit");
        commit(&writing.conn, &found.events)?;
        crash_point("advance:after-commit");
        file.moved(worker, partition, found.up_to, applied, passed_over);
        Ok(Advanced { position: found.up_to, events: applied })
    });
    Ok(advanced?)
}

/// Applies events in order: what each brings, then what sees all of them.
pub(super) fn apply(handlers: &Handlers, writing: &Writing, events: &[Arc<RecordedEvent>]) -> Result<(), ApplyError> {
    let mut applier = Applier::new(handlers, &writing.conn);
    for event in events {
        applier.event(event)?;
    }
    if let (Some(batch), false) = (&writing.batch, events.is_empty()) {
        batch.fill(&writing.conn, events)?;
        applier.batch(only(events))?;
    }
    Ok(())
}

/// The event, where there is one.
fn only(events: &[Arc<RecordedEvent>]) -> Option<Place> {
    match events {
        [event] => Some(event.place()),
        _ => None,
    }
}

pub(super) fn begin(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached(sql!("begin_write"))?.execute([]).map(drop)
}

/// Commits. A constraint that is checked at the end is a statement's failure too.
fn commit(conn: &Connection, events: &[Arc<RecordedEvent>]) -> Result<(), ApplyError> {
    let committed = conn.prepare_cached(sql!("commit"))?.execute([]);
    committed.map(drop).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            ApplyError::Statement { place: only(events), error: format!("at the end of the batch: {error}") }
        }
        _ => ApplyError::Sqlite(error),
    })
}

/// Where a worker stands in a partition.
fn stands(conn: &Connection, worker: u16, partition: u16) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(sql!("models/read_progress"))?;
    statement.query_row(params![worker, partition], |row| row.get(0)).optional()
}

/// What the storage says, of the file of a read model.
pub(super) fn of_read_model(error: Error) -> StoreError {
    if error.is_full() {
        return StoreError::full(
            "the disk is full: free space on the volume of the read models, they go on by themselves",
        );
    }
    match error {
        Error::Sqlite(error) => StoreError::new(format!("a read model's file failed: {error}")),
        other => other.into_store_error(),
    }
}

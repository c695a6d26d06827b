//! Folds into a scratch file: what a projection's tables were, or would be, at some moment.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;

use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::{Partition, RecordedEvent, Timestamp};
use pacioli_projection::Projection;
use pacioli_projection::engine::BuildNumber;
use twox_hash::XxHash3_64;

use super::advance;
use super::build::{self, Durability, Writing};
use super::events::{self, Found, Wanted};
use super::files;
use super::handlers::{ApplyError, Handlers};
use super::query::Bounds;
use crate::error::{Error, Result};
use crate::store::Shared;

/// Events applied between two looks at the clock.
const EVENTS_AT_ONCE: usize = 5_000;
/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS_A_LOOK: i32 = 10_000;

/// A scratch file. It goes with this value.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is removed at the next start.
        let _ = files::remove_database(&self.path);
    }
}

/// What to fold.
pub(super) struct Fold<'f> {
    pub(super) projection: &'f Projection,
    pub(super) handlers: &'f Handlers,
    /// Up to here.
    pub(super) up_to: Checkpoint,
    /// Only events that had occurred by then.
    pub(super) occurred_by: Option<Timestamp>,
    /// Only the streams of this part of so many.
    pub(super) part: Option<(u16, u16)>,
    /// Events that somebody passed over.
    pub(super) skipped: HashSet<Place>,
}

/// Why there is no fold.
#[derive(Debug)]
pub(super) enum FoldError {
    /// It took too long, or nobody waits for it any more.
    Over,
    /// A statement failed.
    Statement(String),
    /// The storage failed.
    Store(Error),
}

impl From<Error> for FoldError {
    fn from(error: Error) -> FoldError {
        FoldError::Store(error)
    }
}

impl From<rusqlite::Error> for FoldError {
    fn from(error: rusqlite::Error) -> FoldError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => FoldError::Over,
            _ => FoldError::Store(error.into()),
        }
    }
}

impl From<ApplyError> for FoldError {
    fn from(error: ApplyError) -> FoldError {
        match error {
            ApplyError::Statement { place: Some(place), error } => FoldError::Statement(format!("at {place}, {error}")),
            ApplyError::Statement { place: None, error } => FoldError::Statement(error),
            ApplyError::Sqlite(error) => error.into(),
        }
    }
}

impl Fold<'_> {
    /// Folds into `path`, which is either not there, or a build of the same projection that is not further.
    pub(super) fn run(
        &self,
        shared: &Shared,
        path: PathBuf,
        bounds: &Bounds,
        progress: &dyn Fn(f64),
    ) -> std::result::Result<Scratch, FoldError> {
        let scratch = Scratch { path };
        if !scratch.path.exists() {
            build::create(&scratch.path, self.projection, BuildNumber(0), &self.up_to, Durability::Scratch)?;
        }
        let mut writing = Writing::open(&scratch.path, self.handlers, Durability::Scratch)?;
        let its_bounds = bounds.clone();
        writing.conn.progress_handler(INSTRUCTIONS_A_LOOK, Some(move || its_bounds.are_over()))?;
        let stands =
            build::checkpoint(&build::read_progress(&writing.conn)?, self.up_to.partitions(), self.up_to.epoch());
        let all = stands.distance_to(&self.up_to).max(1) as f64;
        let mut done = 0;
        advance::begin(&writing.conn)?;
        for head in self.up_to.iter() {
            let after = stands.position(head.partition);
            self.run_partition(shared, &writing, head.partition, after, bounds, &mut |positions| {
                done += positions;
                progress(done as f64 / all);
            })?;
        }
        writing.conn.execute_batch(sql!("commit"))?;
        Ok(scratch)
    }

    fn run_partition(
        &self,
        shared: &Shared,
        writing: &Writing,
        partition: Partition,
        after: Position,
        bounds: &Bounds,
        done: &mut dyn FnMut(u64),
    ) -> std::result::Result<(), FoldError> {
        let up_to = self.up_to.position(partition);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel::<Result<Found>>(1);
            scope.spawn(move || {
                let mut after = after;
                while after < up_to {
                    let wanted = Wanted { partition, after, up_to, events_max: EVENTS_AT_ONCE };
                    let found = events::read_some(shared, self.handlers, wanted, |event| self.takes(event));
                    after = match &found {
                        Ok(Found { up_to, withheld: None, .. }) => *up_to,
                        _ => up_to,
                    };
                    if sender.send(found).is_err() {
                        break;
                    }
                }
            });
            let mut stands = after;
            for found in receiver {
                let Found { events, up_to, withheld, .. } = found?;
                if bounds.are_over() {
                    return Err(FoldError::Over);
                }
                if let Some(withheld) = withheld {
                    return Err(FoldError::Statement(withheld.to_string()));
                }
                advance::apply(self.handlers, writing, &events)?;
                done(up_to.0 - stands.0);
                stands = up_to;
            }
            Ok(())
        })
    }

    fn takes(&self, event: &RecordedEvent) -> bool {
        self.occurred_by.is_none_or(|by| event.occurred_at.unwrap_or(event.recorded_at) <= by)
            && self.part.is_none_or(|(of, part)| is_in_part(event.stream.as_str(), of, part))
            && (self.skipped.is_empty() || !self.skipped.contains(&event.place()))
    }
}

/// Whether a stream is in one part of so many.
fn is_in_part(stream: &str, of: u16, part: u16) -> bool {
    XxHash3_64::oneshot(stream.as_bytes()) % u64::from(of.max(1)) == u64::from(part)
}

/// The events that somebody passed over in a build.
pub(super) fn read_skipped(conn: &Connection) -> Result<HashSet<Place>> {
    let mut statement = conn.prepare(sql!("models/list_skipped"))?;
    let rows = statement.query_map([], |row| {
        let position = Position(u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default());
        Ok(Place { partition: Partition(row.get(0)?), position })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The same of a build's file.
pub(super) fn skipped_in(path: &Path) -> Result<HashSet<Place>> {
    read_skipped(&build::open_reader(path)?)
}

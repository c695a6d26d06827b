//! Queries of the past: the projections that a statement names are folded up to a moment, into scratch files, and the statement
//! runs there. The relation `events` ends at the same moment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::OptionalExtension;

use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::schemas::Generation;
use pacioli_core::{Partition, Timestamp};
use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{Moment, QueryError};

use super::Models;
use super::builds::{Builds, Known};
use super::copies;
use super::fold::{self, Fold, FoldError, Scratch};
use super::query::{self, Bounds};
use super::readers::{Events, Reader, Sources};
use super::window::{self, Plan};
use crate::error::{Result, rowid};
use crate::store;

/// Folds that are kept for the next question about the same moment.
const FOLDS_KEPT: usize = 4;

/// Folds of moments that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct Folds {
    kept: Mutex<VecDeque<(Key, Arc<Scratch>)>>,
}

/// What was folded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    hash: String,
    up_to: Checkpoint,
    occurred_by: Option<Timestamp>,
    /// The shapes of then are another fold.
    generation: Generation,
}

impl Folds {
    fn find(&self, key: &Key) -> Option<Arc<Scratch>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == key).map(|(_, scratch)| Arc::clone(scratch))
    }

    fn keep(&self, key: Key, scratch: Arc<Scratch>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= FOLDS_KEPT {
            kept.pop_front();
        }
        kept.push_back((key, scratch));
    }

    /// Forgets those of a projection.
    pub(super) fn forget(&self, name: &str) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(key, _)| key.name != name);
    }
}

/// Up to where a moment reaches, and by when its events have occurred.
#[derive(Clone, Debug)]
struct Cut {
    up_to: Checkpoint,
    occurred_by: Option<Timestamp>,
}

impl Models {
    /// The last position of each partition that a moment reaches.
    pub(super) fn cut(&self, moment: &Moment) -> std::result::Result<Checkpoint, QueryError> {
        let shared = self.shared();
        let head = shared.recent.heads();
        match moment {
            Moment::Occurred(_) => Ok(head),
            Moment::At(checkpoint) => {
                let resolved = shared.epochs.resolve(Some(checkpoint), &head);
                resolved.map_err(|error| QueryError::Invalid(format!("as of {checkpoint}: {error}")))
            }
            Moment::Recorded(time) => self.recorded_up_to(&head, *time).map_err(query::store_error),
        }
    }

    /// `recorded_at` never runs backwards in a partition, and positions have no gap: a binary search finds the last one.
    fn recorded_up_to(&self, head: &Checkpoint, time: Timestamp) -> Result<Checkpoint> {
        store::read_here(self.shared(), |reader| {
            let mut statement = reader.conn.prepare_cached(sql!("models/read_recorded_at"))?;
            let mut last_by = |partition: Partition, head: Position| -> Result<Position> {
                let (mut by, mut after) = (0, head.0 + 1);
                while by + 1 < after {
                    let middle = by + (after - by) / 2;
                    let place = Place { partition, position: Position(middle) };
                    let recorded_at: Option<i64> = statement.query_row([rowid(place)], |row| row.get(0)).optional()?;
                    if recorded_at.is_some_and(|recorded_at| recorded_at <= time.as_micros()) {
                        by = middle;
                    } else {
                        after = middle;
                    }
                }
                Ok(Position(by))
            };
            let positions = head.iter().map(|head| last_by(head.partition, head.position));
            Ok(Checkpoint::new(positions.collect::<Result<Vec<_>>>()?, head.epoch()))
        })
    }

    /// Answers a query as of a moment.
    pub(super) fn query_past(
        &self,
        builds: &Builds,
        sql: &str,
        moment: &Moment,
        bounds: &Bounds,
    ) -> std::result::Result<Answer, QueryError> {
        let plan = builds.window().map_err(query::store_error)?.plan(sql)?;
        let occurred_by = match moment {
            Moment::Occurred(time) => Some(*time),
            _ => None,
        };
        let cut = Cut { up_to: self.cut(moment)?, occurred_by };
        let mut folds = Vec::new();
        for at in &plan.builds {
            folds.push(self.folded(&builds.all[*at], &cut, bounds)?);
        }
        let sources = sources(builds, &plan, &folds, &cut);
        let reader = Reader::open(&sources, self.shared()).map_err(query::store_error)?;
        query::run_on(&reader, sql, &plan.is_json, [], bounds)
    }

    /// A build's tables as of a moment, from the folds that are kept, or made now.
    fn folded(&self, build: &Known, cut: &Cut, bounds: &Bounds) -> std::result::Result<Arc<Scratch>, QueryError> {
        let projection = &build.listed.projection;
        let key = Key {
            name: projection.name.as_str().to_owned(),
            hash: projection.hash.clone(),
            up_to: cut.up_to.clone(),
            occurred_by: cut.occurred_by,
            generation: self.shared().gate.as_ref().map(|gate| gate.generation()).unwrap_or_default(),
        };
        if let Some(scratch) = self.folds.find(&key) {
            return Ok(scratch);
        }
        let path = self.files.new_scratch();
        let folded = self.begin_near(build, cut, &path).map_err(FoldError::from).and_then(|()| {
            let fold = Fold {
                projection,
                handlers: &build.file.handlers,
                up_to: cut.up_to.clone(),
                occurred_by: cut.occurred_by,
                part: None,
                skipped: fold::skipped_in(&build.file.path)?,
            };
            fold.run(self.shared(), path, bounds, &|_| {})
        });
        let scratch = Arc::new(folded.map_err(|error| match error {
            FoldError::Over => bounds.late(),
            FoldError::Statement(error) => {
                QueryError::Invalid(format!("`{}` cannot be folded as of that moment: {error}", projection.name))
            }
            FoldError::Store(error) => query::store_error(error),
        })?);
        self.folds.keep(key, Arc::clone(&scratch));
        Ok(scratch)
    }

    /// Puts what is nearest before the moment where the fold goes on: the build itself where it is not past it, else a copy.
    fn begin_near(&self, build: &Known, cut: &Cut, scratch: &std::path::Path) -> Result<()> {
        // What had occurred by a time has been recorded in any order: nothing that was folded before is a beginning of it.
        if cut.occurred_by.is_some() {
            return Ok(());
        }
        let stands = super::build::checkpoint(&build.file.stands().progress, cut.up_to.partitions(), cut.up_to.epoch());
        if cut.up_to.covers(&stands) {
            copies::copy(&build.file.path, scratch)?;
            // It may have gone on meanwhile, past the moment.
            let conn = super::build::open_reader(scratch)?;
            if cut.up_to.covers(&super::build::read_checkpoint(&conn, cut.up_to.partitions())?) {
                return Ok(());
            }
            drop(conn);
            super::files::remove_database(scratch)
                .map_err(|error| crate::error::Error::Store(format!("a scratch file cannot be removed: {error}")))?;
        }
        let projection = &build.listed.projection;
        if let Some((copy, _)) = self.nearest_copy(&projection.name, &projection.hash, &cut.up_to)? {
            std::fs::copy(&copy, scratch).map_err(|error| {
                crate::error::Error::Store(format!("the copy {} cannot be read: {error}", copy.display()))
            })?;
        }
        Ok(())
    }
}

/// The files of a query of the past.
fn sources(builds: &Builds, plan: &Plan, folds: &[Arc<Scratch>], cut: &Cut) -> Sources {
    let files = plan.builds.iter().zip(folds).map(|(at, scratch)| {
        let mut source = window::source(builds, *at);
        source.path.clone_from(&scratch.path);
        source
    });
    let events = plan.events.then(|| match cut.occurred_by {
        Some(time) => Events::OccurredBy(time),
        None => Events::UpTo(cut.up_to.clone()),
    });
    Sources { files: files.collect(), events }
}

//! Folds events into tables that nobody queries yet: for a comparison, or for a question about the past.

use std::sync::Arc;

use pacioli_core::Timestamp;
use pacioli_core::place::Checkpoint;
use pacioli_projection::Projection;
use pacioli_projection::engine::EngineError;
use pacioli_projection::file::{Name, Severity};

use super::catalogue;
use super::check::{engine_error, lay};
use super::home::Home;
use crate::connect::Session;
use crate::error::{Error, Result};
use crate::row::Moment;

/// Events of one transaction of a fold.
const EVENTS_MAX: i32 = 20_000;
/// Positions that one step looks at.
const LOOKED_AT_MAX: i64 = 1 << 18;

/// Where one worker stands in one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) worker: i32,
    pub(super) part: i32,
    pub(super) position: i64,
}

/// A build as it is folded again.
pub(super) struct Original {
    pub(super) projection: Arc<Projection>,
    pub(super) schema: String,
    pub(super) workers: i32,
    pub(super) in_appends: bool,
    /// Events that somebody passed over: partition and position.
    skipped: Vec<(i32, i64)>,
}

/// Tables like those of a build, and where they stand.
pub(super) struct Fold<'a> {
    pub(super) home: &'a Home,
    pub(super) session: &'a Session,
    pub(super) original: &'a Original,
    pub(super) schema: String,
    /// How many workers share the streams; a multiple of the build's where only a sample of them is folded.
    pub(super) workers: i32,
    /// Only what had occurred by then.
    pub(super) until: Option<Timestamp>,
    pub(super) stands: Vec<Stand>,
}

impl Original {
    /// Reads a build: the one that serves where none is named.
    pub(super) async fn read(
        home: &Home,
        session: &Session,
        name: &Name,
        number: Option<i32>,
    ) -> std::result::Result<Original, EngineError> {
        let read = async {
            let find = home.fill(sql!("models/fold/find_build"));
            let Some(row) = session.query_opt(&find, &[&name.as_str(), &number]).await? else { return Ok(None) };
            let number: i32 = row.get(5);
            let skipped = home.fill(sql!("models/fold/list_skipped"));
            let skipped = session.query(&skipped, &[&name.as_str(), &number]).await?;
            Ok::<_, Error>(Some(Original {
                projection: catalogue::parsed(home, row.get(0), row.get(1))?,
                schema: row.get(2),
                workers: row.get(3),
                in_appends: row.get(4),
                skipped: skipped.iter().map(|row| (row.get(0), row.get(1))).collect(),
            }))
        };
        let found = read.await.map_err(engine_error)?;
        found.ok_or_else(|| EngineError::Refused(format!("no build of `{name}` serves: look at its status")))
    }

    /// Where its workers stand, in the order of workers and partitions.
    pub(super) async fn stands(&self, home: &Home, session: &Session) -> Result<Vec<Stand>> {
        let list = match self.in_appends {
            // It stands where the log does.
            true => home.fill(sql!("models/fold/list_heads")),
            false => home.fill(sql!("models/fold/list_stands")),
        };
        let rows = session.query(&list, &[&self.schema]).await?;
        Ok(rows.iter().map(|row| Stand { worker: row.get(0), part: row.get(1), position: row.get(2) }).collect())
    }
}

impl Fold<'_> {
    /// Makes the tables, in the session's transaction. They are not in the write-ahead log: nobody wants them after a crash.
    pub(super) async fn lay(&self) -> std::result::Result<(), EngineError> {
        let projection = &*self.original.projection;
        let mut findings = Vec::new();
        lay(self.session, self.home, projection, &self.schema, None, &mut findings).await.map_err(engine_error)?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(EngineError::File(findings));
        }
        let unlog = sql!("models/fold/unlog").replace("{build}", &self.schema);
        self.session.batch_execute(&unlog).await.map_err(|error| engine_error(error.into()))
    }

    /// Goes on up to `to`, worker by worker. `report` is told how many positions it has passed.
    pub(super) async fn go_on(
        &mut self,
        to: &[Stand],
        mut report: impl FnMut(u64),
    ) -> std::result::Result<(), EngineError> {
        for target in to {
            let at = self.stands.iter().position(|stand| stand.worker == target.worker && stand.part == target.part);
            let Some(at) = at else { continue };
            while self.stands[at].position < target.position {
                let before = self.stands[at];
                let after = self.step(before, target.position).await?;
                self.stands[at].position = after;
                report((after - before.position) as u64);
            }
        }
        Ok(())
    }

    async fn step(&self, stand: Stand, to: i64) -> std::result::Result<i64, EngineError> {
        let skip = |position: &i64| *position > stand.position && *position <= to;
        let skipped =
            self.original.skipped.iter().filter(|(part, _)| *part == stand.part).map(|(_, position)| *position);
        let skipped = skipped.filter(skip).min();
        if skipped == Some(stand.position + 1) {
            return Ok(stand.position + 1);
        }
        let up_to = skipped.map_or(to, |skipped| skipped - 1).min(stand.position + LOOKED_AT_MAX);
        let apply = sql!("models/fold/apply").replace("{build}", &self.schema);
        let until = self.until.map(Moment);
        let params: [&(dyn postgres_types::ToSql + Sync); 7] =
            [&stand.part, &stand.position, &up_to, &EVENTS_MAX, &stand.worker, &self.workers, &until];
        let row = self.session.query_one(&apply, &params).await.map_err(|error| {
            let error = Error::from(error);
            match error.of_handler() {
                Some(of_handler) => EngineError::Refused(format!(
                    "the fold stopped: {}; a projection that fails on an event has no state behind it",
                    of_handler.reason
                )),
                None => engine_error(error),
            }
        })?;
        Ok(row.get(0))
    }
}

/// Every worker at the start of every partition.
pub(super) fn start(workers: i32, partitions: u16) -> Vec<Stand> {
    let stand = |worker| (0..i32::from(partitions)).map(move |part| Stand { worker, part, position: 0 });
    (0..workers).flat_map(stand).collect()
}

/// Every worker at a checkpoint.
pub(super) fn at(checkpoint: &Checkpoint, workers: i32) -> Vec<Stand> {
    let stand = |worker| {
        checkpoint.iter().map(move |place| Stand {
            worker,
            part: i32::from(place.partition.0),
            position: place.position.0 as i64,
        })
    };
    (0..workers).flat_map(stand).collect()
}

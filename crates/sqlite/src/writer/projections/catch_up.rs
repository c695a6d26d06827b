//! Bringing builds to the head: when the store opens, when a projection comes to serve, and when one was left behind.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;
use tokio::sync::oneshot;

use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::store::{PayloadChoice, StoreError};
use pacioli_core::subscription::Scan;
use pacioli_core::{RecordedEvent, Timestamp};
use pacioli_projection::file::Name;

use super::attach::{self, Attached};
use super::{SYNC_PROJECTIONS_MAX, Served, Standing, SyncBuild, apply};
use crate::error::{Error, Result};
use crate::models::handlers::{Applier, ApplyError};
use crate::pool::STATEMENTS_KEPT;
use crate::read::Reader;
use crate::writer::Writer;

/// Events of one transaction of a build that catches up.
const EVENTS_AT_ONCE: usize = 4_096;
/// How long a build that could not be brought to the head is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What is done with the writer at rest, once a build is at the head: the catalogue's part of a swap.
pub(crate) type Then = Box<dyn FnOnce() -> Result<()> + Send>;

/// What the writer is asked about `sync` projections. Nothing is appended meanwhile.
pub(crate) enum ProjectionCommand {
    /// Take a build to the head and let it serve in the place of the one of its projection that does.
    Serve { build: SyncBuild, then: Then, answer: oneshot::Sender<std::result::Result<(), NotServing>> },
    /// Let the build of a projection serve no longer.
    Stop { name: Name, then: Then, answer: oneshot::Sender<std::result::Result<(), NotServing>> },
}

/// Why a build does not serve. What served before does still.
#[derive(Debug)]
pub(crate) enum NotServing {
    /// It cannot, and why, and what to do.
    Refused(String),
    /// A statement failed on an event.
    Event { place: Option<Place>, error: String },
    /// The storage failed.
    Store(Error),
}

impl From<Error> for NotServing {
    fn from(error: Error) -> NotServing {
        NotServing::Store(error)
    }
}

impl From<rusqlite::Error> for NotServing {
    fn from(error: rusqlite::Error) -> NotServing {
        NotServing::Store(error.into())
    }
}

impl NotServing {
    fn into_store_error(self) -> StoreError {
        match self {
            NotServing::Refused(problem) => StoreError::new(problem),
            NotServing::Event { place: Some(place), error } => StoreError::new(format!("event {place}: {error}")),
            NotServing::Event { place: None, error } => StoreError::new(error),
            NotServing::Store(error) => error.into_store_error(),
        }
    }
}

impl Writer {
    /// Brings the builds that serve to the head, before the first append. One that cannot be brought there takes no appends
    /// that it wants, and everything else goes on.
    pub(crate) fn serve_at_open(&mut self, builds: Vec<std::result::Result<SyncBuild, (SyncBuild, StoreError)>>) {
        for build in builds {
            let (build, mut why) = match build {
                Ok(build) => (build, None),
                Err((build, why)) => (build, Some(why)),
            };
            let mut served = Served { build, attached: None, standing: Standing::AtHead };
            if why.is_none() {
                why = self.take_to_head(&mut served).err().map(NotServing::into_store_error);
            }
            if let Some(why) = why {
                self.leave_behind(&mut served, why);
            }
            self.projections.served.push(served);
        }
        self.keep_statements();
    }

    pub(in crate::writer) fn execute_on_projections(&mut self, command: ProjectionCommand) {
        let stopped = self.shared.stopped.get().map(|reason| NotServing::Store(Error::Store(reason.clone())));
        match command {
            ProjectionCommand::Serve { build, then, answer } => {
                let served = stopped.map_or_else(|| self.serve(build, then), Err);
                let _ = answer.send(served);
            }
            ProjectionCommand::Stop { name, then, answer } => {
                let done = stopped.map_or_else(|| self.stop_serving(&name, then), Err);
                let _ = answer.send(done);
            }
        }
        self.keep_statements();
    }

    fn serve(&mut self, build: SyncBuild, then: Then) -> std::result::Result<(), NotServing> {
        let replaced = self.projections.position(build.name());
        if replaced.is_none() && self.projections.served.len() >= SYNC_PROJECTIONS_MAX {
            return Err(NotServing::Refused(format!(
                "a store on SQLite has at most {SYNC_PROJECTIONS_MAX} sync projections, since each is another file in every \
                 append's transaction: drop one, or make this one async"
            )));
        }
        // The one that serves now goes first: the new one may have tables of the same names.
        let mut replaced = replaced.map(|index| self.projections.served.swap_remove(index));
        let mut served = Served { build, attached: None, standing: Standing::AtHead };
        let done = match &mut replaced {
            Some(replaced) => self.detach(replaced).map_err(NotServing::from),
            None => Ok(()),
        };
        let done = done.and_then(|()| self.take_to_head(&mut served)).and_then(|()| Ok(then()?));
        if done.is_ok() {
            self.projections.served.push(served);
            return Ok(());
        }
        if let Err(error) = self.detach(&mut served) {
            tracing::error!(projection = %served.build.name(), %error, "a build that does not serve stays attached");
        }
        if let Some(mut replaced) = replaced {
            if let Err(error) = self.take_to_head(&mut replaced) {
                self.leave_behind(&mut replaced, error.into_store_error());
            }
            self.projections.served.push(replaced);
        }
        done
    }

    fn stop_serving(&mut self, name: &Name, then: Then) -> std::result::Result<(), NotServing> {
        then()?;
        if let Some(index) = self.projections.position(name) {
            let mut stopped = self.projections.served.swap_remove(index);
            self.detach(&mut stopped)?;
        }
        Ok(())
    }

    fn detach(&self, served: &mut Served) -> Result<()> {
        if let Some(attached) = served.attached.take() {
            attach::detach(&self.conn, &attached.schema)?;
        }
        Ok(())
    }

    /// Statements of all projections stay prepared beside those of the log.
    fn keep_statements(&self) {
        let statements: usize =
            self.projections.served.iter().map(|served| served.build.handlers.statements().len() + 4).sum();
        self.conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT + statements);
    }

    /// Tries again to bring those to the head that are behind.
    pub(in crate::writer) fn take_those_behind_to_head(&mut self, now: Timestamp) {
        for index in 0..self.projections.served.len() {
            if matches!(self.projections.served[index].standing, Standing::Behind { again_at, .. } if again_at <= now) {
                self.try_to_take_to_head(index);
            }
        }
    }

    fn try_to_take_to_head(&mut self, index: usize) {
        let mut served = self.projections.served.swap_remove(index);
        match self.take_to_head(&mut served) {
            Ok(()) => {
                tracing::info!(projection = %served.build.name(), "a sync projection is at the head again");
                served.standing = Standing::AtHead;
            }
            Err(error) => self.leave_behind(&mut served, error.into_store_error()),
        }
        self.projections.served.push(served);
        let last = self.projections.served.len() - 1;
        self.projections.served.swap(index, last);
    }

    fn leave_behind(&self, served: &mut Served, why: StoreError) {
        tracing::error!(
            projection = %served.build.name(), why = %why,
            "a sync projection is behind the log: appends that it wants are not taken until it is at the head"
        );
        served.standing = Standing::Behind { why, again_at: self.next_try() };
    }

    fn next_try(&self) -> Timestamp {
        Timestamp::from_micros(self.shared.clock.now().as_micros() + AGAIN_AFTER.as_micros() as i64)
    }

    /// After a COMMIT that reported an error: where do the builds stand, now that the log stands at `heads`?
    pub(in crate::writer) fn look_at_projections(&mut self, heads: &Checkpoint) {
        for index in 0..self.projections.served.len() {
            let served = &self.projections.served[index];
            let (Some(attached), Standing::AtHead) = (&served.attached, &served.standing) else { continue };
            let why = match attached.progress(&self.conn, heads) {
                Ok(stands) if stands == *heads => continue,
                Ok(stands) => {
                    assert!(heads.covers(&stands), "COMMIT writes the log before the files of projections");
                    StoreError::new(format!("it was left at {stands} by a write that failed"))
                }
                Err(error) => error.into_store_error(),
            };
            self.mark_behind(index, why);
        }
    }

    /// Moves their write-ahead logs into their files, as far as that is due.
    pub(in crate::writer) fn checkpoint_projections(&self, nobody_waits: bool) {
        for served in &self.projections.served {
            if let Some(Err(error)) =
                served.attached.as_ref().map(|attached| attached.checkpoint(&self.conn, nobody_waits))
            {
                tracing::warn!(
                    projection = %served.build.name(), %error,
                    "the write-ahead log of a sync projection could not be moved into its file; it will be tried again"
                );
            }
        }
    }

    /// Before the next batch it is tried to bring it to the head.
    fn mark_behind(&mut self, index: usize, why: StoreError) {
        let served = &mut self.projections.served[index];
        tracing::warn!(projection = %served.build.name(), why = %why, "a sync projection was left behind the log");
        served.standing = Standing::Behind { why, again_at: Timestamp::from_micros(i64::MIN) };
    }

    /// A build does not stand where this writer left it: somebody else writes to its file. Brings it to the head, or gives
    /// that up for a while.
    pub(super) fn was_moved(&mut self, index: usize, give_up: bool) {
        let why = StoreError::new("something else writes to its file: end that");
        self.mark_behind(index, why.clone());
        if give_up {
            let again_at = self.next_try();
            self.projections.served[index].standing = Standing::Behind { why, again_at };
        } else {
            self.try_to_take_to_head(index);
        }
    }

    /// Attaches a build where it is not, and applies what is between it and the head. Nobody appends meanwhile.
    fn take_to_head(&mut self, served: &mut Served) -> std::result::Result<(), NotServing> {
        assert!(self.conn.is_autocommit(), "files are attached between transactions");
        if served.attached.is_none() {
            served.attached = Some(attach::attach(&mut self.conn, &served.build, self.shared.file_bytes_max)?);
        }
        let attached = served.attached.as_ref().expect("it was just attached");
        let heads = self.shared.recent.heads();
        let stands = attached.progress(&self.conn, &heads)?;
        if !heads.covers(&stands) {
            return Err(NotServing::Refused(format!(
                "it stands at {stands} and the log only at {heads}: open the store again, it is filled anew then"
            )));
        }
        self.catch_up(&served.build, attached, &stands, &heads)?;
        let stands = attached.progress(&self.conn, &heads)?;
        assert_eq!(stands, heads, "a build that caught up stands at the head");
        Ok(())
    }

    fn catch_up(
        &self,
        build: &SyncBuild,
        attached: &Attached,
        stands: &Checkpoint,
        heads: &Checkpoint,
    ) -> std::result::Result<(), NotServing> {
        let filter = Arc::new(build.handlers.filter().clone());
        let missing = stands.distance_to(heads);
        if missing > 0 {
            tracing::info!(projection = %build.name(), %stands, head = %heads, missing, "a sync projection catches up");
        }
        for head in heads.iter() {
            let partition = head.partition;
            let mut after = stands.position(partition);
            let mut limit = EVENTS_AT_ONCE;
            while after < head.position {
                let scanned = self.reader().scan(&Scan {
                    partition,
                    after,
                    up_to: head.position,
                    epoch: heads.epoch(),
                    filter: Arc::clone(&filter),
                    limit,
                    payload: PayloadChoice::All,
                })?;
                let from = Place { partition, position: after };
                match self.apply_and_commit(build, attached, scanned.events, from, scanned.up_to) {
                    // A statement that sees all of them does not say which it was: one after the other will.
                    Err(NotServing::Event { place: None, .. }) if limit > 1 => limit = 1,
                    Err(error) => return Err(error),
                    Ok(()) => after = scanned.up_to,
                }
            }
        }
        Ok(())
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            conn: &self.conn,
            view: self.indexes.view(),
            names: self.shared.names,
            types: &self.shared.types,
            limits: self.shared.limits,
            partitions: self.shared.partitions,
        }
    }

    /// Applies events of one partition and moves the progress, in one transaction that does not touch the log.
    fn apply_and_commit(
        &self,
        build: &SyncBuild,
        attached: &Attached,
        mut events: Vec<Arc<RecordedEvent>>,
        from: Place,
        to: Position,
    ) -> std::result::Result<(), NotServing> {
        events.retain(|event| build.handlers.wants(event));
        self.conn.prepare_cached(sql!("begin_write"))?.execute([])?;
        let applied = apply(&self.conn, attached, &mut Applier::new(&build.handlers, &self.conn), &events);
        let committed = applied.map_err(NotServing::from).and_then(|()| {
            let row = params![from.partition.0, from.position.0 as i64, to.0 as i64, events.len() as i64];
            let moved = self.conn.prepare_cached(&attached.move_progress)?.execute(row)?;
            if moved != 1 {
                return Err(NotServing::Refused("something else writes to its file".to_owned()));
            }
            self.conn.prepare_cached(sql!("commit"))?.execute([])?;
            Ok(())
        });
        if committed.is_err() && !self.conn.is_autocommit() {
            self.conn.execute_batch(sql!("rollback"))?;
        }
        committed
    }
}

impl From<ApplyError> for NotServing {
    fn from(error: ApplyError) -> NotServing {
        match error {
            ApplyError::Statement { place, error } => NotServing::Event { place, error },
            ApplyError::Sqlite(error) => NotServing::Store(error.into()),
        }
    }
}

//! Bringing builds to the head: when the store opens, when a projection comes to serve, and when one was left behind.

use std::path::Path;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use rusqlite::params;

use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::store::{PayloadChoice, StoreError};
use pacioli_core::subscription::Scan;
use pacioli_core::{Partition, RecordedEvent, Timestamp};
use pacioli_projection::engine::Failed;
use pacioli_projection::file::Name;

use super::attach::{self, Attached};
use super::{Behind, SYNC_PROJECTIONS_MAX, Served, Standing, SyncBuild, SyncStands, apply, no_room};
use crate::error::{Error, Result};
use crate::models::handlers::{Applier, ApplyError};
use crate::pool::STATEMENTS_KEPT;
use crate::read::Reader;
use crate::schema::{self, READ_MODELS, USUAL_DIRECTORY};
use crate::writer::Writer;

/// Events of one transaction of a build that catches up.
const EVENTS_AT_ONCE: usize = 4_096;
/// How long a build that could not be brought to the head is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the writer is asked about `sync` projections. Nothing is appended meanwhile.
pub(crate) enum ProjectionCommand {
    /// Take a build to the head and let it serve in the place of the one of its projection that does.
    Serve {
        build: SyncBuild,
        /// Told once the build is at the head, or why it cannot be; and again once it serves.
        at_head: mpsc::SyncSender<std::result::Result<(), NotServing>>,
        /// Waited for then, with nobody appending: a word lets it serve, and without one nothing has changed.
        confirmed: mpsc::Receiver<()>,
    },
    /// Let the build of a projection serve no longer.
    Stop { name: Name, done: mpsc::SyncSender<std::result::Result<(), NotServing>> },
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
    /// The storage failed before.
    Failed(StoreError),
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
    /// The store went away before it answered.
    pub(crate) fn closed() -> NotServing {
        NotServing::Store(Error::Store("the store was closed".to_owned()))
    }

    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            NotServing::Refused(problem) => StoreError::new(problem),
            NotServing::Event { place: Some(place), error } => StoreError::new(format!("event {place}: {error}")),
            NotServing::Event { place: None, error } => StoreError::new(error),
            NotServing::Store(error) if error.is_full() => {
                StoreError::full("the disk is full: free space on the volume of the read models, it goes on by itself")
            }
            NotServing::Store(error) => error.into_store_error(),
            NotServing::Failed(error) => error,
        }
    }
}

impl Writer {
    /// Brings the builds that serve to the head, before the first append. One that cannot be brought there takes no appends
    /// that it wants, and everything else goes on.
    pub(crate) fn serve_at_open(&mut self, builds: Vec<(SyncBuild, Option<StoreError>)>) {
        for (build, unusable) in builds {
            let mut served = Served { build, attached: None, standing: Standing::AtHead };
            let taken = match unusable {
                Some(error) => Err(NotServing::Failed(error)),
                None => self.take_to_head(&mut served),
            };
            if let Err(error) = taken {
                self.leave_behind(&mut served, error);
            }
            self.projections.served.push(served);
        }
        self.keep_statements();
        self.tell_who_serves();
    }

    pub(in crate::writer) fn execute_on_projections(&mut self, command: ProjectionCommand) {
        let stopped = self.shared.stopped.get().map(|reason| NotServing::Store(Error::Store(reason.clone())));
        match (command, stopped) {
            (
                ProjectionCommand::Serve { at_head: answer, .. } | ProjectionCommand::Stop { done: answer, .. },
                Some(why),
            ) => {
                let _ = answer.send(Err(why));
            }
            (ProjectionCommand::Serve { build, at_head, confirmed }, None) => self.serve(build, &at_head, &confirmed),
            (ProjectionCommand::Stop { name, done }, None) => {
                let _ = done.send(self.stop_serving(&name).map_err(NotServing::from));
            }
        }
        self.keep_statements();
        self.tell_who_serves();
    }

    fn serve(
        &mut self,
        build: SyncBuild,
        at_head: &mpsc::SyncSender<std::result::Result<(), NotServing>>,
        confirmed: &mpsc::Receiver<()>,
    ) {
        let replaced = self.projections.position(build.name());
        if replaced.is_none() && self.projections.served.len() >= SYNC_PROJECTIONS_MAX {
            let _ = at_head.send(Err(NotServing::Refused(no_room())));
            return;
        }
        // The one that serves now goes first: the new one may have tables of the same names.
        let mut replaced = replaced.map(|index| self.projections.served.swap_remove(index));
        let mut served = Served { build, attached: None, standing: Standing::AtHead };
        let detached = replaced.as_mut().map_or(Ok(()), |replaced| self.detach(replaced));
        let taken = detached
            .map_err(NotServing::from)
            .and_then(|()| self.take_to_head(&mut served))
            .and_then(|()| Ok(self.remember_directory(&served.build)?));
        let is_there = taken.is_ok();
        if at_head.send(taken).is_ok() && is_there && confirmed.recv().is_ok() {
            self.projections.served.push(served);
            self.keep_statements();
            self.tell_who_serves();
            let _ = at_head.send(Ok(()));
            return;
        }
        if let Err(error) = self.detach(&mut served) {
            tracing::error!(projection = %served.build.name(), %error, "a build that does not serve stays attached");
        }
        if let Some(mut replaced) = replaced {
            if let Err(error) = self.take_to_head(&mut replaced) {
                self.leave_behind(&mut replaced, error);
            }
            self.projections.served.push(replaced);
        }
    }

    /// Writes down where read models are that every append has to see, for the next start.
    fn remember_directory(&self, build: &SyncBuild) -> Result<()> {
        let directory = build.file.parent().unwrap_or(Path::new(""));
        let usual = self.shared.log.with_file_name(USUAL_DIRECTORY);
        let noted = if directory == usual {
            String::new()
        } else {
            let whole = std::path::absolute(directory).ok();
            whole.and_then(|whole| whole.to_str().map(str::to_owned)).ok_or_else(|| {
                Error::Store(format!("the directory of read models, {}, has no name in UTF-8", directory.display()))
            })?
        };
        if schema::read_meta::<String>(&self.conn, READ_MODELS)?.unwrap_or_default() != noted {
            schema::write_meta(&self.conn, READ_MODELS, noted)?;
        }
        Ok(())
    }

    fn stop_serving(&mut self, name: &Name) -> Result<()> {
        let Some(index) = self.projections.position(name) else { return Ok(()) };
        let mut stopped = self.projections.served.swap_remove(index);
        self.detach(&mut stopped)
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
            if matches!(&self.projections.served[index].standing, Standing::Behind(behind) if behind.again_at <= now) {
                self.try_to_take_to_head(index);
            }
        }
    }

    fn try_to_take_to_head(&mut self, index: usize) {
        let mut served = self.projections.served.remove(index);
        match self.take_to_head(&mut served) {
            Ok(()) => {
                tracing::info!(projection = %served.build.name(), "a sync projection is at the head again");
                served.standing = Standing::AtHead;
            }
            Err(error) => self.leave_behind(&mut served, error),
        }
        self.projections.served.insert(index, served);
        self.tell_who_serves();
    }

    /// Leaves a build behind that cannot be brought to the head now.
    fn leave_behind(&self, served: &mut Served, error: NotServing) {
        let (place, error, why) = match error {
            NotServing::Event { place, error } => {
                let why = NotServing::Event { place, error: error.clone() }.into_store_error();
                (place, error, why)
            }
            other => {
                let why = other.into_store_error();
                (None, why.reason.clone(), why)
            }
        };
        let now = self.shared.clock.now();
        let at = match &served.standing {
            Standing::Behind(behind) if behind.failed.error == error => behind.failed.at,
            _ => {
                tracing::error!(
                    projection = %served.build.name(), %why,
                    "a sync projection is behind the log: appends that it wants are not taken until it is at the head"
                );
                now
            }
        };
        let place = place.unwrap_or_else(|| self.first_missing(served));
        let again_at = Timestamp::from_micros(now.as_micros() + AGAIN_AFTER.as_micros() as i64);
        served.standing = Standing::Behind(Behind { failed: Failed { place, error, at }, why, again_at });
    }

    /// The first event that a build does not have, as far as that can be read.
    fn first_missing(&self, served: &Served) -> Place {
        let heads = self.shared.recent.heads();
        let stands = served.attached.as_ref().and_then(|attached| attached.progress(&self.conn, &heads).ok());
        let missing = stands.iter().flat_map(|stands| {
            heads
                .iter()
                .zip(stands.iter())
                .find(|(head, stands)| head.position > stands.position)
                .map(|(_, stands)| stands)
        });
        let Place { partition, position } =
            missing.last().unwrap_or(Place { partition: Partition::ZERO, position: Position::START });
        Place { partition, position: position.next() }
    }

    /// Says outside which builds serve, and how they are.
    fn tell_who_serves(&self) {
        let stands = self.projections.served.iter().map(|served| SyncStands {
            name: served.build.name().clone(),
            number: served.build.number,
            file: served.build.file.clone(),
            behind: match &served.standing {
                Standing::AtHead => None,
                Standing::Behind(behind) => Some(behind.failed.clone()),
            },
        });
        *self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner) = stands.collect();
    }

    /// After a COMMIT that reported an error: where do the builds stand, now that the log stands at `heads`?
    pub(in crate::writer) fn look_at_projections(&mut self, heads: &Checkpoint) {
        for index in 0..self.projections.served.len() {
            let served = &self.projections.served[index];
            let (Some(attached), Standing::AtHead) = (&served.attached, &served.standing) else { continue };
            let error = match attached.progress(&self.conn, heads) {
                Ok(stands) if stands == *heads => continue,
                Ok(stands) => {
                    assert!(heads.covers(&stands), "COMMIT writes the log before the files of projections");
                    NotServing::Refused(format!("it was left at {stands} by a write that failed"))
                }
                Err(error) => NotServing::Store(error),
            };
            self.mark_behind(index, error);
        }
    }

    /// Moves their write-ahead logs into their files, as far as that is due: one behind a batch, so that no batch waits for
    /// all of them.
    pub(in crate::writer) fn checkpoint_projections(&self, nobody_waits: bool) {
        for served in &self.projections.served {
            match served.attached.as_ref().map(|attached| attached.checkpoint(&self.conn, nobody_waits)) {
                Some(Ok(true)) if !nobody_waits => return,
                Some(Err(error)) => tracing::warn!(
                    projection = %served.build.name(), %error,
                    "the write-ahead log of a sync projection could not be moved into its file; it will be tried again"
                ),
                _ => {}
            }
        }
    }

    /// Before the next batch it is tried to bring it to the head.
    fn mark_behind(&mut self, index: usize, error: NotServing) {
        let mut served = self.projections.served.remove(index);
        self.leave_behind(&mut served, error);
        if let Standing::Behind(behind) = &mut served.standing {
            behind.again_at = Timestamp::from_micros(i64::MIN);
        }
        self.projections.served.insert(index, served);
        self.tell_who_serves();
    }

    /// The file of a build cannot be used: it is left alone for a while.
    pub(super) fn was_broken(&mut self, index: usize, error: Error) {
        let mut served = self.projections.served.remove(index);
        self.leave_behind(&mut served, NotServing::Store(error));
        self.projections.served.insert(index, served);
        self.tell_who_serves();
    }

    /// A build does not stand where this writer left it: somebody else writes to its file. Brings it to the head, or gives
    /// that up for a while.
    pub(super) fn was_moved(&mut self, index: usize, give_up: bool) {
        self.mark_behind(index, NotServing::Refused("something else writes to its file: end that".to_owned()));
        let now = self.shared.clock.now();
        match &mut self.projections.served[index].standing {
            Standing::Behind(behind) if give_up => {
                behind.again_at = Timestamp::from_micros(now.as_micros() + AGAIN_AFTER.as_micros() as i64);
            }
            _ => self.try_to_take_to_head(index),
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

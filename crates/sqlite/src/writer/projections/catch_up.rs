//! Bringing a build to the head, from the log, while nobody appends; and keeping its write-ahead log short.

use std::sync::Arc;

use rusqlite::params;

use pacioli_core::RecordedEvent;
use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::store::PayloadChoice;
use pacioli_core::subscription::Scan;
use pacioli_projection::engine::PassedOver;

use super::attach::{self, Attached};
use super::{NotServing, Served, SyncBuild, apply};
use crate::models::handlers::{Applier, ApplyError};
use crate::models::shapes::{self, Brought, count_passed_over};
use crate::read::Reader;
use crate::writer::Writer;

/// Events of one transaction of a build that catches up.
const EVENTS_AT_ONCE: usize = 4_096;

impl Writer {
    /// Attaches a build where it is not, and applies what is between it and the head. Nobody appends meanwhile.
    pub(super) fn take_to_head(&mut self, served: &mut Served) -> std::result::Result<(), NotServing> {
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
                let mut events = scanned.events;
                events.retain(|event| build.handlers.wants(event));
                let Brought { passed_over, withheld } = build.handlers.shapes().bring(&mut events);
                let to = withheld.as_ref().map_or(scanned.up_to, |withheld| withheld.place.position.before());
                let passed_over = shapes::count(&passed_over);
                match self.apply_and_commit(build, attached, (&events, &passed_over), from, to) {
                    // A statement that sees all of them does not say which it was: one after the other will.
                    Err(NotServing::Event { place: None, .. }) if limit > 1 => limit = 1,
                    Err(error) => return Err(error),
                    Ok(()) => after = to,
                }
                if let Some(withheld) = withheld.filter(|withheld| withheld.place.position == after.next()) {
                    return Err(ApplyError::from(withheld).into());
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
        (events, passed_over): (&[Arc<RecordedEvent>], &PassedOver),
        from: Place,
        to: Position,
    ) -> std::result::Result<(), NotServing> {
        self.conn.prepare_cached(sql!("begin_write"))?.execute([])?;
        let applied = apply(&self.conn, attached, &mut Applier::new(&build.handlers, &self.conn), events);
        let committed = applied.map_err(NotServing::from).and_then(|()| {
            let row = params![from.partition.0, from.position.0 as i64, to.0 as i64, events.len() as i64];
            let moved = self.conn.prepare_cached(&attached.move_progress)?.execute(row)?;
            if moved != 1 {
                return Err(NotServing::Refused("something else writes to its file".to_owned()));
            }
            count_passed_over(&self.conn, &attached.count_passed_over, passed_over)?;
            self.conn.prepare_cached(sql!("commit"))?.execute([])?;
            Ok(())
        });
        if committed.is_err() && !self.conn.is_autocommit() {
            self.conn.execute_batch(sql!("rollback"))?;
        }
        committed
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
}

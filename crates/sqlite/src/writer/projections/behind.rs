//! Builds that are behind the log: how that is noticed, what is said of them, and when it is tried to bring them to the head.

use std::time::Duration;

use pacioli_core::place::{Checkpoint, Place, Position};
use pacioli_core::{Partition, Timestamp};
use pacioli_projection::engine::Failed;

use super::{Behind, NotServing, Served, Standing};
use crate::error::Error;
use crate::writer::Writer;

/// How long a build that could not be brought to the head is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Writer {
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
    pub(super) fn leave_behind(&self, served: &mut Served, error: NotServing) {
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
}

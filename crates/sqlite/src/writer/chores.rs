//! What the writer does besides: index work in slices, and moving the write-ahead log into the database.

use std::time::Duration;

use pacioli_core::Checkpoint;

use super::{BUSY_PATIENCE, Failure, Writer, watermark};
use crate::error::{Error, Result};
use crate::index::IndexError;

/// Blocks of index work in a transaction of its own, when nobody waits.
const BLOCKS_WHEN_IDLE: usize = 32;
/// Index blocks to write for each entry added: an entry is written once by a flush and a few times by merges, 256 to a
/// block, and a little more so that work once begun ends.
const BLOCKS_PER_ENTRY: f64 = 4.0 / 256.0;
/// As above, while the flush of a full tail is late.
const BLOCKS_PER_ENTRY_WHEN_LATE: f64 = 16.0 / 256.0;
/// Blocks of index work that may be saved up for one transaction.
const BLOCKS_SAVED_MAX: f64 = 256.0;
/// The write-ahead log is moved into the database once about so many bytes changed. A move stalls the appends that come
/// meanwhile, so it is a small one while few come, and one that is worth its two syncs while many do.
const CHECKPOINT_BYTES: std::ops::RangeInclusive<usize> = (256 << 10)..=(2 << 20);
/// It is worth them at so many times what the last batch changed.
const CHECKPOINT_BATCHES: usize = 8;
/// And it is due once the write-ahead log has about this size: small commits fill it with the same page again and again.
const CHECKPOINT_WAL_BYTES: usize = 16 << 20;
/// Beyond this size the write-ahead log waits for its readers and begins anew.
const RESTART_PAGES: i64 = (64 << 20) / 4096;
/// How long it waits for them.
const RESTART_PATIENCE: Duration = Duration::from_millis(20);

/// How much index work is due.
#[derive(Default)]
pub(super) struct IndexWork {
    pub(super) is_pending: bool,
    /// A block it needs is damaged.
    pub(super) is_given_up: bool,
    pub(super) blocks: f64,
}

impl Writer {
    /// Begins a transaction and does the slice of index work that is due in it.
    pub(super) fn begin_with_index_work(&mut self) -> std::result::Result<(), Failure> {
        self.conn.prepare_cached(sql!("begin_write"))?.execute([])?;
        let blocks = self.work.blocks as usize;
        if !self.work.is_pending || blocks == 0 {
            return Ok(());
        }
        match self.indexes.work(&self.conn, blocks) {
            Ok(worked) => {
                self.work.blocks -= blocks as f64;
                self.work.is_pending = !worked.idle;
                self.changed_bytes += worked.blocks_written * 4096 + worked.rows_deleted * 1024;
                Ok(())
            }
            Err(error) => match self.roll_back(error.into()) {
                // The log does not need that block to take appends, so they go on without index work.
                Failure::NotStored(error @ Error::Index(IndexError::Corrupt { .. })) => {
                    self.give_index_work_up(&error);
                    Ok(self.conn.prepare_cached(sql!("begin_write"))?.execute([]).map(|_| ())?)
                }
                failure => Err(failure),
            },
        }
    }

    /// An index block is damaged: what is stored stays readable as far as it is whole, and what comes stays in memory
    /// until the store is mended.
    fn give_index_work_up(&mut self, error: &Error) {
        tracing::error!(%error, "index work ends until the store is restored: memory grows with every append");
        self.work = IndexWork { is_given_up: true, ..IndexWork::default() };
    }

    pub(super) fn forget_index_work(&mut self) {
        self.indexes.rolled_back();
        self.work.is_pending = !self.work.is_given_up;
    }

    pub(super) fn plan_chores(&mut self, entries: usize, bytes: usize, heads: &Checkpoint) {
        if !self.work.is_given_up {
            if self.indexes.should_freeze() {
                self.indexes.freeze(watermark(heads, self.last_stream_id));
            }
            // Asked anew after each batch: work that was put off by an error is taken up again.
            self.work.is_pending |= self.indexes.has_work();
        }
        if self.work.is_pending {
            let rate = if self.indexes.is_late() { BLOCKS_PER_ENTRY_WHEN_LATE } else { BLOCKS_PER_ENTRY };
            let due = entries as f64 * rate;
            // What a batch brings is worked off with the next one, however large; only savings are bounded.
            self.work.blocks = (self.work.blocks + due).min(due.max(BLOCKS_SAVED_MAX));
        }
        self.checkpoint_if_due(bytes);
        self.checkpoint_projections(false);
    }

    fn checkpoint_if_due(&mut self, bytes: usize) {
        let worth_it = (bytes * CHECKPOINT_BATCHES).clamp(*CHECKPOINT_BYTES.start(), *CHECKPOINT_BYTES.end());
        if self.changed_bytes >= worth_it || self.wal_bytes >= CHECKPOINT_WAL_BYTES {
            self.checkpoint_or_warn();
        }
    }

    /// Nobody waits: do index work in a transaction of its own, or empty the write-ahead log.
    pub(super) fn rest(&mut self) {
        if self.shared.stopped.get().is_some() {
            return;
        }
        if !self.noted.is_empty() {
            self.write_noted_alone();
        }
        if self.work.is_pending {
            match self.work_alone() {
                Ok(()) => {}
                Err(error @ Error::Index(IndexError::Corrupt { .. })) => self.give_index_work_up(&error),
                Err(error) => {
                    // What was not done now is done with the next batch: the log is the truth, the indexes follow it.
                    tracing::warn!(error = %error, "index work was put off");
                    self.work.is_pending = false;
                }
            }
        } else if self.changed_bytes > 0 {
            self.checkpoint_or_warn();
            self.checkpoint_projections(true);
        }
    }

    fn work_alone(&mut self) -> Result<()> {
        self.conn.execute_batch(sql!("begin_write"))?;
        let worked = self.indexes.work(&self.conn, BLOCKS_WHEN_IDLE).map_err(Error::from);
        let committed = worked.and_then(|worked| {
            self.conn.execute_batch(sql!("commit"))?;
            Ok(worked)
        });
        match committed {
            Ok(worked) => {
                self.indexes.committed();
                self.changed_bytes += worked.blocks_written * 4096;
                self.work.is_pending = !worked.idle;
                self.checkpoint_if_due(worked.blocks_written * 4096);
                Ok(())
            }
            Err(error) => {
                self.stop_if_in_doubt(&error);
                match self.roll_back(error) {
                    Failure::NotStored(error) => Err(error),
                    Failure::Unknown(error) => {
                        self.stop(&error);
                        Err(error)
                    }
                }
            }
        }
    }

    fn checkpoint_or_warn(&mut self) {
        if let Err(error) = self.checkpoint(sql!("checkpoint_wal")) {
            tracing::warn!(error = %error, "the write-ahead log could not be moved into the database; it will be tried again");
        }
    }

    pub(super) fn checkpoint(&mut self, statement: &str) -> Result<()> {
        (self.changed_bytes, self.wal_bytes) = (0, 0);
        let pages: i64 = self.conn.query_row(statement, [], |row| row.get(1))?;
        if pages > RESTART_PAGES {
            // Readers keep it from beginning anew; wait for them a moment, they are all short.
            self.conn.busy_timeout(RESTART_PATIENCE)?;
            let restarted = self.conn.query_row(sql!("restart_wal"), [], |row| row.get::<_, i64>(0));
            self.conn.busy_timeout(BUSY_PATIENCE)?;
            restarted?;
        }
        Ok(())
    }
}

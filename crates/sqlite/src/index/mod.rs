//! The secondary indexes of the embedded store: sorted maps from a 128-bit key to a 64-bit value, one an
//! [`IndexKind`], kept as a small log-structured merge tree inside the store's own SQLite file.
//!
//! ```text
//!  apply ──► active tail ── freeze ──► frozen tail          memory; rebuilt from the log after the watermark
//!                                          │ flush
//!                                          ▼
//!            level 0   [g33] [g34] [g35] ...                runs of one kind, newest generation right;
//!                        │ 16 become 1                      the file has their packed blocks,
//!            level 1   [g17..g32]                           memory has their fences and filters
//!                        │
//!            level 2   [g1..g256]
//!
//!  a run:    segment ─────────────────────┬─ segment ...    32 first keys ("fences") and Bloom filters a row
//!            block block block ... block  │  block ...      up to 256 entries a row, one 4 KiB page at most
//! ```
//!
//! The log is the truth and the indexes are derived from it. `freeze` is told the watermark: how far the log is
//! covered by everything applied so far. The watermark is stored in the transaction that completes the last run of
//! the flush, so after a crash the owner applies the log behind the stored watermark again and nothing is missing.
//!
//! Flushes and merges run in slices: [`Indexes::work`] writes a bounded number of blocks inside the caller's
//! transaction, and the caller reports the outcome with [`Indexes::committed`] or [`Indexes::rolled_back`].
//!
//! Invariants:
//!
//! - **Keys ascend strictly** within a block, from block to block, and a run is never empty.
//! - **Generations order the runs of a kind.** They do not overlap, and an older run's level is never lower. For equal
//!   keys the newest generation wins; a tail is newer than any run.
//! - **The runs of one freeze become visible together,** with the watermark, when their transaction has committed.
//! - **A slice ends behind a whole block,** so a rollback returns to a block's end; a crash returns to complete runs.
//! - **Blocks outlive their views.** A merged-away run is deleted only when no [`IndexView`] holds it.
//! - **Every byte read is verified.** Blocks and segments carry a checksum seeded with their id.

mod block;
mod catalogue;
mod error;
mod filter;
mod kind;
mod run;
mod scan;
mod tail;
mod view;
mod work;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rusqlite::Connection;

pub use catalogue::CREATE_TABLES;
pub use error::{IndexError, Result};
pub use kind::{Entry, IndexKind};
pub use scan::Direction;
pub use view::{IndexView, IndexViews};

use run::Run;
use view::{Runs, State};
use work::{FlushJob, FlushMark, MergeJob};

/// So many complete runs of a level become one of the next.
pub const FAN_IN: usize = 16;

/// The most rows that one slice deletes.
const DELETED_ROWS_A_SLICE: usize = 256;
/// A tail of all kinds together may have this many times the entries that freeze it when one kind has them.
const KINDS_WITH_MANY_ENTRIES: usize = 5;

/// When a tail is frozen.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Entries of the biggest kind; five times as many of all kinds together freeze a tail too. The default is
    /// what a hash table of 65,536 slots takes without growing, and room for one more batch: it keeps the active and
    /// the frozen tail below about 32 MiB together as long as the flush keeps up.
    pub freeze_at_entries: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { freeze_at_entries: 56_000 }
    }
}

/// What a slice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worked {
    /// Blocks written by flush and merge.
    pub blocks_written: usize,
    /// Rows of retired runs deleted.
    pub rows_deleted: usize,
    /// There was nothing to do. Views may still hold retired runs; ask again later.
    pub idle: bool,
}

/// The writer's side of the indexes. There is one, on the thread that owns the write connection.
pub struct Indexes {
    options: IndexOptions,
    state: Arc<State>,
    views: IndexViews,
    next_generation: u64,
    watermark: Option<String>,
    flush: Option<FlushJob>,
    /// Merges that were begun, of falling level: a merge of small runs goes before one of large runs that is under way.
    merges: Vec<MergeJob>,
    garbage: Vec<Garbage>,
    /// Present from the first slice of a transaction until its outcome is reported.
    uncommitted: Option<Uncommitted>,
}

/// A run whose rows are to be deleted.
struct Garbage {
    run: i64,
    /// `None` for what an earlier process left behind.
    retired: Option<Arc<Run>>,
}

/// What to return to when the transaction is rolled back, and what to drop when it is not.
struct Uncommitted {
    flush: Option<FlushMark>,
    merges: Vec<writer::Mark>,
    deleted_runs: Vec<i64>,
}

impl Indexes {
    /// Loads fences and filters of all complete runs (no block is read), and returns the stored watermark: the owner
    /// applies the log behind it again. Runs that a crash left incomplete are deleted by later slices.
    pub fn open(conn: &Connection) -> Result<(Self, Option<String>)> {
        Self::open_with(conn, IndexOptions::default())
    }

    /// As [`Self::open`], with other thresholds.
    pub fn open_with(conn: &Connection, options: IndexOptions) -> Result<(Self, Option<String>)> {
        let mut runs: [Runs; IndexKind::COUNT] = Default::default();
        let mut garbage = Vec::new();
        let mut last_generation = 0;
        for row in catalogue::list_runs(conn)? {
            if row.complete {
                let run = writer::load(conn, &row)?;
                last_generation = last_generation.max(run.generations.1);
                let older = &mut runs[run.kind.slot()];
                if older.last().is_some_and(|older| !follows(older, &run)) {
                    let reason = "it does not follow the run before it";
                    return Err(IndexError::Corrupt { run: row.run, part: "catalogue row", number: 0, reason });
                }
                older.push(Arc::new(run));
            } else {
                garbage.push(Garbage { run: row.run, retired: None });
            }
        }
        let stored = catalogue::read_state(conn)?;
        last_generation = last_generation.max(stored.as_ref().map_or(0, |(generation, _)| *generation));
        let watermark = stored.map(|(_, watermark)| watermark);
        let state = Arc::new(State { active: Arc::default(), frozen: None, runs });
        let indexes = Self {
            options,
            views: IndexViews::new(state.clone()),
            state,
            next_generation: last_generation + 1,
            watermark: watermark.clone(),
            flush: None,
            merges: Vec::new(),
            garbage,
            uncommitted: None,
        };
        Ok((indexes, watermark))
    }

    /// The view of this moment.
    pub fn view(&self) -> IndexView {
        self.views.view()
    }

    /// Where reader threads find the newest view, for as long as they like.
    pub fn views(&self) -> IndexViews {
        self.views.clone()
    }

    /// The watermark that complete runs reach.
    pub fn watermark(&self) -> Option<&str> {
        self.watermark.as_deref()
    }

    /// Adds entries to the active tail under one lock; readers of existing views see them at once. A key that is
    /// present already takes the new value, so applying a piece of the log twice is harmless.
    pub fn apply(&mut self, entries: impl IntoIterator<Item = (IndexKind, u128, u64)>) {
        self.state.active.apply(entries);
    }

    /// The number of entries in the active tail.
    pub fn active_entries(&self) -> usize {
        self.state.active.lengths().into_iter().sum()
    }

    /// Whether the active tail is full and can be frozen now.
    pub fn should_freeze(&self) -> bool {
        self.can_freeze() && self.is_full(1)
    }

    /// Whether the active tail is full twice over because the flush of the last one is late. Give [`Self::work`]
    /// larger slices until that ends.
    pub fn is_late(&self) -> bool {
        self.is_full(2)
    }

    /// Freezes the active tail: later slices flush it. `watermark` says how far the log is covered by what has been
    /// applied, and only that. Does nothing and answers `false` while another tail is frozen or a slice's transaction
    /// is open.
    pub fn freeze(&mut self, watermark: String) -> bool {
        if !self.can_freeze() {
            return false;
        }
        let frozen = self.state.active.clone();
        self.flush = Some(FlushJob::new(frozen.clone(), self.next_generation, watermark));
        self.next_generation += 1;
        self.change_state(|state| {
            state.active = Arc::default();
            state.frozen = Some(frozen);
        });
        true
    }

    /// Whether a flush or a merge is under way. Retired runs that a view holds do not count.
    pub fn has_work(&self) -> bool {
        self.flush.is_some() || !self.merges.is_empty()
    }

    /// Does one slice inside the caller's transaction: writes up to `max_blocks` blocks, of the flush first, then of
    /// a merge, and deletes some rows of retired runs. Every call must be followed by [`Self::committed`] or
    /// [`Self::rolled_back`] before the next transaction; several calls may share one.
    ///
    /// After an error the transaction must be rolled back.
    pub fn work(&mut self, conn: &Connection, max_blocks: usize) -> Result<Worked> {
        let (flush, merges) = (&self.flush, &self.merges);
        let uncommitted = self.uncommitted.get_or_insert_with(|| Uncommitted {
            flush: flush.as_ref().map(FlushJob::mark),
            merges: merges.iter().map(MergeJob::mark).collect(),
            deleted_runs: Vec::new(),
        });
        let max_blocks = max_blocks.max(1);
        let mut blocks_written = 0;

        // 1. The flush, which frees memory.
        if let Some(flush) = &mut self.flush {
            blocks_written += flush.slice(conn, max_blocks)?;
        }

        // 2. A merge, which keeps look-ups cheap. One that this transaction finished waits for the commit.
        let budget = max_blocks - blocks_written;
        if budget > 0 && self.merges.last().is_none_or(|merge| !merge.is_finished()) {
            let below = self.merges.last().map_or(u32::MAX, MergeJob::level);
            if let Some(inputs) = due_merge(&self.state, below) {
                self.merges.push(MergeJob::begin(conn, inputs)?);
            }
            if let Some(merge) = self.merges.last_mut() {
                blocks_written += merge.slice(conn, budget)?;
            }
        }

        // 3. Deletions. A merge retires about as many blocks as it writes: twice the slice keeps up with it.
        let busy = self.flush.is_some() || !self.merges.is_empty();
        let most = if busy { (2 * max_blocks).min(DELETED_ROWS_A_SLICE) } else { DELETED_ROWS_A_SLICE };
        let mut rows_deleted = 0;
        let deleted_runs = &mut uncommitted.deleted_runs;
        for garbage in &self.garbage {
            if rows_deleted == most {
                break;
            }
            // Nobody can get at a retired run but through a view that already holds it, so a count of one stays one.
            let is_held = garbage.retired.as_ref().is_some_and(|run| Arc::strong_count(run) > 1);
            if is_held || deleted_runs.contains(&garbage.run) {
                continue;
            }
            let (deleted, gone) = catalogue::delete_some(conn, garbage.run, most - rows_deleted)?;
            rows_deleted += deleted;
            if gone {
                deleted_runs.push(garbage.run);
            }
        }
        assert!(blocks_written <= max_blocks, "a slice is bounded");
        assert!(rows_deleted <= DELETED_ROWS_A_SLICE, "a slice is bounded");

        let idle = !busy && rows_deleted == 0 && deleted_runs.is_empty();
        Ok(Worked { blocks_written, rows_deleted, idle })
    }

    /// The transaction of the last slices has committed: finished runs become visible, and what they replace goes.
    pub fn committed(&mut self) {
        let Some(uncommitted) = self.uncommitted.take() else { return };
        self.garbage.retain(|garbage| !uncommitted.deleted_runs.contains(&garbage.run));
        if let Some(flush) = self.flush.take_if(|flush| flush.is_finished()) {
            let (runs, watermark) = flush.into_runs();
            self.watermark = Some(watermark);
            self.change_state(|state| {
                state.frozen = None;
                for run in runs {
                    let older = &mut state.runs[run.kind.slot()];
                    assert!(older.last().is_none_or(|older| follows(older, &run)), "generations order the runs");
                    older.push(Arc::new(run));
                }
            });
        }
        if let Some(merge) = self.merges.pop_if(|merge| merge.is_finished()) {
            let (merged, inputs) = merge.into_runs();
            self.change_state(|state| {
                let runs = &mut state.runs[merged.kind.slot()];
                let first = runs.iter().position(|run| run.id == inputs[0].id).expect("merged runs are in the state");
                let replaced = runs.splice(first..first + inputs.len(), [Arc::new(merged)]);
                assert!(replaced.map(|run| run.id).eq(inputs.iter().map(|run| run.id)), "a merge takes neighbours");
                assert!(runs.is_sorted_by(|older, newer| follows(older, newer)), "generations order the runs");
            });
            self.garbage.extend(inputs.into_iter().map(|run| Garbage { run: run.id, retired: Some(run) }));
        }
    }

    /// The transaction of the last slices was rolled back: the next slices do the same work again.
    pub fn rolled_back(&mut self) {
        let Some(uncommitted) = self.uncommitted.take() else { return };
        if let (Some(flush), Some(mark)) = (&mut self.flush, &uncommitted.flush) {
            flush.return_to(mark);
        }
        // A merge that began in that transaction is forgotten; its catalogue row went with the rollback.
        self.merges.truncate(uncommitted.merges.len());
        for (merge, mark) in self.merges.iter_mut().zip(uncommitted.merges) {
            merge.return_to(mark);
        }
    }

    /// Memory taken by tails, fences and filters.
    pub fn memory_bytes(&self) -> usize {
        let tails = std::iter::once(&self.state.active).chain(&self.state.frozen).map(|tail| tail.memory_bytes());
        let runs = self.state.runs.iter().flatten().map(|run| run.memory_bytes());
        let retired = self.garbage.iter().filter_map(|garbage| garbage.retired.as_ref()).map(|run| run.memory_bytes());
        let jobs = self.flush.iter().map(FlushJob::memory_bytes).chain(self.merges.iter().map(MergeJob::memory_bytes));
        tails.sum::<usize>() + runs.chain(retired).chain(jobs).sum::<usize>()
    }

    fn can_freeze(&self) -> bool {
        self.flush.is_none() && self.uncommitted.is_none()
    }

    fn is_full(&self, times: usize) -> bool {
        let lengths = self.state.active.lengths();
        let full = self.options.freeze_at_entries * times;
        lengths.iter().any(|entries| *entries >= full)
            || lengths.iter().sum::<usize>() >= full * KINDS_WITH_MANY_ENTRIES
    }

    fn change_state(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = State::clone(&self.state);
        change(&mut state);
        self.state = Arc::new(state);
        self.views.publish(self.state.clone());
    }
}

/// Whether `newer` may stand right behind `older` among the runs of a kind.
fn follows(older: &Run, newer: &Run) -> bool {
    older.generations.1 < newer.generations.0
        && newer.generations.0 <= newer.generations.1
        && older.level >= newer.level
}

/// The oldest runs of the lowest level that has enough of them, if that level is below this one.
fn due_merge(state: &State, below: u32) -> Option<Vec<Arc<Run>>> {
    let due = |runs: &Runs| {
        // Runs of one level are neighbours; the lowest level comes last.
        let mut full = runs.chunk_by(|older, newer| older.level == newer.level).filter(|level| level.len() >= FAN_IN);
        full.next_back().map(|level| level[..FAN_IN].to_vec())
    };
    state.runs.iter().filter_map(due).min_by_key(|inputs| inputs[0].level).filter(|inputs| inputs[0].level < below)
}

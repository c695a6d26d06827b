//! What a reader sees: the tails and runs of one moment.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::Result;
use super::kind::{Entry, IndexKind};
use super::run::Run;
use super::scan::{Direction, MergedScan};
use super::tail::Tail;

/// The runs of one kind, oldest generation first.
pub(super) type Runs = Vec<Arc<Run>>;

/// The indexes of one moment. The active tail may still grow; everything else is immutable.
#[derive(Clone)]
pub(super) struct State {
    pub(super) active: Arc<Tail>,
    pub(super) frozen: Option<Arc<Tail>>,
    pub(super) runs: [Runs; IndexKind::COUNT],
}

/// Where readers find the newest view. Clones share it.
#[derive(Clone)]
pub struct IndexViews(Arc<Mutex<Arc<State>>>);

impl IndexViews {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// The newest view.
    pub fn view(&self) -> IndexView {
        IndexView(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub(super) fn publish(&self, state: Arc<State>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// The indexes of one moment, to be read on any thread with that thread's own connection.
///
/// **Take the view first, then begin the SQLite read transaction**: then every block of the view is visible in it.
/// The blocks of runs that are merged away meanwhile stay until the last view that knows them is dropped; so do not
/// keep a view for longer than the transaction.
///
/// The active tail grows while the view is held: an entry may point at an event that the transaction cannot see yet.
#[derive(Clone)]
pub struct IndexView(Arc<State>);

impl IndexView {
    /// The value of a key; the newest when it was written more than once.
    pub fn get(&self, conn: &Connection, kind: IndexKind, key: u128) -> Result<Option<u64>> {
        for tail in self.tails() {
            if let Some(value) = tail.get(kind, key) {
                return Ok(Some(value));
            }
        }
        for run in self.runs_newest_first(kind) {
            if let Some((_, value)) = run.last_in(conn, key, key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The greatest key within `low..=high` of the newest tail or run that has any.
    ///
    /// That is the greatest of all where keys of a range only grow with time: the versions of one stream, the rowids
    /// of one hash (within one partition). The newest generation then holds the highest, and the search stops there.
    /// For other ranges ask [`Self::scan`] for one entry backward.
    pub fn last_in(&self, conn: &Connection, kind: IndexKind, low: u128, high: u128) -> Result<Option<Entry>> {
        if low > high {
            return Ok(None);
        }
        for tail in self.tails() {
            if let Some(entry) = tail.last_in(kind, low, high) {
                return Ok(Some(entry));
            }
        }
        for run in self.runs_newest_first(kind) {
            if let Some(entry) = run.last_in(conn, low, high)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Up to `limit` entries of `low..=high` in key order, each key once. Reads no block before one of its keys can
    /// be due, so the cost is that of the answer.
    pub fn scan(
        &self,
        conn: &Connection,
        kind: IndexKind,
        low: u128,
        high: u128,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Entry>> {
        let runs = self.runs_newest_first(kind).cloned();
        let mut scan = MergedScan::new(kind, self.tails().cloned(), runs, (low, high), direction, limit);
        let mut entries = Vec::new();
        while entries.len() < limit {
            match scan.next(conn)? {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
        Ok(entries)
    }

    /// Rough number of entries in `low..=high`, from memory alone. A planner may compare such numbers; nothing else.
    /// Of a tail it counts no further than to a thousand.
    pub fn estimate(&self, kind: IndexKind, low: u128, high: u128) -> u64 {
        if low > high {
            return 0;
        }
        let in_tails = self.tails().map(|tail| tail.estimate(kind, low, high));
        in_tails.chain(self.runs_newest_first(kind).map(|run| run.estimate(low, high))).sum()
    }

    fn tails(&self) -> impl Iterator<Item = &Arc<Tail>> {
        std::iter::once(&self.0.active).chain(&self.0.frozen)
    }

    fn runs_newest_first(&self, kind: IndexKind) -> impl Iterator<Item = &Arc<Run>> {
        self.0.runs[kind.slot()].iter().rev()
    }
}

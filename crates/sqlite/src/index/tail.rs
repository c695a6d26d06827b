//! The memory tail: the newest entries of every kind, in sorted maps under one lock.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::kind::{Entry, IndexKind};

pub(super) type SortedMaps = [BTreeMap<u128, u64>; IndexKind::COUNT];

/// What an entry takes in a sorted map: 24 bytes in nodes that are about two thirds full, and their edges.
const BYTES_PER_ENTRY: usize = 40;
/// An estimate counts no further than this in a tail.
const ESTIMATE_COUNTS_AT_MOST: usize = 1_024;

/// A tail. It is active while the writer adds to it, and never changes once it is frozen.
#[derive(Default)]
pub(super) struct Tail {
    maps: RwLock<SortedMaps>,
}

impl Tail {
    /// Adds the entries under one lock. A key that is already present takes the new value.
    pub(super) fn apply(&self, entries: impl IntoIterator<Item = (IndexKind, u128, u64)>) {
        // A panic inside the loop (the iterator is the caller's) leaves whole entries only: the maps stay usable.
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, key, value) in entries {
            maps[kind.slot()].insert(key, value);
        }
    }

    /// The maps, locked for reading. Only a frozen tail may be held for longer than a look-up.
    pub(super) fn maps(&self) -> RwLockReadGuard<'_, SortedMaps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, kind: IndexKind, key: u128) -> Option<u64> {
        self.maps()[kind.slot()].get(&key).copied()
    }

    pub(super) fn last_in(&self, kind: IndexKind, low: u128, high: u128) -> Option<Entry> {
        self.maps()[kind.slot()].range(low..=high).next_back().map(|(key, value)| (*key, *value))
    }

    /// Copies the first `limit` entries of the range, in the direction asked for.
    pub(super) fn copy(
        &self,
        kind: IndexKind,
        (low, high): (u128, u128),
        backward: bool,
        limit: usize,
        entries: &mut Vec<Entry>,
    ) {
        let maps = self.maps();
        let range = maps[kind.slot()].range(low..=high).map(|(key, value)| (*key, *value));
        if backward {
            entries.extend(range.rev().take(limit));
        } else {
            entries.extend(range.take(limit));
        }
    }

    /// The number of entries in the range, counted no further than to a thousand.
    pub(super) fn estimate(&self, kind: IndexKind, low: u128, high: u128) -> u64 {
        self.maps()[kind.slot()].range(low..=high).take(ESTIMATE_COUNTS_AT_MOST).count() as u64
    }

    /// The number of entries of each kind.
    pub(super) fn lengths(&self) -> [usize; IndexKind::COUNT] {
        self.maps().each_ref().map(BTreeMap::len)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lengths().into_iter().sum::<usize>() * BYTES_PER_ENTRY
    }
}

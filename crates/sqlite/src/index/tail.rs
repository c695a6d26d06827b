//! The memory tail: the newest entries of every kind under one lock.
//!
//! Hash tables, because every event inserts several entries and asks for one or two keys, and order is asked for only
//! within one upper half: among the versions of a stream or the rowids of a hash. Those arrive in order and are kept
//! in a short vector. A flush sorts the rest, once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::kind::{Entry, IndexKind, Shape, joined, lower, upper};

/// Keys that differ in these bits only share a group. They are what is below the partition in a rowid: the rowids of
/// one partition ascend in a tail, those of several do not.
const GROUP_BITS: u32 = 48;
/// An estimate that has no group to look at counts no further than this.
const ESTIMATE_COUNTS_AT_MOST: usize = 1_024;

/// A tail. It is active while the writer adds to it, and never changes once it is frozen.
pub(super) struct Tail {
    maps: RwLock<[Map; IndexKind::COUNT]>,
}

enum Map {
    Wide(HashMap<u128, u64>),
    Narrow(Groups),
}

/// The entries of a narrow kind.
#[derive(Default)]
struct Groups {
    /// By the key without its lowest 48 bits.
    groups: HashMap<u128, Group>,
    /// Bits 48 to 63 of all keys, ascending: the partitions of the rowids.
    partitions: Vec<u64>,
    entries: usize,
}

/// The lower halves and values of a group, ascending. Most streams and tags have one entry in a tail.
enum Group {
    One((u64, u64)),
    Many(Vec<(u64, u64)>),
}

impl Default for Tail {
    fn default() -> Self {
        let empty = |kind: IndexKind| match kind.shape() {
            Shape::Wide => Map::Wide(HashMap::new()),
            Shape::Narrow | Shape::Posting => Map::Narrow(Groups::default()),
        };
        Self { maps: RwLock::new(IndexKind::ALL.map(empty)) }
    }
}

impl Tail {
    /// Adds the entries under one lock. A key that is already present takes the new value.
    pub(super) fn apply(&self, entries: impl IntoIterator<Item = (IndexKind, u128, u64)>) {
        // A panic inside the loop (the iterator is the caller's) leaves whole entries only: the maps stay usable.
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, key, value) in entries {
            match &mut maps[kind.slot()] {
                Map::Wide(map) => drop(map.insert(key, value)),
                Map::Narrow(groups) => groups.insert(key, value),
            }
        }
    }

    pub(super) fn get(&self, kind: IndexKind, key: u128) -> Option<u64> {
        match &self.maps()[kind.slot()] {
            Map::Wide(map) => map.get(&key).copied(),
            Map::Narrow(groups) => {
                let group = groups.groups.get(&group_of(key))?.entries();
                let place = group.binary_search_by_key(&lower(key), |entry| entry.0).ok()?;
                Some(group[place].1)
            }
        }
    }

    /// The entry with the greatest key of the range. Fast within one upper half or for one key; else it looks at all.
    pub(super) fn last_in(&self, kind: IndexKind, low: u128, high: u128) -> Option<Entry> {
        match &self.maps()[kind.slot()] {
            Map::Wide(map) if low == high => map.get(&low).map(|value| (low, *value)),
            Map::Narrow(groups) if upper(low) == upper(high) => groups
                .slices(low, high)
                .next_back()
                .and_then(|(key, slice)| slice.last().map(|entry| whole(key, *entry))),
            map => map.entries_in(low, high).into_iter().max(),
        }
    }

    /// Copies the first `limit` entries of the range, in the direction asked for, and answers whether that was all.
    /// A range over several upper halves, or of wide keys, is copied and sorted whole: nothing asks for it often.
    pub(super) fn copy(
        &self,
        kind: IndexKind,
        (low, high): (u128, u128),
        backward: bool,
        limit: usize,
        entries: &mut Vec<Entry>,
    ) -> bool {
        let maps = self.maps();
        match &maps[kind.slot()] {
            Map::Narrow(groups) if upper(low) == upper(high) => {
                let slices = groups.slices(low, high);
                if backward {
                    let found =
                        slices.rev().flat_map(|(key, slice)| slice.iter().rev().map(move |entry| whole(key, *entry)));
                    entries.extend(found.take(limit));
                } else {
                    let found = slices.flat_map(|(key, slice)| slice.iter().map(move |entry| whole(key, *entry)));
                    entries.extend(found.take(limit));
                }
                entries.len() < limit
            }
            map => {
                *entries = map.entries_in(low, high);
                drop(maps);
                entries.sort_unstable();
                if backward {
                    entries.reverse();
                }
                true
            }
        }
    }

    /// All entries of a kind in key order.
    pub(super) fn sorted(&self, kind: IndexKind) -> Vec<Entry> {
        let mut entries = Vec::new();
        match &self.maps()[kind.slot()] {
            Map::Wide(map) => {
                entries.extend(map.iter().map(|(key, value)| (*key, *value)));
                entries.sort_unstable_by_key(|entry| entry.0);
            }
            Map::Narrow(groups) => {
                let mut keys: Vec<(u128, &Group)> = groups.groups.iter().map(|(key, group)| (*key, group)).collect();
                keys.sort_unstable_by_key(|(key, _)| *key);
                entries.reserve_exact(groups.entries);
                for (key, group) in keys {
                    entries.extend(group.entries().iter().map(|entry| whole(key, *entry)));
                }
            }
        }
        entries
    }

    /// The number of entries in the range; of wide keys and several upper halves a guess.
    pub(super) fn estimate(&self, kind: IndexKind, low: u128, high: u128) -> u64 {
        let found = match &self.maps()[kind.slot()] {
            Map::Narrow(groups) if upper(low) == upper(high) => {
                groups.slices(low, high).map(|(_, slice)| slice.len()).sum()
            }
            map => map.len().min(ESTIMATE_COUNTS_AT_MOST),
        };
        found as u64
    }

    /// The number of entries of each kind.
    pub(super) fn lengths(&self) -> [usize; IndexKind::COUNT] {
        self.maps().each_ref().map(Map::len)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A table keeps an eighth of its slots empty, and a byte beside each slot.
        let table = |capacity: usize, slot: usize| (capacity + capacity / 7) * (slot + 1);
        let bytes = |map: &Map| match map {
            Map::Wide(map) => table(map.capacity(), size_of::<Entry>()),
            Map::Narrow(groups) => {
                let in_vectors = (groups.entries - groups.groups.len()) * 2 * size_of::<(u64, u64)>();
                table(groups.groups.capacity(), size_of::<(u128, Group)>()) + in_vectors
            }
        };
        self.maps().iter().map(bytes).sum()
    }

    fn maps(&self) -> RwLockReadGuard<'_, [Map; IndexKind::COUNT]> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    fn len(&self) -> usize {
        match self {
            Map::Wide(map) => map.len(),
            Map::Narrow(groups) => groups.entries,
        }
    }

    /// The entries of the range, in no order.
    fn entries_in(&self, low: u128, high: u128) -> Vec<Entry> {
        let range = low..=high;
        match self {
            Map::Wide(map) => {
                map.iter().map(|(key, value)| (*key, *value)).filter(|entry| range.contains(&entry.0)).collect()
            }
            Map::Narrow(groups) => {
                let entries = groups
                    .groups
                    .iter()
                    .flat_map(|(key, group)| group.entries().iter().map(|entry| whole(*key, *entry)));
                entries.filter(|entry| range.contains(&entry.0)).collect()
            }
        }
    }
}

impl Groups {
    fn insert(&mut self, key: u128, value: u64) {
        let entry = (lower(key), value);
        if let Err(place) = self.partitions.binary_search(&(lower(key) >> GROUP_BITS)) {
            self.partitions.insert(place, lower(key) >> GROUP_BITS);
        }
        let mut is_new = true;
        self.groups.entry(group_of(key)).and_modify(|group| is_new = group.insert(entry)).or_insert(Group::One(entry));
        self.entries += usize::from(is_new);
    }

    /// The entries of a range within one upper half, ascending: the key of each group and its part of the range.
    fn slices(&self, low: u128, high: u128) -> impl DoubleEndedIterator<Item = (u128, &[(u64, u64)])> {
        let first = self.partitions.partition_point(|partition| *partition < lower(low) >> GROUP_BITS);
        let end = self.partitions.partition_point(|partition| *partition <= lower(high) >> GROUP_BITS);
        self.partitions[first..end.max(first)].iter().filter_map(move |partition| {
            let key = joined(upper(low), partition << GROUP_BITS);
            let entries = self.groups.get(&key)?.entries();
            let start = entries.partition_point(|entry| entry.0 < lower(low));
            let end = entries.partition_point(|entry| entry.0 <= lower(high));
            (start < end).then(|| (key, &entries[start..end]))
        })
    }
}

impl Group {
    fn entries(&self) -> &[(u64, u64)] {
        match self {
            Group::One(entry) => std::slice::from_ref(entry),
            Group::Many(entries) => entries,
        }
    }

    /// Adds an entry or replaces its value; `true` when it was added. Appending is the usual case and the fast one.
    fn insert(&mut self, entry: (u64, u64)) -> bool {
        let entries = match self {
            Group::One(only) if only.0 == entry.0 => {
                *only = entry;
                return false;
            }
            Group::One(only) => {
                let (first, second) = if only.0 < entry.0 { (*only, entry) } else { (entry, *only) };
                *self = Group::Many(vec![first, second]);
                return true;
            }
            Group::Many(entries) => entries,
        };
        if entries.last().is_none_or(|last| last.0 < entry.0) {
            entries.push(entry);
            return true;
        }
        match entries.binary_search_by_key(&entry.0, |known| known.0) {
            Ok(place) => entries[place] = entry,
            Err(place) => {
                entries.insert(place, entry);
                return true;
            }
        }
        false
    }
}

fn group_of(key: u128) -> u128 {
    key >> GROUP_BITS << GROUP_BITS
}

/// The entry with its upper half, which the group's key knows.
fn whole(group: u128, (lower, value): (u64, u64)) -> Entry {
    (joined(upper(group), lower), value)
}

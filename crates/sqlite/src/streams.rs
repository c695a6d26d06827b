//! Streams by name: a keyed hash, a bounded cache of ids and versions, and the index behind it.

use std::hash::Hasher;

use rusqlite::Connection;
use siphasher::sip128::{Hasher128, SipHasher24};

use pacioli_core::{StreamName, Version};

use crate::error::Result;
use crate::index::{IndexKind, IndexView};

/// What the engine knows of a stream that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHead {
    /// Its id: 1, 2, 3 … in the order in which streams began.
    pub(crate) id: i64,
    /// The version of its last event.
    pub(crate) version: Version,
}

/// Hashes names of streams to the 128 bits under which they are found. With a key that never leaves the store nobody can
/// make two names meet, and by chance they do not: at a billion streams the odds are below 10^-20.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameHash {
    key: [u8; 16],
}

impl NameHash {
    pub(crate) fn new(key: [u8; 16]) -> NameHash {
        NameHash { key }
    }

    /// The hash of a name.
    pub(crate) fn of(&self, stream: &StreamName) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(stream.as_str().as_bytes());
        hasher.finish128().as_u128()
    }

    /// The 64 bits under which a category, a type or a tag is posted. Every match is verified against the event.
    pub(crate) fn posting(&self, kind: IndexKind, text: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u8(kind as u8);
        hasher.write(text.as_bytes());
        hasher.finish128().h1
    }
}

/// Looks a stream up in the indexes.
pub(crate) fn find(conn: &Connection, view: &IndexView, name: u128) -> Result<Option<StreamHead>> {
    let Some(id) = view.get(conn, IndexKind::Name, name)? else { return Ok(None) };
    let (low, high) = versions_of(id);
    // The newest tail or run that knows the stream holds its highest version.
    let last = view.last_in(conn, IndexKind::Stream, low, high)?;
    Ok(last.map(|(key, _)| StreamHead { id: id as i64, version: Version(key as u64) }))
}

/// The keys of a stream's versions in the index.
pub(crate) fn versions_of(id: u64) -> (u128, u128) {
    let low = u128::from(id) << 64;
    (low, low | u128::from(u64::MAX))
}

/// Ways of one set of the cache.
const WAYS: usize = 8;

/// A bounded cache of stream heads, owned by the writer: set-associative, so that it never grows and never rehashes.
#[derive(Debug)]
pub(crate) struct HeadCache {
    /// Empty slots have id 0. Pages of it that are never touched take no memory.
    slots: Vec<(u128, u64, u64)>,
    sets: usize,
    next_victim: usize,
}

impl HeadCache {
    /// A cache for at most about this many streams, 32 bytes each.
    pub(crate) fn new(streams_max: usize) -> HeadCache {
        let sets = (streams_max / WAYS).next_power_of_two().max(1);
        HeadCache { slots: vec![(0, 0, 0); sets * WAYS], sets, next_victim: 0 }
    }

    fn set(&self, name: u128) -> std::ops::Range<usize> {
        let first = (name as usize & (self.sets - 1)) * WAYS;
        first..first + WAYS
    }

    /// The head of a stream, if it is cached.
    pub(crate) fn get(&self, name: u128) -> Option<StreamHead> {
        let slot = self.slots[self.set(name)].iter().find(|slot| slot.0 == name && slot.1 != 0)?;
        Some(StreamHead { id: slot.1 as i64, version: Version(slot.2) })
    }

    /// Puts a head in, in place of an older one of the stream or of some other stream of its set.
    pub(crate) fn put(&mut self, name: u128, head: StreamHead) {
        let range = self.set(name);
        let set = &mut self.slots[range];
        let free = set.iter().position(|slot| slot.0 == name || slot.1 == 0);
        let way = free.unwrap_or_else(|| {
            self.next_victim = (self.next_victim + 1) % WAYS;
            self.next_victim
        });
        set[way] = (name, head.id as u64, head.version.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_forgets_but_never_lies() {
        let mut cache = HeadCache::new(64);
        let head = |id: i64| StreamHead { id, version: Version(id as u64 * 3) };
        for id in 1..=1_000 {
            cache.put(u128::from(id as u64) * 0x9e37_79b9_7f4a_7c15, head(id));
        }
        let mut found = 0;
        for id in 1..=1_000 {
            if let Some(cached) = cache.get(u128::from(id as u64) * 0x9e37_79b9_7f4a_7c15) {
                assert_eq!(cached, head(id));
                found += 1;
            }
        }
        assert!((1..=64).contains(&found));
        cache.put(7, head(5));
        cache.put(7, head(6));
        assert_eq!(cache.get(7), Some(head(6)));
    }
}

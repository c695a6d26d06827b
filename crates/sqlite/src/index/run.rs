//! A run as memory knows it: the fences and filters of its blocks. The entries stay in the file.

use rusqlite::Connection;

use super::block::{Block, Malformed};
use super::catalogue;
use super::error::{IndexError, Result};
use super::filter;
use super::kind::{Entry, IndexKind, Shape, joined, lower, upper};

/// A block's or segment's number takes this many bits of its id; the run the rest.
pub(super) const NUMBER_BITS: u32 = 24;

/// An immutable sorted run.
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) kind: IndexKind,
    pub(super) level: u32,
    /// The first and the last freeze whose entries the run holds.
    pub(super) generations: (u64, u64),
    pub(super) entries: u64,
    /// The first key of each block.
    pub(super) fences: Vec<u128>,
    /// The last key of the run.
    pub(super) last: u128,
    /// The least and the greatest lower half of a key. For posting lists these are rowids, which grow with time: a
    /// scan from a rowid on passes the runs that end before it.
    pub(super) lower_halves: (u64, u64),
    /// Where each block's filter ends in `filter_words`.
    pub(super) filter_ends: Vec<u32>,
    pub(super) filter_words: Vec<u64>,
}

impl Run {
    pub(super) fn new(id: i64, kind: IndexKind, level: u32, generations: (u64, u64)) -> Self {
        Self {
            id,
            kind,
            level,
            generations,
            entries: 0,
            fences: Vec::new(),
            last: 0,
            lower_halves: (u64::MAX, 0),
            filter_ends: Vec::new(),
            filter_words: Vec::new(),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.kind.shape()
    }

    pub(super) fn blocks(&self) -> usize {
        self.fences.len()
    }

    /// The entry with the greatest key within the range. Reads one block at most.
    pub(super) fn last_in(&self, conn: &Connection, low: u128, high: u128) -> Result<Option<Entry>> {
        let Some(block) = self.block_of(high) else { return Ok(None) };
        // The block's first key is not above `high`, so the greatest key not above `high` is in this block: an
        // older block cannot have a greater one.
        if self.last < low || (self.fences[block] < low && !self.may_hold(block, low, high)) {
            return Ok(None);
        }
        let found = self.with_block(conn, block, |block| block.last_at_most(high))?;
        Ok(found.filter(|(key, _)| *key >= low))
    }

    /// The blocks that can have keys of the range.
    pub(super) fn blocks_of(&self, low: u128, high: u128) -> std::ops::Range<usize> {
        let shares_upper_half = self.shape() != Shape::Wide && upper(low) == upper(high);
        let beside = shares_upper_half && (lower(high) < self.lower_halves.0 || lower(low) > self.lower_halves.1);
        match self.block_of(high) {
            Some(last) if !beside && low <= high && low <= self.last => self.block_of(low).unwrap_or(0)..last + 1,
            _ => 0..0,
        }
    }

    /// The least and greatest key of the range that the block can have.
    pub(super) fn bounds_within(&self, block: usize, low: u128, high: u128) -> (u128, u128) {
        let block_high = self.fences.get(block + 1).map_or(self.last, |next| next - 1);
        let (mut low, mut high) = (low, high);
        if self.shape() != Shape::Wide && upper(low) == upper(high) {
            low = joined(upper(low), lower(low).max(self.lower_halves.0));
            high = joined(upper(high), lower(high).min(self.lower_halves.1));
        }
        (low.max(self.fences[block]), high.min(block_high))
    }

    /// Whether the block's filter lets the range pass; `false` is certain.
    pub(super) fn may_hold(&self, block: usize, low: u128, high: u128) -> bool {
        let hash = self.shape().filter_hash_of_range(low, high);
        hash.is_none_or(|hash| filter::may_hold(self.filter(block), hash))
    }

    /// Rough number of entries of the range.
    pub(super) fn estimate(&self, low: u128, high: u128) -> u64 {
        let blocks = self.blocks_of(low, high);
        let mean = self.entries / self.blocks().max(1) as u64;
        let inner = blocks.len().saturating_sub(2) as u64 * mean;
        let edges =
            if blocks.len() < 2 { [Some(blocks.start), None] } else { [Some(blocks.start), Some(blocks.end - 1)] };
        let at_edges = edges.into_iter().flatten().filter(|_| !blocks.is_empty()).map(|block| {
            if self.shape().filter_hash_of_range(low, high).is_none() {
                mean.div_ceil(2)
            } else if self.may_hold(block, low, high) {
                // One of the keys that the filter was made for.
                (mean / filter::capacity(self.filter(block).len()).max(1)).max(1)
            } else {
                0
            }
        });
        (inner + at_edges.sum::<u64>()).min(self.entries)
    }

    /// Reads a block and lets `read` look into it without a copy.
    pub(super) fn with_block<T>(
        &self,
        conn: &Connection,
        block: usize,
        read: impl FnOnce(&Block<'_>) -> Result<T, Malformed>,
    ) -> Result<T> {
        let id = self.row_id(block);
        let outcome = catalogue::read_block(conn, id, |bytes| match bytes {
            Some(bytes) => Block::open(self.shape(), id, bytes).and_then(|block| read(&block)),
            None => Err("it is missing"),
        })?;
        outcome.map_err(|reason| IndexError::Corrupt { run: self.id, part: "block", number: block, reason })
    }

    /// The row id of a block or segment of this run.
    pub(super) fn row_id(&self, number: usize) -> i64 {
        assert!(number < 1 << NUMBER_BITS, "a run has less than 2^24 blocks");
        (self.id << NUMBER_BITS) | number as i64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.fences.capacity() * 16 + self.filter_ends.capacity() * 4 + self.filter_words.capacity() * 8
    }

    /// The last block whose first key is not above the key.
    fn block_of(&self, key: u128) -> Option<usize> {
        self.fences.partition_point(|fence| *fence <= key).checked_sub(1)
    }

    fn filter(&self, block: usize) -> &[u64] {
        let start = block.checked_sub(1).map_or(0, |before| self.filter_ends[before] as usize);
        &self.filter_words[start..self.filter_ends[block] as usize]
    }
}

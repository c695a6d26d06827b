//! Writing one run, block by block, and reading its fences and filters back when the store opens.
//!
//! A segment holds what memory must know of 32 blocks:
//!
//! ```text
//! checksum: 8   format: 1   blocks: 2   entries: 4   last key: 16   least and greatest lower half: 8 + 8
//! a block: first key: 16   words of its filter: 2
//! the words of all filters: 8 each
//! ```

use std::sync::Arc;

use rusqlite::Connection;

use super::block::{BlockBuilder, Malformed, seal, unseal};
use super::catalogue::{self, RunRow};
use super::error::{IndexError, Result};
use super::filter;
use super::kind::{Entry, IndexKind, lower};
use super::run::Run;

const SEGMENT_BLOCKS: usize = 32;
const SEGMENT_FORMAT: u8 = 1;
const SEGMENT_HEADER_BYTES: usize = 8 + 1 + 2 + 4 + 16 + 16;

/// A run that is being written. Between two slices no entry is half written: **a slice ends behind a whole block**.
pub(super) struct RunWriter {
    run: Run,
    builder: BlockBuilder,
    /// What the blocks since the last segment hold.
    segment_entries: u64,
    segment_first_block: usize,
    scratch: Vec<u8>,
}

/// A place to which a writer can return when the transaction that went on from there is rolled back.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    blocks: usize,
    filter_words: usize,
    entries: u64,
    last: u128,
    lower_halves: (u64, u64),
    segment_entries: u64,
    segment_first_block: usize,
}

impl RunWriter {
    /// Adds the run to the catalogue, incomplete.
    pub(super) fn begin(conn: &Connection, kind: IndexKind, level: u32, generations: (u64, u64)) -> Result<Self> {
        let id = catalogue::begin_run(conn, kind, level, generations)?;
        Ok(Self {
            run: Run::new(id, kind, level, generations),
            builder: BlockBuilder::new(kind.shape()),
            segment_entries: 0,
            segment_first_block: 0,
            scratch: Vec::new(),
        })
    }

    pub(super) fn kind(&self) -> IndexKind {
        self.run.kind
    }

    /// The last key in a written block.
    pub(super) fn last_written(&self) -> Option<u128> {
        (self.run.entries > 0).then_some(self.run.last)
    }

    /// Adds an entry; `true` when that completed and wrote a block.
    pub(super) fn push(&mut self, conn: &Connection, entry: Entry) -> Result<bool> {
        let full = self.builder.push(entry);
        let (least, greatest) = &mut self.run.lower_halves;
        *least = (*least).min(lower(entry.0));
        *greatest = (*greatest).max(lower(entry.0));
        if full {
            self.write_block(conn)?;
        }
        Ok(full)
    }

    /// Makes room for the fences and filters of these runs, so that no slice has to move them.
    pub(super) fn reserve(&mut self, inputs: &[Arc<Run>]) {
        let blocks = inputs.iter().map(|run| run.blocks()).sum();
        self.run.fences.reserve(blocks);
        self.run.filter_ends.reserve(blocks);
        self.run.filter_words.reserve(inputs.iter().map(|run| run.filter_words.len()).sum());
    }

    /// Writes what is left. Returns how many blocks that took.
    pub(super) fn finish(&mut self, conn: &Connection) -> Result<usize> {
        let left = usize::from(!self.builder.is_empty());
        if left > 0 {
            self.write_block(conn)?;
        }
        if self.segment_first_block < self.run.blocks() {
            self.write_segment(conn)?;
        }
        Ok(left)
    }

    /// Makes the finished run part of the index as soon as the transaction commits.
    pub(super) fn complete(&self, conn: &Connection) -> Result<()> {
        assert!(self.run.entries > 0, "a run is never empty");
        assert!(self.builder.is_empty(), "a complete run has no entry left to write");
        assert!(self.segment_first_block == self.run.blocks(), "a complete run has no segment left to write");
        catalogue::complete_run(conn, self.run.id, self.run.entries, self.run.blocks())
    }

    /// The finished run.
    pub(super) fn into_run(mut self) -> Run {
        self.run.fences.shrink_to_fit();
        self.run.filter_ends.shrink_to_fit();
        self.run.filter_words.shrink_to_fit();
        self.run
    }

    pub(super) fn mark(&self) -> Mark {
        assert!(self.builder.is_empty(), "a slice ends behind a whole block");
        Mark {
            blocks: self.run.blocks(),
            filter_words: self.run.filter_words.len(),
            entries: self.run.entries,
            last: self.run.last,
            lower_halves: self.run.lower_halves,
            segment_entries: self.segment_entries,
            segment_first_block: self.segment_first_block,
        }
    }

    pub(super) fn return_to(&mut self, mark: Mark) {
        self.builder.clear();
        self.run.fences.truncate(mark.blocks);
        self.run.filter_ends.truncate(mark.blocks);
        self.run.filter_words.truncate(mark.filter_words);
        self.run.entries = mark.entries;
        self.run.last = mark.last;
        self.run.lower_halves = mark.lower_halves;
        self.segment_entries = mark.segment_entries;
        self.segment_first_block = mark.segment_first_block;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.run.memory_bytes()
    }

    fn write_block(&mut self, conn: &Connection) -> Result<()> {
        let entries = self.builder.len() as u64;
        assert!(self.last_written().is_none_or(|before| before < self.builder.first_key()), "blocks ascend");
        filter::build(self.builder.hashes(), &mut self.run.filter_words);
        let id = self.run.row_id(self.run.blocks());
        self.run.fences.push(self.builder.first_key());
        self.run.filter_ends.push(self.run.filter_words.len() as u32);
        self.run.entries += entries;
        self.run.last = self.builder.last_key();
        self.segment_entries += entries;
        catalogue::insert_block(conn, id, self.builder.seal(id))?;
        self.builder.clear();
        if self.run.blocks() - self.segment_first_block == SEGMENT_BLOCKS {
            self.write_segment(conn)?;
        }
        Ok(())
    }

    fn write_segment(&mut self, conn: &Connection) -> Result<()> {
        let run = &self.run;
        let first = self.segment_first_block;
        let id = run.row_id(first / SEGMENT_BLOCKS);
        let bytes = &mut self.scratch;
        bytes.clear();
        bytes.extend_from_slice(&[0; 8]);
        bytes.push(SEGMENT_FORMAT);
        bytes.extend_from_slice(&((run.blocks() - first) as u16).to_le_bytes());
        bytes.extend_from_slice(&(self.segment_entries as u32).to_le_bytes());
        bytes.extend_from_slice(&run.last.to_le_bytes());
        bytes.extend_from_slice(&run.lower_halves.0.to_le_bytes());
        bytes.extend_from_slice(&run.lower_halves.1.to_le_bytes());
        let first_word = first.checked_sub(1).map_or(0, |before| run.filter_ends[before]);
        let mut previous_end = first_word;
        for (fence, end) in run.fences[first..].iter().zip(&run.filter_ends[first..]) {
            bytes.extend_from_slice(&fence.to_le_bytes());
            bytes.extend_from_slice(&((end - previous_end) as u16).to_le_bytes());
            previous_end = *end;
        }
        for word in &run.filter_words[first_word as usize..] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        seal(id, bytes);
        catalogue::insert_segment(conn, id, bytes)?;
        self.segment_first_block = run.blocks();
        self.segment_entries = 0;
        Ok(())
    }
}

/// Reads the fences and filters of a complete run.
pub(super) fn load(conn: &Connection, row: &RunRow) -> Result<Run> {
    let corrupt = |part, number, reason| IndexError::Corrupt { run: row.run, part, number, reason };
    let kind = IndexKind::from_ordinal(row.kind).ok_or_else(|| corrupt("catalogue row", 0, "unknown kind"))?;
    let mut run = Run::new(row.run, kind, row.level, row.generations);
    run.fences.reserve_exact(row.blocks.min(1 << 20));
    run.filter_ends.reserve_exact(row.blocks.min(1 << 20));
    let mut number = 0;
    catalogue::read_segments(conn, row.run, |id, bytes| {
        let expected = run.row_id(number);
        let outcome = if id == expected { append_segment(&mut run, id, bytes) } else { Err("it is missing") };
        outcome.map_err(|reason| corrupt("segment", number, reason))?;
        number += 1;
        Ok(())
    })?;
    if run.blocks() != row.blocks || run.entries != row.entries || run.entries == 0 {
        return Err(corrupt("segment", number, "the segments hold another number of entries than the catalogue"));
    }
    run.filter_words.shrink_to_fit();
    Ok(run)
}

fn append_segment(run: &mut Run, id: i64, bytes: &[u8]) -> Result<(), Malformed> {
    let mut rest = unseal(id, bytes)?;
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return Err("too short");
    }
    let [format] = take(&mut rest)?;
    if format != SEGMENT_FORMAT {
        return Err("unknown format");
    }
    let blocks = u16::from_le_bytes(take(&mut rest)?);
    run.entries += u64::from(u32::from_le_bytes(take(&mut rest)?));
    let last = u128::from_le_bytes(take(&mut rest)?);
    let least = u64::from_le_bytes(take(&mut rest)?);
    let greatest = u64::from_le_bytes(take(&mut rest)?);
    run.lower_halves = (run.lower_halves.0.min(least), run.lower_halves.1.max(greatest));
    let mut end = run.filter_words.len() as u32;
    for _ in 0..blocks {
        let fence = u128::from_le_bytes(take(&mut rest)?);
        let words = u16::from_le_bytes(take(&mut rest)?);
        if words == 0 || fence > last || run.fences.last().is_some_and(|before| *before >= fence) {
            return Err("fences out of order");
        }
        run.fences.push(fence);
        end += u32::from(words);
        run.filter_ends.push(end);
    }
    while !rest.is_empty() {
        run.filter_words.push(u64::from_le_bytes(take(&mut rest)?));
    }
    if run.filter_words.len() != end as usize {
        return Err("filters of another length");
    }
    run.last = last;
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, rest) = bytes.split_first_chunk().ok_or("too short")?;
    *bytes = rest;
    Ok(*head)
}

//! Reading several sorted sources as one, lazily: a block is read only when its first possible key is due.

use std::sync::Arc;

use rusqlite::Connection;

use super::error::Result;
use super::kind::{Entry, IndexKind};
use super::run::Run;
use super::tail::Tail;

/// The way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Keys ascend.
    Forward,
    /// Keys descend.
    Backward,
}

/// How many entries are copied out of a tail under one lock.
const TAIL_CHUNK: usize = 256;

enum Source {
    Tail { tail: Arc<Tail>, kind: IndexKind, chunk: usize, exhausted: bool },
    Run { run: Arc<Run>, blocks: std::ops::Range<usize> },
}

/// One source's place in the scan: a buffer of entries, and behind it what has not been read.
struct Cursor {
    source: Source,
    low: u128,
    high: u128,
    backward: bool,
    /// In the order of the scan.
    buffer: Vec<Entry>,
    taken: usize,
}

/// What a cursor has next, in an order in which the least head is due: first an unread block that may begin with the
/// key (it must be read to know), then the newest cursor that has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// The key, its bits inverted when the scan goes backward.
    order: u128,
    is_read: bool,
    cursor: u32,
}

/// A merge of cursors in key order. Of equal keys the newest source's is returned, the others are dropped.
pub(super) struct MergedScan {
    /// Newest source first.
    cursors: Vec<Cursor>,
    /// One head for each cursor that is not exhausted, ascending.
    heads: Vec<Head>,
    last: Option<u128>,
}

impl MergedScan {
    /// Begins a scan of `low..=high` over sources that come newest first.
    pub(super) fn new(
        kind: IndexKind,
        tails: impl IntoIterator<Item = Arc<Tail>>,
        runs_newest_first: impl IntoIterator<Item = Arc<Run>>,
        (low, high): (u128, u128),
        direction: Direction,
        limit: usize,
    ) -> Self {
        let backward = direction == Direction::Backward;
        let chunk = limit.clamp(1, TAIL_CHUNK);
        let tails = tails.into_iter().map(|tail| Source::Tail { tail, kind, chunk, exhausted: low > high });
        let runs = runs_newest_first.into_iter().map(|run| Source::Run { blocks: run.blocks_of(low, high), run });
        let mut scan = Self { cursors: Vec::new(), heads: Vec::new(), last: None };
        for source in tails.chain(runs) {
            let mut cursor = Cursor { source, low, high, backward, buffer: Vec::new(), taken: 0 };
            if let Some(head) = cursor.head(scan.cursors.len() as u32) {
                scan.cursors.push(cursor);
                scan.heads.push(head);
            }
        }
        scan.heads.sort_unstable();
        scan
    }

    /// The next entry. After an error the scan must not be used again.
    pub(super) fn next(&mut self, conn: &Connection) -> Result<Option<Entry>> {
        loop {
            let Some(&head) = self.heads.first() else { return Ok(None) };
            let cursor = &mut self.cursors[head.cursor as usize];
            if !head.is_read {
                cursor.load(conn)?;
                self.advance(head.cursor);
                continue;
            }
            let entry = cursor.buffer[cursor.taken];
            cursor.taken += 1;
            self.advance(head.cursor);
            if self.last != Some(entry.0) {
                self.last = Some(entry.0);
                return Ok(Some(entry));
            }
        }
    }

    /// Gives the first head's cursor its new place among the heads.
    fn advance(&mut self, cursor: u32) {
        let Some(head) = self.cursors[cursor as usize].head(cursor) else {
            self.heads.remove(0);
            return;
        };
        let mut place = 0;
        while place + 1 < self.heads.len() && self.heads[place + 1] < head {
            self.heads[place] = self.heads[place + 1];
            place += 1;
        }
        self.heads[place] = head;
    }
}

impl Cursor {
    /// What comes next; blocks whose filter excludes the range are passed by.
    fn head(&mut self, cursor: u32) -> Option<Head> {
        let backward = self.backward;
        let head = |key: u128, is_read| Some(Head { order: if backward { !key } else { key }, is_read, cursor });
        if let Some((key, _)) = self.buffer.get(self.taken) {
            return head(*key, true);
        }
        match &mut self.source {
            Source::Tail { exhausted: true, .. } => None,
            Source::Tail { .. } => head(if backward { self.high } else { self.low }, false),
            Source::Run { run, blocks } => {
                while blocks.start < blocks.end {
                    let block = if backward { blocks.end - 1 } else { blocks.start };
                    let (low, high) = run.bounds_within(block, self.low, self.high);
                    if low <= high && run.may_hold(block, self.low, self.high) {
                        return head(if backward { high } else { low }, false);
                    }
                    *blocks = if backward { blocks.start..block } else { block + 1..blocks.end };
                }
                None
            }
        }
    }

    /// Reads the next block or chunk into the buffer.
    fn load(&mut self, conn: &Connection) -> Result<()> {
        let (low, high, backward) = (self.low, self.high, self.backward);
        self.buffer.clear();
        self.taken = 0;
        match &mut self.source {
            Source::Tail { tail, kind, chunk, exhausted } => {
                *exhausted = tail.copy(*kind, (low, high), backward, *chunk, &mut self.buffer);
                let last = self.buffer.last().map(|(key, _)| *key);
                if backward {
                    match last.and_then(|key| key.checked_sub(1)) {
                        Some(high) if high >= low => self.high = high,
                        _ => *exhausted = true,
                    }
                } else {
                    match last.and_then(|key| key.checked_add(1)) {
                        Some(low) if low <= high => self.low = low,
                        _ => *exhausted = true,
                    }
                }
                *chunk = TAIL_CHUNK;
            }
            Source::Run { run, blocks } => {
                let block = if backward { blocks.end - 1 } else { blocks.start };
                let buffer = &mut self.buffer;
                run.with_block(conn, block, |stored| stored.unpack(buffer))?;
                *blocks = if backward { blocks.start..block } else { block + 1..blocks.end };
                buffer.truncate(buffer.partition_point(|(key, _)| *key <= high));
                let below = buffer.partition_point(|(key, _)| *key < low);
                if backward {
                    buffer.drain(..below);
                    buffer.reverse();
                } else {
                    self.taken = below;
                }
            }
        }
        Ok(())
    }
}

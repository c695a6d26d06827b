//! Flushing and merging in slices that a transaction of the writer carries along.

use std::sync::Arc;

use rusqlite::Connection;

use super::catalogue;
use super::error::Result;
use super::kind::{Entry, IndexKind};
use super::run::Run;
use super::scan::{Direction, MergedScan};
use super::tail::Tail;
use super::writer::{Mark, RunWriter};

/// Writes a frozen tail, one level-0 run for each kind that has entries.
pub(super) struct FlushJob {
    tail: Arc<Tail>,
    generation: u64,
    watermark: String,
    /// The kinds that have entries. `writers[n]` writes `kinds[n]`.
    kinds: Vec<IndexKind>,
    writers: Vec<RunWriter>,
    /// The entries of the kind that is being written, in order.
    sorted: Option<(IndexKind, Vec<Entry>)>,
    /// The kind that is being written.
    current: usize,
    finished: bool,
}

/// Where a flush was when the transaction began.
pub(super) struct FlushMark {
    current: usize,
    writers: usize,
    writer: Option<Mark>,
}

impl FlushJob {
    pub(super) fn new(tail: Arc<Tail>, generation: u64, watermark: String) -> Self {
        let lengths = tail.lengths();
        let kinds = IndexKind::ALL.into_iter().filter(|kind| lengths[kind.slot()] > 0).collect();
        Self { tail, generation, watermark, kinds, writers: Vec::new(), sorted: None, current: 0, finished: false }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Writes up to `budget` blocks and returns how many. The last slice completes all runs and moves the watermark,
    /// in one transaction: the runs of a generation are complete together or not at all.
    pub(super) fn slice(&mut self, conn: &Connection, budget: usize) -> Result<usize> {
        let mut written = 0;
        while self.current < self.kinds.len() && written < budget {
            let kind = self.kinds[self.current];
            let (_, entries) = match &mut self.sorted {
                Some(sorted) if sorted.0 == kind => sorted,
                other => other.insert((kind, self.tail.sorted(kind))),
            };
            if self.writers.len() == self.current {
                self.writers.push(RunWriter::begin(conn, kind, 0, (self.generation, self.generation))?);
            }
            let writer = &mut self.writers[self.current];
            let behind = writer.last_written().map_or(0, |last| entries.partition_point(|entry| entry.0 <= last));
            let mut exhausted = true;
            for entry in &entries[behind..] {
                if writer.push(conn, *entry)? {
                    written += 1;
                    if written == budget {
                        exhausted = false;
                        break;
                    }
                }
            }
            if exhausted {
                written += writer.finish(conn)?;
                let last = entries.last().map(|entry| entry.0);
                assert!(writer.last_written() == last, "a run ends with the last entry of its tail");
                self.current += 1;
            }
        }
        if self.current == self.kinds.len() && !self.finished {
            for writer in &self.writers {
                writer.complete(conn)?;
            }
            catalogue::write_state(conn, self.generation, &self.watermark)?;
            self.finished = true;
        }
        Ok(written)
    }

    pub(super) fn mark(&self) -> FlushMark {
        assert!(!self.finished, "a finished flush is taken when its transaction commits");
        let writer = self.writers.get(self.current).map(RunWriter::mark);
        FlushMark { current: self.current, writers: self.writers.len(), writer }
    }

    pub(super) fn return_to(&mut self, mark: &FlushMark) {
        self.finished = false;
        self.current = mark.current;
        self.writers.truncate(mark.writers);
        if let Some(writer) = mark.writer {
            self.writers[mark.current].return_to(writer);
        }
    }

    /// The finished runs and the watermark that they reach.
    pub(super) fn into_runs(self) -> (Vec<Run>, String) {
        assert!(self.finished, "only a finished flush is taken");
        (self.writers.into_iter().map(RunWriter::into_run).collect(), self.watermark)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let sorted = self.sorted.as_ref().map_or(0, |(_, entries)| entries.capacity() * size_of::<Entry>());
        self.writers.iter().map(RunWriter::memory_bytes).sum::<usize>() + sorted
    }
}

/// Merges runs of one level, neighbours in generation, into one run of the next level.
pub(super) struct MergeJob {
    /// Oldest generation first.
    inputs: Vec<Arc<Run>>,
    writer: RunWriter,
    /// Where the merge is. Made again from the last written key after a rollback.
    scan: Option<MergedScan>,
    finished: bool,
}

impl MergeJob {
    pub(super) fn begin(conn: &Connection, inputs: Vec<Arc<Run>>) -> Result<Self> {
        let (oldest, newest) = (&inputs[0], &inputs[inputs.len() - 1]);
        assert!(inputs.iter().all(|run| run.level == oldest.level), "a merge takes runs of one level");
        let generations = (oldest.generations.0, newest.generations.1);
        let mut writer = RunWriter::begin(conn, oldest.kind, oldest.level + 1, generations)?;
        writer.reserve(&inputs);
        Ok(Self { inputs, writer, scan: None, finished: false })
    }

    /// The level of the runs that are merged.
    pub(super) fn level(&self) -> u32 {
        self.inputs[0].level
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Writes up to `budget` blocks and returns how many. The last slice puts the new run in the place of the old
    /// ones in the catalogue.
    pub(super) fn slice(&mut self, conn: &Connection, budget: usize) -> Result<usize> {
        if self.finished {
            return Ok(0);
        }
        let mut written = 0;
        let inputs = &self.inputs;
        let scan = match &mut self.scan {
            Some(scan) => Some(scan),
            none => {
                let low = self.writer.last_written().map_or(Some(0), |last| last.checked_add(1));
                low.map(|low| {
                    let newest_first = inputs.iter().rev().cloned();
                    let kind = self.writer.kind();
                    let range = (low, u128::MAX);
                    none.insert(MergedScan::new(kind, [], newest_first, range, Direction::Forward, usize::MAX))
                })
            }
        };
        if let Some(scan) = scan {
            while let Some(entry) = scan.next(conn)? {
                if self.writer.push(conn, entry)? {
                    written += 1;
                    if written == budget {
                        return Ok(written);
                    }
                }
            }
        }
        written += self.writer.finish(conn)?;
        self.writer.complete(conn)?;
        for input in &self.inputs {
            catalogue::retire_run(conn, input.id)?;
        }
        self.finished = true;
        Ok(written)
    }

    pub(super) fn mark(&self) -> Mark {
        assert!(!self.finished, "a finished merge is taken when its transaction commits");
        self.writer.mark()
    }

    pub(super) fn return_to(&mut self, mark: Mark) {
        self.finished = false;
        self.scan = None;
        self.writer.return_to(mark);
    }

    /// The new run and those it replaces.
    pub(super) fn into_runs(self) -> (Run, Vec<Arc<Run>>) {
        assert!(self.finished, "only a finished merge is taken");
        (self.writer.into_run(), self.inputs)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.memory_bytes()
    }
}

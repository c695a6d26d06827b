//! Point reads in memory: bounded in bytes, and good only for the rows that they were read from.

use std::sync::Arc;

use moka::sync::Cache;

use crate::answer::Answer;
use crate::engine::Lookup;
use crate::runner::Generation;

/// What an entry takes beside its texts: its key, its place in the cache, the allocations.
const OVERHEAD: usize = 256;

/// Answers to point reads, each with the generation of rows that it was read from.
///
/// An answer is good as long as that generation is the current one: every commit of the projection that changes rows makes
/// another, and so does everything after which this process does not know for sure (a lease taken anew, a worker that
/// found its build elsewhere). Nothing is invalidated: what is old is not found any more, and is pushed out.
pub(super) struct PointReads {
    answers: Cache<Lookup, Kept>,
}

#[derive(Clone)]
struct Kept {
    generation: Generation,
    answer: Arc<Answer>,
}

impl PointReads {
    pub(super) fn new(bytes_max: u64) -> PointReads {
        let weigh = |lookup: &Lookup, kept: &Kept| u32::try_from(size(lookup, &kept.answer)).unwrap_or(u32::MAX);
        PointReads { answers: Cache::builder().max_capacity(bytes_max).weigher(weigh).build() }
    }

    /// The answer, where it was read from these rows.
    pub(super) fn get(&self, lookup: &Lookup, generation: Generation) -> Option<Arc<Answer>> {
        let kept = self.answers.get(lookup)?;
        (kept.generation == generation).then_some(kept.answer)
    }

    /// Keeps an answer. `generation` was the current one before it was read, so the rows are those or newer ones.
    pub(super) fn keep(&self, lookup: Lookup, generation: Generation, answer: Arc<Answer>) {
        self.answers.insert(lookup, Kept { generation, answer });
    }
}

fn size(lookup: &Lookup, answer: &Answer) -> usize {
    let asked = lookup.table.len() + lookup.equals.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let columns = answer.columns.iter().map(|column| 32 + column.name.len()).sum::<usize>();
    let rows = answer.rows.iter().map(|row| 24 + row.iter().map(|value| value.size()).sum::<usize>()).sum::<usize>();
    OVERHEAD + asked + columns + rows
}

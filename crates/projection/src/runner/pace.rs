//! How much to apply at once: pure arithmetic, so that it can be tested as such.

use std::time::Duration;

use pacioli_core::place::Position;

use crate::engine::Advanced;

/// Events of the first batch, and of batches at the head.
const BATCH_AT_HEAD: usize = 64;
/// Positions that one batch may span at first.
const SPAN_AT_FIRST: u64 = 4_096;
/// Positions that one batch may span at most.
const SPAN_MAX: u64 = 1 << 20;
/// A transaction that takes longer is too long: others wait for what it locks, and a stop waits for its end.
const SLOW: Duration = Duration::from_millis(1_000);
/// A transaction that takes longer does not grow.
const LONG_ENOUGH: Duration = Duration::from_millis(400);
/// The least time from one small batch to the next at the head, so that a busy log is not a transaction an append.
const REST: Duration = Duration::from_millis(5);
/// The same where nothing matched for a while.
const REST_MAX: Duration = Duration::from_millis(40);

/// The pace of one loop.
pub(super) struct Pace {
    batch: usize,
    batch_max: usize,
    span: u64,
    /// The last event before one that is known to fail.
    before: Option<Position>,
    careful: Option<Careful>,
    rest: Duration,
}

/// A range failed and nobody knows where: go on in small steps until it is passed.
struct Careful {
    span: u64,
    until: Position,
}

impl Pace {
    pub(super) fn new(batch_max: usize) -> Pace {
        let batch_max = batch_max.max(1);
        let batch = BATCH_AT_HEAD.min(batch_max);
        Pace { batch, batch_max, span: SPAN_AT_FIRST, before: None, careful: None, rest: Duration::ZERO }
    }

    /// Up to where, and how many events at most. `after` is before `head`.
    pub(super) fn ask(&self, after: Position, head: Position) -> (Position, usize) {
        let span = self.careful.as_ref().map_or(self.span, |careful| careful.span.min(self.span));
        let up_to = head.min(after.plus(span));
        let before = self.before.filter(|before| *before > after);
        (before.map_or(up_to, |before| up_to.min(before)), self.batch)
    }

    /// Learns from what was asked and done. True where a range that had failed as a whole is passed now in parts: no
    /// event failed, but some of them together.
    pub(super) fn done(&mut self, advanced: Advanced, head: Position, took: Duration) -> bool {
        let is_full = advanced.events >= self.batch as u64;
        if self.before.is_some_and(|before| advanced.position >= before) {
            self.before = None;
        }
        let passed = self.careful.take_if(|careful| advanced.position >= careful.until).is_some();
        if took > SLOW {
            self.shrink();
        } else if advanced.position >= head {
            self.batch = (self.batch / 2).max(BATCH_AT_HEAD).min(self.batch_max);
        } else if took < LONG_ENOUGH && is_full {
            self.batch = (self.batch * 2).min(self.batch_max);
        } else if took < LONG_ENOUGH && self.careful.is_none() {
            self.span = (self.span * 2).min(SPAN_MAX);
        }
        self.rest = if advanced.position < head || is_full {
            Duration::ZERO
        } else if advanced.events > 0 {
            REST
        } else {
            (self.rest * 2).clamp(REST, REST_MAX)
        };
        passed
    }

    /// An event failed, and it is known which: everything before it comes first. True where nothing is before it, so
    /// that it is the one to stop at.
    pub(super) fn failed_at(&mut self, after: Position, event: Position) -> bool {
        if event <= after.next() {
            return true;
        }
        self.before = Some(Position(event.0 - 1));
        false
    }

    /// Something failed in the range, and nobody knows which event: halve. True where the range is one event, so that it
    /// is the one to stop at.
    pub(super) fn failed_between(&mut self, after: Position, up_to: Position) -> bool {
        let span = up_to.0 - after.0;
        if span <= 1 {
            return true;
        }
        let until = self.careful.as_ref().map_or(up_to, |careful| careful.until.max(up_to));
        self.careful = Some(Careful { span: span / 2, until });
        false
    }

    /// The storage failed, perhaps because it was too much at once.
    pub(super) fn shrink(&mut self) {
        self.batch = (self.batch / 2).max(1);
        self.span = (self.span / 2).max(1);
    }

    /// How long after the start of the last batch the next one may start.
    pub(super) fn rest(&self) -> Duration {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    fn advanced(position: u64, events: u64) -> Advanced {
        Advanced { position: Position(position), events }
    }

    #[test]
    fn batches_double_while_behind_and_shrink_at_the_head() {
        let head = Position(1_000_000);
        let mut pace = Pace::new(5_000);
        let (mut after, mut sizes) = (Position::START, Vec::new());
        for _ in 0..9 {
            let (up_to, events_max) = pace.ask(after, head);
            assert!(up_to > after && up_to <= head);
            sizes.push(events_max);
            // Every event matches.
            let events = (events_max as u64).min(up_to.0 - after.0);
            after = after.plus(events);
            pace.done(advanced(after.0, events), head, QUICK);
        }
        assert_eq!(sizes, [64, 128, 256, 512, 1_024, 2_048, 4_096, 5_000, 5_000]);
        for _ in 0..10 {
            pace.done(advanced(head.0, 1), head, QUICK);
        }
        assert_eq!(pace.ask(Position(head.0 - 1), head).1, 64);
    }

    #[test]
    fn spans_grow_where_few_events_match() {
        let head = Position(1 << 30);
        let mut pace = Pace::new(5_000);
        let mut after = Position::START;
        let mut spans = Vec::new();
        for _ in 0..10 {
            let (up_to, events_max) = pace.ask(after, head);
            assert_eq!(events_max, 64);
            spans.push(up_to.0 - after.0);
            pace.done(advanced(up_to.0, 1), head, QUICK);
            after = up_to;
        }
        assert_eq!(spans[..3], [4_096, 8_192, 16_384]);
        assert_eq!(spans[9], 1 << 20);
    }

    #[test]
    fn a_slow_batch_is_halved_and_a_long_one_does_not_grow() {
        let head = Position(1_000_000);
        let mut pace = Pace::new(5_000);
        pace.done(advanced(64, 64), head, Duration::from_millis(500));
        assert_eq!(pace.ask(Position(64), head).1, 64);
        pace.done(advanced(128, 64), head, Duration::from_secs(2));
        assert_eq!(pace.ask(Position(128), head).1, 32);
    }

    #[test]
    fn what_lies_before_a_known_failure_comes_first() {
        let mut pace = Pace::new(5_000);
        assert!(!pace.failed_at(Position(10), Position(20)));
        assert_eq!(pace.ask(Position(10), Position(100)).0, Position(19));
        pace.done(advanced(19, 9), Position(100), QUICK);
        assert!(pace.failed_at(Position(19), Position(20)));
    }

    #[test]
    fn halving_finds_each_single_failure_and_forgets_it_behind() {
        for poison in [1, 2, 63, 64, 77, 100] {
            let (head, mut pace, mut after) = (Position(100), Pace::new(5_000), Position::START);
            let mut steps = 0;
            let found = loop {
                steps += 1;
                let (up_to, _) = pace.ask(after, head);
                if after.0 < poison && poison <= up_to.0 {
                    if pace.failed_between(after, up_to) {
                        break up_to;
                    }
                } else {
                    pace.done(advanced(up_to.0, up_to.0 - after.0), head, QUICK);
                    after = up_to;
                }
            };
            assert_eq!(found, Position(poison));
            assert!(steps <= 16, "{steps} steps to find {poison}");
        }
    }

    #[test]
    fn a_range_that_fails_only_as_a_whole_is_passed_in_parts() {
        let (head, mut pace, mut after) = (Position(100), Pace::new(5_000), Position::START);
        let mut passed = false;
        while after < head {
            let (up_to, _) = pace.ask(after, head);
            if up_to.0 - after.0 > 10 {
                assert!(!pace.failed_between(after, up_to));
            } else {
                passed = pace.done(advanced(up_to.0, up_to.0 - after.0), head, QUICK);
                after = up_to;
            }
        }
        assert!(passed);
        assert_eq!(pace.ask(after, Position(10_000)).0, Position(4_196));
    }

    #[test]
    fn the_head_is_approached_with_rests_that_grow_while_nothing_matches() {
        let mut pace = Pace::new(5_000);
        let rests: Vec<u64> = (0..6)
            .map(|n| {
                pace.done(advanced(n, 0), Position(n), QUICK);
                pace.rest().as_millis() as u64
            })
            .collect();
        assert_eq!(rests, [5, 10, 20, 40, 40, 40]);
        pace.done(advanced(7, 1), Position(7), QUICK);
        assert_eq!(pace.rest(), REST);
        pace.done(advanced(8, 1), Position(9), QUICK);
        assert_eq!(pace.rest(), Duration::ZERO);
    }
}

//! What all that read under one name read together.

use std::collections::BTreeMap;

use pacioli_core::schemas::{NamedReader, Understanding};
use pacioli_core::{Checkpoint, EventType, Timestamp};

use super::{LIVE_FOR, after};

/// Statements that are kept of those that do not follow the log now, at most.
const LATELY_MAX: usize = 64;

/// Whoever follows the log under one name in this process.
#[derive(Default)]
pub(super) struct Claims {
    /// What each states, by its number.
    live: BTreeMap<u64, NamedReader>,
    /// What those state that ended a short while ago, or read a page meanwhile: a program that starts again has not stopped
    /// reading what it follows last.
    lately: Vec<(Timestamp, NamedReader)>,
}

impl Claims {
    pub(super) fn is_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// One follows the log and has come here. Returns whether it waits for something else than before.
    pub(super) fn follow(&mut self, number: u64, reader: NamedReader) -> bool {
        match self.live.get_mut(&number) {
            Some(known) => {
                let waits_for_another = known.waits_for != reader.waits_for;
                let checkpoint = reader.checkpoint.or_else(|| known.checkpoint.take());
                *known = NamedReader { checkpoint, ..reader };
                waits_for_another
            }
            None => {
                self.succeed(&reader);
                let waits = reader.waits_for.is_some();
                self.live.insert(number, reader);
                waits
            }
        }
    }

    /// One ended; false where it was not known.
    pub(super) fn end(&mut self, number: u64, now: Timestamp) -> bool {
        let Some(reader) = self.live.remove(&number) else { return false };
        self.read(now, reader);
        true
    }

    /// One read that does not follow the log.
    pub(super) fn read(&mut self, now: Timestamp, reader: NamedReader) {
        self.succeed(&reader);
        if self.lately.len() == LATELY_MAX {
            self.lately.remove(0);
        }
        self.lately.push((now, reader));
    }

    /// Whoever reads the same stands in the place of one that ended, also if it understands something else.
    fn succeed(&mut self, reader: &NamedReader) {
        self.lately.retain(|(_, one)| (&one.types, &one.categories) != (&reader.types, &reader.categories));
    }

    pub(super) fn clear(&mut self) {
        self.lately.clear();
    }

    /// What all of them read, if there is anybody.
    pub(super) fn together(&mut self, now: Timestamp) -> Option<NamedReader> {
        self.lately.retain(|(at, _)| after(*at, LIVE_FOR) > now);
        let live: Vec<&NamedReader> = self.live.values().collect();
        let lately: Vec<&NamedReader> = self.lately.iter().map(|(_, reader)| reader).collect();
        // One that ended holds back nobody, and waits for nothing that the others do not.
        let holders = if live.is_empty() { &lately } else { &live };
        let checkpoint = holders.iter().filter_map(|reader| reader.checkpoint.clone()).reduce(behind);
        let waits_for = holders.iter().rev().find_map(|reader| reader.waits_for.clone());
        let all: Vec<&NamedReader> = live.iter().chain(&lately).copied().collect();
        Some(NamedReader { checkpoint, waits_for, ..together(&all)? })
    }
}

/// What readers of one name read together; what else is told is the first one's.
pub(super) fn together(readers: &[&NamedReader]) -> Option<NamedReader> {
    // Most state the same, however many they are.
    let mut stated: Vec<&NamedReader> = Vec::new();
    for reader in readers {
        let is_same = |one: &NamedReader| {
            (&one.types, &one.categories, &one.understands) == (&reader.types, &reader.categories, &reader.understands)
        };
        if !stated.iter().any(|one| is_same(one)) {
            stated.push(reader);
        }
    }
    let first = *stated.first()?;
    let read_at = readers.iter().map(|reader| reader.read_at).max().unwrap_or(first.read_at);
    if stated.len() == 1 {
        return Some(NamedReader { read_at, ..first.clone() });
    }
    Some(NamedReader {
        types: union(&stated, |reader| &reader.types),
        categories: union(&stated, |reader| &reader.categories),
        understands: understood_by_each(&stated),
        read_at,
        ..first.clone()
    })
}

/// Whether a reader asked for events of a type.
pub(in crate::schemas) fn reads(reader: &NamedReader, event_type: &EventType) -> bool {
    reader.types.is_empty() || reader.types.contains(event_type)
}

/// What any of them asked for; nothing where one of them asked for all.
fn union<T: Clone + Ord>(readers: &[&NamedReader], of: impl Fn(&NamedReader) -> &Vec<T>) -> Vec<T> {
    if readers.iter().any(|reader| of(reader).is_empty()) {
        return Vec::new();
    }
    let mut all: Vec<T> = readers.iter().flat_map(|reader| of(reader).iter().cloned()).collect();
    all.sort();
    all.dedup();
    all
}

/// What they state of the types that they read, as often as they differ. Where one of them reads a type and states nothing
/// of it, nobody knows what suits the name.
fn understood_by_each(readers: &[&NamedReader]) -> Vec<Understanding> {
    let states = |reader: &NamedReader, event_type: &EventType| {
        reader.understands.iter().any(|one| one.event_type == *event_type)
    };
    let mut all: Vec<Understanding> = Vec::new();
    for reader in readers {
        for one in reader.understands.iter().filter(|one| reads(reader, &one.event_type)) {
            let of_each = readers.iter().all(|other| !reads(other, &one.event_type) || states(other, &one.event_type));
            if of_each && !all.contains(one) {
                all.push(one.clone());
            }
        }
    }
    all
}

/// The checkpoint of whoever is behind, in each partition.
fn behind(one: Checkpoint, other: Checkpoint) -> Checkpoint {
    if one.partitions() != other.partitions() {
        return one;
    }
    let positions = one.iter().zip(other.iter()).map(|(one, other)| one.position.min(other.position));
    Checkpoint::new(positions, one.epoch().min(other.epoch()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(types: &[&str], categories: &[&str], understands: &[&str], checkpoint: &str) -> NamedReader {
        NamedReader {
            name: "billing".into(),
            types: types.iter().map(|name| EventType::new(*name).unwrap()).collect(),
            categories: categories.iter().map(|name| (*name).into()).collect(),
            understands: understands.iter().map(|one| one.parse().unwrap()).collect(),
            read_at: Timestamp::from_micros(1),
            checkpoint: Some(checkpoint.parse().unwrap()),
            waits_for: None,
            live_until: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn all_that_follow_are_told_of_and_the_one_behind_holds_the_checkpoint() {
        let mut claims = Claims::default();
        assert_eq!(claims.together(at(0)), None);
        claims.follow(1, reader(&["B"], &["x"], &["B:^1"], "0:9,1:2"));
        let waiting = NamedReader { waits_for: Some("A 2.0.0".into()), ..reader(&["A"], &["y"], &["A:^1"], "0:3,1:4") };
        assert!(claims.follow(2, waiting.clone()) && !claims.follow(2, waiting));
        let told = claims.together(at(0)).unwrap();
        let expected = NamedReader {
            waits_for: Some("A 2.0.0".into()),
            ..reader(&["A", "B"], &["x", "y"], &["B:^1", "A:^1"], "0:3,1:2")
        };
        assert_eq!(told, expected);
        claims.follow(3, reader(&[], &["x"], &[], "0:9,1:9"));
        let told = claims.together(at(0)).unwrap();
        assert_eq!((told.types.len(), told.categories.len()), (0, 2), "one reads all types");
        assert_eq!(told.understands, [], "and states nothing of them");
    }

    #[test]
    fn who_ended_is_told_of_for_a_while_or_until_another_one_reads_the_same() {
        let mut claims = Claims::default();
        claims.follow(1, reader(&["A"], &[], &["A:^1"], "0:1"));
        claims.follow(2, reader(&["B"], &[], &["B:^1"], "0:5"));
        assert!(claims.end(1, at(0)) && !claims.end(1, at(0)));
        let told = claims.together(at(59)).unwrap();
        assert_eq!((told.types.len(), told.checkpoint.unwrap().to_string().as_str()), (2, "0:5"));
        assert_eq!(claims.together(at(61)).unwrap().types.len(), 1);
        claims.end(2, at(61));
        assert_eq!(claims.together(at(62)).unwrap().types.len(), 1);
        claims.follow(3, reader(&["B"], &[], &["B:^2"], "0:5"));
        assert_eq!(claims.together(at(62)).unwrap(), reader(&["B"], &[], &["B:^2"], "0:5"));
    }
}

//! The decision rule: the only code that says what becomes of an append. It is pure.
//!
//! An engine fetches [`Facts`] for a whole batch in one read, makes a [`Batch`], lets it [decide](Batch::decide) every
//! append in order, and writes what was accepted in one write. Later appends of a batch see the earlier ones.
//!
//! In descending precedence: a known key, or known ids, with the same content is a duplicate; with other content it is
//! refused; known and new ids mixed are a conflict; an event that its schema refuses is refused; tracking that would not
//! advance is a conflict; an expected version that is not met is a conflict; a condition that is not met is a conflict; else
//! the append is accepted, unless somebody who has to see its events first [objects](Batch::decide_unless).
//!
//! The schema comes behind what is known already: an append whose answer was lost is a duplicate when it comes again, also
//! where a newer schema would refuse it today.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use uuid::Uuid;

use crate::append::{
    Append, AppendOutcome, Appended, Condition, Conflict, ContentHash, Refusal, StreamAppended, StreamWrite, Tracking,
};
use crate::event::{EventId, RecordedEvent, Timestamp};
use crate::names::StreamName;
use crate::place::{Checkpoint, Epoch, Partition, Place, Position, Version};

/// What the log holds that bears on the appends of one batch. What is absent is not in the log.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The version of each touched stream that exists.
    pub versions: HashMap<StreamName, Version>,
    /// The keys that were used.
    pub keys: HashMap<Uuid, KnownKey>,
    /// The events whose ids are known.
    pub events: HashMap<EventId, Arc<RecordedEvent>>,
    /// For each condition that is not met (with the partition it was asked of), where the first match lies.
    pub matches: HashMap<(Partition, Condition), Place>,
    /// Where each tracked consumer stands.
    pub tracking: HashMap<String, Checkpoint>,
}

/// A key that was used, for what, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The hash of what was stored under it.
    pub content: ContentHash,
    /// The answer then.
    pub answer: Appended,
}

/// The appends of one group commit, being decided in order.
#[derive(Debug)]
pub struct Batch {
    facts: Facts,
    heads: Checkpoint,
    recorded_at: Timestamp,
    events: Vec<Arc<RecordedEvent>>,
    keys: Vec<(Uuid, KnownKey)>,
    tracking: Vec<Tracking>,
}

impl Batch {
    /// Starts a batch behind `heads`. `recorded_at` is the time its events get; the engine sees to it that it does not
    /// run backwards.
    pub fn new(facts: Facts, heads: Checkpoint, recorded_at: Timestamp) -> Batch {
        Batch { facts, heads, recorded_at, events: Vec::new(), keys: Vec::new(), tracking: Vec::new() }
    }

    /// The events accepted so far, in the order in which they are to be written.
    pub fn events(&self) -> &[Arc<RecordedEvent>] {
        &self.events
    }

    /// The keys to remember.
    pub fn keys(&self) -> &[(Uuid, KnownKey)] {
        &self.keys
    }

    /// Where tracked consumers stand after this batch, later entries winning.
    pub fn tracking(&self) -> &[Tracking] {
        &self.tracking
    }

    /// The heads once this batch is committed.
    pub fn heads(&self) -> &Checkpoint {
        &self.heads
    }

    /// Decides one append. See the module for the order of precedence.
    pub fn decide(&mut self, append: Append) -> AppendOutcome {
        let Ok(outcome) = self.decide_unless(append, |_| Ok::<(), Infallible>(()));
        outcome
    }

    /// As [`Batch::decide`], and shows the events of an append to `objection` before it is accepted. After an objection the
    /// batch is as if that append had never come: later ones do not see it and take its versions and positions.
    ///
    /// # Errors
    /// The objection.
    pub fn decide_unless<E>(
        &mut self,
        append: Append,
        objection: impl FnOnce(&[Arc<RecordedEvent>]) -> Result<(), E>,
    ) -> Result<AppendOutcome, E> {
        if let Some(outcome) = self.decide_by_what_is_known(&append) {
            return Ok(outcome);
        }
        self.accept(append, objection).map(AppendOutcome::Appended)
    }

    /// What keeps an append from being accepted.
    fn decide_by_what_is_known(&self, append: &Append) -> Option<AppendOutcome> {
        if let (Some(key), Some(content)) = (append.key(), append.content())
            && let Some(known) = self.facts.keys.get(&key)
        {
            return Some(if known.content == *content {
                AppendOutcome::Appended(Appended { duplicate: true, ..known.answer.clone() })
            } else {
                AppendOutcome::Refused(Refusal::KeyReused { key })
            });
        }
        if let Some(outcome) = self.decide_by_ids(append) {
            return Some(outcome);
        }
        if let Some(violation) = append.violation() {
            return Some(AppendOutcome::Refused(Refusal::BySchema(Box::new(violation.clone()))));
        }
        if let Some(tracking) = append.tracking()
            && let Some(current) = self.facts.tracking.get(&tracking.name)
            && !tracking.checkpoint.advances(current)
        {
            return Some(AppendOutcome::Conflict(Conflict::Tracking {
                name: tracking.name.clone(),
                current: current.clone(),
            }));
        }
        for StreamWrite { stream, expected, .. } in append.writes() {
            let current = self.facts.versions.get(stream).copied();
            if !expected.is_met_by(current) {
                return Some(AppendOutcome::Conflict(Conflict::ExpectedVersion {
                    stream: stream.clone(),
                    expected: *expected,
                    current,
                }));
            }
        }
        if let Some(condition) = append.condition()
            && let Some(matched) = self.first_match(append.partition(), condition)
        {
            return Some(AppendOutcome::Conflict(Conflict::Condition { matched }));
        }
        None
    }

    /// What the ids alone decide: `None` where all of them are new.
    fn decide_by_ids(&self, append: &Append) -> Option<AppendOutcome> {
        let mut known_ids = Vec::new();
        for write in append.writes() {
            for event in &write.events {
                let Some(known) = self.facts.events.get(&event.id) else { continue };
                if known.stream != write.stream || !event.is_same_as(known) {
                    return Some(AppendOutcome::Refused(Refusal::IdReused {
                        id: event.id,
                        stream: known.stream.clone(),
                        version: known.version,
                    }));
                }
                known_ids.push(event.id);
            }
        }
        if known_ids.is_empty() {
            return None;
        }
        let answer = if known_ids.len() == append.events() { self.original_answer(append) } else { None };
        Some(match answer {
            Some(answer) => AppendOutcome::Appended(answer),
            None => AppendOutcome::Conflict(Conflict::Ids { known: known_ids }),
        })
    }

    /// The answer to an append whose events are all known, if in each stream they lie as one run.
    fn original_answer(&self, append: &Append) -> Option<Appended> {
        let mut streams = Vec::with_capacity(append.writes().len());
        let (mut first_position, mut last_position) = (Position::MAX, Position::START);
        for write in append.writes() {
            let first_version = self.facts.events[&write.events[0].id].version;
            for (index, event) in write.events.iter().enumerate() {
                let known = &self.facts.events[&event.id];
                if known.version != first_version.plus(index as u64) {
                    return None;
                }
                first_position = first_position.min(known.position);
                last_position = last_position.max(known.position);
            }
            streams.push(stream_appended(write, first_version));
        }
        Some(self.answer(append.partition(), streams, first_position, last_position, true))
    }

    fn first_match(&self, partition: Partition, condition: &Condition) -> Option<Place> {
        // Events of this batch lie behind the head, so behind any valid `after`.
        let stored = self.facts.matches.get(&(partition, condition.clone())).copied();
        stored.or_else(|| {
            self.events
                .iter()
                .find(|event| event.partition == partition && condition.query.matches(&event.event_type, &event.tags))
                .map(|event| event.place())
        })
    }

    fn accept<E>(
        &mut self,
        append: Append,
        objection: impl FnOnce(&[Arc<RecordedEvent>]) -> Result<(), E>,
    ) -> Result<Appended, E> {
        let partition = append.partition();
        let content = append.content().copied();
        let before = self.heads.position(partition);
        let accepted_before = self.events.len();
        let mut position = before;
        let (request, schema_versions) = append.into_parts();
        let mut schema_versions = schema_versions.into_iter();
        let mut streams = Vec::with_capacity(request.writes.len());
        for write in request.writes {
            let first_version = Version::after(self.facts.versions.get(&write.stream).copied());
            streams.push(stream_appended(&write, first_version));
            for (index, event) in write.events.into_iter().enumerate() {
                position = position.next();
                let place = Place { partition, position };
                let version = first_version.plus(index as u64);
                let mut event = event.recorded(write.stream.clone(), version, place, self.recorded_at);
                event.schema_version = schema_versions.next().unwrap_or(event.schema_version);
                self.events.push(Arc::new(event));
            }
        }
        assert!(position > before, "an accepted append has events");
        assert!(position <= Position::MAX, "a partition holds at most 2^48 - 1 events");
        if let Err(error) = objection(&self.events[accepted_before..]) {
            self.events.truncate(accepted_before);
            return Err(error);
        }
        for event in &self.events[accepted_before..] {
            self.facts.events.insert(event.id, Arc::clone(event));
        }
        for appended in &streams {
            self.facts.versions.insert(appended.stream.clone(), appended.last_version);
        }
        self.heads.advance(partition, position);
        let answer = self.answer(partition, streams, before.next(), position, false);
        if let (Some(key), Some(content)) = (request.key, content) {
            let known = KnownKey { content, answer: answer.clone() };
            self.facts.keys.insert(key, known.clone());
            self.keys.push((key, known));
        }
        if let Some(tracking) = request.tracking {
            self.facts.tracking.insert(tracking.name.clone(), tracking.checkpoint.clone());
            self.tracking.push(tracking);
        }
        Ok(answer)
    }

    fn answer(
        &self,
        partition: Partition,
        streams: Vec<StreamAppended>,
        first_position: Position,
        last_position: Position,
        duplicate: bool,
    ) -> Appended {
        let checkpoint = checkpoint_at(partition, last_position, self.heads.partitions(), self.heads.epoch());
        Appended { streams, partition, first_position, last_position, checkpoint, duplicate }
    }
}

/// The checkpoint of an answer: `position` in its partition, the start in the others.
pub fn checkpoint_at(partition: Partition, position: Position, partitions: u16, epoch: Epoch) -> Checkpoint {
    let mut checkpoint = Checkpoint::start(partitions, epoch);
    checkpoint.advance(partition, position);
    checkpoint
}

fn stream_appended(write: &StreamWrite, first_version: Version) -> StreamAppended {
    StreamAppended {
        stream: write.stream.clone(),
        first_version,
        last_version: first_version.plus(write.events.len() as u64 - 1),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

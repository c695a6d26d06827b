//! The decision rule as a table: one row an outcome, in descending precedence.
//!
//! It is data, so that whoever keeps the rule in another language than this one runs the same table. The log of every row
//! is the same, [`log`]: stream `a-1` holds events 1 and 2 (stored under key 100), stream `b-1` holds event 3, consumer `c`
//! stands at 0:5, the head is 0:9, and an event tagged `seat:1` lies at 0:3.

use std::sync::Arc;

use uuid::Uuid;

use crate::append::{Append, AppendOutcome, AppendRequest, Conflict, ExpectedVersion, Query, QueryItem, Refusal};
use crate::decide::{Batch, Facts};
use crate::event::{EventId, NewEvent, Payload, Timestamp};
use crate::limits::Limits;
use crate::names::{EventType, StreamName, Tag, Tags};
use crate::place::{Checkpoint, Epoch, Partition, Version};

/// The part of the rule that a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A key that was used.
    Key,
    /// Ids that are known.
    Ids,
    /// The consumer's checkpoint.
    Tracking,
    /// The expected version.
    ExpectedVersion,
    /// The condition.
    Condition,
    /// Nothing stands against it.
    Accepted,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What the row is about.
    pub name: &'static str,
    /// Which part of the rule decides it.
    pub rule: Rule,
    /// What is asked.
    pub request: AppendRequest,
    /// What comes of it, as [`say`] says it.
    pub outcome: &'static str,
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a good name")
}

fn event(id: u128) -> NewEvent {
    let event_type = EventType::new("E").expect("a good name");
    // Spelt as PostgreSQL spells its `jsonb`, which is what a key made by SQL stands for.
    NewEvent::json(EventId(Uuid::from_u128(id)), event_type, format!("{{\"n\": {id}}}"))
}

fn with_data_of(id: u128, of: u128) -> NewEvent {
    NewEvent { id: EventId(Uuid::from_u128(id)), ..event(of) }
}

fn changed(id: u128) -> NewEvent {
    NewEvent { data: Payload::Json("{}".into()), ..event(id) }
}

fn seat(id: u128, tag: &str) -> NewEvent {
    let tag = Tag::new(tag).expect("a good tag");
    NewEvent { tags: Tags::new([tag]).expect("one tag"), ..event(id) }
}

fn dated(id: u128, at: Timestamp) -> NewEvent {
    NewEvent { occurred_at: Some(at), ..event(id) }
}

fn append(name: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendRequest {
    Append::to(stream(name), expected, events)
}

fn at(text: &str) -> Checkpoint {
    text.parse().expect("a checkpoint")
}

fn tagged(tag: &str) -> Query {
    Query { items: vec![QueryItem { types: vec![], tags: vec![Tag::new(tag).expect("a good tag")] }] }
}

/// What the log holds: appended in this order to an empty store of one partition, it makes the log of the table.
pub fn log() -> Vec<AppendRequest> {
    let any = ExpectedVersion::Any;
    vec![
        append("other-1", any, vec![event(901), event(902)]),
        append("seat-1", any, vec![seat(903, "seat:1")]),
        append("a-1", any, vec![event(1), event(2)]).key(Uuid::from_u128(100)),
        append("other-1", any, vec![event(904), event(905), event(906)]),
        append("b-1", any, vec![event(3)]).tracking("c", at("0:5")),
    ]
}

/// What the rule says of a request to that log. `recorded_at` is when the log's events were recorded.
pub fn decide(request: AppendRequest, recorded_at: Timestamp) -> AppendOutcome {
    let check = |request: AppendRequest| request.check(&Limits::default(), recorded_at, 1).expect("a valid append");
    let mut log_batch = Batch::new(Facts::default(), Checkpoint::start(1, Epoch::FIRST), recorded_at);
    for written in log() {
        let outcome = log_batch.decide(check(written));
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "the log is written: {outcome:?}");
    }
    // As an engine finds them, not as the batch left them: nothing of the log is of the batch that is decided.
    let mut facts = Facts::default();
    for event in log_batch.events() {
        facts.versions.insert(event.stream.clone(), event.version);
        facts.events.insert(event.id, Arc::clone(event));
    }
    facts.keys.extend(log_batch.keys().iter().cloned());
    facts.tracking.extend(log_batch.tracking().iter().map(|t| (t.name.clone(), t.checkpoint.clone())));
    if let Some(condition) = &request.condition {
        let after = condition.after.as_ref().map(|after| after.position(Partition::ZERO)).unwrap_or_default();
        let behind = log_batch.events().iter().filter(|event| event.position > after);
        let first = behind
            .filter(|event| condition.query.matches(&event.event_type, &event.tags))
            .map(|event| event.place())
            .min();
        facts.matches.extend(first.map(|place| ((Partition::ZERO, condition.clone()), place)));
    }
    Batch::new(facts, log_batch.heads().clone(), recorded_at).decide(check(request))
}

/// The rows. `recorded_at` is when the log's events were recorded.
pub fn decisions(recorded_at: Timestamp) -> Vec<Decision> {
    use ExpectedVersion::{Any, Exact, Exists, None as Absent};
    let key = |n| Uuid::from_u128(n);
    let later = Timestamp::from_micros(recorded_at.as_micros() + 1);
    // Each request breaks every rule below the one its row is about, so a row also proves the order.
    let breaks_the_rest = |request: AppendRequest| request.tracking("c", at("0:5")).unless(tagged("seat:1"), None);
    let row = |name, rule, request, outcome| Decision { name, rule, request, outcome };
    vec![
        row(
            "same key, same content, new ids, stale expectation",
            Rule::Key,
            breaks_the_rest(append("a-1", Absent, vec![with_data_of(21, 1), with_data_of(22, 2)]).key(key(100))),
            "duplicate a-1 0-1 at 4-5",
        ),
        row(
            "same key, other content",
            Rule::Key,
            breaks_the_rest(append("a-1", Absent, vec![event(1)]).key(key(100))),
            "refused by key",
        ),
        row(
            "known ids, same content",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![event(1), event(2)])),
            "duplicate a-1 0-1 at 4-5",
        ),
        row(
            "known ids, regrouped",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![event(2)])),
            "duplicate a-1 1-1 at 5-5",
        ),
        row(
            "a known id that says when it was recorded",
            Rule::Ids,
            append("a-1", Any, vec![dated(1, recorded_at)]),
            "duplicate a-1 0-0 at 4-4",
        ),
        row(
            "a known id that says another time",
            Rule::Ids,
            append("a-1", Any, vec![dated(1, later)]),
            "refused by id of a-1 0",
        ),
        row(
            "known ids over two streams",
            Rule::Ids,
            append("a-1", Any, vec![event(1)]).and(stream("b-1"), Any, vec![event(3)]),
            "duplicate a-1 0-0, b-1 0-0 at 4-9",
        ),
        row(
            "known ids under a new key",
            Rule::Ids,
            append("a-1", Any, vec![event(1)]).key(key(101)),
            "duplicate a-1 0-0 at 4-4",
        ),
        row(
            "a known id with other content",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![changed(1), event(2)])),
            "refused by id of a-1 0",
        ),
        row(
            "a known id in another stream",
            Rule::Ids,
            breaks_the_rest(append("z-1", Exists, vec![event(1)])),
            "refused by id of a-1 0",
        ),
        row(
            "other content among mixed ids",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![changed(1), event(50)])),
            "refused by id of a-1 0",
        ),
        row(
            "known and new ids",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![event(2), event(50)])),
            "conflict by 1 known ids",
        ),
        row(
            "known ids not as one run",
            Rule::Ids,
            breaks_the_rest(append("a-1", Absent, vec![event(2), event(1)])),
            "conflict by 2 known ids",
        ),
        row(
            "tracking does not advance",
            Rule::Tracking,
            breaks_the_rest(append("a-1", Absent, vec![event(50)])),
            "conflict by tracking at 0:5",
        ),
        row(
            "tracking goes back",
            Rule::Tracking,
            append("a-1", Any, vec![event(50)]).tracking("c", at("0:4")),
            "conflict by tracking at 0:5",
        ),
        row(
            "none, but it exists",
            Rule::ExpectedVersion,
            append("a-1", Absent, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of a-1 Some(1)",
        ),
        row(
            "exists, but it does not",
            Rule::ExpectedVersion,
            append("z-1", Exists, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of z-1 None",
        ),
        row(
            "another version",
            Rule::ExpectedVersion,
            append("a-1", Exact(Version(0)), vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of a-1 Some(1)",
        ),
        row(
            "an exact version of nothing",
            Rule::ExpectedVersion,
            append("z-1", Exact(Version(0)), vec![event(50)]),
            "conflict by version of z-1 None",
        ),
        row(
            "the second stream's version",
            Rule::ExpectedVersion,
            append("a-1", Any, vec![event(50)]).and(stream("b-1"), Absent, vec![event(51)]),
            "conflict by version of b-1 Some(0)",
        ),
        row(
            "a match in the log",
            Rule::Condition,
            append("a-1", Any, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by condition at 0:3",
        ),
        row(
            "tracking advances",
            Rule::Tracking,
            append("a-1", Any, vec![event(50)]).tracking("c", at("0:6")),
            "appended a-1 2-2 at 10-10",
        ),
        row(
            "a new consumer",
            Rule::Tracking,
            append("a-1", Any, vec![event(50)]).tracking("d", at("0:0")),
            "appended a-1 2-2 at 10-10",
        ),
        row(
            "nothing expected",
            Rule::Accepted,
            append("a-1", Any, vec![event(50), event(51)]),
            "appended a-1 2-3 at 10-11",
        ),
        row("a new stream", Rule::Accepted, append("z-1", Absent, vec![event(50)]), "appended z-1 0-0 at 10-10"),
        row("an existing stream", Rule::Accepted, append("a-1", Exists, vec![event(50)]), "appended a-1 2-2 at 10-10"),
        row(
            "the exact version",
            Rule::Accepted,
            append("a-1", Exact(Version(1)), vec![event(50)]),
            "appended a-1 2-2 at 10-10",
        ),
        row(
            "no match in the log",
            Rule::Accepted,
            append("a-1", Any, vec![event(50)]).unless(tagged("seat:2"), Some(at("0:9"))),
            "appended a-1 2-2 at 10-10",
        ),
        row(
            "two streams",
            Rule::Accepted,
            append("a-1", Any, vec![event(50)]).and(stream("z-1"), Absent, vec![event(51), event(52)]),
            "appended a-1 2-2, z-1 0-1 at 10-12",
        ),
    ]
}

/// The outcome in one short line.
pub fn say(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Appended(a) => {
            let word = if a.duplicate { "duplicate" } else { "appended" };
            let versions: Vec<String> =
                a.streams.iter().map(|s| format!("{} {}-{}", s.stream, s.first_version, s.last_version)).collect();
            format!("{word} {} at {}-{}", versions.join(", "), a.first_position, a.last_position)
        }
        AppendOutcome::Refused(Refusal::KeyReused { .. }) => "refused by key".to_owned(),
        AppendOutcome::Refused(Refusal::BySchema(violation)) => {
            format!("refused by the schema of {}", violation.event_type)
        }
        AppendOutcome::Refused(Refusal::ByProjection { projection, .. }) => format!("refused by {projection}"),
        AppendOutcome::Refused(Refusal::IdReused { stream, version, .. }) => {
            format!("refused by id of {stream} {version}")
        }
        AppendOutcome::Conflict(Conflict::Ids { known }) => format!("conflict by {} known ids", known.len()),
        AppendOutcome::Conflict(Conflict::Tracking { current, .. }) => format!("conflict by tracking at {current}"),
        AppendOutcome::Conflict(Conflict::ExpectedVersion { stream, current, .. }) => {
            format!("conflict by version of {stream} {:?}", current.map(|v| v.0))
        }
        AppendOutcome::Conflict(Conflict::Condition { matched }) => format!("conflict by condition at {matched}"),
    }
}

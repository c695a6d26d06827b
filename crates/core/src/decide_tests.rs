//! The rule as a table: one row an outcome, in descending precedence. The log of every row is the same: stream `a-1`
//! holds events 1 and 2 (stored under key 100), stream `b-1` holds event 3, consumer `c` stands at 0:5, the head is 0:9,
//! and an event tagged `seat:1` lies at 0:3.

use super::*;
use crate::append::{ExpectedVersion, Query, QueryItem};
use crate::event::NewEvent;
use crate::limits::Limits;
use crate::names::{EventType, Tag, Tags};
use crate::{Payload, append::AppendRequest};

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(id: u128) -> NewEvent {
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("E").unwrap(), format!("{{\"n\":{id}}}"))
}

fn changed(id: u128) -> NewEvent {
    NewEvent { data: Payload::Json("{}".into()), ..event(id) }
}

fn at_micros(id: u128, micros: i64) -> NewEvent {
    NewEvent { occurred_at: Some(Timestamp::from_micros(micros)), ..event(id) }
}

fn append(name: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendRequest {
    Append::to(stream(name), expected, events)
}

fn checked(request: AppendRequest) -> Append {
    request.check(&Limits::default(), Timestamp::from_micros(0), 1).unwrap()
}

fn at(text: &str) -> Checkpoint {
    text.parse().unwrap()
}

fn tagged(tag: &str) -> Query {
    Query { items: vec![QueryItem { types: vec![], tags: vec![Tag::new(tag).unwrap()] }] }
}

fn batch() -> Batch {
    let place = |position| Place { partition: Partition::ZERO, position: Position(position) };
    let mut facts = Facts::default();
    for (id, name, version, position) in [(1, "a-1", 0, 4), (2, "a-1", 1, 5), (3, "b-1", 0, 9)] {
        let recorded = event(id).recorded(stream(name), Version(version), place(position), Timestamp::from_micros(0));
        facts.versions.insert(recorded.stream.clone(), recorded.version);
        facts.events.insert(recorded.id, Arc::new(recorded));
    }
    let keyed = checked(append("a-1", ExpectedVersion::Any, vec![event(1), event(2)]).key(Uuid::from_u128(100)));
    let answer = Appended {
        streams: vec![StreamAppended { stream: stream("a-1"), first_version: Version(0), last_version: Version(1) }],
        partition: Partition::ZERO,
        first_position: Position(4),
        last_position: Position(5),
        checkpoint: at("0:5"),
        duplicate: false,
    };
    facts.keys.insert(Uuid::from_u128(100), KnownKey { content: *keyed.content().unwrap(), answer });
    facts.matches.insert((Partition::ZERO, Condition { query: tagged("seat:1"), after: None }), place(3));
    facts.tracking.insert("c".to_owned(), at("0:5"));
    Batch::new(facts, at("0:9"), Timestamp::from_micros(7))
}

/// The outcome in one short line.
fn say(outcome: AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Appended(a) => {
            let word = if a.duplicate { "duplicate" } else { "appended" };
            let versions: Vec<String> =
                a.streams.iter().map(|s| format!("{} {}-{}", s.stream, s.first_version, s.last_version)).collect();
            format!("{word} {} at {}-{}", versions.join(", "), a.first_position, a.last_position)
        }
        AppendOutcome::Refused(Refusal::KeyReused { .. }) => "refused by key".to_owned(),
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

#[test]
fn every_outcome_in_order_of_precedence() {
    use ExpectedVersion::{Any, Exact, Exists, None as Absent};
    let key = |n| Uuid::from_u128(n);
    // Each request breaks every rule below the one its row is about, so a row also proves the order.
    let breaks_the_rest = |request: AppendRequest| request.tracking("c", at("0:5")).unless(tagged("seat:1"), None);
    let rows: Vec<(&str, AppendRequest, &str)> = vec![
        (
            "same key, same content, new ids, stale expectation",
            breaks_the_rest(append("a-1", Absent, vec![with_data_of(21, 1), with_data_of(22, 2)]).key(key(100))),
            "duplicate a-1 0-1 at 4-5",
        ),
        (
            "same key, other content",
            breaks_the_rest(append("a-1", Absent, vec![event(1)]).key(key(100))),
            "refused by key",
        ),
        (
            "known ids, same content",
            breaks_the_rest(append("a-1", Absent, vec![event(1), event(2)])),
            "duplicate a-1 0-1 at 4-5",
        ),
        ("known ids, regrouped", breaks_the_rest(append("a-1", Absent, vec![event(2)])), "duplicate a-1 1-1 at 5-5"),
        (
            "a known id that says when it was recorded",
            append("a-1", Any, vec![at_micros(1, 0)]),
            "duplicate a-1 0-0 at 4-4",
        ),
        ("a known id that says another time", append("a-1", Any, vec![at_micros(1, 1)]), "refused by id of a-1 0"),
        (
            "known ids over two streams",
            append("a-1", Any, vec![event(1)]).and(stream("b-1"), Any, vec![event(3)]),
            "duplicate a-1 0-0, b-1 0-0 at 4-9",
        ),
        ("known ids under a new key", append("a-1", Any, vec![event(1)]).key(key(101)), "duplicate a-1 0-0 at 4-4"),
        (
            "a known id with other content",
            breaks_the_rest(append("a-1", Absent, vec![changed(1), event(2)])),
            "refused by id of a-1 0",
        ),
        (
            "a known id in another stream",
            breaks_the_rest(append("z-1", Exists, vec![event(1)])),
            "refused by id of a-1 0",
        ),
        (
            "other content among mixed ids",
            breaks_the_rest(append("a-1", Absent, vec![changed(1), event(50)])),
            "refused by id of a-1 0",
        ),
        (
            "known and new ids",
            breaks_the_rest(append("a-1", Absent, vec![event(2), event(50)])),
            "conflict by 1 known ids",
        ),
        (
            "known ids not as one run",
            breaks_the_rest(append("a-1", Absent, vec![event(2), event(1)])),
            "conflict by 2 known ids",
        ),
        (
            "tracking does not advance",
            breaks_the_rest(append("a-1", Absent, vec![event(50)])),
            "conflict by tracking at 0:5",
        ),
        (
            "tracking goes back",
            append("a-1", Any, vec![event(50)]).tracking("c", at("0:4")),
            "conflict by tracking at 0:5",
        ),
        (
            "none, but it exists",
            append("a-1", Absent, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of a-1 Some(1)",
        ),
        (
            "exists, but it does not",
            append("z-1", Exists, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of z-1 None",
        ),
        (
            "another version",
            append("a-1", Exact(Version(0)), vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by version of a-1 Some(1)",
        ),
        (
            "an exact version of nothing",
            append("z-1", Exact(Version(0)), vec![event(50)]),
            "conflict by version of z-1 None",
        ),
        (
            "the second stream's version",
            append("a-1", Any, vec![event(50)]).and(stream("b-1"), Absent, vec![event(51)]),
            "conflict by version of b-1 Some(0)",
        ),
        (
            "a match in the log",
            append("a-1", Any, vec![event(50)]).unless(tagged("seat:1"), None),
            "conflict by condition at 0:3",
        ),
        (
            "tracking advances",
            append("a-1", Any, vec![event(50)]).tracking("c", at("0:6")),
            "appended a-1 2-2 at 10-10",
        ),
        ("a new consumer", append("a-1", Any, vec![event(50)]).tracking("d", at("0:0")), "appended a-1 2-2 at 10-10"),
        ("nothing expected", append("a-1", Any, vec![event(50), event(51)]), "appended a-1 2-3 at 10-11"),
        ("a new stream", append("z-1", Absent, vec![event(50)]), "appended z-1 0-0 at 10-10"),
        ("an existing stream", append("a-1", Exists, vec![event(50)]), "appended a-1 2-2 at 10-10"),
        ("the exact version", append("a-1", Exact(Version(1)), vec![event(50)]), "appended a-1 2-2 at 10-10"),
        (
            "no match in the log",
            append("a-1", Any, vec![event(50)]).unless(tagged("seat:2"), Some(at("0:9"))),
            "appended a-1 2-2 at 10-10",
        ),
        (
            "two streams",
            append("a-1", Any, vec![event(50)]).and(stream("z-1"), Absent, vec![event(51), event(52)]),
            "appended a-1 2-2, z-1 0-1 at 10-12",
        ),
    ];
    for (what, request, expected) in rows {
        assert_eq!(say(batch().decide(checked(request))), expected, "{what}");
    }
}

fn with_data_of(id: u128, of: u128) -> NewEvent {
    NewEvent { id: EventId(Uuid::from_u128(id)), ..event(of) }
}

#[test]
fn later_appends_of_a_batch_see_the_earlier_ones() {
    let mut batch = batch();
    let seat = |id| NewEvent { tags: Tags::new([Tag::new("seat:2").unwrap()]).unwrap(), ..event(id) };
    let mut decide = |request: AppendRequest| say(batch.decide(checked(request)));
    let key = Uuid::from_u128(200);
    let first = append("z-1", ExpectedVersion::None, vec![seat(50)]).key(key).tracking("c", at("0:6"));
    assert_eq!(decide(first.clone()), "appended z-1 0-0 at 10-10");
    assert_eq!(decide(first), "duplicate z-1 0-0 at 10-10");
    assert_eq!(decide(append("z-1", ExpectedVersion::Any, vec![event(60)]).key(key)), "refused by key");
    assert_eq!(decide(append("z-1", ExpectedVersion::Any, vec![seat(50)])), "duplicate z-1 0-0 at 10-10");
    assert_eq!(decide(append("z-1", ExpectedVersion::None, vec![event(60)])), "conflict by version of z-1 Some(0)");
    let conditional = append("y-1", ExpectedVersion::Any, vec![seat(61)]).unless(tagged("seat:2"), Some(at("0:9")));
    assert_eq!(decide(conditional), "conflict by condition at 0:10");
    let tracked = append("y-1", ExpectedVersion::Any, vec![event(62)]).tracking("c", at("0:6"));
    assert_eq!(decide(tracked), "conflict by tracking at 0:6");
    // A conflict harms nobody: the next one takes the next position.
    assert_eq!(decide(append("z-1", ExpectedVersion::Exact(Version(0)), vec![event(63)])), "appended z-1 1-1 at 11-11");
    assert_eq!(batch.events().len(), 2);
    assert_eq!(batch.heads(), &at("0:11"));
    assert_eq!(batch.keys().len(), 1);
    assert_eq!(batch.tracking().len(), 1);
}

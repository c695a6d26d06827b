//! The table of [`crate::decisions`], and what a batch adds to it.

use super::*;
use crate::append::{AppendRequest, ExpectedVersion, Query, QueryItem};
use crate::decisions::{self, decisions, say};
use crate::event::NewEvent;
use crate::limits::Limits;
use crate::names::{EventType, Tag, Tags};
use crate::schemas::{Generation, Judged, SchemaViolation, Verdict};

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(id: u128) -> NewEvent {
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("E").unwrap(), format!("{{\"n\":{id}}}"))
}

fn append(name: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendRequest {
    Append::to(stream(name), expected, events)
}

fn at(text: &str) -> Checkpoint {
    text.parse().unwrap()
}

fn tagged(tag: &str) -> Query {
    Query { items: vec![QueryItem { types: vec![], tags: vec![Tag::new(tag).unwrap()] }] }
}

#[test]
fn every_outcome_in_order_of_precedence() {
    let recorded_at = Timestamp::from_micros(1_000_000);
    for row in decisions(recorded_at) {
        assert_eq!(say(&decisions::decide(row.request, recorded_at)), row.outcome, "{}", row.name);
    }
}

#[test]
fn a_schema_refuses_what_is_new_and_not_what_is_known() {
    let violation = SchemaViolation {
        field: "writes[0].events[0].data".to_owned(),
        event_type: EventType::new("E").unwrap(),
        schema_version: 1,
        semver: None,
        path: String::new(),
        rule: "type".to_owned(),
        problem: "is wrong".to_owned(),
        accepted_by: None,
    };
    let check = |request: AppendRequest| request.check(&Limits::default(), Timestamp::from_micros(0), 1).unwrap();
    let refused = |request: AppendRequest| {
        let mut append = check(request);
        append
            .set_judged(Judged { generation: Generation(1), verdict: Verdict::Violated(Box::new(violation.clone())) });
        append
    };
    let mut batch = Batch::new(Facts::default(), at("0:9"), Timestamp::from_micros(7));
    let mut first = check(append("a-1", ExpectedVersion::Any, vec![event(1), event(2)]));
    first.set_judged(Judged { generation: Generation(1), verdict: Verdict::Passed(Box::new([3, 4])) });
    assert_eq!(say(&batch.decide(first)), "appended a-1 0-1 at 10-11");
    assert_eq!(batch.events().iter().map(|event| event.schema_version).collect::<Vec<_>>(), [3, 4]);
    let again = refused(append("a-1", ExpectedVersion::None, vec![event(1)]));
    assert_eq!(say(&batch.decide(again)), "duplicate a-1 0-0 at 10-10");
    // Before everything that may be otherwise the next time: the event will not be.
    let new = refused(append("a-1", ExpectedVersion::None, vec![event(3)]).tracking("c", at("0:1")));
    assert_eq!(say(&batch.decide(new)), "refused by the schema of E");
    assert_eq!(batch.events().len(), 2);
}

#[test]
fn later_appends_of_a_batch_see_the_earlier_ones() {
    let mut batch = Batch::new(Facts::default(), at("0:9"), Timestamp::from_micros(7));
    let seat = |id| NewEvent { tags: Tags::new([Tag::new("seat:2").unwrap()]).unwrap(), ..event(id) };
    let mut decide = |request: AppendRequest| {
        say(&batch.decide(request.check(&Limits::default(), Timestamp::from_micros(0), 1).unwrap()))
    };
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

#[test]
fn an_append_that_was_objected_to_leaves_nothing_behind() {
    let mut batch = Batch::new(Facts::default(), at("0:9"), Timestamp::from_micros(7));
    let checked = |request: AppendRequest| request.check(&Limits::default(), Timestamp::from_micros(0), 1).unwrap();
    let key = Uuid::from_u128(200);
    let wanted = append("z-1", ExpectedVersion::Any, vec![event(50), event(51)])
        .and(stream("y-1"), ExpectedVersion::None, vec![event(52)])
        .key(key)
        .tracking("c", at("0:6"));
    assert_eq!(
        say(&batch.decide(checked(append("z-1", ExpectedVersion::None, vec![event(40)])))),
        "appended z-1 0-0 at 10-10"
    );
    let mut seen = Vec::new();
    let objected = batch.decide_unless(checked(wanted.clone()), |events| {
        seen.extend(events.iter().map(|event| (event.stream.to_string(), event.version.0, event.position.0)));
        Err("no")
    });
    assert_eq!(objected, Err("no"));
    assert_eq!(seen, [("z-1".to_owned(), 1, 11), ("z-1".to_owned(), 2, 12), ("y-1".to_owned(), 0, 13)]);
    assert_eq!((batch.events().len(), batch.keys().len(), batch.tracking().len()), (1, 0, 0));
    assert_eq!(batch.heads(), &at("0:10"));
    // Its versions, positions, ids, key and tracking are free: the same append passes where nobody objects.
    let accepted = batch.decide_unless(checked(wanted.clone()), |_| Ok::<(), &str>(())).unwrap();
    assert_eq!(say(&accepted), "appended z-1 1-2, y-1 0-0 at 11-13");
    // Who is asked for an objection is asked about new events only.
    let again = batch.decide_unless(checked(wanted), |_| Err("asked about a duplicate")).unwrap();
    assert_eq!(say(&again), "duplicate z-1 1-2, y-1 0-0 at 11-13");
}

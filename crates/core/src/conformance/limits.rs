//! Limits and malformed input: each a clear error with the field named, nothing stored.

use bytes::Bytes;

use super::client::stream;
use super::trial::Trial;
use crate::append::{Append, AppendRequest, ExpectedVersion};
use crate::event::{Metadata, NewEvent, Payload, Timestamp};
use crate::place::Checkpoint;

fn to(events: Vec<NewEvent>) -> AppendRequest {
    Append::to(stream("bounded-7"), ExpectedVersion::Any, events)
}

fn sized(trial: &Trial<'_>, bytes: usize) -> NewEvent {
    NewEvent { data: Payload::Binary(vec![0; bytes].into()), ..trial.event("Noted") }
}

fn with_metadata(trial: &Trial<'_>, metadata: Metadata) -> NewEvent {
    NewEvent { metadata, ..trial.event("Noted") }
}

/// Headers that count for exactly so many bytes.
fn headers(bytes: usize) -> Metadata {
    let text = format!("{{\"h\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(text.len(), bytes, "the suite makes headers of exactly the limit");
    Metadata { headers: Some(text.into()), ..Metadata::default() }
}

/// Sends what must be refused, among what would be fine, and looks that nothing came of it.
async fn refuse(trial: &Trial<'_>, rows: Vec<(&str, AppendRequest, &str, bool)>) {
    trial.write("bounded-7", 1).await;
    let head = trial.head().await;
    for (what, request, field, over_limit) in rows {
        let refused = trial.refused(request).await;
        assert_eq!(refused.field, field, "expected {what} to be refused by its field: {refused}");
        assert_eq!(refused.over_limit, over_limit, "expected {what} to say whether it is over a limit: {refused}");
        assert!(!refused.problem.is_empty(), "expected {what} to be refused with a problem to act on");
        assert_eq!(trial.head().await, head, "expected {what} to store nothing");
    }
    assert_eq!(trial.version("bounded-7").await, Some(crate::Version(0)), "expected the stream untouched");
    assert_eq!(trial.version("new-7").await, None, "expected no new stream");
    trial.write("bounded-7", 1).await;
}

pub(super) async fn one_over_a_limit_is_refused(trial: &Trial<'_>) {
    let limits = trial.limits;
    let full = limits.append_bytes_max / limits.event_bytes_max;
    let mut heavy: Vec<_> = (0..full).map(|_| sized(trial, limits.event_bytes_max)).collect();
    heavy.push(sized(trial, limits.append_bytes_max % limits.event_bytes_max + 1));
    let actor = "a".repeat(limits.metadata_bytes_max + 1);
    let with_actor = with_metadata(trial, Metadata { actor: Some(actor.into()), ..Metadata::default() });
    let second = |event| to(vec![trial.event("Noted"), event]);
    let new = || Append::to(stream("new-7"), ExpectedVersion::None, trial.events(1));
    let rows = vec![
        ("an event too many", to(trial.events(limits.append_events_max + 1)), "events", true),
        (
            "an event too many over two streams",
            new().and(stream("bounded-7"), ExpectedVersion::Any, trial.events(limits.append_events_max)),
            "events",
            true,
        ),
        (
            "an event of a byte too many",
            to(vec![sized(trial, limits.event_bytes_max + 1)]),
            "writes[0].events[0].data",
            true,
        ),
        (
            "an event of a byte too many in the second stream",
            new().and(stream("bounded-7"), ExpectedVersion::Any, vec![sized(trial, limits.event_bytes_max + 1)]),
            "writes[1].events[0].data",
            true,
        ),
        ("an append of a byte too many", to(heavy), "events", true),
        (
            "metadata of a byte too many",
            second(with_metadata(trial, headers(limits.metadata_bytes_max + 1))),
            "writes[0].events[1].metadata",
            true,
        ),
        ("an actor of a byte too many", second(with_actor), "writes[0].events[1].metadata", true),
    ];
    refuse(trial, rows).await;
}

pub(super) async fn what_is_malformed_is_refused(trial: &Trial<'_>) {
    // Well past the limit, since the store's clock need not be this one.
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    let ahead = ahead.duration_since(std::time::UNIX_EPOCH).expect("the clock stands after 1970");
    let ahead = ahead.as_micros() as i64 + trial.limits.future_micros_max;
    let twin = trial.event("Noted");
    let json =
        |bytes: &'static [u8]| NewEvent { data: Payload::Json(Bytes::from_static(bytes)), ..trial.event("Noted") };
    let second = |event| to(vec![trial.event("Noted"), event]);
    let with_headers =
        |text: &'static str| with_metadata(trial, Metadata { headers: Some(text.into()), ..Metadata::default() });
    let new = || Append::to(stream("new-7"), ExpectedVersion::None, trial.events(1));
    let mut rows = vec![
        ("no stream", AppendRequest::default(), "writes", false),
        ("no event", to(Vec::new()), "writes[0].events", false),
        (
            "no event in the second stream",
            new().and(stream("bounded-7"), ExpectedVersion::Any, Vec::new()),
            "writes[1].events",
            false,
        ),
        (
            "a stream twice",
            new().and(stream("new-7"), ExpectedVersion::Any, trial.events(1)),
            "writes[1].stream",
            false,
        ),
        ("an id twice", to(vec![twin.clone(), trial.event("Noted"), twin.clone()]), "writes[0].events[2].id", false),
        (
            "an id twice over two streams",
            Append::to(stream("new-7"), ExpectedVersion::None, vec![twin.clone()]).and(
                stream("bounded-7"),
                ExpectedVersion::Any,
                vec![twin],
            ),
            "writes[1].events[0].id",
            false,
        ),
        (
            "an occurred_at of the future",
            second(NewEvent { occurred_at: Some(Timestamp::from_micros(ahead)), ..trial.event("Noted") }),
            "writes[0].events[1].occurred_at",
            false,
        ),
        (
            "a schema version of 0",
            second(NewEvent { schema_version: Some(0), ..trial.event("Noted") }),
            "writes[0].events[1].schema_version",
            false,
        ),
        ("headers that are no object", second(with_headers("[1]")), "writes[0].events[1].metadata", false),
        ("headers that are no JSON", second(with_headers("{")), "writes[0].events[1].metadata", false),
        (
            "a control character in the actor",
            second(with_metadata(trial, Metadata { actor: Some("a\nb".into()), ..Metadata::default() })),
            "writes[0].events[1].metadata.actor",
            false,
        ),
        (
            "a consumer without a name",
            new().tracking("", Checkpoint::start(trial.partitions, crate::Epoch::FIRST)),
            "tracking.name",
            false,
        ),
        (
            "a consumer's checkpoint of more partitions",
            new().tracking("c", Checkpoint::start(trial.partitions + 1, crate::Epoch::FIRST)),
            "tracking.checkpoint",
            false,
        ),
    ];
    let bad: [&'static [u8]; 12] = [
        b"",
        b"{",
        b"{} {}",
        b"{\"a\":1,\"a\":2}",
        b"{'a':1}",
        b"\"\\u0000\"",
        b"\"\\ud800\"",
        b"\"\xff\"",
        b"01",
        b"NaN",
        b"1e999999",
        b"[1,]",
    ];
    rows.extend(bad.map(|bytes| ("what is no JSON", second(json(bytes)), "writes[0].events[1].data", false)));
    refuse(trial, rows).await;
}

pub(super) async fn a_limit_can_be_reached(trial: &Trial<'_>) {
    let limits = trial.limits;
    let full = limits.append_bytes_max / limits.event_bytes_max;
    let heavy: Vec<_> = (0..full).map(|_| sized(trial, limits.event_bytes_max)).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock stands after 1970");
    let now = Some(Timestamp::from_micros(now.as_micros() as i64));
    let rows = [
        ("as many events as allowed", trial.events(limits.append_events_max)),
        ("an event as large as allowed", vec![sized(trial, limits.event_bytes_max)]),
        ("an append as large as allowed", heavy),
        ("metadata as large as allowed", vec![with_metadata(trial, headers(limits.metadata_bytes_max))]),
        ("an occurred_at of now", vec![NewEvent { occurred_at: now, ..trial.event("Noted") }]),
    ];
    for (what, events) in rows {
        let count = events.len() as u64;
        let before = trial.head().await;
        let answer = trial.accepted(to(events)).await;
        assert_eq!(
            answer.last_position,
            before.position(answer.partition).plus(count),
            "expected {what} to be accepted"
        );
    }
}

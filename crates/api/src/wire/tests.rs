//! What goes over the wire comes back, and means the same to every other implementation of the protos.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pacioli_core::schemas::{SchemaViolation, Semver, Withheld};
use pacioli_core::{
    Append, AppendError, AppendOutcome, AppendRequest, Appended, Checkpoint, Conflict, EventId, EventType,
    ExpectedVersion, InvalidAppend, Metadata, NewEvent, Partition, Payload, Place, Position, Query, QueryItem,
    ReadError, RecordedEvent, Refusal, StoreError, StreamAppended, StreamName, Tag, Tags, Timestamp, Version,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use tonic::Code;
use uuid::Uuid;

use super::status::{self, Reason};
use super::{EventBatch, append, envelope_len};
use crate::generated::v1;

/// `EventBatch` as the generator would have written it.
#[derive(Clone, PartialEq, Message)]
struct PlainBatch {
    #[prost(message, repeated, tag = "1")]
    events: Vec<v1::Event>,
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[a-zé]{0,12}".prop_map(Into::into)
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let fields = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (fields, option::of(text()), option::of(text()), option::of(vec(any::<u8>(), 0..20))).prop_map(
        |((actor, correlation_id, causation_id, traceparent), source, source_id, headers)| Metadata {
            actor,
            correlation_id,
            causation_id,
            traceparent,
            source,
            source_id,
            headers: headers.map(Bytes::from),
        },
    )
}

fn payload() -> impl Strategy<Value = Payload> {
    (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(json, bytes)| match json {
        true => Payload::Json(bytes.into()),
        false => Payload::Binary(bytes.into()),
    })
}

fn tags() -> impl Strategy<Value = Tags> {
    (0..5_usize).prop_map(|n| Tags::new((0..n).map(|i| Tag::new(format!("tag:{i}")).unwrap())).unwrap())
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let names = ("[A-Z][a-z]{0,127}", any::<u128>());
    (names, option::of(any::<u32>()), payload(), metadata(), tags(), option::of(any::<i64>())).prop_map(
        |((event_type, id), schema_version, data, metadata, tags, occurred_at)| NewEvent {
            id: EventId(Uuid::from_u128(id)),
            event_type: EventType::new(event_type).unwrap(),
            schema_version,
            data,
            metadata,
            tags,
            occurred_at: occurred_at.map(Timestamp::from_micros),
        },
    )
}

fn recorded_event() -> impl Strategy<Value = Arc<RecordedEvent>> {
    let place = (0..1024_u16, 0..=Position::MAX.0, any::<u64>());
    (new_event(), "[a-zä]{1,9}-[0-9]{0,9}", place, any::<i64>()).prop_map(
        |(event, stream, (partition, position, version), recorded_at)| {
            let place = Place { partition: Partition(partition), position: Position(position) };
            let stream = StreamName::new(stream).unwrap();
            Arc::new(event.recorded(stream, Version(version), place, Timestamp::from_micros(recorded_at)))
        },
    )
}

/// The event as the generated code would have sent it.
fn plain(event: &RecordedEvent) -> v1::Event {
    v1::Event {
        stream: event.stream.to_string(),
        version: event.version.0,
        position: event.position.0,
        partition: event.partition.0.into(),
        id: Bytes::copy_from_slice(event.id.0.as_bytes()),
        r#type: event.event_type.to_string(),
        schema_version: (event.schema_version != 1).then_some(event.schema_version),
        data: Some(match &event.data {
            Payload::Json(bytes) => v1::event::Data::Json(bytes.clone()),
            Payload::Binary(bytes) => v1::event::Data::Binary(bytes.clone()),
        }),
        recorded_at: event.recorded_at.as_micros(),
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
        metadata: (!event.metadata.is_empty()).then(|| append::metadata_to_wire(&event.metadata)),
        tags: event.tags.as_slice().iter().map(ToString::to_string).collect(),
    }
}

proptest! {
    #[test]
    fn a_batch_is_what_the_plain_message_is(events in vec(recorded_event(), 0..8)) {
        let batch = EventBatch::new(events.clone());
        let bytes = batch.encode_to_vec();
        prop_assert_eq!(bytes.len(), batch.encoded_len());
        let expected = PlainBatch { events: events.iter().map(|event| plain(event)).collect() };
        prop_assert_eq!(&PlainBatch::decode(&bytes[..]).unwrap(), &expected);
        prop_assert_eq!(EventBatch::decode(&bytes[..]).unwrap().into_events(), events.clone());
        let from_plain = EventBatch::decode(&expected.encode_to_vec()[..]).unwrap();
        prop_assert_eq!(from_plain.events(), &events[..]);
        // One that was received can be sent on.
        prop_assert_eq!(from_plain.encode_to_vec(), bytes);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = EventBatch::decode(&bytes[..]);
    }

    #[test]
    fn a_damaged_batch_is_an_error_or_another_batch(
        events in vec(recorded_event(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = EventBatch::new(events).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = EventBatch::decode(&bytes[..]);
        let _ = EventBatch::decode(&bytes[..at]);
    }

    #[test]
    fn an_append_comes_back(
        events in vec(new_event(), 0..4), key in option::of(any::<u128>()), version in any::<u64>(), kind in 0..4,
    ) {
        let expected = match kind {
            0 => ExpectedVersion::Any,
            1 => ExpectedVersion::None,
            2 => ExpectedVersion::Exists,
            _ => ExpectedVersion::Exact(Version(version)),
        };
        let item = QueryItem {
            types: vec![EventType::new("E").unwrap()],
            tags: vec![Tag::new("a:1").unwrap(), Tag::new("b:2").unwrap()],
        };
        let request = AppendRequest {
            key: key.map(Uuid::from_u128),
            ..Append::to(StreamName::new("a-1").unwrap(), expected, events)
                .unless(Query { items: vec![item, QueryItem::default()] }, Some(at("0:7,1:8@2")))
                .tracking("mover", at("0:5"))
        };
        let bytes = append::request_to_wire(&request).encode_to_vec();
        let back = append::request_from_wire(v1::AppendRequest::decode(&bytes[..]).unwrap());
        prop_assert_eq!(back, Ok(request));
    }
}

fn at(text: &str) -> Checkpoint {
    text.parse().unwrap()
}

#[test]
fn an_envelope_is_small() {
    let id = EventId(Uuid::from_u128(u128::MAX / 3));
    let event = NewEvent::json(id, EventType::new("MoneyWasReturned").unwrap(), "{}");
    let stream = StreamName::new("account-12345678").unwrap();
    let place = Place { partition: Partition::ZERO, position: Position(10_000_000) };
    let event = event.recorded(stream, Version(10), place, Timestamp::from_micros(1_764_000_000_123_456));
    assert_eq!((event.stream.as_str().len(), event.event_type.as_str().len()), (16, 16));
    let len = envelope_len(&event);
    assert_eq!(len, 74, "the promise is 128 bytes; a change of this number is a change of what every read costs");
    let occurred = RecordedEvent { occurred_at: Some(event.recorded_at), partition: Partition(1023), ..event };
    assert!(envelope_len(&occurred) <= 128);
}

#[test]
fn every_outcome_comes_back() {
    let stream = StreamName::new("a-1").unwrap();
    let id = |n| EventId(Uuid::from_u128(n));
    let appended = Appended {
        streams: vec![StreamAppended { stream: stream.clone(), first_version: Version(0), last_version: Version(4) }],
        partition: Partition(3),
        first_position: Position(9),
        last_position: Position(13),
        checkpoint: at("0:0,1:0,2:0,3:13"),
        duplicate: true,
    };
    let wrong = |expected, current| Conflict::ExpectedVersion { stream: stream.clone(), expected, current };
    let mut outcomes: Vec<AppendOutcome> = vec![AppendOutcome::Appended(appended)];
    outcomes.extend(
        [
            Conflict::Ids { known: vec![id(1), id(2)] },
            Conflict::Tracking { name: "c".to_owned(), current: at("0:5@2") },
            wrong(ExpectedVersion::None, Some(Version(0))),
            wrong(ExpectedVersion::Exists, None),
            wrong(ExpectedVersion::Exact(Version(0)), Some(Version(7))),
            Conflict::Condition { matched: Place { partition: Partition(1), position: Position(4) } },
        ]
        .map(AppendOutcome::Conflict),
    );
    outcomes.extend(
        [
            Refusal::KeyReused { key: Uuid::from_u128(9) },
            Refusal::ByProjection { projection: "gauge".to_owned(), reason: "no".to_owned() },
            Refusal::BySchema(Box::new(SchemaViolation {
                field: "writes[0].events[1].data".to_owned(),
                event_type: EventType::new("E").unwrap(),
                schema_version: 3,
                semver: Some(Semver::FIRST),
                path: "/amount".to_owned(),
                rule: "type".to_owned(),
                problem: "is no integer".to_owned(),
                accepted_by: Some(2),
            })),
            Refusal::IdReused { id: id(3), stream: stream.clone(), version: Version(0) },
        ]
        .map(AppendOutcome::Refused),
    );
    for outcome in outcomes {
        let bytes = append::outcome_to_wire(&outcome).encode_to_vec();
        let back = append::outcome_from_wire(v1::AppendResponse::decode(&bytes[..]).unwrap());
        assert_eq!(back, Ok(outcome));
    }
}

#[test]
fn the_wrong_field_is_named() {
    let good = || {
        let event = NewEvent::json(EventId(Uuid::from_u128(1)), EventType::new("E").unwrap(), "{}");
        let request = Append::to(StreamName::new("a-1").unwrap(), ExpectedVersion::Any, vec![event.clone(), event]);
        append::request_to_wire(
            &request.unless(Query { items: vec![QueryItem::default()] }, None).tracking("c", at("0:1")),
        )
    };
    type Break = fn(&mut v1::AppendRequest);
    let rows: [(&str, Break); 10] = [
        ("writes[0].stream", |r| r.writes[0].stream = String::new()),
        ("writes[0].events[1].type", |r| r.writes[0].events[1].r#type = "\u{7}".to_owned()),
        ("writes[0].events[1].id", |r| r.writes[0].events[1].id = Bytes::from_static(b"short")),
        ("writes[0].events[0].data", |r| r.writes[0].events[0].data = None),
        ("writes[0].events[0].tags[1]", |r| r.writes[0].events[0].tags = vec!["a".to_owned(), "a b".to_owned()]),
        ("writes[0].events[0].tags", |r| r.writes[0].events[0].tags = vec!["a".to_owned(); 2]),
        ("key", |r| r.key = Some(Bytes::from_static(&[1; 17]))),
        ("condition.items[0].types[0]", |r| r.condition.as_mut().unwrap().items[0].types = vec![String::new()]),
        ("condition.after", |r| r.condition.as_mut().unwrap().after = Some("banana".to_owned())),
        ("tracking.checkpoint", |r| r.tracking.as_mut().unwrap().checkpoint = "5".to_owned()),
    ];
    assert!(append::request_from_wire(good()).is_ok());
    for (field, break_it) in rows {
        let mut request = good();
        break_it(&mut request);
        assert_eq!(append::request_from_wire(request).unwrap_err().field, field);
    }
}

/// What an error says in full: the errors hold errors that cannot be compared.
fn say(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

#[test]
fn every_append_error_comes_back_as_it_was() {
    let over = InvalidAppend { over_limit: true, ..InvalidAppend::new("events", "are too many") };
    let rows = [
        (AppendError::Invalid(InvalidAppend::new("writes[0].events[3].data", "is no JSON: é")), Code::InvalidArgument),
        (AppendError::Invalid(over), Code::InvalidArgument),
        (AppendError::Overloaded { retry_after: Duration::from_millis(1_250) }, Code::ResourceExhausted),
        (AppendError::ShuttingDown, Code::Unavailable),
        (AppendError::Denied { reason: "no".to_owned() }, Code::PermissionDenied),
        (AppendError::Store(StoreError::new("the disk is full")), Code::Internal),
        (AppendError::Unknown { reason: "silence".to_owned() }, Code::Unavailable),
    ];
    for (error, code) in rows {
        let status = status::append_status(&error);
        assert_eq!(status.code(), code);
        assert_eq!(say(&status::append_error(&status)), say(&error));
    }
}

#[test]
fn every_read_error_comes_back_as_it_was() {
    let place = Place { partition: Partition(2), position: Position(77) };
    let withheld = Withheld {
        place,
        event_type: EventType::new("E").unwrap(),
        schema_version: 3,
        semver: Some("2.1.0".parse().unwrap()),
        understands: "^1".parse().unwrap(),
    };
    let rows = [
        (ReadError::StreamNotFound { stream: StreamName::new("ä-1").unwrap() }, Code::NotFound),
        (ReadError::Invalid { field: "after", problem: "lies past the head".to_owned() }, Code::InvalidArgument),
        (ReadError::Rewound { to: at("0:5,1:6@3") }, Code::Aborted),
        (ReadError::Withheld(Box::new(withheld)), Code::FailedPrecondition),
        (ReadError::Damaged { place, problem: "hash".to_owned() }, Code::DataLoss),
        (ReadError::Denied { reason: "no".to_owned() }, Code::PermissionDenied),
        (ReadError::Unsupported { reason: "cannot".to_owned() }, Code::Unimplemented),
        (ReadError::Store(StoreError::new("broken")), Code::Internal),
    ];
    for (error, code) in rows {
        let status = status::read_status(&error);
        assert_eq!(status.code(), code);
        assert_eq!(say(&status::read_error(&status)), say(&error));
        assert!(!status::is_transient(&status), "{error}");
    }
}

#[test]
fn what_is_not_ours_leaves_the_outcome_open() {
    for code in [
        Code::Unavailable,
        Code::Unknown,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Internal,
        Code::Aborted,
        // So says a connection that the peer cut because of too much traffic, behind an append that may have been stored.
        Code::ResourceExhausted,
    ] {
        let status = tonic::Status::new(code, "a proxy's");
        assert_eq!(Reason::of(&status), None);
        assert!(matches!(status::append_error(&status), AppendError::Unknown { .. }), "{code:?}");
    }
    let denied = status::append_error(&tonic::Status::unauthenticated("no token"));
    assert!(matches!(denied, AppendError::Denied { .. }));
    let large = status::append_error(&tonic::Status::out_of_range("decoded message length too large"));
    assert!(matches!(large, AppendError::Invalid(InvalidAppend { over_limit: true, .. })));
    assert!(status::is_transient(&status::shutting_down()));
}

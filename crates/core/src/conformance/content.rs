//! What is stored is what was sent, to the byte.

use bytes::Bytes;

use super::client::{Event, duplicate, stream, tagged};
use super::trial::Trial;
use crate::append::{Append, ExpectedVersion};
use crate::event::{Metadata, NewEvent, Payload, RecordedEvent, Timestamp};
use crate::names::{EventType, StreamName, Tag, Tags};
use crate::store::{Direction, Filter, PayloadChoice, ReadLog};
use crate::subscription::{Delivery, Subscribe};

/// Appends these to one stream and compares what every way of reading gives.
async fn there_and_back(trial: &Trial<'_>, name: &StreamName, events: Vec<NewEvent>) {
    let before = trial.head().await;
    trial.accepted(Append::to(name.clone(), ExpectedVersion::None, events.clone())).await;
    let after = Some(before);
    let mut ways = vec![
        ("read_stream", trial.stream_events(name.as_str()).await),
        ("read_log", trial.log_after(after.clone(), Filter::default(), 100).await),
    ];
    let mut follow = trial.follow(Subscribe { after, ..Subscribe::default() }).await;
    ways.push(("subscribe", follow.take(events.len()).await));
    for (way, read) in ways {
        assert_eq!(read.len(), events.len(), "{way}: expected the events");
        for (sent, got) in events.iter().zip(&read) {
            compare(way, name, sent, got);
        }
    }
}

fn compare(way: &str, name: &StreamName, sent: &NewEvent, got: &Event) {
    let expected = sent.clone().recorded(name.clone(), got.version, got.place(), got.recorded_at);
    // Field by field first: a megabyte of data makes no message.
    assert_eq!(got.data.len(), expected.data.len(), "{way}: expected the data's length");
    assert_eq!(got.data.is_json(), expected.data.is_json(), "{way}: expected the kind of data");
    assert!(got.data == expected.data, "{way}: expected the data byte for byte");
    let bare = |event: &RecordedEvent| RecordedEvent { data: Payload::Json(Bytes::new()), ..event.clone() };
    assert_eq!(bare(got), bare(&expected), "{way}: expected every field as it was sent");
}

pub(super) async fn blanks_around_headers_mean_nothing(trial: &Trial<'_>) {
    let mut event = trial.event("MoneyDeposited");
    event.metadata.headers = Some("\n {\"a\" : 1}\t ".into());
    let request = Append::to(stream("account-1"), ExpectedVersion::Any, vec![event]);
    trial.accepted(request.clone()).await;
    duplicate(trial.append(request).await);
    for event in trial.log().await {
        let headers = event.metadata.headers.as_deref();
        assert_eq!(headers, Some(&b"{\"a\" : 1}"[..]), "expected the headers but for outer blanks");
    }
}

pub(super) async fn every_field_comes_back_as_it_was_sent(trial: &Trial<'_>) {
    let full = Metadata {
        actor: Some("anna@example.org".into()),
        correlation_id: Some("order 17/ü".into()),
        causation_id: Some("5e1f".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        source: Some("/legacy/ledger".into()),
        source_id: Some("row 4711".into()),
        headers: Some(r#"{ "b" : 1, "a":[1.0,null,"\u00fc"], "actor": "x" }"#.into()),
    };
    let event = |change: &dyn Fn(&mut NewEvent)| {
        let mut event = trial.event("MoneyDeposited");
        change(&mut event);
        event
    };
    let json = |text: &'static str| event(&move |event| event.data = Payload::Json(text.into()));
    let at = |micros: i64| event(&move |event| event.occurred_at = Some(Timestamp::from_micros(micros)));
    let mut events = vec![
        trial.event("MoneyDeposited"),
        json("{}"),
        json("[]"),
        json("null"),
        json("0"),
        json("\"\""),
        json(" {\"z\": 1,\n\t\"a\" :2.10, \"big\": 123456789012345678901234567890, \"e\":1E5 } "),
        json("{\"text\":\"\\u00e9é\\uD83D\\uDE00😀\\\"\\\\\\/\"}"),
        event(&|event| event.data = Payload::Binary(Bytes::new())),
        event(&|event| event.data = Payload::Binary((0..=255).collect::<Vec<u8>>().into())),
        event(&|event| event.data = Payload::Binary("{\"looks\":\"like JSON\"}".into())),
        event(&|event| event.schema_version = Some(1)),
        event(&|event| event.schema_version = Some(7)),
        event(&|event| event.schema_version = Some(i32::MAX as u32)),
        at(0),
        at(-1),
        at(-1_000_001),
        // In the year 1494, and a microsecond of 2020.
        at(-14_992_300_800_000_000),
        at(1_577_836_800_123_456),
        tagged(trial.event("MoneyDeposited"), &["account:42", "currency:EUR", "a=b;c", "ÄÖÜ"]),
        event(&|event| event.metadata = full.clone()),
        event(&|event| event.metadata.headers = Some("{}".into())),
    ];
    for (name, value) in full.fields() {
        let mut event = trial.event("MoneyDeposited");
        *event.metadata.field_mut(name).expect("the names of the typed fields") = value.map(Into::into);
        events.push(event);
    }
    let many = (0..32).map(|number| Tag::new(format!("{number}{}", "t".repeat(126))).expect("128 bytes"));
    events.push(NewEvent { tags: Tags::new(many).expect("32 tags"), metadata: full, ..trial.event("MoneyDeposited") });
    there_and_back(trial, &stream("account-42"), events).await;
}

pub(super) async fn names_keep_their_unicode(trial: &Trial<'_>) {
    let names = [
        "konto-äöü",
        "ko\u{308}nto-1",
        "könto-1",
        "口座-42",
        "🏦-🧾",
        "-",
        "-key",
        "account-",
        "a--b",
        "a b-c d",
        "quote'\"`-\\;--",
        "percent%-_under",
        "\u{200f}rtl-\u{feff}bom",
        "Account-42",
        "account-42",
        "account",
        " account",
    ];
    let longest = format!("{}-{}", "k".repeat(127), "ß".repeat(64));
    for (index, name) in names.into_iter().chain([longest.as_str()]).enumerate() {
        let kind =
            EventType::new(format!("{name} wurde #{index} 🙂")).unwrap_or_else(|_| super::client::event_type("Long"));
        let event = NewEvent { event_type: kind, ..trial.event("Noted") };
        there_and_back(trial, &stream(name), vec![event]).await;
        let info = trial.info(name).await.unwrap_or_else(|| panic!("expected `{name}` to be there"));
        assert_eq!((info.stream.as_str(), info.version.0), (name, 0), "expected each name to be its own stream");
    }
}

pub(super) async fn the_largest_event_comes_back(trial: &Trial<'_>) {
    let limit = trial.limits.event_bytes_max;
    let mut text = String::with_capacity(limit);
    text.push_str("{\"text\":\"");
    text.push_str(&"x".repeat(limit - 11));
    text.push_str("\"}");
    let json = NewEvent { data: Payload::Json(text.into()), ..trial.event("Noted") };
    let mut random = trial.random(1);
    let bytes: Vec<u8> = (0..limit).map(|_| random.next() as u8).collect();
    let binary = NewEvent { data: Payload::Binary(bytes.into()), ..trial.event("Noted") };
    assert_eq!((json.len(), binary.len()), (limit, limit), "the suite makes events of exactly the limit");
    there_and_back(trial, &stream("large-1"), vec![json, trial.event("Noted"), binary]).await;
}

pub(super) async fn envelopes_come_without_data(trial: &Trial<'_>) {
    let binary = NewEvent { data: Payload::Binary("bytes".into()), ..trial.event("Noted") };
    let metadata = Metadata { actor: Some("anna".into()), ..Metadata::default() };
    let json = NewEvent { metadata, ..tagged(trial.event("Noted"), &["a:1"]) };
    trial.accepted(Append::to(stream("light-1"), ExpectedVersion::None, vec![json, binary])).await;
    let whole = trial.stream_events("light-1").await;
    let payload = PayloadChoice::None;
    let page = trial.page("light-1", None, Direction::Forward, 10, payload).await;
    let log = ReadLog { after: None, filter: Filter::default(), limit: 10, payload };
    let log = trial.store.read_log(log).await.unwrap_or_else(|error| panic!("expected a page: {error}"));
    let mut follow = trial.follow(Subscribe { payload, ..Subscribe::default() }).await;
    let mut backward = trial.page("light-1", None, Direction::Backward, 10, payload).await.events;
    backward.reverse();
    let mut live = trial.follow(Subscribe { payload, after: Some(trial.head().await), ..Subscribe::default() }).await;
    live.until_caught_up().await;
    let ways = [
        ("read_stream", page.events),
        ("backward", backward),
        ("read_log", log.events),
        ("subscribe", follow.take(2).await),
    ];
    for (way, events) in ways {
        assert_eq!(events.len(), whole.len(), "{way}: expected the events");
        for (light, whole) in events.iter().zip(&whole) {
            assert!(light.data.is_empty(), "{way}: expected no data, got {:?}", light.data);
            assert_eq!(*light, whole.with_payload(payload), "{way}: expected everything but the data");
        }
    }
    trial.write("light-1", 1).await;
    match live.next().await {
        Delivery::Events { events, .. } => assert!(events[0].data.is_empty(), "live: expected no data: {events:?}"),
        other => panic!("live: expected the event, got {other:?}"),
    }
}

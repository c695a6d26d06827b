//! What comes in as JSON is understood whole or refused by name, and an export imported again loses nothing.

use bytes::Bytes;
use pacioli_core::*;
use proptest::prelude::*;
use uuid::Uuid;

use crate::cloudevents::{self, Layout};
use crate::fields::Fields;
use crate::import::{self, cloud_event, cloud_events, plain_events};
use crate::json;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn recorded() -> RecordedEvent {
    let id = EventId(Uuid::from_u128(7));
    let place = Place { partition: Partition(0), position: Position(12) };
    NewEvent::json(id, EventType::new("MoneyDeposited").unwrap(), r#"{"amount":1.00}"#).recorded(
        StreamName::new("account-42").unwrap(),
        Version(3),
        place,
        Timestamp::from_micros(1_000_000),
    )
}

#[test]
fn an_event_is_written_with_its_members_in_order() {
    assert_eq!(
        cloudevents::to_string(&recorded(), &Fields::All, Layout::Document),
        concat!(
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000007","source":"/pacioli","type":"MoneyDeposited","#,
            r#""subject":"account-42","time":"1970-01-01T00:00:01Z","datacontenttype":"application/json","streamversion":3,"#,
            r#""partition":0,"position":"12","recordedat":"1970-01-01T00:00:01Z","schemaversion":1,"data":{"amount":1.00}}"#
        )
    );
}

#[test]
fn a_reader_gets_as_much_as_it_asks_for() {
    let written = |fields: &str| cloudevents::to_string(&recorded(), &fields.parse().unwrap(), Layout::Line);
    assert!(written("all").ends_with(r#""data":{"amount":1.00}}"#));
    assert!(written("/amount").ends_with(r#""data":{"amount":1.00}}"#));
    assert!(written("/owner").ends_with(r#""data":{}}"#));
    assert!(written("none").ends_with(r#""schemaversion":1}"#));
}

#[test]
fn a_line_holds_one_event_whatever_its_data() {
    let mut event = recorded();
    event.data = Payload::Json(Bytes::from_static(b"{\r\n  \"a\": \"x\\ny\"\n}\n"));
    let line = cloudevents::to_string(&event, &Fields::All, Layout::Line);
    assert!(!line.contains(['\n', '\r']), "{line}");
    assert!(line.contains(r#""data":{    "a": "x\ny" } }"#), "{line}");
    let exported = cloudevents::to_string(&event, &Fields::All, Layout::Export);
    assert!(!exported.contains(['\n', '\r']) && exported.contains("data_base64"));
    assert_eq!(cloud_event(exported.as_bytes()).unwrap().event.data, event.data);
}

#[test]
fn a_real_cloud_event_is_taken() {
    let read = cloud_event(
        br#"{"specversion":"1.0","id":"91f835c1-31be-5656-a550-990915a24b45","source":"/bpi-challenge-2012",
            "type":"ApplicationSubmitted","subject":"application-173688","time":"2011-09-30T22:38:00.000Z",
            "datacontenttype":"application/json","data":{"application":173688, "step":1}}"#,
    )
    .unwrap();
    assert_eq!(read.subject.as_deref(), Some("application-173688"));
    assert_eq!(read.event.data, Payload::Json(Bytes::from_static(br#"{"application":173688, "step":1}"#)));
    assert_eq!(read.event.metadata.source.as_deref(), Some("/bpi-challenge-2012"));
    assert_eq!(read.event.metadata.source_id, None);
    assert_eq!(read.event.occurred_at, Some(time("2011-09-30T22:38:00Z")));
}

fn time(text: &str) -> Timestamp {
    crate::time::parse(text).unwrap()
}

/// One CloudEvent with more members.
fn with(members: &str) -> Result<NewEvent, InvalidAppend> {
    let body = format!(r#"{{"specversion":"1.0","id":"order/7","source":"/shop","type":"Sold",{members}}}"#);
    cloud_event(body.as_bytes()).map(|read| read.event)
}

#[test]
fn an_id_that_is_no_uuid_becomes_one_and_is_kept() {
    let event = with(r#""data":1"#).unwrap();
    assert_eq!(event.id, import::foreign_id("/shop", "order/7"));
    assert_eq!(event.metadata.source_id.as_deref(), Some("order/7"));
    assert_ne!(event.id, import::foreign_id("/other-shop", "order/7"));
}

#[test]
fn what_has_no_place_of_its_own_becomes_a_header() {
    let headers =
        |members: &str| with(members).unwrap().metadata.headers.map(|h| String::from_utf8(h.to_vec()).unwrap());
    assert_eq!(headers(r#""data":1,"region":"eu","weight":1.50"#).unwrap(), r#"{"region":"eu","weight":1.50}"#);
    assert_eq!(headers(r#""data":1,"region":"eu","metadata":"{ \"a\":1 }""#).unwrap(), r#"{ "a":1 ,"region":"eu"}"#);
    assert_eq!(headers(r#""data":1,"metadata":"{ \"a\":1 }""#).unwrap(), r#"{ "a":1 }"#);
    // What is around the object is not part of it.
    assert_eq!(headers(r#""data":1,"metadata":" \t{ \"a\":1 }\n""#).unwrap(), r#"{ "a":1 }"#);
    assert_eq!(headers(r#""data":1,"region":null"#), None);
    let image = r#""data_base64":"AQI=","datacontenttype":"image/png""#;
    assert_eq!(headers(image).unwrap(), r#"{"datacontenttype":"image/png"}"#);
    assert_eq!(with(image).unwrap().data, Payload::Binary(Bytes::from_static(&[1, 2])));
    assert_eq!(with(r#""data":"<a/>","datacontenttype":"text/xml""#).unwrap().data, Payload::Binary("<a/>".into()));
    assert_eq!(headers(r#""data":{},"datacontenttype":"application/json""#), None);
}

#[test]
fn a_wrong_cloud_event_is_refused_by_its_field() {
    let field = |members: &str| with(members).unwrap_err().field;
    for (members, name) in [
        (r#""data":1,"data_base64":"""#, "data_base64"),
        (r#""data_base64":"?""#, "data_base64"),
        (r#""data":1,"time":"yesterday""#, "time"),
        (r#""data":1,"traceparent":"x""#, "traceparent"),
        (r#""data":1,"tags":"a b""#, "tags"),
        (r#""data":1,"tags":"a,a""#, "tags"),
        (r#""data":1,"schemaversion":"one""#, "schemaversion"),
        (r#""data":1,"occurred_at":"2026-11-20T13:59:56Z""#, "occurred_at"),
        (r#""data":1,"region":{}"#, "region"),
        (r#""data":1,"region":"eu","metadata":"{\"region\":1}""#, "region"),
        (r#""data":1,"type":"Twice""#, "body"),
        (r#""data":1,"subject":7"#, "subject"),
        (r#""recordedat":"2026-11-20T13:59:56Z""#, "data"),
        (r#""data":1,"sourceid":"x""#, "sourceid"),
    ] {
        assert_eq!(field(members), name, "{members}");
    }
    let of = |body: &str| cloud_events(body.as_bytes()).unwrap_err().field;
    let good = r#"{"specversion":"1.0","id":"a","source":"/s","type":"T"}"#;
    assert_eq!(of(&format!(r#"[{good},{{"specversion":"1.0","id":"a","source":"/s"}}]"#)), "[1].type");
    assert_eq!(
        of(&format!(r#"[{good},{{"specversion":"0.3","id":"a","source":"/s","type":"T"}}]"#)),
        "[1].specversion"
    );
    assert_eq!(of(r#"[{"specversion":"1.0","id":"a","type":"T"}]"#), "[0].source");
    assert_eq!(of("{}"), "body");
    assert_eq!(of(""), "body");
    assert_eq!(of("[1]"), "[0]");
}

#[test]
fn the_plain_form_is_taken_whole() {
    let body = format!(
        r#"[{{"type":"Sold","data":{{"n": 1.0}},"id":"00000000-0000-0000-0000-000000000007","tags":["a","b"],
            "metadata":{{"actor":"Luca","region":"eu","traceparent":"{TRACE}"}},"occurred_at":"2026-11-20T13:59:56+01:00",
            "schema_version":2}},{{"type":"Sold","data":null,"metadata":{{"region":"eu" }}}}]"#
    );
    let events = plain_events(body.as_bytes()).unwrap().content;
    assert_eq!(events[0].id, EventId(Uuid::from_u128(7)));
    assert_eq!(events[0].data, Payload::Json(Bytes::from_static(br#"{"n": 1.0}"#)));
    assert_eq!(events[0].metadata.actor.as_deref(), Some("Luca"));
    assert_eq!(events[0].metadata.headers.as_deref(), Some(&br#"{"region":"eu"}"#[..]));
    assert_eq!(events[0].occurred_at, Some(time("2026-11-20T12:59:56Z")));
    assert_eq!((events[0].schema_version, events[0].tags.joined().as_str()), (Some(2), "a,b"));
    assert_eq!(events[1].metadata.headers.as_deref(), Some(&br#"{"region":"eu" }"#[..]));
    assert_eq!(events[1].id.0.get_version_num(), 7);
}

#[test]
fn a_wrong_plain_event_is_refused_by_its_field() {
    for (event, field) in [
        (r#"{"data":{}}"#, "[0].type"),
        (r#"{"type":"T"}"#, "[0].data"),
        (r#"{"type":"","data":1}"#, "[0].type"),
        (r#"{"type":7,"data":1}"#, "[0].type"),
        (r#"{"type":"T","data":1,"id":"x"}"#, "[0].id"),
        (r#"{"type":"T","data":1,"tags":"a"}"#, "[0].tags"),
        (r#"{"type":"T","data":1,"tags":["a",1]}"#, "[0].tags[1]"),
        (r#"{"type":"T","data":1,"tags":["a b"]}"#, "[0].tags"),
        (r#"{"type":"T","data":1,"metadata":"x"}"#, "[0].metadata"),
        (r#"{"type":"T","data":1,"metadata":{"actor":7}}"#, "[0].metadata.actor"),
        (r#"{"type":"T","data":1,"metadata":{"traceparent":"x"}}"#, "[0].metadata.traceparent"),
        (r#"{"type":"T","data":1,"occurred_at":"soon"}"#, "[0].occurred_at"),
        (r#"{"type":"T","data":1,"schema_version":-1}"#, "[0].schema_version"),
        (r#"{"type":"T","data":1,"actor":"x"}"#, "[0].actor"),
        (r#"{"type":"T","data":1,"data":1}"#, "[0]"),
        (r#"{"type":"\u0000","data":1}"#, "[0].type"),
        (r#"{"type":"T","data":"#, "body"),
    ] {
        assert_eq!(plain_events(format!("[{event}]").as_bytes()).unwrap_err().field, field, "{event}");
    }
    assert_eq!(plain_events(b"{").unwrap_err().field, "body");
    assert_eq!(plain_events(b"\xff").unwrap_err().field, "body");
    assert!(plain_events(b"[]").unwrap().content.is_empty());
}

#[test]
fn trace_contexts_follow_the_w3c() {
    assert!(pacioli_core::append::check_traceparent(TRACE).is_ok());
    for wrong in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    ] {
        assert!(pacioli_core::append::check_traceparent(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn events_that_get_their_ids_here_are_told_apart() {
    const GIVEN: &str = r#"{"id":"0198a9c2-7a10-7000-8000-000000000001","type":"T","data":1}"#;
    const MADE: &str = r#"{"type":"T","data":1}"#;
    for (events, made_ids) in
        [(format!("[{GIVEN}]"), false), (format!("[{GIVEN},{MADE}]"), true), (format!("[{MADE},{GIVEN}]"), true)]
    {
        assert_eq!(plain_events(events.as_bytes()).unwrap().made_ids, made_ids, "{events}");
        let body =
            format!(r#"{{"writes":[{{"stream":"a-1","events":{events}}},{{"stream":"b-1","events":[{GIVEN}]}}]}}"#);
        assert_eq!(json::append_request(body.as_bytes()).unwrap().made_ids, made_ids, "{body}");
    }
}

#[test]
fn an_append_to_several_streams_is_read() {
    let request = json::append_request(
        br#"{"writes":[{"stream":"order-7","expected":"none","events":[{"type":"A","data":{}}]},
                       {"stream":"payment-7","expected":4,"events":[{"type":"B","data":{}}]}],
             "condition":{"items":[{"types":["A","B"],"tags":["seat:7"]}],"after":"0:5"},
             "tracking":{"name":"orders","checkpoint":"0:6"},"key":"00000000-0000-0000-0000-000000000009"}"#,
    )
    .unwrap();
    // The same body read again gives other events.
    assert!(request.made_ids);
    let request = request.content;
    assert_eq!(request.writes[1].expected, ExpectedVersion::Exact(Version(4)));
    assert_eq!(request.condition.unwrap().after.unwrap().to_string(), "0:5");
    assert_eq!(request.tracking.unwrap().name, "orders");
    assert_eq!(request.key, Some(Uuid::from_u128(9)));
}

#[test]
fn a_wrong_append_to_several_streams_is_refused_by_its_field() {
    for (body, field) in [
        (r#"{"writes":{}}"#, "writes"),
        (r#"{"events":[]}"#, "events"),
        (r#"{"writes":[{"events":[]}]}"#, "writes[0].stream"),
        (r#"{"writes":[{"stream":"","events":[]}]}"#, "writes[0].stream"),
        (r#"{"writes":[{"stream":"a","expected":"never","events":[]}]}"#, "writes[0].expected"),
        (r#"{"writes":[{"stream":"a","expected":-1,"events":[]}]}"#, "writes[0].expected"),
        (r#"{"writes":[{"stream":"a","events":[{"data":1}]}]}"#, "writes[0].events[0].type"),
        (r#"{"condition":{"items":[{"tags":["a b"]}]}}"#, "condition.items[0].tags[0]"),
        (r#"{"condition":{"items":{}}}"#, "condition.items"),
        (r#"{"condition":{"after":"banana"}}"#, "condition.after"),
        (r#"{"tracking":{"name":"a"}}"#, "tracking.checkpoint"),
        (r#"{"key":"x"}"#, "key"),
    ] {
        assert_eq!(json::append_request(body.as_bytes()).unwrap_err().field, field, "{body}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,12}"
}

fn any_boxed() -> impl Strategy<Value = Option<Box<str>>> {
    proptest::option::of(any_text().prop_map(Box::from))
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let json = "[ \n]{0,2}\\{\"a\" ?:[ \r\n]{0,1}(1\\.50|\"x\\\\ny\"|\\[\\]|null)\\}[ \n]{0,2}";
    prop_oneof![
        json.prop_map(|text| Payload::Json(text.into())),
        Just(Payload::Json(Bytes::from_static(b"null"))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Payload::Binary(bytes.into())),
    ]
}

prop_compose! {
    fn any_metadata()(
        actor in any_boxed(), correlation_id in any_boxed(), causation_id in any_boxed(),
        traceparent in proptest::option::of(Just(Box::from(TRACE))),
        source in any_boxed(), source_id in any_boxed(),
        headers in proptest::option::of("\\{ ?(\"region\": ?\"e\\\\nu\")?\\}"),
    ) -> Metadata {
        Metadata {
            actor, correlation_id, causation_id, traceparent, source, source_id,
            headers: headers.map(Bytes::from),
        }
    }
}

prop_compose! {
    fn any_event()(
        id in any::<u128>(), stream in "[^\\p{Cc}]{1,20}", event_type in "[^\\p{Cc}]{1,20}", data in any_payload(),
        metadata in any_metadata(), tags in proptest::collection::btree_set("[a-z:0-9é]{1,8}", 0..4),
        occurred in proptest::option::of(prop_oneof![Just(None), (-62_167_219_200_000_000_i64..1_000_000).prop_map(Some)]),
        recorded_at in 0_i64..4_000_000_000_000_000, version in any::<u64>(), schema_version in 1_u32..9,
    ) -> RecordedEvent {
        let recorded_at = Timestamp::from_micros(recorded_at);
        RecordedEvent {
            partition: Partition(3), position: Position(17), stream: StreamName::new(stream).unwrap(),
            version: Version(version), id: EventId(Uuid::from_u128(id)), event_type: EventType::new(event_type).unwrap(),
            schema_version, data, metadata,
            tags: Tags::new(tags.iter().map(|tag| Tag::new(tag.as_str()).unwrap())).unwrap(),
            // Absent, some moment, or just the moment of recording.
            occurred_at: occurred.map(|at| at.map_or(recorded_at, Timestamp::from_micros)),
            recorded_at,
        }
    }
}

proptest! {
    #[test]
    fn an_export_imported_again_loses_nothing(event in any_event()) {
        let line = cloudevents::to_string(&event, &Fields::All, Layout::Export);
        prop_assert!(!line.contains(['\n', '\r']));
        prop_assert_eq!(pacioli_core::json::check(line.as_bytes()), Ok(pacioli_core::json::Shape::Object));
        let read = cloud_event(line.as_bytes()).unwrap();
        prop_assert_eq!(read.subject.as_deref(), Some(event.stream.as_str()));
        prop_assert!(read.event.is_same_as(&event), "{:?}", read.event);
    }

    #[test]
    fn no_body_makes_the_reader_fail_otherwise_than_by_saying_so(body in r#"[\[\]\{\}",:a-z0-9.\\ ]{0,40}"#) {
        let _ = plain_events(body.as_bytes());
        let _ = cloud_events(body.as_bytes());
        let _ = json::append_request(body.as_bytes());
    }
}

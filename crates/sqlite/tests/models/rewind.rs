//! Rewind: one row an event with what it changed, one row a stream with its state, as an independent fold has them.

use std::collections::BTreeMap;

use pacioli_core::{EventId, EventType, Filter, NewEvent, Payload};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{BuildNumber, Engine, Role, Sample};
use pacioli_sqlite::models::REWIND;
use serde_json::Value as Json;
use uuid::Uuid;

use super::support::{models, name, projection, rows, to_head};
use crate::support::{append, open, whole_log};

fn event(id: u128, data: &str) -> NewEvent {
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("Changed").expect("a type"), data.to_owned())
}

fn json(value: &Value) -> Option<Json> {
    match value {
        Value::Text(text) => Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_events_merged_in_order_and_changes_are_the_fields_that_differ() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let histories: [&[&str]; 5] = [
        &[
            r#"{"name":"Ann","address":{"street":"Low","no":7},"tags":["a","b"],"limit":12.50,"ok":true}"#,
            r#"{"name":"Ann","address":{"street":"High"},"limit":12.50}"#,
            r#"{"name":null,"tags":["a","b"],"ok":false,"new":"x"}"#,
            r#"{"name":"Bea","ok":1,"new":"1"}"#,
            r#"{"new":1,"address":null}"#,
            "{}",
        ],
        &[r#"{"big":18446744073709551616,"small":0.10000000000000000055}"#, r#"{"big":28446744073709551617}"#],
        &[
            r#"{"a b":1,"ä":2,"":3,"0":4,"$x":5,"[0]":6,"a.b":7,"it's":8}"#,
            r#"{"a b":1,"ä":3,"":4,"0":4,"a.b":8,"it's":9}"#,
        ],
        &["[1,2]", r#""text""#, "7", "null", r#"{"a":1}"#, "[3]", r#"{"a":1,"b":2}"#],
        &["{}", r#"{"a":{"b":{"c":null}}}"#, r#"{"a":{"b":{"c":null}}}"#, r#"{"a":{"b":{}}}"#],
    ];
    let mut id = 0;
    for round in 0..6 {
        for (number, history) in histories.iter().enumerate() {
            if let Some(data) = history.get(round) {
                id += 1;
                append(&store, &format!("thing-{number}"), vec![event(id, data)]).await;
            }
        }
    }
    let binary = NewEvent { data: Payload::Binary(vec![1, 2].into()), ..event(1_000, "{}") };
    append(&store, "thing-0", vec![binary]).await;
    append(&store, "$system-1", vec![event(1_001, "{}")]).await;
    let models = models(&store);
    models.begin(&projection(REWIND), 1).await.expect("a build");
    to_head(&models, "rewind", Role::Serving, 5).await.expect("it advances");

    let mut states: BTreeMap<String, (serde_json::Map<String, Json>, i64)> = BTreeMap::new();
    let found = rows(&models, "SELECT seq, stream, version, type, changes FROM rewind_events ORDER BY seq").await;
    let mut found = found.iter();
    for event in
        whole_log(&store, Filter::default()).await.iter().filter(|event| !event.stream.as_str().starts_with('$'))
    {
        let row = found.next().expect("a row an event");
        let (state, events) = states.entry(event.stream.as_str().to_owned()).or_default();
        *events += 1;
        assert_eq!(row[0], Value::Int(event.position.0 as i64 * 1024), "a stable number");
        assert_eq!(row[1], Value::Text(event.stream.as_str().to_owned()));
        assert_eq!(row[2], Value::Int(event.version.0 as i64));
        let data = event.data.is_json().then(|| serde_json::from_slice::<Json>(event.data.bytes()).expect("JSON"));
        let Some(Json::Object(data)) = data else {
            assert_eq!(row[4], Value::Null, "what is no object changes no field");
            continue;
        };
        let mut changes = data.clone();
        changes.retain(|field, value| state.get(field) != Some(value));
        assert_eq!(json(&row[4]), Some(Json::Object(changes)), "{} of {}", event.version, event.stream);
        state.extend(data);
    }
    assert!(found.next().is_none());
    let streams =
        rows(&models, "SELECT stream, category, key, version, events, state FROM rewind_streams ORDER BY stream").await;
    assert_eq!(streams.len(), states.len());
    for ((stream, (state, events)), row) in states.iter().zip(&streams) {
        assert_eq!(row[..2], [Value::Text(stream.clone()), Value::Text("thing".to_owned())]);
        assert_eq!(row[3..5], [Value::Int(events - 1), Value::Int(*events)]);
        assert_eq!(json(&row[5]), Some(Json::Object(state.clone())), "{stream}");
    }
    let digits = rows(&models, "SELECT state FROM rewind_streams WHERE stream = 'thing-1'").await;
    let Value::Text(digits) = &digits[0][0] else { panic!("{digits:?}") };
    assert!(
        digits.contains("28446744073709551617") && digits.contains("0.10000000000000000055"),
        "no digit is lost: {digits}"
    );
    let verified = models.verify(&name("rewind"), BuildNumber(1), Sample::Streams { of: 2, part: 0 }, &|_| {}).await;
    assert_eq!(verified.expect("compared").different, 0);
}

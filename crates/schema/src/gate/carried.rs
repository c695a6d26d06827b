//! Binary data through versions that need no upcaster, and through those that have one: what is delivered is of the version
//! that it is said to be.

use pacioli_core::Payload;
use pacioli_core::schemas::SchemaFormat;
use serde_json::{Value, json};

use super::*;
use crate::Schema;
use crate::register::Proposal;
use crate::testing::{Desk, Shown, TYPE, proposal, shape, stored};

/// A desk at which these versions are registered, each with its upcaster.
fn desk(format: SchemaFormat, versions: &[(&str, Option<Value>)]) -> Desk {
    let mut desk = Desk::default();
    for (text, upcaster) in versions {
        let text = (*text).to_owned();
        desk.register(&Proposal { format, text, ..proposal(&json!({}), upcaster.clone()) }).unwrap();
    }
    desk
}

fn avro(fields: &[&str]) -> String {
    format!(r#"{{"type":"record","name":"Deposit","fields":[{}]}}"#, fields.join(","))
}

fn schema(desk: &Desk, version: u32) -> Schema {
    desk.gate.catalogue().version(TYPE, version).unwrap().schema().unwrap().clone()
}

/// An event in the binary form of its version.
fn binary(desk: &Desk, version: u32, json: &Value) -> RecordedEvent {
    let data = schema(desk, version).from_json(json.to_string().into(), true).unwrap();
    RecordedEvent { data, ..stored(TYPE, version, json) }
}

/// The version that is delivered, and what its schema reads in the data.
fn read(desk: &Desk, understands: &[&str], event: &RecordedEvent) -> (u32, Value) {
    let seen = match desk.see(&shape(false, understands), event) {
        Shown::Lifted(event) => (*event).clone(),
        Shown::AsStored => event.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen.data.is_json(), event.data.is_json(), "it keeps its form");
    let schema = schema(desk, seen.schema_version);
    assert_eq!(schema.check(&seen.data), Ok(()), "{seen:?}");
    (seen.schema_version, serde_json::from_slice(&schema.to_json(&seen.data).unwrap()).unwrap())
}

#[test]
fn a_datum_is_encoded_anew_by_each_version_of_its_schema() {
    let (amount, currency) =
        (r#"{"name":"amount","type":"int"}"#, r#"{"name":"currency","type":"string","default":"USD"}"#);
    let desk = desk(
        SchemaFormat::Avro,
        &[
            (&avro(&[amount]), None),
            (&avro(&[currency, amount]), None),
            (&avro(&[r#"{"name":"cents","aliases":["amount"],"type":"long"}"#, currency]), None),
            // The name that the first version had is forgotten, and somebody else has it.
            (
                &avro(&[
                    r#"{"name":"cents","type":"long","default":0}"#,
                    currency,
                    r#"{"name":"amount","type":"string","default":""}"#,
                ]),
                None,
            ),
        ],
    );
    let old = binary(&desk, 1, &json!({"amount": 5}));
    assert_eq!(read(&desk, &["MoneyDeposited:=1.1.0"], &old), (2, json!({"amount": 5, "currency": "USD"})));
    assert_eq!(read(&desk, &["MoneyDeposited:~1.2"], &old), (3, json!({"cents": 5, "currency": "USD"})));
    assert_eq!(read(&desk, &[], &old), (4, json!({"cents": 5, "currency": "USD", "amount": ""})));
    let Shown::AsStored = desk.see(&shape(true, &[]), &old) else { panic!("raw is as stored") };
    // Bytes that are no datum stay what they are, under the version that they were stored with.
    let wrong = RecordedEvent { data: Payload::Binary(b"\x80"[..].into()), ..old };
    assert!(matches!(desk.see(&shape(false, &[]), &wrong), Shown::AsStored));
    assert!(matches!(desk.see(&shape(false, &["MoneyDeposited:=1.1.0"]), &wrong), Shown::Withheld(_)));
}

#[test]
fn an_upcaster_is_run_on_the_shape_of_the_version_that_it_lifts() {
    let note = r#"{"name":"note","type":"string"}"#;
    let lifting = json!({"from":2,"to":3,"steps":[
        {"op":"move","from":"/cents","path":"/value"},
        {"op":"map","path":"/currency","values":[["USD","usd"]]}]});
    let desk = desk(
        SchemaFormat::Avro,
        &[
            (&avro(&[r#"{"name":"amount","type":"int"}"#, note]), None),
            (
                &avro(&[
                    r#"{"name":"cents","aliases":["amount"],"type":"int"}"#,
                    note,
                    r#"{"name":"currency","type":"string","default":"USD"}"#,
                ]),
                None,
            ),
            (
                &avro(&[r#"{"name":"value","type":"int"}"#, note, r#"{"name":"currency","type":"string"}"#]),
                Some(lifting),
            ),
            (
                &avro(&[
                    r#"{"name":"value","type":"int"}"#,
                    r#"{"name":"note","type":"bytes"}"#,
                    r#"{"name":"currency","type":"string"}"#,
                ]),
                None,
            ),
        ],
    );
    let old = binary(&desk, 1, &json!({"amount": 5, "note": "é"}));
    assert_eq!(read(&desk, &["MoneyDeposited:~2.0"], &old), (3, json!({"value": 5, "note": "é", "currency": "usd"})));
    // A text that is read as bytes is its UTF-8, which JSON shows as a character for each byte.
    assert_eq!(read(&desk, &[], &old), (4, json!({"value": 5, "note": "Ã©", "currency": "usd"})));
    // The same as JSON: by the names of the version that the upcaster lifts.
    let json = stored(TYPE, 1, &json!({"amount": 5, "note": "x"}));
    assert_eq!(read(&desk, &[], &json), (4, json!({"value": 5, "note": "x", "currency": "usd"})));
}

#[test]
fn a_union_keeps_its_branch() {
    let either = |branches: &str| avro(&[&format!(r#"{{"name":"by","type":[{branches}]}}"#)]);
    let person = r#"{"type":"record","name":"Person","fields":[{"name":"id","type":"int"}]}"#;
    let robot = r#"{"type":"record","name":"Robot","fields":[{"name":"id","type":"int"}]}"#;
    let desk = desk(
        SchemaFormat::Avro,
        &[
            (&either(&format!("\"string\",{person}")), None),
            (&either(&format!("\"bytes\",{robot},{person},\"string\"")), None),
        ],
    );
    let old = binary(&desk, 1, &json!({"by": {"id": 7}}));
    assert_eq!(read(&desk, &[], &old), (2, json!({"by": {"Person": {"id": 7}}})));
    let old = binary(&desk, 1, &json!({"by": "é"}));
    assert_eq!(read(&desk, &[], &old), (2, json!({"by": {"string": "é"}})));
    let old = stored(TYPE, 1, &json!({"by": "é"}));
    assert_eq!(read(&desk, &[], &old), (2, json!({"by": {"string": "é"}})));
}

#[test]
fn json_of_avro_keeps_its_bytes_unless_a_name_in_it_changed() {
    let desk = desk(
        SchemaFormat::Avro,
        &[
            (&avro(&[r#"{"name":"amount","type":"int"}"#]), None),
            (
                &avro(&[r#"{"name":"amount","type":"int"}"#, r#"{"name":"currency","type":"string","default":"USD"}"#]),
                None,
            ),
            (
                &avro(&[
                    r#"{"name":"cents","aliases":["amount"],"type":"int"}"#,
                    r#"{"name":"currency","type":"string","default":"USD"}"#,
                ]),
                None,
            ),
        ],
    );
    let old =
        RecordedEvent { data: Payload::Json(r#"{ "amount": 5, "more": 1 }"#.into()), ..stored(TYPE, 1, &json!({})) };
    let Shown::Lifted(seen) = desk.see(&shape(false, &["MoneyDeposited:=1.1.0"]), &old) else { panic!() };
    assert_eq!((seen.schema_version, &seen.data), (2, &old.data), "a default may be left out");
    assert_eq!(read(&desk, &[], &old), (3, json!({"cents": 5, "currency": "USD"})));
}

#[test]
fn a_datum_of_no_bytes_is_one() {
    let desk = desk(
        SchemaFormat::Avro,
        &[(&avro(&[]), None), (&avro(&[r#"{"name":"by","type":"string","default":"x"}"#]), None)],
    );
    assert_eq!(read(&desk, &[], &binary(&desk, 1, &json!({}))), (2, json!({"by": "x"})));
}

#[test]
fn a_message_passes_as_it_is_through_versions_without_an_upcaster() {
    let message = |fields: &str| format!("syntax = \"proto3\"; message M {{ {fields} }}");
    let lifting = json!({"from":3,"to":4,"steps":[{"op":"move","from":"/cents","path":"/value"}]});
    let desk = desk(
        SchemaFormat::Protobuf,
        &[
            (&message("int32 amount = 1;"), None),
            (&message("int64 amount = 1; string note = 2;"), None),
            (&message("int64 cents = 1 [json_name = \"amount\"]; string note = 2;"), None),
            (&message("int64 value = 1; string note = 2;"), Some(lifting)),
        ],
    );
    let mut old = binary(&desk, 1, &json!({"amount": -5}));
    // A field that no version knows is kept.
    old.data = Payload::Binary([old.data.bytes(), &[0x78, 0x01][..]].concat().into());
    for (range, version) in [("MoneyDeposited:=1.1.0", 2), ("MoneyDeposited:^1", 3)] {
        let Shown::Lifted(seen) = desk.see(&shape(false, &[range]), &old) else { panic!() };
        assert_eq!((seen.schema_version, &seen.data), (version, &old.data));
        assert_eq!(read(&desk, &[range], &old).1, json!({"amount": "-5"}));
    }
    assert_eq!(read(&desk, &[], &old).0, 4);
    let json = RecordedEvent { data: Payload::Json(r#"{ "amount" : 5 }"#.into()), ..stored(TYPE, 1, &json!({})) };
    let Shown::Lifted(seen) = desk.see(&shape(false, &["MoneyDeposited:^1"]), &json) else { panic!() };
    assert_eq!((seen.schema_version, &seen.data), (3, &json.data));
}

#[test]
fn json_keeps_its_bytes_through_versions_without_an_upcaster() {
    let of = |more: Value| json!({"type":"object","properties":{"a":{"type":"integer"},"b":more}}).to_string();
    let desk = desk(
        SchemaFormat::Json,
        &[
            (r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#, None),
            (&of(json!({"type":"string","default":"x"})), None),
        ],
    );
    let old = RecordedEvent { data: Payload::Json(r#"{ "a" : 1.0e0 }"#.into()), ..stored(TYPE, 1, &json!({})) };
    let Shown::Lifted(seen) = desk.see(&shape(false, &[]), &old) else { panic!() };
    assert_eq!((seen.schema_version, &seen.data), (2, &old.data), "a default is told, and not filled in");
}

//! Data in the framing of Confluent's serializers: whose it has to be, and what becomes of it on the way to a newer version.

use bytes::Bytes;
use pacioli_core::schemas::SchemaFormat;
use pacioli_core::{EventType, Payload, RecordedEvent};
use serde_json::json;

use super::*;
use crate::register::Proposal;
use crate::testing::{Desk, Shown, TYPE, new_event, proposal, shape, stored};

const AVRO: [&str; 2] = [
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"}]}"#,
    r#"{"type":"record","name":"R","fields":[{"name":"b","type":"long"}]}"#,
];
const PROTOBUF: [&str; 2] =
    ["syntax = \"proto3\"; message M { int64 a = 1; }", "syntax = \"proto3\"; message M { int64 b = 1; }"];

/// A type with two versions and an upcaster between them. Another type has the first number.
#[expect(clippy::unwrap_used, reason = "what is not taken fails the test")]
fn desk(format: SchemaFormat, texts: [&str; 2]) -> Desk {
    let mut desk = Desk::default();
    let other = Proposal { event_type: EventType::new("Other").unwrap(), ..proposal(&json!({}), None) };
    desk.register(&other).unwrap();
    let lift = json!({"from":1,"to":2,"steps":[{"op":"move","from":"/a","path":"/b"}]});
    for (text, upcaster) in texts.into_iter().zip([None, Some(lift)]) {
        let proposal = Proposal { format, text: text.to_owned(), ..proposal(&json!({}), upcaster) };
        desk.register(&proposal).unwrap();
    }
    desk
}

fn binary(bytes: &[u8]) -> Payload {
    Payload::Binary(Bytes::copy_from_slice(bytes))
}

#[test]
fn the_number_in_front_of_data_is_that_of_its_version() {
    let bare: &[u8] = &[0x0a];
    for (desk, index, bare) in
        [(desk(SchemaFormat::Avro, AVRO), &[][..], bare), (desk(SchemaFormat::Protobuf, PROTOBUF), &[0][..], &[8, 5])]
    {
        let judge = |version: u32, bytes: Vec<u8>| {
            let event = NewEvent { data: binary(&bytes), ..new_event(TYPE, Some(version), &json!({})) };
            desk.judge("a-1", vec![event])
        };
        let framed = |id: u8| [&[0, 0, 0, 0, id], index, bare].concat();
        assert!(judge(1, bare.to_vec()).is_ok() && judge(1, framed(2)).is_ok() && judge(2, framed(3)).is_ok());
        for (version, id, accepted_by) in [(1, 1, None), (1, 3, Some(2)), (2, 2, Some(1)), (2, 99, None)] {
            let refused = judge(version, framed(id)).unwrap_err();
            assert_eq!((&*refused.rule, refused.accepted_by), ("framing", accepted_by), "{refused}");
            assert!(refused.problem.contains(&format!("the schema {id},")), "{refused}");
        }
        // What is lifted stands in the framing of the version it was lifted to, and what stood in none in none.
        let seen = |bytes: Vec<u8>| {
            let event = RecordedEvent { data: binary(&bytes), ..stored(TYPE, 1, &json!({})) };
            match desk.see(&shape(false, &[]), &event) {
                Shown::Lifted(event) => (event.schema_version, event.data.bytes().to_vec()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(seen(framed(2)), (2, framed(3)));
        assert_eq!(seen(bare.to_vec()), (2, bare.to_vec()));
        // One that was stored before anybody looked at the number comes right on the way.
        assert_eq!(seen(framed(77)), (2, framed(3)));
    }
}

#[test]
fn a_datum_that_begins_like_a_framing_is_a_datum() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"bytes"}]}"#;
    let mut desk = Desk::default();
    desk.register(&Proposal { format: SchemaFormat::Avro, text: text.to_owned(), ..proposal(&json!({}), None) })
        .unwrap();
    let event = |bytes: &[u8]| NewEvent { data: binary(bytes), ..new_event(TYPE, Some(1), &json!({})) };
    assert!(desk.judge("a-1", vec![event(&[0, 8, 0, 0, 9, 9])]).is_ok());
    // Another message of the file than the first is no event of the type.
    let mut desk = Desk::default();
    let text = "syntax = \"proto3\"; message M { int64 a = 1; } message N {}".to_owned();
    desk.register(&Proposal { format: SchemaFormat::Protobuf, text, ..proposal(&json!({}), None) }).unwrap();
    assert!(desk.judge("a-1", vec![event(&[0, 0, 0, 0, 1, 2, 0])]).is_ok(), "the long form of the first");
    assert_eq!(desk.judge("a-1", vec![event(&[0, 0, 0, 0, 1, 2, 2])]).unwrap_err().rule, "framing");
}

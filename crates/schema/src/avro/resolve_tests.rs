//! A datum of an older schema as one of a newer: as Avro's own library reads it, and within bounds.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use pacioli_core::Payload;
use serde_json::json;

use super::tests::{ORDER, from_json, orders, parse, peer, record, runner};
use super::*;
use crate::testing::within_bounds;

/// The order of some time later: fields in another order, more and fewer of them, wider numbers, other branches.
const LATER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"by","type":["null","string"],"default":null},{"name":"count","type":"long","default":1},
        {"name":"sku","type":"bytes"}]}},"default":[]},
    {"name":"id","type":"double"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NONE","OPEN"],"default":"NONE"},"default":"OPEN"},
    {"name":"note","type":["boolean","string","null"],"default":true},
    {"name":"labels","type":{"type":"map","values":"double"},"default":{}},
    {"name":"paid","type":{"type":"array","items":"int"},"default":[1,2]},
    {"name":"either","type":["int","long","null","string","bytes","State","Line"],"default":7}]}"#;

fn carry(older: &AvroSchema, newer: &AvroSchema, datum: &[u8]) -> Result<Vec<u8>, Broken> {
    Ok(newer.carry(older, &Payload::Binary(Bytes::copy_from_slice(datum)))?.bytes().to_vec())
}

#[test]
fn a_datum_is_resolved_as_the_library_resolves_it() {
    let (older, newer) = (parse(ORDER), parse(LATER));
    assert!(!newer.changes_since(&older).iter().any(|change| change.breaks_backward));
    let (writer, reader) = (peer(ORDER), peer(LATER));
    let resolving = GenericDatumReader::builder(&writer).reader_schema(&reader).build().unwrap();
    let encoder = GenericDatumWriter::builder(&reader).build().unwrap();
    let carried = |order: serde_json::Value| {
        let datum = from_json(&older, &order.to_string()).unwrap();
        let ours = carry(&older, &newer, &datum).unwrap();
        assert_eq!(decode::check(&newer.compiled.nodes, &ours), Ok(()));
        // The library holds maps in hash order, and takes neither a text for bytes nor a branch by its type.
        if order["labels"].as_object().is_some_and(|labels| labels.len() < 2)
            && let Ok(value) = resolving.read_value(&mut &datum[..])
        {
            assert_eq!(encoder.write_value_to_vec(value).unwrap(), ours, "{order}");
        }
        Ok(())
    };
    runner(300).run(&orders(), carried).unwrap();
}

#[test]
fn what_cannot_be_resolved_is_refused_with_the_place() {
    let of = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let state = |symbols: &str| of(&format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#));
    let fixed = |name: &str, size: u8| of(&format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#));
    for (old, new, json, path, rule) in [
        (of("\"bytes\""), of("\"string\""), r#"{"a":"\u00ff"}"#, "/a", "utf-8"),
        (of("\"long\""), of("\"int\""), r#"{"a":1}"#, "/a", "type"),
        (of(r#"["int","string"]"#), of(r#"["int","boolean"]"#), r#"{"a":"x"}"#, "/a", "union"),
        (of(r#"["null","int"]"#), of("\"int\""), r#"{"a":null}"#, "/a", "type"),
        (state("\"A\",\"B\""), state("\"A\""), r#"{"a":"B"}"#, "/a", "symbols"),
        (fixed("F", 1), fixed("F", 2), r#"{"a":"x"}"#, "/a", "type"),
        (fixed("F", 1), fixed("G", 1), r#"{"a":"x"}"#, "/a", "type"),
        (record(""), of("\"int\""), "{}", "/a", "required"),
        (
            of(r#"{"type":"array","items":"long"}"#),
            of(r#"{"type":"array","items":"int"}"#),
            r#"{"a":[1]}"#,
            "/a/0",
            "type",
        ),
    ] {
        let (old, new) = (parse(&old), parse(&new));
        let broken = carry(&old, &new, &from_json(&old, json).unwrap()).unwrap_err();
        assert_eq!((&*broken.path, &*broken.rule), (path, rule), "{broken:?}");
    }
    let number = parse("\"int\"");
    assert_eq!(carry(&number, &parse("\"long\""), &[2, 2]).unwrap_err().rule, "length");
    // Behind the five bytes of a registry's serializers too.
    assert_eq!(carry(&number, &parse("\"double\""), &[0, 0, 0, 0, 7, 2]).unwrap(), 1_f64.to_le_bytes());
}

#[test]
fn a_hostile_datum_is_resolved_within_bounds() {
    let nulls = |fields: &str| record(&format!(r#"{{"name":"a","type":{{"type":"array","items":{fields}}}}}"#));
    let inner = |fields: &str| format!(r#"{{"type":"record","name":"I","fields":[{fields}]}}"#);
    let (old, new) =
        (parse(&nulls(&inner(""))), parse(&nulls(&inner(r#"{"name":"x","type":"string","default":"many letters"}"#))));
    // A billion items that take no bytes, each of which would get a default.
    let broken = within_bounds(|| carry(&old, &new, &[0x80, 0xa8, 0xd6, 0xb9, 0x07, 0])).unwrap_err();
    assert_eq!(broken.rule, "cost", "{broken:?}");
    // Lists of lists whose records are put in order at every depth.
    let tree = |fields: [&str; 2]| {
        let field = |name: &str| match name {
            "next" => r#"{"name":"next","type":["null","T"],"default":null}"#.to_owned(),
            name => format!(r#"{{"name":"{name}","type":"string","default":""}}"#),
        };
        parse(&format!(r#"{{"type":"record","name":"T","fields":[{}]}}"#, fields.map(field).join(",")))
    };
    let (old, new) = (tree(["text", "next"]), tree(["next", "text"]));
    let text = "x".repeat(8_000);
    let deep = (0..40).fold(json!(null), |next, _| json!({"text": text, "next": next}));
    let datum = from_json(&old, &deep.to_string()).unwrap();
    let carried = within_bounds(|| carry(&old, &new, &datum)).unwrap();
    assert_eq!(carry(&new, &old, &carried).unwrap(), datum);
}

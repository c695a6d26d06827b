//! What is a schema and what is data of it: tables, hostile ones too, and random data that the library of Avro reads back.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::testing::within_bounds;

pub(super) const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"note","type":["null","string"],"default":null},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["OPEN","PAID"]},"default":"OPEN"},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"sku","type":"string"},{"name":"count","type":"int","default":1}]}},"default":[]},
    {"name":"labels","type":{"type":"map","values":"double"},"default":{}},
    {"name":"key","type":{"type":"fixed","name":"Key","size":2},"default":"\u0000\u00ff"},
    {"name":"either","type":["int","long","string","bytes","Line","State"],"default":7}]}"#;

pub(super) fn parse(text: &str) -> AvroSchema {
    AvroSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) fn from_json(schema: &AvroSchema, json: &str) -> Result<Vec<u8>, Broken> {
    Ok(schema.from_json(Bytes::copy_from_slice(json.as_bytes()), true)?.bytes().to_vec())
}

fn to_json(schema: &AvroSchema, datum: &[u8]) -> Result<Value, Broken> {
    let json = schema.to_json(&Payload::Binary(Bytes::copy_from_slice(datum)))?;
    Ok(serde_json::from_slice(&json).unwrap())
}

fn check(schema: &AvroSchema, json: &str) -> Result<(), Broken> {
    schema.check(&Payload::Json(Bytes::copy_from_slice(json.as_bytes())))
}

pub(super) fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn what_is_no_schema_is_refused_with_the_place() {
    for (text, path, word) in [
        ("", "1:0", "no JSON"),
        ("7", "", "a type is a name"),
        ("\"text\"", "", "write `string`"),
        ("[]", "", "no branch"),
        (r#"["int","int"]"#, "/1", "`int` twice"),
        (r#"[["int"],"string"]"#, "/0", "directly in a union"),
        (r#"{"items":"int"}"#, "", "add the member `type`"),
        (r#"{"type":"array"}"#, "", "add the member `items`"),
        (r#"{"type":"record","name":"R"}"#, "", "add the member `fields`"),
        (r#"{"type":"record","name":"1R","fields":[]}"#, "/name", "no name"),
        (r#"{"type":"record","name":"R","aliases":"S","fields":[]}"#, "/aliases", "list of names"),
        (r#"{"type":"record","name":"int","fields":[]}"#, "", "primitive"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Other"}]}"#, "/fields/0/type", "no type `Other`"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}"#, "/fields/0", "no name"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "/fields/1",
            "twice",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#,
            "/fields/0/default",
            "the default is a text",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"},"default":["x"]}]}"#,
            "/fields/0/default",
            "the default at /0 is",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R","default":{}}]}"#,
            "/fields/0/default",
            "contains itself",
        ),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "/symbols/1", "twice"),
        (r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#, "/default", "none of its symbols"),
        (r#"{"type":"fixed","name":"F","size":-1}"#, "", "how many bytes"),
        (r#"["int",{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#, "/2", "defined twice"),
    ] {
        let error = AvroSchema::parse(text, &[]).unwrap_err();
        assert!(error.path == path && error.problem.contains(word), "{text}: {error:?}");
    }
}

#[test]
fn a_schema_may_refer_to_others() {
    let reference = |name: &str, text: &str| Reference { name: name.into(), text: text.into() };
    let money =
        reference("shop.Money", r#"{"type":"record","name":"shop.Money","fields":[{"name":"cents","type":"long"}]}"#);
    let line = reference(
        "shop.Line",
        r#"{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"price","type":"Money"}]}"#,
    );
    let text = r#"{"type":"record","name":"Order","fields":[{"name":"line","type":"shop.Line"}]}"#;
    let schema = AvroSchema::parse(text, &[line.clone(), money.clone()]).unwrap();
    assert!(check(&schema, r#"{"line":{"price":{"cents":5}}}"#).is_ok());
    let inline = AvroSchema::parse(text, &[money, line.clone()]).unwrap();
    assert!(check(&inline, r#"{"line":{"price":{"cents":5}}}"#).is_ok());
    let error = AvroSchema::parse(text, &[line]).unwrap_err();
    assert!(error.problem.contains("`shop.Line`") && error.problem.contains("no type `shop.Money`"), "{error}");
    // A name need not be that of the reference which defines it; a chain of them may not be endless.
    let chain = |length: usize| -> Vec<Reference> {
        let text = |at: usize| match at {
            0 => r#"{"type":"record","name":"C0","fields":[]}"#.to_owned(),
            at => format!(r#"{{"type":"record","name":"C{at}","fields":[{{"name":"a","type":"C{}"}}]}}"#, at - 1),
        };
        (0..length).map(|at| reference(&format!("chain{at}"), &text(at))).collect()
    };
    assert!(AvroSchema::parse("\"C19\"", &chain(20)).is_ok());
    let error = AvroSchema::parse("\"C899\"", &chain(900)).unwrap_err();
    assert!(error.problem.contains("nest deeper than 64"), "{error}");
    let circle = [reference("A", r#"{"type":"array","items":"B"}"#), reference("B", r#"{"type":"array","items":"A"}"#)];
    assert!(AvroSchema::parse("\"A\"", &circle).is_err());
}

#[test]
fn hostile_schemas_are_refused_or_taken_at_once() {
    let doubling = |levels: usize, default: &str| {
        let mut types =
            vec![r#"{"type":"record","name":"R0","fields":[{"name":"a","type":"long","default":0}]}"#.to_owned()];
        for level in 1..levels {
            let field = |name: &str| format!(r#"{{"name":"{name}","type":"R{}","default":{default}}}"#, level - 1);
            types.push(format!(r#"{{"type":"record","name":"R{level}","fields":[{},{}]}}"#, field("a"), field("b")));
        }
        format!("[{}]", types.join(","))
    };
    let nested = |levels: usize| {
        let mut text = "\"int\"".to_owned();
        for level in 0..levels {
            text = format!(r#"{{"type":"record","name":"N{level}","fields":[{{"name":"a","type":{text}}}]}}"#);
        }
        text
    };
    let aliases = (0..12_000).map(|at| format!("\"a{at}\"")).collect::<Vec<_>>().join(",");
    let many = (0..3_900).map(|at| format!(r#"{{"name":"a{at}","type":"int"}}"#)).collect::<Vec<_>>().join(",");
    let named =
        (0..3_000).map(|at| format!(r#"{{"type":"fixed","name":"a{at}","size":1}}"#)).collect::<Vec<_>>().join(",");
    let deep_fields = (0..18).fold(many.clone(), |inner, at| {
        format!(r#"{{"name":"r","type":{{"type":"record","name":"D{at}","fields":[{inner}]}}}}"#)
    });
    for (name, text, word) in [
        ("doubling defaults", doubling(40, "{}"), Some("amounts to more than")),
        ("doubling types", doubling(40, "7"), Some("the default")),
        ("deep nesting", nested(40), Some("nests deeper")),
        ("deeper than a parser goes", "[".repeat(100_000), Some("no JSON")),
        ("a million bytes", format!("{{\"type\":\"int\",\"doc\":\"{}\"}}", "x".repeat(1_000_000)), Some("bytes")),
        ("a long name", record(&format!(r#"{{"name":"{}","type":"int"}}"#, "a".repeat(1_000))), Some("no name")),
        ("many named types", format!("[{named}]"), Some("more than 1000 named types")),
        ("many aliases", format!(r#"{{"type":"record","name":"R","aliases":[{aliases}],"fields":[]}}"#), None),
        ("many fields", record(&many), None),
        ("too many fields", record(&many.replace("\"int\"", r#"["null","int"]"#)), Some("more than 4000 types")),
        ("many fields far inside", record(&deep_fields), None),
        ("a fixed of all memory", format!(r#"{{"type":"fixed","name":"F","size":{}}}"#, u64::MAX), None),
    ] {
        let parsed = within_bounds(|| AvroSchema::parse(&text, &[]));
        match (parsed, word) {
            (Err(error), Some(word)) => assert!(error.problem.contains(word), "{name}: {error}"),
            (Ok(schema), None) => assert!(schema.fields().len() <= 1_000, "{name}"),
            (parsed, _) => panic!("{name}: {:?}", parsed.map(|schema| schema.canonical().len())),
        }
    }
}

#[test]
fn json_in_the_shape_of_the_schema_is_checked() {
    let schema = parse(ORDER);
    for good in [
        r#"{"id":1}"#,
        r#"{"id":-9223372036854775808,"note":"x","state":"PAID","lines":[{"sku":"a"},{"sku":"b","count":2}]}"#,
        r#"{"id":1,"note":{"string":"x"},"labels":{"a":1,"b":2.5,"c":"NaN"},"key":"ab","more":true}"#,
        r#"{"id":1,"either":5000000000}"#,
        r#"{"id":1,"either":{"long":5}}"#,
        r#"{"id":1,"either":{"shop.Line":{"sku":"a"}}}"#,
        r#"{"id":1,"either":{"Line":{"sku":"a"}}}"#,
        r#"{"id":1,"either":{"sku":"a"}}"#,
    ] {
        assert_eq!(check(&schema, good), Ok(()), "{good}");
    }
    for (bad, path, rule) in [
        ("[]", "", "type"),
        ("{}", "/id", "required"),
        (r#"{"id":1.5}"#, "/id", "type"),
        (r#"{"id":9223372036854775808}"#, "/id", "type"),
        (r#"{"id":"1"}"#, "/id", "type"),
        (r#"{"id":1,"note":7}"#, "/note", "union"),
        (r#"{"id":1,"state":"LOST"}"#, "/state", "symbols"),
        (r#"{"id":1,"lines":[{"sku":"a"},{"sku":"b","count":3000000000}]}"#, "/lines/1/count", "type"),
        (r#"{"id":1,"lines":[{}]}"#, "/lines/0/sku", "required"),
        (r#"{"id":1,"labels":{"a/b":"x"}}"#, "/labels/a~1b", "type"),
        (r#"{"id":1,"key":"abc"}"#, "/key", "size"),
        (r#"{"id":1,"key":"aé€"}"#, "/key", "type"),
        (r#"{"id":1,"either":true}"#, "/either", "union"),
    ] {
        let broken = check(&schema, bad).unwrap_err();
        assert_eq!((broken.path.as_str(), broken.rule.as_str()), (path, rule), "{bad}: {broken:?}");
    }
}

#[test]
fn a_datum_is_read_bare_and_behind_the_number_of_its_schema() {
    let schema = parse(ORDER);
    let json = r#"{"id":1,"note":"x","lines":[{"sku":"a"}],"labels":{"a":0.5},"either":{"bytes":"\u0001ÿ"}}"#;
    let datum = from_json(&schema, json).unwrap();
    let expected = json!({
        "id": 1, "note": "x", "state": "OPEN", "lines": [{"sku": "a", "count": 1}], "labels": {"a": 0.5}, "key": "\u{0}ÿ",
        "either": {"bytes": "\u{1}ÿ"}
    });
    assert_eq!(to_json(&schema, &datum).unwrap(), expected);
    let framed = [&[0, 0, 0, 1, 7], &datum[..]].concat();
    assert_eq!(to_json(&schema, &framed).unwrap(), expected);
    let binary = |bytes: &[u8]| schema.check(&Payload::Binary(Bytes::copy_from_slice(bytes)));
    assert_eq!((binary(&datum), binary(&framed)), (Ok(()), Ok(())));
    let cut = binary(&datum[..datum.len() - 1]).unwrap_err();
    assert_eq!((cut.path.as_str(), cut.rule.as_str()), ("/either", "length"));
    let long = binary(&[&datum[..], &[1]].concat()).unwrap_err();
    assert_eq!((long.path.as_str(), long.rule.as_str()), ("", "length"));
    let other = [&[1, 0, 0, 1, 7], &datum[..]].concat();
    assert!(binary(&other).is_err());
    assert_eq!(schema.to_json(&Payload::Json(Bytes::from_static(b"{}"))).unwrap(), "{}");
    let json = Bytes::from_static(br#"{"id":1}"#);
    assert_eq!(schema.from_json(json.clone(), false).unwrap(), Payload::Json(json));
}

#[test]
fn hostile_data_is_refused_at_once() {
    // A length of nearly 2^62 items, or bytes.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let endless = r#"{"type":"record","name":"L","fields":[{"name":"next","type":"L"}]}"#;
    let empty = r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#;
    let named = format!(
        r#"{{"type":"array","items":{{"type":"record","name":"E","fields":[{{"name":"{}","type":"null"}}]}}}}"#,
        "n".repeat(200)
    );
    let blocks: Vec<u8> = std::iter::repeat_n([0x80, 0x89, 0x7a], 100_000).flatten().chain([0]).collect();
    for (name, schema, data, rule) in [
        ("a long text", "\"string\"", &huge[..], "length"),
        ("many bytes", "\"bytes\"", &huge, "length"),
        ("many nulls", r#"{"type":"array","items":"null"}"#, &huge, "cost"),
        ("many empty records", empty, &huge, "cost"),
        ("many nulls in blocks", r#"{"type":"array","items":"null"}"#, &blocks, "cost"),
        ("many longs", r#"{"type":"array","items":"long"}"#, &huge, "length"),
        ("many members", r#"{"type":"map","values":"null"}"#, &huge, "length"),
        ("little data, much JSON", &named, &[0x80, 0x89, 0x0f, 0], "size"),
        ("a deep list", list, &[2; 1_000_000], "depth"),
        ("a record without an end", endless, &[], "depth"),
        ("a number without an end", "\"long\"", &[0xff; 1_000], "type"),
        ("a length below zero", "\"bytes\"", &[1], "length"),
        ("no such branch", r#"["null","int"]"#, &[4], "union"),
        ("no such symbol", r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2], "symbols"),
        ("a text that is none", "\"string\"", &[2, 0xff], "utf-8"),
        ("neither true nor false", "\"boolean\"", &[2], "type"),
        ("a large fixed", r#"{"type":"fixed","name":"F","size":18446744073709551615}"#, &[0], "length"),
        ("a member twice", r#"{"type":"map","values":"null"}"#, &[4, 2, b'a', 2, b'a', 0], "map"),
    ] {
        let schema = parse(schema);
        let data = Payload::Binary(Bytes::copy_from_slice(data));
        let broken = within_bounds(|| schema.to_json(&data)).unwrap_err();
        assert_eq!(broken.rule, rule, "{name}: {broken:?}");
        // Only the size of the JSON is nothing that a check minds.
        assert_eq!(
            schema.check(&data).map_err(|broken| broken.rule),
            if rule == "size" { Ok(()) } else { Err(rule.into()) }
        );
    }
    // Each level matches three branches, and the innermost value none of them.
    let nested = r#"{"type":"record","name":"A","fields":[{"name":"next","type":["null","A",
        {"type":"record","name":"B","fields":[{"name":"next","type":["null","A","B"]}]},
        {"type":"record","name":"C","fields":[{"name":"next","type":["null","A","B","C"]}]}]}]}"#;
    let schema = parse(nested);
    let deep = format!("{}true{}", r#"{"next":"#.repeat(40), "}".repeat(40));
    let broken = within_bounds(|| check(&schema, &deep)).unwrap_err();
    assert_eq!(broken.rule, "cost");
    assert_eq!(check(&schema, &deep.replace("true", "null")), Ok(()));
    // Many records, of which each value may be any.
    let branch = |at: usize| {
        format!(r#"{{"type":"record","name":"B{at}","fields":[{{"name":"x{at}","type":"int","default":1}}]}}"#)
    };
    let branches = (0..900).map(branch).collect::<Vec<_>>().join(",");
    let schema = parse(&record(&format!(r#"{{"name":"a","type":{{"type":"array","items":[{branches}]}}}}"#)));
    let list = |item: &str, count: usize| format!(r#"{{"a":[{}]}}"#, vec![item; count].join(","));
    let broken = check(&schema, &list(r#"{"x":1}"#, 20_000)).unwrap_err();
    assert_eq!(broken.rule, "cost");
    assert_eq!(check(&schema, &list(r#"{"B7":{"x7":1}}"#, 2_000)), Ok(()), "what stands wrapped is not searched for");
}

#[test]
fn texts_of_one_meaning_have_one_spelling() {
    let one = r#"{"type":"record","name":"R","namespace":"a","doc":"words","connect.name":"r","fields":[
        {"name":"x","type":{"type":"long","logicalType":"timestamp-millis"},"doc":"when","order":"ascending"},
        {"name":"y","type":["null",{"type":"fixed","name":"D","size":4,"logicalType":"decimal","precision":6}],"default":null},
        {"name":"z","aliases":["q"],"type":{"type":"enum","name":"b.E","symbols":["A"],"default":"A"}},
        {"name":"d","type":"D","default":"\u0000\u0000\u0000\u0001"}]}"#;
    let other = r#"{"namespace":"c","name":"a.R","connect.name":"r","fields":[
        {"type":{"logicalType":"timestamp-millis","type":"long"},"doc":"when","name":"x"},
        {"default":null,"name":"y","type":[{"type":"null"},{"precision":6,"type":"fixed","name":"a.D","size":4,"logicalType":"decimal"}]},
        {"name":"z","aliases":["q"],"type":{"default":"A","type":"enum","name":"E","namespace":"b","symbols":["A"]}},
        {"name":"d","type":"a.D","default":"\u0000\u0000\u0000\u0001"}],"type":"record","doc":"words"}"#;
    let canonical = parse(one).canonical().to_owned();
    assert_eq!(canonical, parse(other).canonical());
    assert_eq!(
        canonical,
        concat!(
            r#"{"connect.name":"r","doc":"words","fields":[{"doc":"when","name":"x","type":{"logicalType":"#,
            r#""timestamp-millis","type":"long"}},"#,
            r#"{"default":null,"name":"y","type":["null",{"logicalType":"decimal","name":"a.D","precision":6,"#,
            r#""size":4,"type":"fixed"}]},"#,
            r#"{"aliases":["q"],"name":"z","type":{"default":"A","name":"b.E","symbols":["A"],"type":"enum"}},"#,
            r#"{"default":"\u0000\u0000\u0000\u0001","name":"d","type":"a.D"}],"name":"a.R","type":"record"}"#
        )
    );
    // It is a schema itself, and its own spelling.
    assert_eq!(parse(&canonical).canonical(), canonical);
    assert_eq!(parse(parse(ORDER).canonical()).canonical(), parse(ORDER).canonical());
    for (one, other) in [
        (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":"int","default":1}"#)),
        (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":"int","aliases":["b"]}"#)),
        (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":{"type":"int","logicalType":"date"}}"#)),
        (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":"int","doc":"words"}"#)),
        (record(r#"{"name":"a","type":"int"}"#), record(r#"{"name":"a","type":"int","order":"ignore"}"#)),
        ("\"string\"".to_owned(), r#"{"type":"string","avro.java.string":"String"}"#.to_owned()),
        (
            record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#),
            record(r#"{"name":"b","type":"int"},{"name":"a","type":"int"}"#),
        ),
    ] {
        assert_ne!(parse(&one).canonical(), parse(&other).canonical());
    }
}

#[test]
fn the_fields_are_named_by_their_paths() {
    let told = |text: &str| -> Vec<String> {
        let mark = |field: &Field| format!("{}{}", field.path, if field.is_required { "!" } else { "" });
        parse(text).fields().iter().map(mark).collect()
    };
    assert_eq!(
        told(ORDER),
        [
            "/id!",
            "/note",
            "/state",
            "/lines",
            "/labels",
            "/key",
            "/either",
            "/lines/*/sku",
            "/lines/*/count",
            "/either/sku",
            "/either/count"
        ]
    );
    let tree = r#"{"type":"record","name":"Tree","fields":[{"name":"left","type":["null","Tree"]},{"name":"a/b",
        "type":{"type":"array","items":"Tree"}}]}"#
        .replace("a/b", "kids");
    assert_eq!(told(&tree), ["/left", "/kids!"]);
    assert_eq!(told("\"int\""), Vec::<String>::new());
}

pub(super) fn peer(text: &str) -> apache_avro::Schema {
    apache_avro::Schema::parse_str(text).unwrap()
}

pub(super) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

pub(super) fn orders() -> impl Strategy<Value = Value> {
    let text = "[a-zé€\"\\\\]{0,6}";
    let line = (text, proptest::option::of(any::<i32>())).prop_map(|(sku, count)| match count {
        Some(count) => json!({"sku": sku, "count": count}),
        None => json!({"sku": sku}),
    });
    let either = prop_oneof![
        any::<i32>().prop_map(|it| json!(it)),
        any::<i64>().prop_map(|it| json!({"long": it})),
        text.prop_map(|it| json!({"string": it})),
        "[\u{0}-\u{ff}]{0,4}".prop_map(|it| json!({"bytes": it})),
        line.clone(),
        Just(json!({"shop.State": "PAID"})),
    ];
    let number = prop_oneof![
        any::<f64>().prop_filter("JSON has none", |it| it.is_finite()).prop_map(|it| json!(it)),
        Just(json!("-Infinity"))
    ];
    let labels = proptest::collection::btree_map(text, number, 0..4);
    let parts = (
        any::<i64>(),
        proptest::option::of(text),
        proptest::collection::vec(line, 0..4),
        labels,
        "[\u{0}-\u{ff}]{2}",
        either,
    );
    parts.prop_map(|(id, note, lines, labels, key, either)| {
        json!({"id": id, "note": note, "state": "PAID", "lines": lines, "labels": labels, "key": key, "either": either})
    })
}

#[test]
fn data_goes_there_and_back_and_the_library_reads_the_same() {
    let (schema, peer) = (parse(ORDER), peer(ORDER));
    let (reader, writer) =
        (GenericDatumReader::builder(&peer).build().unwrap(), GenericDatumWriter::builder(&peer).build().unwrap());
    let there_and_back = |order: Value| {
        let datum = from_json(&schema, &order.to_string()).unwrap();
        let json = to_json(&schema, &datum).unwrap();
        assert_eq!(check(&schema, &json.to_string()), Ok(()));
        assert_eq!(from_json(&schema, &json.to_string()).unwrap(), datum, "{order} {json}");
        let mut rest = &datum[..];
        let read = reader.read_value(&mut rest).unwrap();
        assert!(rest.is_empty());
        let written = writer.write_value_to_vec(read).unwrap();
        // The library holds maps in hash order.
        if order["labels"].as_object().is_some_and(|labels| labels.len() < 2) {
            assert_eq!(written, datum, "{order}");
        }
        assert_eq!(to_json(&schema, &written).unwrap(), json);
        Ok(())
    };
    runner(300).run(&orders(), there_and_back).unwrap();
    let float = parse("\"float\"");
    let float_there_and_back = |number: f32| {
        let datum = number.to_le_bytes();
        let json = to_json(&float, &datum).unwrap();
        assert_eq!(from_json(&float, &json.to_string()).unwrap(), datum, "{json}");
        Ok(())
    };
    runner(2_000)
        .run(&any::<f32>().prop_filter("one of many", |number| !number.is_nan()), float_there_and_back)
        .unwrap();
}

#[test]
fn any_bytes_are_judged_as_the_library_judges_them() {
    let (schema, peer) = (parse(ORDER), peer(ORDER));
    let reader = GenericDatumReader::builder(&peer).build().unwrap();
    let bytes = (orders(), any::<proptest::sample::Index>(), any::<u8>());
    let judge = |(order, at, byte): (Value, proptest::sample::Index, u8)| {
        let mut datum = from_json(&schema, &order.to_string()).unwrap();
        let at = at.index(datum.len());
        datum[at] = byte;
        let mut rest = &datum[..];
        let theirs = reader.read_value(&mut rest).is_ok() && rest.is_empty();
        let ours = decode::check(&schema.compiled.nodes, &datum);
        // Ours is stricter: on a map that has a member twice, on a text in a union that ends too early, and on a number of
        // more than 64 bits.
        let is_stricter = matches!(&ours, Err(broken) if ["map", "length"].contains(&broken.rule.as_str())
            || broken.problem.ends_with("64 bits"));
        assert!(ours.is_ok() == theirs || is_stricter || datum[0] == 0, "{datum:?} {ours:?}");
        Ok(())
    };
    runner(500).run(&bytes, judge).unwrap();
}

#[test]
fn data_of_an_older_schema_is_read_through_json_as_avro_resolves_it() {
    let older = r#"{"type":"record","name":"R","fields":[{"name":"was","type":"int"},{"name":"gone","type":"string"},
        {"name":"state","type":{"type":"enum","name":"E","symbols":["A","LOST"]}}]}"#;
    let newer = r#"{"type":"record","name":"R","fields":[{"name":"is","aliases":["was"],"type":"double"},
        {"name":"state","type":{"type":"enum","name":"E","symbols":["UNKNOWN","A"],"default":"UNKNOWN"}},
        {"name":"more","type":["null","string"],"default":null}]}"#;
    let (old, new) = (parse(older), parse(newer));
    let datum = from_json(&old, r#"{"was":5,"gone":"x","state":"LOST"}"#).unwrap();
    let json = old.to_json(&Payload::Binary(datum.clone().into())).unwrap();
    let lifted = new.from_json(json.clone(), true).unwrap();
    assert_eq!(to_json(&new, lifted.bytes()).unwrap(), json!({"is": 5.0, "state": "UNKNOWN", "more": null}));
    // The library knows no aliases when it reads.
    let (writer, reader) = (peer(older), peer(&newer.replace(r#""name":"is","aliases":["was"]"#, r#""name":"was""#)));
    let resolving = GenericDatumReader::builder(&writer).reader_schema(&reader).build().unwrap();
    let resolved = resolving.read_value(&mut &datum[..]).unwrap();
    let written = GenericDatumWriter::builder(&reader).build().unwrap().write_value_to_vec(resolved).unwrap();
    assert_eq!(&written[..], &lifted.bytes()[..]);
    // What is stored as of the newer schema has to be exact.
    assert_eq!(new.check(&Payload::Json(json)).unwrap_err().path, "/is");
}

//! What is a schema and what is data of it: tables, hostile ones too, and random data that goes there and back.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::testing::within_bounds;

const ORDER: &str = r#"
    syntax = "proto3"; // The first message is the event's.
    package shop;
    import "google/protobuf/timestamp.proto";
    message Order {
        int64 order_id = 1;
        optional string note = 2;
        State state = 3;
        repeated Line lines = 4;
        map<string, double> labels = 5;
        bytes key = 6;
        google.protobuf.Timestamp placed_at = 7;
        oneof way { string street = 8; int32 box_number = 9; }
        float weight = 10;
        map<int32, Line> by_number = 11;
        uint64 count = 12;
    }
    message Line { string sku = 1; sint32 count = 2; Order inner = 3; }
    enum State { OPEN = 0; PAID = 1; }"#;

pub(super) fn parse(text: &str) -> ProtobufSchema {
    ProtobufSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn from_json(schema: &ProtobufSchema, json: &str) -> Result<Bytes, Broken> {
    Ok(schema.from_json(Bytes::copy_from_slice(json.as_bytes()), true)?.bytes().clone())
}

fn to_json(schema: &ProtobufSchema, bytes: &[u8]) -> Result<Value, Broken> {
    let json = schema.to_json(&Payload::Binary(Bytes::copy_from_slice(bytes)))?;
    Ok(serde_json::from_slice(&json).unwrap())
}

fn check(schema: &ProtobufSchema, json: &str) -> Result<(), Broken> {
    schema.check(&Payload::Json(Bytes::copy_from_slice(json.as_bytes())))
}

#[test]
fn what_is_no_schema_is_refused_with_the_place() {
    for (text, path, word) in [
        ("", "", "no message"),
        ("syntax = \"proto3\"; enum E { A = 0; }", "", "no message"),
        ("message", "", "mend it"),
        ("message M { x }", "1:15", "mend it"),
        ("syntax = \"proto3\";\nmessage M {\n  strin a = 1;\n}", "3:3", "strin"),
        ("syntax = \"proto3\"; message M { string a = 1; string b = 1; }", "1:", "mend it"),
        ("syntax = \"proto3\"; message M { string a = 0; }", "1:", "mend it"),
        ("syntax = \"proto3\"; import \"other.proto\"; message M {}", "", "no file is ever looked for"),
        ("syntax = \"proto3\"; import \"/etc/passwd\"; message M {}", "", "mend it"),
        ("syntax = \"proto3\"; import \"schema.proto\"; message M {}", "", "mend it"),
    ] {
        let error = ProtobufSchema::parse(text, &[]).unwrap_err();
        assert!(error.path.starts_with(path) && error.problem.contains(word), "{text}: {error:?}");
    }
}

#[test]
fn imports_are_references_by_their_names() {
    let reference = |name: &str, text: &str| Reference { name: name.into(), text: text.into() };
    let money = reference("shop/money.proto", "syntax = \"proto3\"; package shop; message Money { int64 cents = 1; }");
    let text = "syntax = \"proto3\"; import \"shop/money.proto\"; message Paid { shop.Money amount = 1; }";
    let schema = ProtobufSchema::parse(text, std::slice::from_ref(&money)).unwrap();
    assert_eq!(check(&schema, r#"{"amount":{"cents":"5"}}"#), Ok(()));
    assert_eq!(check(&schema, r#"{"amount":{"cents":"x"}}"#).unwrap_err().path, "/amount/cents");
    assert!(schema.canonical().contains("shop/money.proto"));
    let error = ProtobufSchema::parse(text, &[]).unwrap_err();
    assert!(error.problem.contains("shop/money.proto"), "{error}");
    // A reference may have the name that the schema itself would get, and may be wrong itself.
    let own = reference("schema.proto", &money.text);
    let own_text = text.replace("shop/money.proto", "schema.proto");
    assert!(ProtobufSchema::parse(&own_text, &[own]).is_ok());
    let wrong = ProtobufSchema::parse(text, &[reference("shop/money.proto", "message {")]).unwrap_err();
    assert!(wrong.problem.contains("shop/money.proto"), "{wrong:?}");
    let circle = [
        reference("a.proto", "syntax = \"proto3\"; import \"b.proto\"; message A {}"),
        reference("b.proto", "syntax = \"proto3\"; import \"a.proto\"; message B {}"),
    ];
    assert!(ProtobufSchema::parse("syntax = \"proto3\"; import \"a.proto\"; message M {}", &circle).is_err());
}

#[test]
fn hostile_schemas_are_refused_or_taken_at_once() {
    let proto = |rest: &str| format!("syntax = \"proto3\"; {rest}");
    let nested = |levels: usize| proto(&format!("{}{}", "message M {".repeat(levels), "}".repeat(levels)));
    let numbered = |count: usize, item: fn(usize) -> String| (1..=count).map(item).collect::<String>();
    let fields = |count: usize| numbered(count, |at| format!("string f{at} = {at};"));
    let long = "n".repeat(127);
    let scopes = (0..15)
        .fold(fields(1_200).replace("string", "Deep"), |inner, at| format!("message {long}{at:x} {{ {inner} }}"));
    let option = |levels: usize| {
        format!(
            "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message O {{ optional O o = 1; }}
             extend google.protobuf.MessageOptions {{ optional O opt = 50000; }}
             message M {{ option (opt) = {{ {} {} }}; }}",
            "o {".repeat(levels),
            "}".repeat(levels)
        )
    };
    let ranges = numbered(1_500, |at| format!("reserved {} to {};", at * 10 + 10_000, at * 10 + 10_005));
    for (name, text, word) in [
        ("a million bytes", proto(&"/".repeat(1_000_000)), Some("bytes")),
        ("deep nesting", nested(20), Some("nest deeper")),
        ("much deeper nesting", nested(20_000), Some("compiler")),
        ("many messages", proto(&numbered(2_000, |at| format!("message M{at} {{}}"))), Some("1000 types")),
        ("many fields", proto(&format!("message M {{ {} }}", fields(6_000))), Some("3000 members")),
        (
            "many values",
            proto(&format!("enum E {{ A = 0; {} }}", numbered(6_000, |at| format!("A{at} = {at};")))),
            Some("3000"),
        ),
        ("a long name", proto(&format!("message {} {{}}", "m".repeat(200))), Some("128 bytes")),
        ("a deep option", option(20_000), Some("option")),
        (
            "braces without an end",
            proto(&format!("message M {{ option (a) = {{ {} ", "{".repeat(100_000))),
            Some("compiler"),
        ),
        ("comments in comments", proto(&"/*".repeat(100_000)), Some("compiler")),
        ("a shallow option", option(10), None),
        ("as many fields as may be", proto(&format!("message M {{ {} }}", fields(2_900))), None),
        ("ranges and fields", proto(&format!("message M {{ {} {ranges} }}", fields(1_000))), None),
        ("names looked for in long scopes", proto(&format!("message Deep {{}} {scopes}")), None),
    ] {
        let parsed = within_bounds(|| ProtobufSchema::parse(&text, &[]));
        match (parsed, word) {
            (Err(error), Some(word)) => {
                assert!(error.problem.contains(word) && error.problem.len() < 1_000, "{name}: {error}")
            }
            (Ok(schema), None) => assert!(schema.fields().len() <= 1_000, "{name}"),
            (parsed, _) => panic!("{name}: {:?}", parsed.map(|schema| schema.canonical().len())),
        }
    }
}

#[test]
fn json_in_the_mapping_is_checked() {
    let schema = parse(ORDER);
    for good in [
        "{}",
        r#"{"orderId":"9007199254740993","note":"x","state":"PAID","lines":[{"sku":"a","count":-5}],"labels":{"a":0.5}}"#,
        r#"{"order_id":5,"state":1,"key":"AAE=","placedAt":"2026-01-02T03:04:05Z","street":"x","weight":"NaN"}"#,
        r#"{"unknown":{"state":"LOST"},"byNumber":{"7":{"inner":{"boxNumber":3}}},"note":null}"#,
    ] {
        assert_eq!(check(&schema, good), Ok(()), "{good}");
    }
    for (bad, path, rule) in [
        ("[]", "", "type"),
        ("7", "", "type"),
        (r#"{"orderId":1.5}"#, "/orderId", "type"),
        (r#"{"order_id":"x"}"#, "/order_id", "type"),
        (r#"{"state":"LOST"}"#, "/state", "enum"),
        (r#"{"lines":[{"sku":"a"},{"sku":7}]}"#, "/lines/1/sku", "type"),
        (r#"{"lines":{"sku":"a"}}"#, "/lines", "type"),
        (r#"{"lines":[{"inner":{"state":"LOST"}}]}"#, "/lines/0/inner/state", "enum"),
        (r#"{"labels":{"a/b":"x"}}"#, "/labels/a~1b", "type"),
        (r#"{"byNumber":{"7":{"count":3000000000}}}"#, "/byNumber/7/count", "type"),
        (r#"{"byNumber":{"seven":{}}}"#, "/byNumber/seven", "type"),
        (r#"{"placedAt":"yesterday"}"#, "/placedAt", "type"),
        (r#"{"street":"x","boxNumber":1}"#, "", "type"),
    ] {
        let broken = check(&schema, bad).unwrap_err();
        assert_eq!((broken.path.as_str(), broken.rule.as_str()), (path, rule), "{bad}: {broken:?}");
    }
    let required = parse(
        "syntax = \"proto2\"; message M { required int32 a = 1; repeated N n = 2; } message N { required int32 b = 1; }",
    );
    assert_eq!(check(&required, r#"{"a":1,"n":[{"b":0}]}"#), Ok(()));
    for (bad, path) in [("{}", "/a"), (r#"{"a":1,"n":[{"b":0},{}]}"#, "/n/1/b")] {
        let broken = check(&required, bad).unwrap_err();
        assert_eq!((broken.path.as_str(), broken.rule.as_str()), (path, "required"), "{broken:?}");
    }
    assert_eq!(required.check(&Payload::Binary(Bytes::new())).unwrap_err().path, "/a");
}

#[test]
fn a_message_is_read_bare_and_behind_its_frame() {
    let schema = parse(ORDER);
    let json = r#"{"orderId":"7","state":"PAID","lines":[{"sku":"a","count":-5}],"labels":{"z":1.0,"a":0.5,"m":2.0},"weight":0.1}"#;
    let bytes = from_json(&schema, json).unwrap();
    let expected: Value = serde_json::from_str(json).unwrap();
    assert_eq!(to_json(&schema, &bytes).unwrap(), expected);
    let text = schema.to_json(&Payload::Binary(bytes.clone())).unwrap();
    assert_eq!(
        text,
        r#"{"labels":{"a":0.5,"m":2.0,"z":1.0},"lines":[{"count":-5,"sku":"a"}],"orderId":"7","state":"PAID","weight":0.1}"#
    );
    for (frame, rule) in [
        (&[0, 0, 0, 0, 9, 0][..], None),
        (&[0, 0, 0, 0, 9, 2, 0], None),
        (&[0, 0, 0, 0, 9, 2, 2], Some("framing")),
        (&[0, 0, 0, 0, 9, 4, 0, 0], Some("framing")),
    ] {
        let framed = [frame, &bytes[..]].concat();
        assert_eq!(to_json(&schema, &framed).map_err(|broken| broken.rule).err().as_deref(), rule);
    }
    for bytes in [&[0][..], &[0, 0, 0, 0, 9], &[0, 0, 0, 0, 9, 0xff], &[0, 0, 0, 0, 9, 2]] {
        assert_eq!(to_json(&schema, bytes).unwrap_err().rule, "framing");
    }
    // A field of another schema is passed over.
    let unknown = [&bytes[..], &[0xfa, 0x06, 1, b'x']].concat();
    assert_eq!(to_json(&schema, &unknown).unwrap(), expected);
    for wrong in [&bytes[..bytes.len() - 1], &[0x0a, 0x01, b'x'], &[0x12, 0x01, 0xff], &[0xff]] {
        assert_eq!(to_json(&schema, wrong).unwrap_err().rule, "type", "{wrong:?}");
    }
    assert_eq!(schema.from_json(Bytes::from_static(b"{}"), false).unwrap(), Payload::Json(Bytes::from_static(b"{}")));
    // What an older schema knew is read as data of this one.
    assert_eq!(from_json(&schema, r#"{"state":"LOST","more":1}"#).unwrap(), Bytes::new());
}

#[test]
fn hostile_data_is_refused_at_once() {
    let tree = parse("syntax = \"proto3\"; message T { T t = 1; repeated string s = 2; }");
    let long = parse(&format!(
        "syntax = \"proto3\"; message M {{ repeated N n = 1; }} message N {{ int32 {} = 1; }}",
        "n".repeat(120)
    ));
    let any =
        parse("syntax = \"proto3\"; import \"google/protobuf/any.proto\"; message M { google.protobuf.Any any = 1; }");
    let packed = |count: usize| {
        let url = "t/google.protobuf.Any";
        let mut bytes = Vec::new();
        let field = |tag: u8, bytes: &[u8]| {
            let mut length = bytes.len();
            let mut field = vec![tag];
            while length > 0x7f {
                field.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            field.push(length as u8);
            [field, bytes.to_vec()].concat()
        };
        for _ in 0..count {
            bytes = [field(0x0a, url.as_bytes()), field(0x12, &bytes)].concat();
        }
        field(0x0a, &bytes)
    };
    let nest = |count: usize| {
        (0..count).fold(Vec::new(), |inner: Vec<u8>, _| {
            let length = inner.len();
            let head = if length < 128 {
                vec![0x0a, length as u8]
            } else {
                vec![0x0a, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8]
            };
            [head, inner].concat()
        })
    };
    for (name, schema, bytes, rule) in [
        ("a length of everything", &tree, vec![0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "type"),
        ("deeper than JSON", &tree, nest(80), "depth"),
        ("deeper than a message", &tree, nest(300), "type"),
        ("much JSON of little data", &long, [0x0a, 0x02, 0x08, 0x01].repeat(250_000), "size"),
        ("packed again and again", &any, packed(300), "depth"),
    ] {
        let broken = within_bounds(|| schema.to_json(&Payload::Binary(bytes.into()))).unwrap_err();
        assert_eq!(broken.rule, rule, "{name}: {broken:?}");
    }
    let deep = format!("{}{}", r#"{"t":"#.repeat(100), "{}".to_owned() + &"}".repeat(100));
    assert_eq!(check(&tree, &deep).unwrap_err().rule, "depth");
    let wide = format!(r#"{{"s":[{}7]}}"#, "\"x\",".repeat(100_000));
    assert_eq!(within_bounds(|| check(&tree, &wide)).unwrap_err().path, "/s/100000");
}

#[test]
fn texts_of_one_meaning_have_one_spelling() {
    let one = "syntax = \"proto3\"; package a; option java_package = \"x\"; message M { int32 a = 1; N n = 2; } message N {} enum B { X = 0; } enum A { Y = 0; }";
    let other = "// Words.\nsyntax = \"proto3\"; package a;\nmessage M { .a.N n = 2; int32 a = 1; }
        enum A { Y = 0; } enum B { X = 0; } message N {} option java_package = 'x';";
    assert_eq!(parse(one).canonical(), parse(other).canonical());
    for other in [
        one.replace("int32 a", "int64 a"),
        one.replace("int32 a", "int32 b"),
        one.replace("a = 1", "a = 3"),
        one.replace("X = 0;", "X = 0; Z = 1;"),
        one.replace(
            "message M { int32 a = 1; N n = 2; } message N {}",
            "message N {} message M { int32 a = 1; N n = 2; }",
        ),
        one.replace("int32 a = 1;", "int32 a = 1 [json_name = \"q\"];"),
        one.replace("int32 a = 1;", "reserved 9; int32 a = 1;"),
        // What serializers and compilers go by is a part of it, too.
        one.replace("java_package = \"x\"", "java_package = \"y\""),
        one.replace("N n = 2", "N n = 2 [deprecated = true]"),
        one.replace("enum B", "service S { rpc Call(M) returns (N); } enum B"),
        one.replace("package a;", "package a; import \"google/protobuf/any.proto\";"),
    ] {
        assert_ne!(parse(one).canonical(), parse(&other).canonical(), "{other}");
    }
}

#[test]
fn the_fields_are_named_by_their_paths() {
    let told = |text: &str| -> Vec<String> {
        let mark = |field: &Field| format!("{}{}", field.path, if field.is_required { "!" } else { "" });
        parse(text).fields().iter().map(mark).collect()
    };
    let order = told(ORDER);
    for path in ["/orderId", "/lines", "/labels", "/placedAt", "/lines/*/sku", "/lines/*/inner", "/byNumber/*/sku"] {
        assert!(order.iter().any(|one| one == path), "{path} {order:?}");
    }
    assert!(!order.iter().any(|one| one.starts_with("/lines/*/inner/") || one.starts_with("/placedAt/")), "{order:?}");
    let required =
        "syntax = \"proto2\"; message M { required N a = 1; optional N b = 2; } message N { required int32 c = 1; }";
    assert_eq!(told(required), ["/a!", "/b", "/a/c!", "/b/c"]);
}

fn orders() -> impl Strategy<Value = Value> {
    let text = "[a-zé€\"\\\\]{0,6}";
    let line = (text, any::<i32>()).prop_map(|(sku, count)| json!({"sku": sku, "count": count}));
    let number =
        any::<f64>().prop_filter("JSON has none", |number| number.is_finite()).prop_map(|number| json!(number));
    let labels = proptest::collection::btree_map(text, number, 0..4);
    let lines = proptest::collection::vec(line, 0..3);
    let way =
        prop_oneof![text.prop_map(|it| ("street", json!(it))), any::<i32>().prop_map(|it| ("boxNumber", json!(it)))];
    let weight = any::<f32>().prop_filter("JSON has none", |number| number.is_finite());
    let parts = (any::<i64>(), proptest::option::of(text), lines, labels, way, weight, any::<u64>());
    parts.prop_map(|(id, note, lines, labels, (way, value), weight, count)| {
        let inner = lines.first().map(|line| json!({"7": line}));
        let mut order = json!({"orderId": id.to_string(), "state": "PAID", "lines": lines, "labels": labels, "key": "AP8=",
            "placedAt": "2026-01-02T03:04:05.678Z", "weight": weight, "count": count.to_string(), way: value});
        order["note"] = json!(note);
        order["byNumber"] = json!(inner);
        order
    })
}

#[test]
fn data_goes_there_and_back() {
    let schema = parse(ORDER);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let there_and_back = |order: Value| {
        let text = order.to_string();
        prop_assert_eq!(check(&schema, &text), Ok(()));
        let bytes = from_json(&schema, &text).unwrap();
        prop_assert_eq!(schema.check(&Payload::Binary(bytes.clone())), Ok(()));
        let json = to_json(&schema, &bytes).unwrap();
        prop_assert_eq!(&json["orderId"], if order["orderId"] == "0" { &Value::Null } else { &order["orderId"] });
        let again = to_json(&schema, &from_json(&schema, &json.to_string()).unwrap()).unwrap();
        prop_assert_eq!(&again, &json);
        for (name, value) in json.as_object().unwrap() {
            if !["lines", "byNumber", "weight"].contains(&name.as_str()) {
                prop_assert_eq!(value, &order[name]);
            }
        }
        Ok(())
    };
    runner.run(&orders(), there_and_back).unwrap();
}

//! Tests that a tape says what a tree of values says.

use jsonschema::json::{Array, Node, Object, SerdeJson};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Result<Tape, Unreadable> {
    let mut tape = Tape::default();
    tape.read(text).map(|()| tape)
}

/// Any JSON that the log takes, with names and texts that need escapes.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        (-20..20_i64).prop_map(|number| json!(number as f64)),
        "[a-c\"\\\\\n é😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"/~é]{0,3}", inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn the_representation_keeps_its_contract() {
    let text = jsonschema::json::conformance::document().to_string();
    let tape = read(&text).unwrap();
    jsonschema::json::conformance::assert_conformance::<OnTape>(&tape.root(&text));
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "tru",
        "nul",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "1 1",
        "{}]",
        "\"\\ud800\"",
        "\\é",
        "\"\\é\"",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read(&format!("{}1{}", "[".repeat(64), "]".repeat(64))).is_ok());
    assert!(read(&format!("{}1{}", "[".repeat(65), "]".repeat(65))).is_err());
    assert!(read(&"[".repeat(1 << 20)).is_err());
}

#[test]
fn numbers_are_those_of_serde() {
    for text in [
        "0",
        "-0",
        "0.0",
        "-0.0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "1e20",
        "123456789012345e20",
        "0.1",
        "0.30000000000000004",
        "1e3",
        "1E-7",
        "1.0e+2",
        "5e-324",
        "1.7976931348623157e308",
    ] {
        let tape = read(text).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(*tape.root(text).to_value(), value, "{text}");
        assert!(!tape.has_long(), "{text}");
    }
    // What it would round.
    for text in [
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "1e-400",
        "1e400",
        "9007199254740993.5",
    ] {
        assert_eq!(read(text).unwrap().root(text).long(), Some(text));
    }
    for (text, whole) in
        [("9007199254740993.0", 9_007_199_254_740_993_u64), ("1.23456789012345678e17", 123_456_789_012_345_678)]
    {
        assert_eq!(*read(text).unwrap().root(text).to_value(), json!(whole), "{text}");
    }
}

proptest! {
    #[test]
    fn a_tape_is_the_tree(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let tape = read(&text).unwrap();
        let root = tape.root(&text);
        prop_assert_eq!(&*root.to_value(), &value);
        prop_assert!(root.equals_value(&value));
        same(root, &value)?;
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"\\\\0-9eE.+\\-tfn ué]{0,40}") {
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(read(&text).is_ok(), is_json, "{}", text);
    }
}

/// Compares all that a validator asks of a value.
fn same(node: TapeNode<'_>, value: &Value) -> Result<(), TestCaseError> {
    prop_assert_eq!(node.json_type(), Node::<SerdeJson>::json_type(&value));
    prop_assert_eq!(node.is_number(), value.is_number());
    prop_assert_eq!(node.is_string(), value.is_string());
    prop_assert_eq!(node.string_length(), Node::<SerdeJson>::string_length(&value));
    for bounds in [(0, 0), (1, 3), (2, u64::MAX), (0, 2)] {
        let own = node.string_length_within(bounds.0, bounds.1);
        prop_assert_eq!(own, Node::<SerdeJson>::string_length_within(&value, bounds.0, bounds.1));
    }
    if let Some(items) = value.as_array() {
        prop_assert_eq!(Array::len(&node), items.len());
        for (own, item) in node.elements().zip(items) {
            same(own, item)?;
        }
        prop_assert_eq!(Array::is_unique(&node), Array::<SerdeJson>::is_unique(&&**items));
    }
    if let Some(members) = value.as_object() {
        prop_assert_eq!(Object::len(&node), members.len());
        prop_assert_eq!(node.members().count(), members.len());
        for (name, member) in members {
            let own = node.member(name);
            prop_assert!(own.is_some(), "{}", name);
            same(own.unwrap(), member)?;
        }
        prop_assert!(node.member("missing").is_none());
    }
    Ok(())
}

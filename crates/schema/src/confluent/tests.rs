//! Pairs of schemas, with the names that Confluent's registry gives to their differences.

use serde_json::json;

use super::*;
use crate::testing::within_bounds;

/// The names of what breaks, those who read by the newer schema first.
fn breaks(older: &Value, newer: &Value) -> (Vec<String>, Vec<String>) {
    let changes = changes(older, newer);
    let name = |change: &Change| change.sentence.split(':').next().unwrap().to_owned();
    let of = |breaks: fn(&Change) -> bool| changes.iter().filter(|change| breaks(change)).map(name).collect();
    (of(|change| change.breaks_backward), of(|change| change.breaks_forward))
}

#[test]
fn differences_have_the_names_that_users_know() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let closed = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    let partial = |properties: Value, rest: Value| json!({"type": "object", "properties": properties, "additionalProperties": rest});
    let required = |mut schema: Value, names: Value| {
        schema["required"] = names;
        schema
    };
    let text = || json!({"type": "string"});
    let number = || json!({"type": "number"});
    let a = || json!({"a": {"type": "string"}});
    let ab = || json!({"a": {"type": "string"}, "b": {"type": "string"}});
    let default = || json!({"a": {"type": "string"}, "b": {"type": "string", "default": "x"}});
    let any_of = |parts: Value| json!({"anyOf": parts});
    let one_of = |parts: Value| json!({"oneOf": parts});
    let all_of = |parts: Value| json!({"allOf": parts});
    let list = |items: Value| json!({"type": "array", "items": items});
    let tuple = |items: Value, rest: Value| json!({"type": "array", "prefixItems": items, "items": rest});
    for (older, newer, backward, forward) in [
        // Content models.
        (object(a()), object(ab()), "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", ""),
        (object(ab()), object(a()), "", "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
        (object(a()), object(json!({"a": text(), "b": {}})), "", ""),
        (closed(a()), closed(ab()), "", "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        (closed(ab()), closed(a()), "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", ""),
        (closed(json!({"a": text(), "b": false})), closed(a()), "", ""),
        (
            closed(a()),
            required(closed(ab()), json!(["b"])),
            "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
            "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
        ),
        (closed(a()), required(closed(default()), json!(["b"])), "", "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        (partial(a(), text()), partial(ab(), text()), "", ""),
        (
            partial(a(), number()),
            partial(ab(), number()),
            "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
            "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        ),
        (
            json!({"type": "object", "patternProperties": {"^x": {"type": "string"}}, "additionalProperties": {"type": "number"}}),
            json!({"type": "object", "properties": {"x1": {"type": "string"}}, "patternProperties": {"^x": {"type": "string"}}, "additionalProperties": {"type": "number"}}),
            "",
            "",
        ),
        (object(a()), closed(a()), "ADDITIONAL_PROPERTIES_REMOVED", ""),
        (object(a()), partial(a(), text()), "ADDITIONAL_PROPERTIES_NARROWED", ""),
        (partial(a(), json!({"type": "integer"})), partial(a(), number()), "", "TYPE_NARROWED"),
        (object(a()), required(object(a()), json!(["a"])), "REQUIRED_ATTRIBUTE_ADDED", ""),
        (
            object(json!({"a": {"type": "string", "default": ""}})),
            required(object(json!({"a": {"type": "string", "default": ""}})), json!(["a"])),
            "",
            "",
        ),
        (
            object(json!({"o": object(a())})),
            object(json!({"o": object(ab())})),
            "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
            "",
        ),
        // Types and values.
        (json!({"type": "integer"}), number(), "", "TYPE_NARROWED"),
        (text(), number(), "TYPE_CHANGED", "TYPE_CHANGED"),
        (text(), json!({"type": ["string", "null"]}), "", "SUM_TYPE_NARROWED"),
        (json!({"type": ["integer", "null"]}), json!({"type": ["number", "null"]}), "", "SUM_TYPE_NARROWED"),
        (json!({}), text(), "TYPE_CHANGED", ""),
        (json!(true), json!(false), "TYPE_CHANGED", ""),
        (json!({"enum": ["A"]}), json!({"enum": ["A", "B"]}), "", "ENUM_ARRAY_NARROWED"),
        (json!({"enum": ["A", "C"]}), json!({"enum": ["A", "B"]}), "ENUM_ARRAY_CHANGED", "ENUM_ARRAY_CHANGED"),
        (json!({"const": "A"}), json!({"enum": ["A", "B"]}), "", "ENUM_ARRAY_NARROWED"),
        (text(), json!({"type": "string", "enum": ["A"]}), "ENUM_ARRAY_NARROWED", ""),
        (text(), json!({"enum": ["A"]}), "ENUM_ARRAY_NARROWED", ""),
        (text(), json!({"enum": [1]}), "TYPE_CHANGED", "TYPE_CHANGED"),
        // Bounds.
        (text(), json!({"type": "string", "maxLength": 5}), "MAX_LENGTH_ADDED", ""),
        (json!({"maxLength": 5}), json!({"maxLength": 6}), "", "MAX_LENGTH_DECREASED"),
        (json!({"minLength": 5}), json!({"minLength": 6}), "MIN_LENGTH_INCREASED", ""),
        (json!({"minimum": 1}), json!({"minimum": 0.5}), "", "MINIMUM_INCREASED"),
        (json!({"exclusiveMaximum": 1}), json!({"exclusiveMaximum": 0}), "EXCLUSIVE_MAXIMUM_DECREASED", ""),
        (json!({"multipleOf": 4}), json!({"multipleOf": 2}), "", "MULTIPLE_OF_EXPANDED"),
        (json!({"multipleOf": 4}), json!({"multipleOf": 3}), "MULTIPLE_OF_CHANGED", "MULTIPLE_OF_CHANGED"),
        (json!({"pattern": "a"}), json!({"pattern": "b"}), "PATTERN_CHANGED", "PATTERN_CHANGED"),
        (json!({"minProperties": 1}), json!({"minProperties": 1, "maxProperties": 2}), "MAX_PROPERTIES_ADDED", ""),
        // Lists.
        (list(json!({"type": "integer"})), list(number()), "", "TYPE_NARROWED"),
        (json!({"type": "array"}), list(text()), "SCHEMA_ADDED", ""),
        (json!({"type": "array", "uniqueItems": true}), json!({"type": "array"}), "", "UNIQUE_ITEMS_ADDED"),
        (
            tuple(json!([text()]), json!(false)),
            tuple(json!([text(), text()]), json!(false)),
            "",
            "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL",
        ),
        (
            tuple(json!([text()]), json!(true)),
            tuple(json!([text(), text()]), json!(true)),
            "ITEM_ADDED_TO_OPEN_CONTENT_MODEL",
            "",
        ),
        (tuple(json!([text()]), text()), tuple(json!([text(), text()]), text()), "", ""),
        (tuple(json!([text()]), json!(true)), tuple(json!([text()]), json!(false)), "ADDITIONAL_ITEMS_REMOVED", ""),
        (list(text()), tuple(json!([text()]), json!(true)), "TYPE_CHANGED", "TYPE_CHANGED"),
        // Combinations.
        (any_of(json!([text()])), any_of(json!([text(), number()])), "", "SUM_TYPE_NARROWED"),
        (one_of(json!([text(), number()])), one_of(json!([number(), text()])), "", ""),
        (
            one_of(json!([text(), number()])),
            one_of(json!([text(), {"type": "boolean"}])),
            "COMBINED_TYPE_SUBSCHEMAS_CHANGED",
            "COMBINED_TYPE_SUBSCHEMAS_CHANGED",
        ),
        (one_of(json!([text()])), any_of(json!([text()])), "", "COMBINED_TYPE_CHANGED"),
        (text(), one_of(json!([text(), number()])), "", "SUM_TYPE_NARROWED"),
        (
            all_of(json!([{"minLength": 1}])),
            all_of(json!([{"minLength": 1}, {"maxLength": 9}])),
            "PRODUCT_TYPE_EXTENDED",
            "",
        ),
        (
            json!({"type": "string", "not": {"const": "a"}}),
            json!({"type": "string", "not": {"enum": ["a", "b"]}}),
            "NOT_TYPE_EXTENDED",
            "",
        ),
        // Dependencies.
        (
            object(ab()),
            json!({"type": "object", "properties": ab(), "dependentRequired": {"a": ["b"]}}),
            "DEPENDENCY_ARRAY_ADDED",
            "",
        ),
        (
            json!({"type": "object", "dependencies": {"a": ["b", "c"]}}),
            json!({"type": "object", "dependencies": {"a": ["b"]}}),
            "",
            "DEPENDENCY_ARRAY_EXTENDED",
        ),
        // Words.
        (json!({"type": "string", "title": "x", "description": "y"}), json!({"type": "string", "title": "z"}), "", ""),
    ] {
        let (found_backward, found_forward) = breaks(&older, &newer);
        assert_eq!(
            (found_backward.join(" "), found_forward.join(" ")),
            (backward.to_owned(), forward.to_owned()),
            "{older} -> {newer}"
        );
    }
}

#[test]
fn a_sentence_says_more_than_the_name() {
    let older = json!({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}});
    let newer =
        json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b/c": {"type": "string"}}}}});
    let changes = changes(&older, &newer);
    assert_eq!(changes.len(), 1, "{changes:#?}");
    let change = &changes[0];
    assert_eq!((change.path.as_str(), change.breaks_backward, change.breaks_forward), ("/a/b~1c", true, false));
    for part in [
        "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL: `/a/b~1c` is described by the newer schema and not by the older one",
        "`#/properties/a/properties/b~1c`",
        "those who read stored events by the newer schema refuse",
        "register an upcaster",
    ] {
        assert!(change.sentence.contains(part), "{}", change.sentence);
    }
    let words = super::changes(&json!({"type": "string", "title": "a"}), &json!({"type": "string"}));
    assert!(words.len() == 1 && !words[0].is_visible && words[0].sentence.starts_with("TITLE_CHANGED: "), "{words:?}");
    assert_eq!(super::changes(&older, &older), []);
}

#[test]
fn references_within_a_document_are_followed() {
    let schema = |kind: &str| {
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#named"}, "out": {"$ref": "other.json"}},
            "$defs": {"a": {"type": kind}, "b": {"$anchor": "named", "type": "object", "properties": {"again": {"$ref": "#"}}}}})
    };
    assert_eq!(breaks(&schema("string"), &schema("string")), (vec![], vec![]));
    let both = || vec!["TYPE_CHANGED".to_owned()];
    assert_eq!(breaks(&schema("string"), &schema("integer")), (both(), both()));
    let mut other = schema("string");
    other["properties"]["out"]["$ref"] = json!("another.json");
    assert_eq!(breaks(&schema("string"), &other), (both(), both()));
    let endless = json!({"$ref": "#"});
    assert_eq!(breaks(&endless, &endless), (vec![], vec![]));
}

#[test]
fn hostile_schemas_are_compared_at_once() {
    // Every alternative is compared with every other one, at each level.
    let referring = |leaf: &str| {
        let mut defs = serde_json::Map::new();
        defs.insert("r0".into(), json!({"type": leaf}));
        for level in 1..200 {
            let inner = format!("#/$defs/r{}", level - 1);
            let part = |name: &str| json!({"type": "object", "properties": {name: {"$ref": inner}}});
            defs.insert(format!("r{level}"), json!({"oneOf": [part("x"), part("y"), part("z")]}));
        }
        json!({"$ref": "#/$defs/r199", "$defs": defs})
    };
    let patterns: serde_json::Map<String, Value> =
        (1..2_000).map(|at| (format!("(x{{50}}{{50}}{{{at}}})"), json!({"type": "string"}))).collect();
    let properties: serde_json::Map<String, Value> =
        (0..50).map(|at| (format!("x{at}"), json!({"type": "string"}))).collect();
    let small = |leaf: &str| {
        (0..10).fold(json!({"type": leaf}), |inner, _| json!({"anyOf": [{"items": inner.clone()}, {"items": inner}]}))
    };
    let values = |from: usize| json!({"enum": (from..from + 20_000).map(|at| at.to_string()).collect::<Vec<_>>()});
    for (older, newer) in [
        (values(0), values(1)),
        (small("string"), small("integer")),
        (referring("string"), referring("integer")),
        (json!({"patternProperties": patterns}), json!({"patternProperties": patterns, "properties": properties})),
    ] {
        let changes = within_bounds(|| changes(&older, &newer));
        assert!(changes.iter().any(|change| change.breaks_backward) && changes.len() <= 2_010);
    }
}

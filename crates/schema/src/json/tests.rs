//! Tests of JSON Schema as a whole.

mod bounds;
mod changes;
mod numbers;
mod random;

use jsonschema::Draft;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tape::tests::any_json;
use super::*;

fn schema(text: &str) -> JsonSchema {
    JsonSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error} at {}", error.path))
}

fn payload(text: &str) -> Payload {
    Payload::Json(Bytes::copy_from_slice(text.as_bytes()))
}

fn checked(schema: &JsonSchema, data: &str) -> Result<(), Broken> {
    schema.check(&payload(data))
}

const ORDER: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "order": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^o-[0-9]+$"},
        "amount": {"type": "integer", "minimum": 0, "exclusiveMaximum": 100, "multipleOf": 5},
        "currency": {"enum": ["EUR", "USD"]},
        "kind": {"const": "retail"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 1, "maxItems": 2, "uniqueItems": true},
        "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "left": false
    },
    "required": ["order"],
    "additionalProperties": false,
    "$defs": {"line": {"type": "object", "properties": {"a/b": {"type": "integer"}}, "required": ["a/b"]}}
}"##;

#[test]
fn the_first_violation_is_told() {
    let order = schema(ORDER);
    let line = r#"{"order":"o-1","amount":5,"currency":"EUR","kind":"retail","lines":[{"a/b":1}],"price":null}"#;
    assert_eq!(checked(&order, line), Ok(()));
    for (data, path, rule, problem) in [
        ("[]", "", "type", "is a list of 0 items, and an object is wanted"),
        ("{}", "/order", "required", "is missing, and the schema requires it"),
        (r#"{"order":5}"#, "/order", "type", "is 5, and a text is wanted"),
        (r#"{"order":"o"}"#, "/order", "minLength", "is the text `o`, and 2 characters are the least"),
        (r#"{"order":"o-1234567"}"#, "/order", "maxLength", "is the text `o-1234567`, and 8 characters are the most"),
        (r#"{"order":"x-1"}"#, "/order", "pattern", "is the text `x-1`, which does not match `^o-[0-9]+$`"),
        (r#"{"order":"o-1","amount":-5}"#, "/amount", "minimum", "is -5, and 0 is the least"),
        (r#"{"order":"o-1","amount":100}"#, "/amount", "exclusiveMaximum", "is 100, and less than 100 is wanted"),
        (r#"{"order":"o-1","amount":7}"#, "/amount", "multipleOf", "is 7, and a multiple of 5 is wanted"),
        (r#"{"order":"o-1","amount":1.5}"#, "/amount", "type", "is 1.5, and an integer is wanted"),
        (
            r#"{"order":"o-1","currency":"CHF"}"#,
            "/currency",
            "enum",
            "is the text `CHF`, and only `EUR`, `USD` are allowed",
        ),
        (r#"{"order":"o-1","kind":1}"#, "/kind", "const", "is 1, and only `retail` is allowed"),
        (r#"{"order":"o-1","lines":[]}"#, "/lines", "minItems", "is a list of 0 items, and 1 items are the least"),
        (
            r#"{"order":"o-1","lines":[{"a/b":1},{"a/b":1.0}]}"#,
            "/lines",
            "uniqueItems",
            "is a list of 2 items in which an item occurs twice",
        ),
        (r#"{"order":"o-1","lines":[{}]}"#, "/lines/0/a~1b", "required", "is missing, and the schema requires it"),
        (
            r#"{"order":"o-1","lines":[{"a/b":"x"}]}"#,
            "/lines/0/a~1b",
            "type",
            "is the text `x`, and an integer is wanted",
        ),
        (r#"{"order":"o-1","price":true}"#, "/price", "anyOf", "is true, and a number or null is wanted"),
        (r#"{"order":"o-1","left":1}"#, "/left", "false", "is not allowed by the schema"),
        (
            r#"{"order":"o-1","other":1}"#,
            "/other",
            "additionalProperties",
            "is no field of the schema, which allows no others",
        ),
    ] {
        let broken = checked(&order, data).expect_err(data);
        assert_eq!((&*broken.path, &*broken.rule, &*broken.problem), (path, rule, problem), "{data}");
    }
    let binary = order.check(&Payload::Binary(Bytes::from_static(b"x"))).unwrap_err();
    assert!(binary.rule == "type" && binary.problem.contains("is binary"));
    assert!(checked(&order, "{").unwrap_err().problem.contains("no JSON"));
}

#[test]
fn no_message_repeats_much_of_the_data() {
    let long = "x".repeat(10_000);
    for (schema_text, data) in [
        (r#"{"maxLength":3}"#.to_owned(), json!(long)),
        (r#"{"enum":["a"]}"#.to_owned(), json!(long)),
        (r#"{"additionalProperties":false}"#.to_owned(), json!({ &*long: 1 })),
        (r#"{"propertyNames":{"maxLength":3}}"#.to_owned(), json!({ &*long: 1 })),
        (r#"{"additionalProperties":{"items":{"type":"null"}}}"#.to_owned(), json!({ &*long: [1] })),
        (r#"{"not":{}}"#.to_owned(), json!([long])),
        (r#"{"anyOf":[{"type":"object"},{"maxLength":3}]}"#.to_owned(), json!(long)),
        (json!({"const": long}).to_string(), json!(1)),
        (json!({"enum": [long, 2]}).to_string(), json!(1)),
    ] {
        let broken = checked(&schema(&schema_text), &data.to_string()).unwrap_err();
        assert!(broken.problem.len() < 200 && broken.path.len() < 250, "{schema_text:.80}: {broken:?}");
    }
}

#[test]
fn a_format_and_an_unknown_keyword_validate_nothing() {
    let schema = schema(
        r#"{"properties":{"at":{"type":"string","format":"date-time","x-unit":"day"}},"discriminator":{"propertyName":"at"}}"#,
    );
    assert_eq!(checked(&schema, r#"{"at":"yesterday"}"#), Ok(()));
}

#[test]
fn a_schema_is_in_one_spelling_and_true_or_false_are_schemas() {
    let spelled = schema("{ \"type\": \"object\",\n \"properties\": {\"b\": {\"maximum\": 1.50}, \"a\": true}}");
    assert_eq!(spelled.canonical(), r#"{"properties":{"a":true,"b":{"maximum":1.5}},"type":"object"}"#);
    assert_eq!(checked(&schema("true"), "1"), Ok(()));
    assert_eq!(checked(&schema("false"), "1").unwrap_err().rule, "false");
    assert!(schema("true").fields().is_empty());
}

#[test]
fn fields_are_listed_through_everything() {
    let listed = schema(
        r##"{
            "properties": {
                "customer": {"$ref": "#/$defs/customer"},
                "lines": {"items": {"properties": {"price": {}, "sku": {}}, "required": ["sku"]}},
                "pair": {"prefixItems": [{"properties": {"first": {}}}]},
                "way": {"oneOf": [{"properties": {"by": {}}, "required": ["by"]}, {"properties": {"to": {}}}]},
                "never": false,
                "tree": {"$ref": "#/$defs/tree"}
            },
            "allOf": [{"properties": {"total": {}}, "required": ["total", "customer"]}],
            "required": ["customer", "lines", "only/named"],
            "$defs": {
                "customer": {"properties": {"name": {}}, "required": ["name"]},
                "tree": {"properties": {"left": {"$ref": "#/$defs/tree"}, "leaf": {}}}
            }
        }"##,
    );
    let fields: Vec<_> = listed.fields().iter().map(|field| (&*field.path, field.is_required)).collect();
    assert_eq!(
        fields,
        [
            ("/customer", true),
            ("/customer/name", true),
            ("/lines", true),
            ("/lines/*/price", false),
            ("/lines/*/sku", true),
            ("/only~1named", true),
            ("/pair", false),
            ("/pair/*/first", false),
            ("/total", true),
            ("/tree", false),
            ("/tree/leaf", false),
            ("/tree/left", false),
            ("/way", false),
            ("/way/by", false),
            ("/way/to", false),
        ]
    );
}

#[test]
fn a_reference_points_to_a_schema_inside_or_given_along() {
    let money = Reference {
        name: "money.json".to_owned(),
        text: r##"{"$id":"https://example.org/money","type":"object","properties":{"cents":{"$ref":"#/$defs/c"}},"required":["cents"],
            "$defs":{"c":{"type":"integer"},"named":{"$anchor":"big","minimum":100},"loop":{"properties":{"next":{"$ref":"#/$defs/loop"},"cents":{"$ref":"#big"}}}}}"##
            .to_owned(),
    };
    let old = Reference {
        name: "old".to_owned(),
        text: r##"{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"integer"}],"additionalItems":{"$ref":"money.json#/$defs/c","type":"null"},
            "definitions":{"first":{"$ref":"#/items/0"}}}"##
            .to_owned(),
    };
    let text = r##"{
        "$id": "https://example.org/order",
        "properties": {
            "a": {"$ref": "money.json"},
            "b": {"$ref": "https://example.org/money"},
            "c": {"$ref": "money.json#big"},
            "d": {"$ref": "money.json#/$defs/loop"},
            "e": {"$ref": "old"},
            "f": {"$ref": "old#/definitions/first"},
            "g": {"$ref": "#/$defs/odd%20~0name%25"},
            "h": {"$ref": "#here"},
            "i": {"$ref": "https://example.org/order#/$defs/in/properties/x"},
            "j": {"$ref": "inner#/properties/x"}
        },
        "$defs": {
            "odd ~name%": {"type": "boolean"},
            "here": {"$anchor": "here", "type": "string"},
            "in": {"$id": "inner", "properties": {"x": {"type": "null"}, "y": {"$ref": "#/properties/x"}}}
        }
    }"##;
    let schema = JsonSchema::parse(text, &[money.clone(), old]).unwrap();
    for (data, is_valid) in [
        (r#"{"a":{"cents":1}}"#, true),
        (r#"{"a":{}}"#, false),
        (r#"{"b":{"cents":"1"}}"#, false),
        (r#"{"c":100}"#, true),
        (r#"{"c":99}"#, false),
        (r#"{"d":{"next":{"next":{"cents":100}}}}"#, true),
        (r#"{"d":{"next":{"next":{"cents":99}}}}"#, false),
        (r#"{"e":[1,2,3]}"#, true),
        (r#"{"e":["x"]}"#, false),
        (r#"{"e":[1,"x"]}"#, false),
        (r#"{"f":1}"#, true),
        (r#"{"f":"x"}"#, false),
        (r#"{"g":true}"#, true),
        (r#"{"g":1}"#, false),
        (r#"{"h":"x"}"#, true),
        (r#"{"h":1}"#, false),
        (r#"{"i":null}"#, true),
        (r#"{"i":1}"#, false),
        (r#"{"j":null}"#, true),
        (r#"{"j":1}"#, false),
    ] {
        assert_eq!(checked(&schema, data).is_ok(), is_valid, "{data}");
    }
    let error = JsonSchema::parse(r#"{"$ref":"money"}"#, &[money]).unwrap_err();
    assert!(
        error.path == "/$ref" && error.problem.contains("give it along as a reference of exactly that name"),
        "{error}"
    );
    let broken = Reference { name: "b".to_owned(), text: r#"{"type":5}"#.to_owned() };
    let error = JsonSchema::parse(r#"{"$ref":"b"}"#, &[broken]).unwrap_err();
    assert!(error.problem.contains("the schema `b` that it refers to is refused"), "{error}");
}

/// Schemas of draft-07, and data that tells them apart.
fn draft_7() -> impl Strategy<Value = (Value, Value)> {
    let leaf = prop_oneof![
        Just(json!({"type": "integer"})),
        Just(json!({"type": "string", "minContains": 3})),
        Just(json!({"$ref": "#/definitions/d", "type": "null"})),
        Just(json!({"$ref": "#/definitions/d/items/0"})),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({"const": 1, "prefixItems": [false]})),
    ];
    let schema = leaf.prop_recursive(3, 20, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (some.clone(), inner.clone()).prop_map(|(first, rest)| json!({"items": first, "additionalItems": rest})),
            (inner.clone(), inner.clone()).prop_map(|(items, rest)| json!({"items": items, "additionalItems": rest})),
            some.clone().prop_map(|all| json!({"anyOf": all})),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({"dependencies": {"a": a, "b": ["c"]}, "properties": {"c": b}})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"if": a, "then": b, "unevaluatedItems": false})),
            inner.prop_map(|a| json!({"contains": a, "additionalProperties": a, "dependentRequired": {"a": ["x"]}})),
        ]
    });
    let data = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!(null))].prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let root = schema.prop_map(|schema| {
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "allOf": [schema],
            "definitions": {"d": {"items": [{"type": "string"}], "maxItems": 2}}
        })
    });
    (root, data)
}

proptest! {
    #[test]
    fn an_older_draft_means_here_what_it_means_there((schema, data) in draft_7()) {
        let plain = jsonschema::options().with_draft(Draft::Draft7).build(&schema).unwrap();
        let own = JsonSchema::parse(&schema.to_string(), &[]).unwrap();
        prop_assert_eq!(checked(&own, &data.to_string()).is_ok(), plain.is_valid(&data), "{}", own.in_one_document());
    }

    #[test]
    fn data_on_a_tape_gets_the_verdict_of_a_tree(data in any_json(), which in 0..12_usize) {
        let schemas = [
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"maxLength": 2}}, "additionalProperties": false}),
            json!({"type": ["array", "object", "null"], "items": {"type": "number", "minimum": 0}, "uniqueItems": true}),
            json!({"additionalProperties": {"type": ["string", "object"]}, "propertyNames": {"maxLength": 2}}),
            json!({"patternProperties": {"^a": {"minimum": 1}}, "required": ["a"], "minProperties": 2, "maxProperties": 6}),
            json!({"enum": [1, "a", null, [], {"a": 1}, 2.0]}),
            json!({"not": {"type": "object", "required": ["a", "b", "c"]}, "contains": {"type": "string"}}),
            json!({"anyOf": [{"type": "boolean"}, {"items": {"$ref": "#"}, "properties": {"a": {"$ref": "#"}}, "type": ["array", "object"]}]}),
            json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"multipleOf": 2, "exclusiveMaximum": 1e6, "pattern": "^a?b"}),
            json!({"properties": {"a": true, "b": {"const": 1}}, "unevaluatedProperties": {"type": "array"}, "unevaluatedItems": false}),
            json!({"dependentRequired": {"a": ["b"]}, "if": {"required": ["c"]}, "then": {"maxProperties": 3}}),
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}, "minItems": 2, "maxItems": 4}),
        ];
        let schema = &schemas[which];
        let tree = jsonschema::options().with_draft(Draft::Draft202012).build(schema).unwrap();
        let own = JsonSchema::parse(&schema.to_string(), &[]).unwrap();
        prop_assert_eq!(checked(&own, &data.to_string()).is_ok(), tree.is_valid(&data));
    }
}

#[test]
fn drafts_04_and_06_mean_what_they_say() {
    let four = |rest: &str| format!(r##"{{"$schema":"http://json-schema.org/draft-04/schema#",{rest}}}"##);
    let six = |rest: &str| format!(r##"{{"$schema":"http://json-schema.org/draft-06/schema#",{rest}}}"##);
    for (text, good, wrong) in [
        (
            four(r#""minimum":1,"exclusiveMinimum":true,"maximum":3,"exclusiveMaximum":false"#),
            &["2", "3"][..],
            &["1", "4"][..],
        ),
        (four(r#""exclusiveMinimum":false,"minimum":1"#), &["1"], &["0"]),
        (
            four(
                r##""id":"http://acme.com/a.json","definitions":{"n":{"id":"n.json","minimum":1,"exclusiveMinimum":true}},
                "properties":{"a":{"$ref":"#/definitions/n"},"b":{"$ref":"n.json"},"c":{"$ref":"http://acme.com/n.json"}}"##,
            ),
            &[r#"{"a":2,"b":2,"c":2}"#],
            &[r#"{"a":1}"#, r#"{"b":1}"#, r#"{"c":1}"#],
        ),
        // What the draft does not know says nothing.
        (
            four(r#""const":1,"contains":{"const":1},"propertyNames":{"maxLength":1},"if":{},"then":false"#),
            &["2", r#"{"abc":1}"#],
            &[],
        ),
        (six(r#""exclusiveMinimum":1,"const":2,"if":{},"then":false"#), &["2"], &["1", "3"]),
        (
            six(r#""contains":{"type":"string"},"items":[true,{"type":"integer"}],"additionalItems":false"#),
            &[r#"["a",1]"#],
            &[r#"[1,1]"#, r#"["a",1,2]"#],
        ),
        (
            four(r#""dependencies":{"a":["b"],"c":{"properties":{"d":{"minimum":1,"exclusiveMinimum":true}}}}"#),
            &[r#"{"a":1,"b":1}"#, r#"{"c":1,"d":2}"#],
            &[r#"{"a":1}"#, r#"{"c":1,"d":1}"#],
        ),
    ] {
        let schema = JsonSchema::parse(&text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
        for (data, is_good) in good.iter().map(|one| (one, true)).chain(wrong.iter().map(|one| (one, false))) {
            let checked = schema.check(&Payload::Json(Bytes::copy_from_slice(data.as_bytes())));
            assert_eq!(checked.is_ok(), is_good, "{text} {data} {checked:?}");
        }
        assert!(schema.canonical().contains("json-schema.org/draft-0"), "the text stays as it came");
    }
    for wrong in [four(r#""exclusiveMinimum":1"#), six(r#""exclusiveMinimum":true"#), four(r#""required":true"#)] {
        assert!(JsonSchema::parse(&wrong, &[]).is_err(), "{wrong}");
    }
}

#[test]
fn a_reference_is_read_from_the_id_it_stands_under() {
    let money = |name: &str, text: &str| Reference { name: name.to_owned(), text: text.to_owned() };
    let plain = r#"{"type":"integer"}"#;
    for (text, reference, is_found) in [
        (
            r#"{"$id":"http://acme.com/order.json","items":{"$ref":"money.json"}}"#,
            money("http://acme.com/money.json", plain),
            true,
        ),
        (r#"{"$id":"http://acme.com/order.json","items":{"$ref":"money.json"}}"#, money("money.json", plain), true),
        (
            r#"{"$id":"http://acme.com/v1/order.json","items":{"$ref":"../money.json"}}"#,
            money("any", r#"{"$id":"http://acme.com/money.json","type":"integer"}"#),
            true,
        ),
        (
            r#"{"items":{"$id":"http://acme.com/x/y.json","items":{"$ref":"z.json"},"type":["array","integer"]}}"#,
            money("http://acme.com/x/z.json", plain),
            true,
        ),
        (
            r#"{"$id":"http://acme.com/order.json","items":{"$ref":"money.json"}}"#,
            money("http://other.com/money.json", plain),
            false,
        ),
        (r#"{"items":{"$ref":"money.json"}}"#, money("http://acme.com/money.json", plain), false),
    ] {
        match JsonSchema::parse(text, &[reference]) {
            Ok(schema) => {
                let check = |data: &'static str| schema.check(&Payload::Json(Bytes::from_static(data.as_bytes())));
                assert!(is_found && check("[1]").is_ok() && check("[\"a\"]").is_err(), "{text}");
            }
            Err(error) => assert!(!is_found && error.problem.contains("outside"), "{text}: {error}"),
        }
    }
}

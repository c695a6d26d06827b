//! Random schemas: nothing changes from one to itself, and what is called compatible is.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Map;

use super::*;

/// A field: its schema, whether it is required, whether it has a default.
type Described = (Value, bool, bool);

/// A schema of one value that is not an object.
fn scalar() -> impl Strategy<Value = Value> {
    let range = (0..4_i64, 2..6_i64);
    prop_oneof![
        (prop_oneof![Just("integer"), Just("number")], range.clone(), 0..4).prop_map(|(kind, (least, most), which)| {
            match which {
                0 => json!({"type": kind}),
                1 => json!({"type": kind, "minimum": least, "maximum": most}),
                2 => json!({"type": kind, "exclusiveMinimum": least - 1, "multipleOf": if most > 3 { 2 } else { 1 }}),
                _ => json!({"type": kind, "exclusiveMaximum": most}),
            }
        }),
        (range.clone(), 0..3).prop_map(|((least, most), which)| match which {
            0 => json!({"type": "string"}),
            1 => json!({"type": "string", "minLength": least.min(2), "maxLength": most}),
            _ => json!({"type": ["string", "null"], "maxLength": most, "pattern": if least > 1 { "^a" } else { "^[ab]" }}),
        }),
        prop::collection::btree_set(0..5_i64, 1..4).prop_map(|values| json!({"enum": values})),
        prop::collection::btree_set(prop_oneof![Just("a"), Just("ab"), Just("b")], 1..3).prop_map(|values| json!({"enum": values})),
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["integer", "null"]})),
        Just(json!({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}, {"type": "null"}]})),
        Just(json!({"oneOf": [{"type": "number", "minimum": 1}, {"type": "boolean"}]})),
        Just(json!({"allOf": [{"type": "integer"}, {"minimum": 1}], "maximum": 5})),
        Just(json!({"type": "integer", "not": {"const": 2}})),
        Just(json!(true)),
    ]
}

fn object(fields: Vec<(String, Described)>, openness: usize, split: bool) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, (mut schema, is_required, has_default)) in fields {
        if let (true, Some(members)) = (has_default, schema.as_object_mut()) {
            // One of these fits most schemas; the comparison has to see which does not.
            let default = if name.as_str() < "b" { json!(3) } else { json!("a") };
            members.insert("default".to_owned(), default);
        }
        properties.insert(name.clone(), schema);
        if is_required {
            required.push(name);
        }
    }
    let mut object = match openness {
        0 => json!({"type": "object", "additionalProperties": false}),
        1 => json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        2 => json!({"type": "object", "unevaluatedProperties": false}),
        _ => json!({"type": "object"}),
    };
    if split && openness > 1 {
        object["allOf"] = json!([{"properties": properties}, {"required": required}]);
    } else {
        object["properties"] = properties.into();
        object["required"] = required.into();
    }
    object
}

fn any_schema() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(2, 16, 4, |inner| {
        let fields = prop::collection::btree_map("[a-d]", (inner.clone(), any::<bool>(), any::<bool>()), 0..4);
        prop_oneof![
            (fields, 0..6_usize, any::<bool>()).prop_map(|(fields, openness, split)| object(
                fields.into_iter().collect(),
                openness,
                split
            )),
            (inner.clone(), 0..3_u64, 2..5_u64).prop_map(
                |(items, least, most)| json!({"type": "array", "items": items, "minItems": least, "maxItems": most})
            ),
            (inner.clone(), inner)
                .prop_map(|(first, rest)| json!({"type": "array", "prefixItems": [first], "items": rest})),
        ]
    });
    let fields = prop::collection::btree_map("[a-d]", (value, any::<bool>(), any::<bool>()), 0..4);
    (fields, 0..6_usize, any::<bool>())
        .prop_map(|(fields, openness, split)| object(fields.into_iter().collect(), openness, split))
}

/// Two schemas: mostly the second is the first with one thing changed.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let changed =
        (any_schema(), scalar(), any::<prop::sample::Index>(), 0..8_usize).prop_map(|(older, other, at, how)| {
            let mut newer = older.clone();
            let fields: Vec<String> =
                older["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            let required = older["required"].as_array().cloned().unwrap_or_default();
            if let Some(name) = fields.get(at.index(fields.len().max(1))) {
                match how {
                    0 => drop(newer["properties"].as_object_mut().map(|fields| fields.remove(name))),
                    1 => newer["properties"][name] = other,
                    2 => newer["required"] = required.into_iter().filter(|one| one != name).collect(),
                    3 => {
                        newer["required"] =
                            required.into_iter().filter(|one| one != name).chain([json!(name)]).collect()
                    }
                    4 => newer["properties"][name] = json!({"anyOf": [older["properties"][name], other]}),
                    5 => newer["properties"][name] = json!({"allOf": [older["properties"][name], other]}),
                    6 => newer["properties"]["e"] = other,
                    _ => drop(newer.as_object_mut().map(|members| members.remove("additionalProperties"))),
                }
            }
            (older, newer)
        });
    prop_oneof![4 => changed, 1 => (any_schema(), any_schema())]
}

/// Makes data that may be valid: the values are those around which the schemas differ.
struct Maker(u64);

impl Maker {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let at = self.below(list.len());
        &list[at]
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(list) = ["anyOf", "oneOf"].iter().find_map(|keyword| schema[*keyword].as_array()) {
            let alternative = self.one_of(list).clone();
            return self.value(&alternative, depth);
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.one_of(values).clone();
        }
        let schemas: Vec<&Value> =
            [schema].into_iter().chain(schema["allOf"].as_array().into_iter().flatten()).collect();
        let kind = match schemas.iter().map(|schema| &schema["type"]).find(|kind| !kind.is_null()) {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => self.one_of(kinds).as_str().unwrap_or_default().to_owned(),
            _ => (*self.one_of(&["integer", "string", "null", "object", "number"])).to_owned(),
        };
        match &*kind {
            "integer" => json!(self.below(8) as i64 - 1),
            "number" => self.one_of(&[json!(1.5), json!(2.0), json!(4), json!(0.5), json!(3)]).clone(),
            "string" => json!(self.one_of(&["", "a", "ab", "b", "abab", "aaaaaa"])),
            "boolean" => json!(self.below(2) == 1),
            "array" => {
                let length = self.below(4);
                let item = |place: usize| schema["prefixItems"].get(place).unwrap_or(&schema["items"]);
                (0..length).map(|place| self.value(item(place), depth + 1)).collect()
            }
            "object" => self.object(&schemas, depth),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schemas: &[&Value], depth: usize) -> Value {
        let mut object = Map::new();
        for (name, inner) in schemas.iter().filter_map(|schema| schema["properties"].as_object()).flatten() {
            let is_required = schemas
                .iter()
                .any(|schema| schema["required"].as_array().is_some_and(|all| all.contains(&json!(name))));
            if depth < 5 && (is_required || self.below(3) > 0) {
                object.insert(name.clone(), self.value(inner, depth + 1));
            }
        }
        // Nobody describes this one.
        if self.below(4) == 0 {
            object.insert("z".to_owned(), json!(self.below(3)));
        }
        Value::Object(object)
    }
}

/// The same cases in every run.
fn runner(cases: u32, seed: u8) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

fn parsed(value: &Value) -> JsonSchema {
    schema(&value.to_string())
}

#[test]
fn nothing_changes_from_a_schema_to_itself() {
    let found = runner(150, 1).run(&any_schema(), |value| {
        prop_assert_eq!(parsed(&value).changes_since(&parsed(&value)), vec![]);
        // Another text of the same meaning differs in nothing that is visible.
        let mut titled = value.clone();
        titled["title"] = json!("t");
        let changes = parsed(&titled).changes_since(&parsed(&value));
        prop_assert!(changes.len() == 1 && !changes[0].is_visible, "{:#?}", changes);
        Ok(())
    });
    found.unwrap();
}

#[test]
fn what_is_called_compatible_is() {
    // How many pairs break nobody who reads by the newer schema, how many documents were tried on them, and the same the
    // other way round: a test that never gets there proves nothing.
    let counts = std::cell::Cell::new([0_usize; 4]);
    let found = runner(700, 2).run(&(pair(), any::<u64>()), |((older, newer), seed)| {
        let (old, new) = (parsed(&older), parsed(&newer));
        let changes = new.changes_since(&old);
        let mut count = counts.get();
        if !changes.iter().any(|change| change.breaks_backward) {
            count[0] += 1;
            for number in 0..30 {
                let data = Maker(seed.wrapping_add(number)).value(&older, 0);
                if checked(&old, &data.to_string()).is_ok() {
                    count[1] += 1;
                    let read = checked(&new, &data.to_string());
                    prop_assert!(read.is_ok(), "{:?}\n{}\n{}\n{}\n{:#?}", read, older, newer, data, changes);
                }
            }
        }
        if !changes.iter().any(|change| change.breaks_forward) {
            count[2] += 1;
            for number in 0..30 {
                let data = Maker(seed.wrapping_add(number)).value(&newer, 0);
                if checked(&new, &data.to_string()).is_ok() {
                    count[3] += 1;
                    // Where the older schema closes nothing, a field that it does not know is passed over.
                    let read = checked(&old, &data.to_string());
                    prop_assert!(read.is_ok(), "{:?}\n{}\n{}\n{}\n{:#?}", read, older, newer, data, changes);
                }
            }
        }
        counts.set(count);
        Ok(())
    });
    found.unwrap();
    let [backward, older, forward, newer] = counts.get();
    assert!(backward > 300 && older > 5000 && forward > 300 && newer > 5000, "{:?}", counts.get());
}

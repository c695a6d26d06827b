//! Events that come by SQL are held against their schemas as those of every other door.

use pacioli_core::conformance::history::Random;
use pacioli_core::schemas::{SchemaFormat, Setting, SettingScope};
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Payload, StreamName,
};
use pacioli_postgres::PostgresStore;
use pacioli_schema::Schema;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::DbError;
use uuid::Uuid;

use super::world::{client, json_schema, register, schema, served};
use crate::faults::world::seed;

/// Schemas of every keyword that SQL knows, and data that is and is not as they say.
fn table() -> Vec<(Value, Vec<Value>)> {
    let order = json!({
        "$defs": {"money": {"type": "integer", "minimum": 0}, "line": {"type": "object", "properties": {
            "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}, "price": {"$ref": "#/$defs/money"},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/line"}}}, "required": ["sku"]}},
        "type": "object", "title": "An order", "description": "…", "examples": [1],
        "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 1, "maxItems": 2},
                       "note/1": {"type": ["string", "null"], "maxLength": 3, "format": "email"}},
        "required": ["lines"], "additionalProperties": false});
    vec![
        (json!({"type": "integer"}), vec![json!(1), json!(1.0), json!(1.5), json!("1"), json!(null), json!(true)]),
        (json!({"type": ["string", "null", "object"]}), vec![json!("a"), json!(null), json!({}), json!(1), json!([])]),
        (json!({"type": "number", "multipleOf": 0.5}), vec![json!(1.5), json!(1), json!(1.2)]),
        (json!({"minimum": 1, "maximum": 3}), vec![json!(1), json!(3.0), json!(0.9), json!(4), json!("a")]),
        (json!({"exclusiveMinimum": 1, "exclusiveMaximum": 3}), vec![json!(1), json!(2), json!(3), json!(1.0)]),
        (
            json!({"minLength": 2, "maxLength": 3}),
            vec![json!("é"), json!("éé"), json!("😀😀😀"), json!("abcd"), json!(1)],
        ),
        (json!({"pattern": "^a.c|\\d$"}), vec![json!("abc"), json!("a\nc"), json!("x1"), json!("x١"), json!("b")]),
        (json!({"pattern": "^\\w+@[^\\s]+\\.(com|org)$"}), vec![json!("a@b.com"), json!("é@b.com"), json!("a@b.net")]),
        (json!({"enum": [1, "a", null, {"x": [1]}]}), vec![json!(1.0), json!("a"), json!({"x": [1.0]}), json!("b")]),
        (json!({"const": {"a": 1}}), vec![json!({"a": 1.0}), json!({"a": 1, "b": 2})]),
        (
            json!({"minItems": 1, "maxItems": 2, "items": {"type": "string"}}),
            vec![json!([]), json!(["a"]), json!(["a", 1]), json!(["a", "b", "c"])],
        ),
        (
            json!({"minProperties": 1, "maxProperties": 2}),
            vec![json!({}), json!({"a": 1}), json!({"a": 1, "b": 2, "c": 3})],
        ),
        (
            json!({"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}),
            vec![json!({"a": "x", "b": 1}), json!({"b": "x"}), json!({"a": 1})],
        ),
        (json!({"anyOf": [{"type": "string"}, {"minimum": 3}]}), vec![json!("a"), json!(3), json!(2)]),
        (json!({"oneOf": [{"type": "integer"}, {"minimum": 3}]}), vec![json!(1), json!(3.5), json!(4), json!(1.5)]),
        (json!({"allOf": [{"type": "integer"}, {"minimum": 3}]}), vec![json!(4), json!(1), json!("a")]),
        (json!({"not": {"type": "string"}}), vec![json!(4), json!("a")]),
        (json!({"properties": {"a": false}}), vec![json!({}), json!({"a": 1})]),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"money": {"type": "integer"}},
                   "properties": {"m": {"$ref": "#/definitions/money"}, "n": {"$ref": "#/properties/m"},
                                  "o": {"allOf": [{"$ref": "#/properties/o/allOf/1"}, {"type": "string"}]}}}),
            vec![json!({"m": 1, "n": 2, "o": "a"}), json!({"m": "not money"}), json!({"n": "x"}), json!({"o": 1})],
        ),
        (
            order,
            vec![
                json!({"lines": [{"sku": "AB-1"}]}),
                json!({"lines": []}),
                json!({}),
                json!({"lines": [{"sku": "ab-1"}]}),
                json!({"lines": [{"sku": "AB-1", "price": -1}]}),
                json!({"lines": [{"sku": "AB-1", "parts": [{"sku": "AB-2"}, {"price": 1}]}]}),
                json!({"lines": [{"sku": "AB-1"}], "note/1": "long"}),
                json!({"lines": [{"sku": "AB-1"}], "note/1": null}),
                json!({"lines": [{"sku": "AB-1"}], "x~y": 1}),
                json!("text"),
            ],
        ),
    ]
}

/// What SQL says of data: path, rule and problem; `None` where it is as the schema says.
async fn said(client: &Client, event_type: &str, data: &Value) -> Option<(String, String, String)> {
    said_of(client, event_type, &data.to_string()).await
}

async fn said_of(client: &Client, event_type: &str, data: &str) -> Option<(String, String, String)> {
    let sql = "SELECT p.path, p.rule, p.problem FROM pacioli.schemas s, pacioli.schema_problem(s.rules, s.rules, $2::text::jsonb) p
                WHERE s.type = $1 AND s.sql_door IS NULL";
    let row = client
        .query_one(sql, &[&event_type, &data])
        .await
        .unwrap_or_else(|error| panic!("{event_type} {data}: {error:?}"));
    row.get::<_, Option<String>>(1).map(|rule| (row.get(0), rule, row.get(2)))
}

#[tokio::test]
async fn the_validator_says_what_that_of_the_server_says() {
    let (url, store) = served("door_table").await;
    let client = client(&url).await;
    let table = table();
    let rows = table
        .iter()
        .enumerate()
        .map(|(n, (text, _))| json_schema(&format!("T{n}"), 1, "1.0.0", &text.to_string(), None));
    register(&store, rows.collect(), vec![]).await;
    let (mut fine, mut wrong) = (0, 0);
    for (n, (text, data)) in table.iter().enumerate() {
        let schema = Schema::parse(SchemaFormat::Json, &text.to_string(), &[]).unwrap();
        for data in data {
            let expected = schema.check(&Payload::Json(data.to_string().into())).err();
            let expected = expected.map(|broken| (broken.path, broken.rule, broken.problem));
            let found = said(&client, &format!("T{n}"), data).await;
            // Of alternatives the server tells a little more.
            if expected.as_ref().is_some_and(|(_, rule, _)| matches!(&**rule, "anyOf" | "oneOf")) {
                assert_eq!(
                    found.map(|(path, rule, _)| (path, rule)),
                    expected.map(|(path, rule, _)| (path, rule)),
                    "{text} {data}"
                );
                continue;
            }
            (fine, wrong) = if expected.is_none() { (fine + 1, wrong) } else { (fine, wrong + 1) };
            assert_eq!(found, expected, "{text} {data}");
        }
    }
    assert!(fine > 25 && wrong > 25, "{fine} {wrong}");
}

#[tokio::test]
async fn numbers_of_any_length_are_the_same_to_both() {
    let (url, store) = served("door_numbers").await;
    let client = client(&url).await;
    let schemas = [
        r#"{"type":"integer"}"#,
        r#"{"minimum":1}"#,
        r#"{"maximum":100000000000000000000}"#,
        r#"{"exclusiveMaximum":2}"#,
        r#"{"exclusiveMinimum":0}"#,
        r#"{"maximum":9007199254740993}"#,
        r#"{"const":0.1}"#,
        r#"{"enum":[1,0.30000000000000004,100000000000000000000]}"#,
    ];
    let numbers = [
        "9007199254740992.99999",
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740993.5",
        "123456789012345678901234567890",
        "123456789012345678901234567890.5",
        "0.9999999999999999999",
        "1.0000000000000000001",
        "1",
        "1.0",
        "1e0",
        "100000000000000000000",
        "1e20",
        "100000000000000000001",
        "1.999999999999999999999",
        "2.0",
        "0.1",
        "0.10000000000000001",
        "0.30000000000000004",
        "0.3",
        "1e400",
        "-1e400",
        "1e-400",
        "-1e-400",
        "0e400",
    ];
    let rows = schemas.iter().enumerate().map(|(n, text)| json_schema(&format!("N{n}"), 1, "1.0.0", text, None));
    register(&store, rows.collect(), vec![]).await;
    for (n, text) in schemas.iter().enumerate() {
        let schema = Schema::parse(SchemaFormat::Json, text, &[]).unwrap();
        for number in numbers {
            let expected = schema.check(&Payload::Json(number.into()));
            let found = said_of(&client, &format!("N{n}"), number).await;
            assert_eq!(found.is_none(), expected.is_ok(), "{text} {number}: {found:?} {expected:?}");
        }
    }
}

struct Maker(Random);

impl Maker {
    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.below(of.len())].clone()
    }

    fn scalar(&mut self) -> Value {
        self.one_of(&[
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(2.0),
            json!(2.5),
            json!(-3),
            json!(7),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("AB-12"),
            json!("été"),
            json!("a b\n"),
            json!(1e3),
            json!(0.1),
        ])
    }

    fn data(&mut self, depth: usize) -> Value {
        match self.0.below(if depth > 3 { 3 } else { 7 }) {
            0..=2 => self.scalar(),
            3 => (0..self.0.below(4)).map(|_| self.data(depth + 1)).collect(),
            _ => (0..self.0.below(4))
                .map(|_| (self.one_of(&["a", "b", "c/d"]).to_owned(), self.data(depth + 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn schema(&mut self, depth: usize) -> Value {
        let mut schema = serde_json::Map::new();
        let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
        for _ in 0..1 + self.0.below(3) {
            let deep = depth < 3;
            let (keyword, value) = match self.0.below(if deep { 20 } else { 12 }) {
                0 | 1 => ("type", json!(self.one_of(&types))),
                2 => {
                    let (one, other) = (self.one_of(&types), self.one_of(&types));
                    ("type", if one == other { json!([one]) } else { json!([one, other]) })
                }
                3 => ("enum", json!([0, "a", {"a": 1}, null])),
                4 => ("const", self.scalar()),
                5 => ("minimum", json!(self.one_of(&[0.0, 1.0, 2.5]))),
                6 => ("exclusiveMaximum", json!(self.one_of(&[2, 7]))),
                7 => ("multipleOf", json!(self.one_of(&[1.0, 0.5, 2.0]))),
                8 => ("minLength", json!(self.0.below(3))),
                9 => ("maxLength", json!(self.0.below(3))),
                10 => (
                    "pattern",
                    json!(self.one_of(&["^a", "b$", "^[A-Z]{2}-\\d+$", "\\s", "^(a|é)+", "[^a]", "^\\w*$", ".."])),
                ),
                11 => ("required", json!([self.one_of(&["a", "b", "c/d"])])),
                12 => ("minItems", json!(self.0.below(3))),
                13 => ("items", self.schema(depth + 1)),
                14 | 15 => ("properties", json!({"a": self.schema(depth + 1), "c/d": self.schema(depth + 1)})),
                16 => {
                    ("additionalProperties", if self.0.below(2) == 0 { json!(false) } else { self.schema(depth + 1) })
                }
                17 => {
                    (self.one_of(&["allOf", "anyOf", "oneOf"]), json!([self.schema(depth + 1), self.schema(depth + 1)]))
                }
                18 => ("not", self.schema(depth + 1)),
                _ => ("$ref", json!("#/$defs/r")),
            };
            schema.insert(keyword.to_owned(), value);
        }
        schema.into()
    }
}

#[tokio::test]
async fn random_schemas_accept_the_same_in_sql_as_in_the_server() {
    let (url, store) = served("door_random").await;
    let client = client(&url).await;
    let mut maker = Maker(Random::new(seed()));
    let (mut rows, mut schemas) = (Vec::new(), Vec::new());
    while schemas.len() < 200 {
        let mut text = maker.schema(0);
        text["$defs"] = json!({"r": {"type": ["integer", "object"], "properties": {"a": {"$ref": "#/$defs/r"}}}});
        let Ok(schema) = Schema::parse(SchemaFormat::Json, &text.to_string(), &[]) else { continue };
        let event_type = format!("R{}", schemas.len());
        rows.push(json_schema(&event_type, 1, "1.0.0", &text.to_string(), None));
        schemas.push((event_type, schema, text));
    }
    register(&store, rows, vec![]).await;
    let row = client
        .query_one(
            "SELECT count(*), min(type || ': ' || sql_door) FROM pacioli.schemas WHERE sql_door IS NOT NULL",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "all of it SQL knows: {:?}", row.get::<_, Option<&str>>(1));
    let (mut fine, mut wrong) = (0, 0);
    for (event_type, schema, text) in &schemas {
        for _ in 0..25 {
            let data = maker.data(0);
            let expected = schema.check(&Payload::Json(data.to_string().into()));
            let found = said(&client, event_type, &data).await;
            assert_eq!(found.is_none(), expected.is_ok(), "{text}\n{data}\n{found:?}\n{expected:?}");
            (fine, wrong) = if expected.is_ok() { (fine + 1, wrong) } else { (fine, wrong + 1) };
        }
    }
    assert!(fine > 300 && wrong > 300, "{fine} {wrong}");
}

async fn by_sql(client: &Client, stream: &str, events: &[Value]) -> Result<(i64, bool), DbError> {
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let row =
        client.query_one("SELECT * FROM pacioli.append($1, 'any', $2::text[]::jsonb[])", &[&stream, &events]).await;
    row.map(|row| (row.get("first_position"), row.get("duplicate")))
        .map_err(|error| error.as_db_error().expect("an answer").clone())
}

async fn by_store(store: &PostgresStore, stream: &str, event: &Value) -> AppendOutcome {
    let event_type = EventType::new(event["type"].as_str().expect("a text")).expect("a type");
    let mut new = NewEvent::json(EventId(Uuid::now_v7()), event_type, event["data"].to_string());
    new.schema_version = event["schema_version"].as_u64().map(|version| version as u32);
    store
        .append(Append::to(StreamName::new(stream).expect("a name"), ExpectedVersion::Any, vec![new]))
        .await
        .expect("an outcome")
}

fn mode(scope: SettingScope, value: Option<&str>) -> Setting {
    Setting { scope, name: "mode".into(), value: value.map(Into::into) }
}

fn order() -> SettingScope {
    SettingScope::Category("order".into())
}

const AMOUNT: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
const TEXT: &str = r#"{"type":"object","properties":{"amount":{"type":"string"}},"required":["amount"]}"#;

#[tokio::test]
async fn each_door_refuses_the_same_in_the_same_words() {
    let (url, store) = served("door_words").await;
    let client = client(&url).await;
    let mut hidden = json_schema("Placed", 3, "3.0.0", AMOUNT, Some("[]"));
    hidden.is_deleted = true;
    let rows = vec![
        json_schema("Placed", 1, "1.0.0", TEXT, None),
        json_schema("Placed", 2, "2.0.0", AMOUNT, Some("[]")),
        hidden,
        json_schema("Shut", 1, "1.0.0", r#"{"properties":{"a":{"uniqueItems":true}}}"#, None),
        schema("Binary", 1, r#"{"type":"record","name":"B","fields":[]}"#),
    ];
    register(&store, rows, vec![]).await;
    let modes: [(Option<&str>, Option<&str>); 7] = [
        (None, None),
        (Some("enforce"), None),
        (Some("warn"), None),
        (Some("off"), None),
        (None, Some("enforce")),
        (Some("enforce"), Some("off")),
        (Some("off"), Some("enforce")),
    ];
    let events = [
        json!({"type": "Placed", "data": {"amount": 1}}),
        json!({"type": "Placed", "data": {"amount": "1"}}),
        json!({"type": "Placed", "data": {}}),
        json!({"type": "Placed", "data": {"amount": "1"}, "schema_version": 1}),
        json!({"type": "Placed", "data": {"amount": 1}, "schema_version": 3}),
        json!({"type": "Placed", "data": {"amount": 1}, "schema_version": 9}),
        json!({"type": "Unknown", "data": {"amount": 1}}),
        json!({"type": "Unknown", "data": [], "schema_version": 4}),
    ];
    let mut refusals = 0;
    for (global, category) in modes {
        register(&store, vec![], vec![mode(SettingScope::Global, global), mode(order(), category)]).await;
        for stream in ["order-1", "$order-1"] {
            for event in &events {
                let outcome = by_store(&store, stream, event).await;
                let answer = by_sql(
                    &client,
                    stream,
                    &[json!({"type": "Unread", "data": 1}), event.clone()][usize::from(category.is_some())..],
                )
                .await;
                let at = 2 - usize::from(category.is_some());
                match (&outcome, answer) {
                    (AppendOutcome::Appended(appended), Ok((position, _))) => {
                        let rows = client
                            .query("SELECT stored_schema_version FROM pacioli.log WHERE position IN ($1, $2) ORDER BY position", &[&(appended.first_position.0 as i64), &(position + at as i64 - 1)])
                            .await
                            .unwrap();
                        assert_eq!(
                            rows[0].get::<_, i32>(0),
                            rows[1].get::<_, i32>(0),
                            "{event} is stored under one version"
                        );
                    }
                    (AppendOutcome::Refused(refusal), Err(error)) => {
                        refusals += 1;
                        let expected = refusal.to_string().replace("writes[0].events[0]", &format!("events[{at}]"));
                        assert_eq!(error.message(), expected, "{global:?} {category:?}");
                        assert_eq!((error.code().code(), error.constraint()), ("22023", Some("schema-violated")));
                    }
                    (outcome, answer) => panic!("{global:?} {category:?} {stream} {event}: {outcome:?} and {answer:?}"),
                }
            }
        }
    }
    assert!(refusals >= 15, "{refusals}");
    // What SQL cannot look at it does not take, unless nobody wants it looked at.
    register(&store, vec![], vec![mode(SettingScope::Global, None), mode(order(), None)]).await;
    for (event_type, why) in [("Shut", "its schema uses `uniqueItems`"), ("Binary", "its schema is one of avro")] {
        let error = by_sql(&client, "order-2", &[json!({"type": event_type, "data": {}})]).await.unwrap_err();
        assert_eq!(error.constraint(), Some("schema-not-in-sql"), "{error}");
        assert!(error.message().contains(why) && error.message().contains("through a server"), "{error}");
        assert!(error.message().starts_with(&format!("events[1].data: events of {event_type} version 1")), "{error}");
    }
    register(&store, vec![], vec![mode(order(), Some("off"))]).await;
    by_sql(&client, "order-2", &[json!({"type": "Shut", "data": {}})]).await.unwrap();
}

#[tokio::test]
async fn what_is_known_comes_before_its_schema_and_that_before_the_expected_version() {
    let (url, store) = served("door_precedence").await;
    let client = client(&url).await;
    let id = Uuid::now_v7();
    let event = json!({"type": "Placed", "data": {"amount": "1"}, "id": id.to_string()});
    let (first, _) = by_sql(&client, "order-1", std::slice::from_ref(&event)).await.unwrap();
    register(&store, vec![json_schema("Placed", 1, "1.0.0", AMOUNT, None)], vec![]).await;
    assert_eq!(by_sql(&client, "order-1", std::slice::from_ref(&event)).await.unwrap(), (first, true));
    let append = |expected: &str| {
        format!(
            "SELECT FROM pacioli.append('order-1', '{expected}', ARRAY['{{\"type\":\"Placed\",\"data\":{{}}}}'::jsonb])"
        )
    };
    let error = client.batch_execute(&append("7")).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("schema-violated"));
    // Deferred, it is an error of COMMIT.
    let deferred = append("any").replace("FROM pacioli.append(", "pacioli.append_deferred(");
    client.batch_execute(&format!("BEGIN; {deferred}")).await.unwrap();
    let error = client.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("schema-violated"));
}

//! SQL lifts data as the registered documents say, and as every other reader sees it.

use bytes::Bytes;
use pacioli_core::EventStore;
use pacioli_core::conformance::history::Random;
use pacioli_core::schemas::{RegistryChange, RegistryStore};
use pacioli_core::{Append, EventId, EventType, ExpectedVersion, NewEvent, Payload, StreamName};
use pacioli_schema::{Chain, Upcaster};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{client, json_schema, register, served};
use crate::faults::world::seed;

/// The table of cases that lays down what documents do.
const CASES: &str = include_str!("../../../schema/src/upcast/cases.json");

#[tokio::test]
async fn every_case_of_the_table_holds_in_sql() {
    let (url, store) = served("shapes_cases").await;
    let cases: Vec<std::collections::HashMap<&str, &RawValue>> = serde_json::from_str(CASES).unwrap();
    let schemas = cases.iter().enumerate().flat_map(|(n, case)| {
        let event_type = format!("Case{n}");
        let first = json_schema(&event_type, 1, "1.0.0", "true", None);
        [first, json_schema(&event_type, 2, "2.0.0", "true", Some(case["steps"].get()))]
    });
    register(&store, schemas.collect(), vec![]).await;
    let client = client(&url).await;
    let mut compared = 0;
    for (n, case) in cases.iter().enumerate() {
        let (data, lifted) = (case["data"].get(), case["lifted"].get());
        // What the log does not take, nobody lifts in it.
        if pacioli_core::json::check(data.as_bytes()).is_err() || pacioli_core::json::check(lifted.as_bytes()).is_err()
        {
            continue;
        }
        let sql = "SELECT pacioli.shape_of($1, 1, $2::text::json)::text, $3::text::jsonb::text,
                          pacioli.shape_json($1, 1, $2::text::json)::jsonb::text, pacioli.shape_version($1, 1)";
        let row = client.query_one(sql, &[&format!("Case{n}"), &data, &lifted]).await.unwrap();
        let (made, expected, as_json): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(made, expected, "{}", case["what"]);
        assert_eq!(as_json, expected, "{}", case["what"]);
        assert_eq!(row.get::<_, i32>(3), 2);
        compared += 1;
    }
    assert!(compared > 50, "{compared} cases are too few");
}

#[tokio::test]
async fn what_a_document_says_is_never_read_as_sql() {
    let (url, store) = served("shapes_hostile").await;
    let client = client(&url).await;
    // As an owner may have set it: then nothing looks at a function's text before it runs.
    let database: String = client.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
    client.batch_execute(&format!("ALTER DATABASE \"{database}\" SET check_function_bodies = off")).await.unwrap();
    drop(store);
    let store = super::world::again(&url).await;
    let ends = ["$shape$", "$p0$", "$$", "'", "\\'", "*/", "{schema}", "{types}", "{name}", "{steps}"];
    let hostile = |n: usize| format!("x{}; CREATE TABLE pacioli.owned_{n}(i int); SELECT {}", ends[n], ends[n]);
    let steps = |n: usize| {
        json!([{"op": "default", "path": "/said", "value": hostile(n)},
               {"op": "constant", "path": format!("/{}", hostile(n).replace('~', "~0").replace('/', "~1")), "value": n},
               {"op": "split", "from": "/parts", "separator": ends[n], "paths": ["/first", "/second"]}])
        .to_string()
    };
    let event_type = |n: usize| format!("Said{n} {}", ends[n]);
    let schemas = (0..ends.len()).flat_map(|n| {
        let first = json_schema(&event_type(n), 1, "1.0.0", "true", None);
        [first, json_schema(&event_type(n), 2, "2.0.0", "true", Some(&steps(n)))]
    });
    register(&store, schemas.collect(), vec![]).await;
    for (n, end) in ends.iter().enumerate() {
        let data = json!({"parts": format!("a{end}b")}).to_string();
        let document = format!(r#"{{"from":1,"to":2,"steps":{}}}"#, steps(n));
        let upcaster = Upcaster::parse(&document).unwrap();
        let expected = Chain::new([&upcaster]).lift(&Bytes::from(data.clone()));
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let sql = "SELECT pacioli.shape_of($1, 1, $2::text::json)::text";
        let made: String = client.query_one(sql, &[&event_type(n), &data]).await.unwrap().get(0);
        assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), expected, "{end}");
    }
    let sql = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'owned%'";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// Documents and data of a small world, so that steps meet what earlier ones left.
struct Maker(Random);

impl Maker {
    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.below(of.len())].clone()
    }

    fn name(&mut self) -> &'static str {
        self.one_of(&["a", "b", "c", "0", "1", "01", "-1"])
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.0.below(if depth > 2 { 7 } else { 11 }) {
            0 => Value::Null,
            1 => json!(self.0.below(2) == 1),
            2 => json!(self.one_of(&[0, 1, -7, 42])),
            3 => json!(self.one_of(&[0.5, 2.0, 1e3, -0.0])),
            4 => json!(self.one_of(&["", "a", "a b c", "1", "-007", "1.50", "true", "x,y"])),
            5 => json!({}),
            6 => json!([]),
            7 | 8 => (0..self.0.below(4)).map(|_| self.value(depth + 1)).collect(),
            _ => self.object(depth + 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        (0..self.0.below(5))
            .map(|_| (self.name().to_owned(), self.value(depth)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Pointers within the same list, where they are within one.
    fn pointers(&mut self, count: usize) -> Vec<String> {
        let mut lists = String::new();
        for _ in 0..self.0.below(4) / 2 {
            let name = self.name();
            lists += &format!("/{name}/*");
        }
        let mut one = || {
            let below = 1 + self.0.below(3);
            (0..below).fold(lists.clone(), |path, _| format!("{path}/{}", self.name()))
        };
        (0..count).map(|_| one()).collect()
    }

    fn step(&mut self) -> Value {
        let at = self.pointers(3);
        match self.0.below(9) {
            0 | 1 => json!({"op": "move", "from": at[0], "path": at[1]}),
            2 => json!({"op": "copy", "from": at[0], "path": at[1]}),
            3 => json!({"op": "default", "path": at[0], "value": self.value(1)}),
            4 => json!({"op": "constant", "path": at[0], "value": self.value(1)}),
            5 => {
                json!({"op": "split", "from": at[0], "separator": self.one_of(&[" ", ",", "b"]), "paths": [at[1], at[2]]})
            }
            6 => {
                let mut map = json!({"op": "map", "path": at[0], "values": [[self.value(1), self.value(1)], [self.value(2), self.value(2)]]});
                if self.0.below(2) == 1 {
                    map["otherwise"] = self.value(1);
                }
                map
            }
            7 => json!({"op": "cast", "path": at[0], "to": self.one_of(&["string", "integer", "number", "boolean"])}),
            _ => {
                json!({"op": "drop", "path": if self.0.below(3) == 0 { format!("{}/*", at[0]) } else { at[0].clone() }})
            }
        }
    }
}

#[tokio::test]
async fn random_documents_do_the_same_in_sql_as_in_the_server() {
    let (url, store) = served("shapes_random").await;
    let mut maker = Maker(Random::new(seed()));
    let (mut schemas, mut chains) = (Vec::new(), Vec::new());
    while chains.len() < 250 {
        let steps: Vec<Value> = (0..1 + maker.0.below(4)).map(|_| maker.step()).collect();
        let steps = Value::from(steps).to_string();
        // Some pointers do not go together, and such a document is none.
        let Ok(upcaster) = Upcaster::parse(&format!(r#"{{"from":1,"to":2,"steps":{steps}}}"#)) else { continue };
        let event_type = format!("Random{}", chains.len());
        schemas.push(json_schema(&event_type, 1, "1.0.0", "true", None));
        schemas.push(json_schema(&event_type, 2, "2.0.0", "true", Some(&steps)));
        chains.push((event_type, Chain::new([&upcaster]), steps));
    }
    register(&store, schemas, vec![]).await;
    let client = client(&url).await;
    let mut changed = 0;
    for (event_type, chain, steps) in &chains {
        for _ in 0..12 {
            let data = maker.object(0).to_string();
            let lifted = chain.lift(&Bytes::from(data.clone()));
            let lifted = std::str::from_utf8(&lifted).unwrap();
            let sql = "SELECT pacioli.shape_of($1, 1, $2::text::json) = $3::text::jsonb, pacioli.shape_of($1, 1, $2::text::json)::text";
            let row = client
                .query_one(sql, &[event_type, &data, &lifted])
                .await
                .unwrap_or_else(|error| panic!("{steps} {data}: {error:?}"));
            assert!(row.get::<_, bool>(0), "{steps}\non {data}\nis {lifted}\nand in SQL {}", row.get::<_, String>(1));
            changed += usize::from(data != lifted);
        }
    }
    assert!(changed > 700, "only {changed} of 3000 were changed");
}

async fn store_event(store: &dyn EventStore, event_type: &str, version: u32, data: Payload) {
    let mut event = NewEvent::json(EventId(Uuid::now_v7()), EventType::new(event_type).expect("a type"), "{}");
    (event.schema_version, event.data) = (Some(version), data);
    let append = Append::to(StreamName::new("order-1").expect("a name"), ExpectedVersion::Any, vec![event]);
    let outcome = store.append(append).await.expect("an outcome");
    assert!(matches!(outcome, pacioli_core::AppendOutcome::Appended(_)), "{outcome:?}");
}

const RENAME: &str = r#"[{"op":"move","from":"/amount","path":"/cents"}]"#;

#[tokio::test]
async fn the_view_shows_the_newest_shape_up_to_a_hole() {
    let (url, store) = served("shapes_view").await;
    let client = client(&url).await;
    let amount = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
    let cents = r#"{"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]}"#;
    let noted =
        r#"{"type":"object","properties":{"cents":{"type":"integer"},"note":{"type":"string"}},"required":["cents"]}"#;
    let euros = r#"{"type":"object","properties":{"euros":{"type":"integer"}},"required":["euros"]}"#;
    for version in [1, 7] {
        store_event(&store, "Placed", version, Payload::Json(r#"{"amount":1.50}"#.into())).await;
    }
    store_event(&store, "Placed", 1, Payload::Binary(vec![1, 2].into())).await;
    store_event(&store, "Other's", 1, Payload::Json(r#"{"amount":1}"#.into())).await;
    let shown = async || {
        let rows = client
            .query("SELECT schema_version, coalesce(data::text, 'none'), stored_schema_version, coalesce(stored_data::text, 'none') FROM pacioli.log WHERE stream = 'order-1' ORDER BY position", &[])
            .await
            .unwrap();
        rows.iter()
            .map(|row| {
                format!(
                    "{} {} {} {}",
                    row.get::<_, i32>(0),
                    row.get::<_, &str>(1),
                    row.get::<_, i32>(2),
                    row.get::<_, &str>(3)
                )
            })
            .collect::<Vec<_>>()
    };
    let as_stored = [
        r#"1 {"amount": 1.50} 1 {"amount": 1.50}"#,
        r#"7 {"amount": 1.50} 7 {"amount": 1.50}"#,
        "1 none 1 none",
        r#"1 {"amount": 1} 1 {"amount": 1}"#,
    ];
    assert_eq!(shown().await, as_stored);
    register(&store, vec![json_schema("Placed", 1, "1.0.0", amount, None)], vec![]).await;
    assert_eq!(shown().await, as_stored, "there is nothing newer");
    // A rename, then an addition that needs no document, then a break that nothing leads over.
    register(&store, vec![json_schema("Placed", 2, "2.0.0", cents, Some(RENAME))], vec![]).await;
    assert_eq!(shown().await[..2], [r#"2 {"cents": 1.50} 1 {"amount": 1.50}"#, as_stored[1]]);
    register(&store, vec![json_schema("Placed", 3, "2.1.0", noted, None)], vec![]).await;
    let in_three = r#"3 {"cents": 1.50} 1 {"amount": 1.50}"#;
    assert_eq!(shown().await, [in_three, as_stored[1], as_stored[2], as_stored[3]]);
    register(
        &store,
        vec![
            json_schema("Placed", 4, "3.0.0", euros, None),
            json_schema("Other's", 1, "1.0.0", "true", None),
            json_schema("Other's", 2, "1.1.0", "true", Some(RENAME)),
        ],
        vec![],
    )
    .await;
    assert_eq!(shown().await, [in_three, as_stored[1], as_stored[2], r#"2 {"cents": 1} 1 {"amount": 1}"#]);
    // What leads over it comes later, and what is hidden stays the end that it was.
    let mut hidden =
        json_schema("Placed", 4, "3.0.0", euros, Some(r#"[{"op":"move","from":"/cents","path":"/euros"}]"#));
    register(&store, vec![hidden.clone()], vec![]).await;
    assert_eq!(shown().await[0], r#"4 {"euros": 1.50} 1 {"amount": 1.50}"#);
    hidden.is_deleted = true;
    register(&store, vec![hidden], vec![]).await;
    let in_four = r#"4 {"euros": 1.50} 1 {"amount": 1.50}"#;
    assert_eq!(shown().await[0], in_four);
    let within =
        "SELECT pacioli.shapes_within(ARRAY['Placed'], ARRAY[3, 0, 0]::bigint[], ARRAY[4, 0, 0]::bigint[])::text";
    let reached: String = client.query_one(within, &[]).await.unwrap().get(0);
    assert_eq!(reached, r#"{"Placed": {"1": 4, "2": 4, "3": 4, "4": 4}}"#);
    // A store whose functions are made anew has them still, and so has one whose registry is empty again.
    client
        .batch_execute("UPDATE pacioli.migrations SET definitions = 'of before', definitions_version = 1")
        .await
        .unwrap();
    pacioli_postgres::migrate::init(&crate::support::location(&url), None).await.unwrap();
    assert_eq!(shown().await[0], in_four);
    let now = store.registry().await.unwrap();
    let removed = now.schemas.iter().map(|schema| (schema.event_type.clone(), schema.version)).collect();
    let all = RegistryChange { removed, ..super::world::change(now.generation.0, vec![], vec![]) };
    store.change_registry(all).await.unwrap();
    assert_eq!(shown().await, as_stored);
    let left = client.query("SELECT FROM pg_proc WHERE proname LIKE 'shape\\_step\\_%'", &[]).await.unwrap();
    assert!(left.is_empty(), "what nothing needs is gone");
}

#[tokio::test]
async fn events_that_are_not_lifted_cost_no_call() {
    let (url, store) = served("shapes_plan").await;
    let client = client(&url).await;
    let plan = async |sql: &str| {
        let rows = client.query(&format!("EXPLAIN (VERBOSE, COSTS OFF) {sql}"), &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    };
    let sql = "SELECT data, schema_version FROM pacioli.log";
    let before = plan(sql).await;
    assert!(!before.contains("shape_"), "nothing is called while nothing is registered: {before}");
    let types = [json_schema("A", 1, "1.0.0", "true", None), json_schema("A", 2, "1.1.0", "true", Some(RENAME))];
    register(&store, types.to_vec(), vec![]).await;
    let after = plan(sql).await;
    assert!(after.contains("= ANY ('{A}'::text[])") && !after.contains("shape_of"), "it is planned in: {after}");
}

#[tokio::test]
async fn a_document_that_grows_without_end_leaves_the_data() {
    let (url, store) = served("shapes_growth").await;
    let client = client(&url).await;
    let double: Vec<Value> = (0..60).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/a"})).collect();
    let double = Value::from(double).to_string();
    register(
        &store,
        vec![json_schema("A", 1, "1.0.0", "true", None), json_schema("A", 2, "1.1.0", "true", Some(&double))],
        vec![],
    )
    .await;
    let row = client.query_one("SELECT pacioli.shape_of('A', 1, '{\"a\":{\"b\":1}}')::text", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), r#"{"a": {"b": 1}}"#);
}

//! The whole gate on a store: real schemas, a rename with its upcaster, and read models over both.

use std::sync::Arc;

use pacioli_core::append::Refusal;
use pacioli_core::conformance::toy;
use pacioli_core::schemas::{Gate, RegistryChange};
use pacioli_core::{Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{AdvanceError, BuildNumber, Engine, Role, Sample};
use pacioli_schema::SchemaGate;
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

use super::support::{BALANCES, TOTALS, models, name, projection, query, rows, to_head};
use crate::registry::register;
use crate::support::{append, stream};

const FIRST: &str = r#"{"type":"object","properties":{"amount":{"type":"integer","minimum":0},"note":{"type":"string"}},"required":["amount"]}"#;
const SECOND: &str = r#"{"type":"object","properties":{"cents":{"type":"integer","minimum":0},"note":{"type":"string"}},"required":["cents"]}"#;
const RENAME: &str = r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/amount","path":"/cents"}]}"#;

fn deposit(id: u128, data: &str) -> NewEvent {
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("Deposited").expect("a type"), data.to_owned())
}

fn version(number: u32, semver: &str, text: &str, upcaster: Option<&str>) -> RegistryChange {
    let mut schema = toy::schema("Deposited", number, semver, upcaster);
    schema.text = text.into();
    RegistryChange { schemas: vec![schema], ..RegistryChange::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_field_is_seen_under_its_new_name_by_every_read_model() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = Arc::new(SchemaGate::new());
    let options = SqliteOptions { gate: Some(Arc::clone(&gate) as Arc<dyn Gate>), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).expect("the store opens");
    append(&store, "account-1", vec![deposit(1, r#"{"amount":1}"#)]).await;
    register(&store, version(1, "1.0.0", FIRST, None)).await;
    append(&store, "account-1", vec![deposit(2, r#"{"amount":2,"note":"two"}"#)]).await;
    register(&store, version(2, "2.0.0", SECOND, Some(RENAME))).await;
    append(&store, "account-1", vec![deposit(3, r#"{"cents":3}"#)]).await;
    assert_eq!(gate.generation().0, 2);

    let late = Append::to(stream("account-1"), ExpectedVersion::Any, vec![deposit(4, r#"{"amount":4}"#)]);
    match store.append(late.clone()).await.expect("an outcome") {
        AppendOutcome::Refused(Refusal::BySchema(violation)) => {
            assert_eq!((violation.schema_version, violation.accepted_by), (2, Some(1)), "{violation}");
        }
        other => panic!("{other:?}"),
    }
    let mut says_which = late;
    says_which.writes[0].events[0].schema_version = Some(1);
    store.append(says_which).await.expect("an outcome");

    let models = models(&store);
    for (of, text) in [("balances", BALANCES), ("totals", TOTALS)] {
        models.begin(&projection(text), 1).await.expect("a build");
        to_head(&models, of, Role::Serving, 2).await.expect("it fills");
        let verified = models.verify(&name(of), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
        assert_eq!(verified.different, 0, "{of}: {:?}", verified.differences);
    }
    assert_eq!(rows(&models, "SELECT cents, moves FROM balances").await, [[Value::Int(10), Value::Int(4)]]);
    assert_eq!(rows(&models, "SELECT events, cents FROM totals").await, [[Value::Int(4), Value::Int(10)]]);
    let seen = "SELECT sum(data ->> 'cents'), min(schema_version), count(*) FROM events WHERE type = 'Deposited'";
    assert_eq!(rows(&models, seen).await, [[Value::Int(10), Value::Int(2), Value::Int(4)]]);
    let second = "SELECT data FROM events WHERE position = 3";
    let lifted = query(&models, second).await.expect("an answer");
    assert_eq!(lifted.rows, [[Value::Json(r#"{"note":"two","cents":2}"#.to_owned())]]);

    let bounded = BALANCES.replace("projection: balances", "projection: old").replace("balances", "old_balances");
    let bounded = bounded.replace("-- version: 1", "-- version: 1\n-- schemas: Deposited ^1");
    let bounded = bounded.replace(":data.cents", ":data.amount");
    models.begin(&projection(&bounded), 1).await.expect("a build");
    match to_head(&models, "old", Role::Serving, 100).await {
        Err(AdvanceError::Event { place: Some(place), error }) => {
            assert_eq!(place.to_string(), "0:5");
            assert!(error.contains("Deposited 2.0.0") && error.contains("understands ^1"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rows(&models, "SELECT cents, moves FROM old_balances").await, [[Value::Int(3), Value::Int(2)]]);
}

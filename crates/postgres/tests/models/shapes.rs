//! Handlers see the newest shape that is registered, within what their file says that they understand.

use std::sync::Arc;

use pacioli_core::schemas::{Gate, RegisteredSchema, RegistryStore};
use pacioli_core::{AppendOutcome, NewEvent, Position, Refusal};
use pacioli_postgres::{PostgresModels, PostgresOptions};
use pacioli_projection::Engine;
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{AdvanceError, BuildNumber, EngineError, Query, QueryLimits, Sample, State};
use pacioli_schema::SchemaGate;

use super::world::{BALANCES, COUNTS, World, catch_up, event, name, projection};
use crate::registry::world::{json_schema, register};
use crate::support::{location, options};

const RENAME: &str = r#"[{"op":"move","from":"/amount","path":"/cents"}]"#;
const AMOUNT: &str = r#"{"properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
const CENTS: &str = r#"{"properties":{"cents":{"type":"integer"}},"required":["cents"]}"#;

async fn world(label: &'static str) -> World {
    let gate: Arc<dyn Gate> = Arc::new(SchemaGate::new());
    World::with(label, PostgresOptions { gate: Some(gate), ..options() }).await
}

fn versions(steps: Option<&str>) -> Vec<RegisteredSchema> {
    vec![json_schema("Deposited", 1, "1.0.0", AMOUNT, None), json_schema("Deposited", 2, "2.0.0", CENTS, steps)]
}

fn old(n: i64) -> NewEvent {
    NewEvent { schema_version: Some(1), ..event("Deposited", &format!(r#"{{"amount":{n}}}"#)) }
}

fn new(n: i64) -> NewEvent {
    NewEvent { schema_version: Some(2), ..event("Deposited", &format!(r#"{{"cents":{n}}}"#)) }
}

/// The file with these lines in its header.
fn with(text: &str, lines: &str, field: &str) -> String {
    text.replace("-- version: 1", &format!("-- version: 1\n{lines}"))
        .replace(":data.cents", &format!(":data.{field}"))
        .replace("'cents'", &format!("'{field}'"))
}

fn withheld(error: AdvanceError) -> (String, String) {
    let AdvanceError::Event { place: Some(place), error } = error else { panic!("{error:?}") };
    (place.to_string(), error)
}

const STATE: &str =
    "SELECT string_agg(account || '=' || cents || '/' || events, ' ' ORDER BY account) FROM pacioli_read.balances";

#[tokio::test(flavor = "multi_thread")]
async fn handlers_batches_and_queries_see_the_newest_shape() {
    let world = world("models_shapes").await;
    world.append("account-1", vec![old(1), old(2)]).await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.append("account-1", vec![new(3)]).await;
    for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
        world.begin(text).await;
        world.catch_up(named, 1).await.expect("it advances");
        let verified = world.models.verify(&name(named), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!(verified.different, 0, "{verified:?}");
    }
    assert_eq!(world.value(STATE).await, "account-1=6/3");
    assert_eq!(world.value("SELECT cents FROM pacioli_read.counts").await, "6");
    let sql = "SELECT CAST(sum(CAST(data ->> 'cents' AS bigint)) AS bigint), min(schema_version) FROM events WHERE type = 'Deposited'";
    let answer = world.models.query(Query { sql: sql.to_owned(), as_of: None, limits: QueryLimits::default() }).await;
    assert_eq!(answer.expect("an answer").rows, [[Value::Int(6), Value::Int(2)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_stops_before_what_it_does_not_understand_and_loses_nothing() {
    for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
        let world = world("models_withheld").await;
        world.append("account-1", vec![old(1), old(2)]).await;
        register(&world.store, versions(Some(RENAME)), vec![]).await;
        world.append("account-1", vec![new(3), old(4)]).await;
        world.begin(&with(text, "-- schemas: Deposited ^1", "amount")).await;
        for _ in 0..2 {
            let (place, said) = withheld(world.catch_up(named, 1).await.expect_err("it stops"));
            // The record of the change lies between.
            assert_eq!(place, "0:4");
            assert!(said.starts_with("test.sql:3: the event at 0:4 is Deposited 2.0.0 (schema version 2), and this reader understands ^1; teach"), "{said}");
            let stands = world.build(named, 1).await;
            assert_eq!((stands.progress[0].position, stands.progress[0].events), (Position(3), 2));
        }
        // Somebody who knows passes over it.
        let place = "0:4"
            .split_once(':')
            .map(|_| pacioli_core::Place { partition: pacioli_core::Partition::ZERO, position: Position(4) })
            .unwrap();
        world.models.set_state(&name(named), BuildNumber(1), State::Paused).await.expect("it pauses");
        world.models.skip(&name(named), BuildNumber(1), place).await.expect("it is passed over");
        world.catch_up(named, 1).await.expect("it goes on");
        let verified = world.models.verify(&name(named), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!(verified.different, 0, "{verified:?}");
        assert_eq!(
            world.value(&format!("SELECT sum(cents)::text || ' ' || sum(events) FROM pacioli_read.{named}")).await,
            "7 3"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_minor_passes_and_an_upcaster_lets_a_projection_go_on_without_a_new_build() {
    let world = world("models_minor").await;
    register(&world.store, versions(None), vec![]).await;
    world.append("account-1", vec![new(1), old(2), new(3)]).await;
    world.begin(&with(BALANCES, "-- schemas: Deposited ^2", "cents")).await;
    let (place, said) = withheld(world.catch_up("balances", 1).await.expect_err("it stops"));
    assert!(place == "0:3" && said.contains("Deposited 1.0.0 (schema version 1)"), "{place} {said}");
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.catch_up("balances", 1).await.expect("it goes on");
    let minor = json_schema("Deposited", 3, "2.1.0", CENTS, None);
    register(&world.store, vec![minor], vec![]).await;
    world.append("account-1", vec![NewEvent { schema_version: Some(3), ..new(4) }]).await;
    world.catch_up("balances", 1).await.expect("a newer minor passes");
    assert_eq!(world.value(STATE).await, "account-1=10/4");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_without_schemas_count_as_their_major() {
    let world = world("models_unregistered").await;
    world.append("account-1", vec![old(1), new(2)]).await;
    world.begin(&with(BALANCES, "-- schemas: Deposited ^1, Withdrawn *", "amount")).await;
    let (place, said) = withheld(world.catch_up("balances", 1).await.expect_err("it stops"));
    assert_eq!(place, "0:2");
    assert!(said.contains("of schema version 2, which is not registered"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_projection_skips_it_passes_over() {
    let world = world("models_skips").await;
    world.append("account-1", vec![old(1)]).await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.append("account-1", vec![new(2), old(3), new(4)]).await;
    for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
        world.begin(&with(text, "-- schemas: Deposited ^1\n-- on-newer: skip", "amount")).await;
        world.catch_up(named, 1).await.expect("it advances");
        let sums = format!("SELECT sum(cents)::text || ' ' || sum(events) FROM pacioli_read.{named}");
        assert_eq!(world.value(&sums).await, "4 2");
        assert_eq!(world.build(named, 1).await.progress[0].position, Position(5));
        assert_eq!(passed_over(&world, named, 1).await, [("Deposited".to_owned(), 2)]);
        let verified = world.models.verify(&name(named), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!(verified.different, 0, "{verified:?}");
        assert_eq!(passed_over(&world, named, 1).await, [("Deposited".to_owned(), 2)], "a fold counts nothing");
    }
    world.append("account-1", vec![new(5)]).await;
    for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
        world.catch_up(named, 1).await.expect("it goes on");
        assert_eq!(passed_over(&world, named, 1).await, [("Deposited".to_owned(), 3)]);
        // A rebuild counts from the start of the log, whatever the size of its steps.
        world.begin(&with(text, "-- schemas: Deposited ^1\n-- on-newer: skip", "amount")).await;
        assert_eq!(passed_over(&world, named, 2).await, []);
        catch_up(&world.models, named, 2, 1).await.expect("it fills");
        assert_eq!(passed_over(&world, named, 2).await, [("Deposited".to_owned(), 3)]);
        world.models.drop_build(&name(named), BuildNumber(2)).await.expect("it is dropped");
    }
    let left = "SELECT string_agg(DISTINCT schema_name, ' ') FROM pacioli_projections.passed_over";
    assert_eq!(world.value(left).await.split(' ').count(), 2, "of a build that is gone nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_an_event_that_somebody_skips_is_counted() {
    let world = world("models_skip_counts").await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.append("account-1", vec![new(1), new(2), old(3), new(4), old(5)]).await;
    world.begin(&with(BALANCES, "-- schemas: Deposited ^1\n-- on-newer: skip", "amount")).await;
    let place = pacioli_core::Place { partition: pacioli_core::Partition::ZERO, position: Position(4) };
    world.models.set_state(&name("balances"), BuildNumber(1), State::Paused).await.expect("it pauses");
    world.models.skip(&name("balances"), BuildNumber(1), place).await.expect("it is passed over");
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 2)]);
    world.catch_up("balances", 1).await.expect("it goes on");
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 3)]);
    assert_eq!(world.value(STATE).await, "account-1=5/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_partitions_count_together() {
    let gate: Arc<dyn Gate> = Arc::new(SchemaGate::new());
    let options = PostgresOptions { gate: Some(gate), partitions: Some(3), ..options() };
    let world = World::with("models_skip_workers", options).await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    for n in 0..40 {
        world.append(&format!("account-{n}"), vec![old(1), new(2), new(3)]).await;
    }
    let text = with(BALANCES, "-- parallel-by: stream\n-- schemas: Deposited ^1\n-- on-newer: skip", "amount");
    world.models.begin(&projection(&text), 3).await.expect("a build");
    catch_up(&world.models, "balances", 1, 7).await.expect("it fills");
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 80)]);
}

/// What a build passed over, by type.
async fn passed_over(world: &World, named: &str, number: u32) -> Vec<(String, u64)> {
    let build = world.build(named, number).await;
    build.passed_over.iter().map(|(event_type, events)| (event_type.to_string(), *events)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_counts_what_it_passes_over_with_the_appends_that_are_stored() {
    let world = world("models_sync_skips").await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.append("account-1", vec![old(1), new(2)]).await;
    let lines = "-- mode: sync\n-- types: Deposited, Withdrawn\n-- schemas: Deposited ^1\n-- on-newer: skip";
    let text = with(BALANCES, lines, "amount").replace("-- category: account\n", "");
    let text = text.replace("cents BIGINT NOT NULL", "cents BIGINT NOT NULL CHECK (cents < 100)");
    world.begin(&text).await;
    world.swap("balances", 1).await.expect("it serves");
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 1)]);
    world.append("account-1", vec![new(3), old(4)]).await;
    let outcome = world.append("account-1", vec![new(5), old(1_000)]).await;
    assert!(matches!(outcome, AppendOutcome::Refused(_)), "{outcome:?} {text}");
    world.append("account-1", vec![new(6)]).await;
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 3)]);
    let sql = r#"SELECT * FROM pacioli.append('account-1', 'any', ARRAY['{"type":"Deposited","schema_version":2,"data":{"cents":7}}'::jsonb])"#;
    world.client().await.simple_query(sql).await.expect("it is appended");
    assert_eq!(passed_over(&world, "balances", 1).await, [("Deposited".to_owned(), 4)]);
    assert_eq!(world.value(STATE).await, "account-1=5/2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_refuses_an_append_that_it_does_not_understand() {
    let world = world("models_sync_shapes").await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    let text = with(BALANCES, "-- mode: sync\n-- types: Deposited, Withdrawn\n-- schemas: Deposited ^1", "amount")
        .replace("-- category: account\n", "");
    world.begin(&text).await;
    world.catch_up("balances", 1).await.expect("it advances");
    world.swap("balances", 1).await.expect("it serves");
    world.append("account-1", vec![old(1)]).await;
    let before = world.store.registry().await.expect("the registry").generation;
    let outcome = world.append("account-1", vec![old(2), new(3)]).await;
    let AppendOutcome::Refused(Refusal::ByProjection { reason, .. }) = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("Deposited 2.0.0") && reason.contains("understands ^1"), "{reason} {before}");
    assert_eq!(world.value(STATE).await, "account-1=1/1");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_elsewhere_see_the_newest_shape_and_refuse_a_range() {
    let world = world("models_far_shapes").await;
    let elsewhere = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_shapes_elsewhere"))
        .await
        .expect("a database");
    world.append("account-1", vec![old(1), event("Withdrawn", r#"{"cents":0}"#)]).await;
    register(&world.store, versions(Some(RENAME)), vec![]).await;
    world.append("account-1", vec![new(3)]).await;
    let models = PostgresModels::open(&world.store, Some(location(&elsewhere)), None).await.expect("read models");
    models.begin(&projection(BALANCES), 1).await.expect("it begins");
    catch_up(&models, "balances", 1, 100).await.expect("it advances");
    let there = super::world::connect(&elsewhere).await;
    let row = there
        .query_one("SELECT sum(cents)::bigint, sum(events)::bigint FROM pacioli_read.balances", &[])
        .await
        .expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 3));
    let bounded = projection(&with(BALANCES, "-- schemas: Deposited ^1", "amount"));
    let Err(EngineError::File(findings)) = models.begin(&bounded, 1).await else { panic!("it is refused") };
    assert!(findings[0].line == 3 && findings[0].problem.contains("--read-models"), "{findings:?}");
}

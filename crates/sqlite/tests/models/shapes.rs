//! Read models see events in the newest shape that is registered, within what they understand; the log stays as it is.

use pacioli_core::conformance::toy;
use pacioli_core::schemas::RegistryChange;
use pacioli_core::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, NewEvent, Partition, Payload, Place, Position, Refusal,
    Timestamp,
};
use pacioli_projection::answer::{Kind, Value};
use pacioli_projection::engine::{
    AdvanceError, BuildNumber, Engine, EngineError, Failed, Moment, Query, QueryLimits, Role, Sample, State,
};
use pacioli_sqlite::{SqliteModels, SqliteStore};

use super::support::{BALANCES, TOTALS, build, models, name, projection, query, rows, text, to_head};
use crate::registry::{open_with_gate, register};
use crate::support::{append, event, open, stream, whole_log};
use crate::sync_projections::serve;

/// A deposit as it was written before the field had another name: schema version 1.
fn old(id: u128) -> NewEvent {
    deposit(id, "amount", 1)
}

/// The same of today: version 2.
fn new(id: u128) -> NewEvent {
    deposit(id, "cents", 2)
}

fn deposit(id: u128, field: &str, schema_version: u32) -> NewEvent {
    let data = format!("{{\"{field}\":{id},\"note\":\"note {id}\"}}").into();
    NewEvent { data: Payload::Json(data), schema_version: Some(schema_version), ..event(id, "Deposited") }
}

/// Two versions of a deposit; with an upcaster the second is reached from the first.
fn versions(upcaster: Option<&str>) -> RegistryChange {
    let schemas = vec![toy::schema("Deposited", 1, "1.0.0", None), toy::schema("Deposited", 2, "2.0.0", upcaster)];
    RegistryChange { schemas, ..RegistryChange::default() }
}

fn renamed() -> RegistryChange {
    versions(Some("\"amount\"=>\"cents\""))
}

/// BALANCES with these lines in its header.
fn balances_with(lines: &str, field: &str) -> String {
    BALANCES
        .replace("-- version: 1", &format!("-- version: 1\n{lines}"))
        .replace(":data.cents", &format!(":data.{field}"))
}

/// What each event was, by the shape in which a handler saw it.
const SEEN: &str = "-- projection: seen
-- version: 1
-- category: account

CREATE TABLE seen (position BIGINT PRIMARY KEY, schema_version BIGINT NOT NULL, cents BIGINT, amount BIGINT, data TEXT);

-- on: Deposited
INSERT INTO seen (position, schema_version, cents, amount, data)
VALUES (:position, :schema_version, :data.cents, :data.amount, :data);
";

/// `old` deposits and as many new ones behind them, over three accounts, in a store that can lift the old ones.
async fn lifted(store: &SqliteStore, old_ones: u128) {
    for id in 1..=old_ones {
        append(store, &format!("account-{}", id % 3), vec![old(id)]).await;
    }
    register(store, renamed()).await;
    for id in old_ones + 1..=2 * old_ones {
        append(store, &format!("account-{}", id % 3), vec![new(id)]).await;
    }
}

async fn one(store: &SqliteStore, sql_count: u128, event: NewEvent) -> AppendOutcome {
    let request = Append::to(stream(&format!("account-{}", sql_count % 3)), ExpectedVersion::Any, vec![event]);
    store.append(request).await.expect("an outcome")
}

fn withheld(error: AdvanceError) -> (Option<String>, String) {
    match error {
        AdvanceError::Event { place, error } => (place.map(|place| place.to_string()), error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_folds_and_questions_of_the_past_see_the_newest_shape() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    lifted(&store, 30).await;
    let models = models(&store);
    for (of, text) in [("balances", BALANCES), ("totals", TOTALS), ("seen", SEEN)] {
        models.begin(&projection(text), 1).await.expect("a build");
        to_head(&models, of, Role::Serving, 7).await.expect("it fills");
        models.keep_copy(&name(of), BuildNumber(1)).await.expect("a copy");
        let verified = models.verify(&name(of), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
        assert_eq!((verified.different, verified.rows > 0), (0, true), "{of}: {:?}", verified.differences);
    }
    let sum: i64 = (1..=60).sum();
    assert_eq!(rows(&models, "SELECT sum(cents), sum(moves) FROM balances").await, [[Value::Int(sum), Value::Int(60)]]);
    assert_eq!(rows(&models, "SELECT events, cents FROM totals").await, [[Value::Int(60), Value::Int(sum)]]);
    let seen =
        rows(&models, "SELECT schema_version, count(cents), count(amount) FROM seen GROUP BY schema_version").await;
    assert_eq!(seen, [[Value::Int(2), Value::Int(60), Value::Int(0)]]);
    let data = rows(&models, "SELECT data FROM seen WHERE position = 1").await;
    assert_eq!(data, [[text("{\"cents\":1,\"note\":\"note 1\"}")]]);

    // The record of the change took a position too.
    for (position, cents) in [(20, 210), (40, (1..=39).sum::<i64>())] {
        let moment = Moment::At(format!("0:{position}").parse().expect("a checkpoint"));
        let ask =
            |sql: &str| Query { sql: sql.to_owned(), as_of: Some(moment.clone()), limits: QueryLimits::default() };
        for sql in
            ["SELECT sum(cents) FROM balances", "SELECT sum(data ->> 'cents') FROM events WHERE type = 'Deposited'"]
        {
            let answer = models.query(ask(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(answer.rows, [[Value::Int(cents)]], "{sql} at {position}");
        }
    }
    let stored = whole_log(&store, Filter::default()).await;
    assert_eq!(stored[0].schema_version, 1);
    assert!(stored[0].data.bytes().starts_with(b"{\"amount\":1"), "the log stays as it is: {:?}", stored[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relation_events_lifts_what_can_be_lifted_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    let models = models(&store);
    let before = "SELECT data, schema_version, metadata FROM events WHERE position = 1";
    append(&store, "account-1", vec![old(1), event(2, "Other")]).await;
    let raw = query(&models, before).await.expect("an answer");
    assert_eq!(raw.rows, [[Value::Json("{\"amount\":1,\"note\":\"note 1\"}".to_owned()), Value::Int(1), Value::Null]]);

    // Schemas of one version lift nothing, and those of a type that has no event yet wait for it.
    let schemas = vec![toy::schema("Deposited", 1, "1.0.0", None)];
    register(&store, RegistryChange { schemas, ..RegistryChange::default() }).await;
    assert_eq!(query(&models, before).await.expect("an answer"), raw);
    let later = vec![toy::schema("Later", 1, "1.0.0", None), toy::schema("Later", 2, "1.1.0", Some("\"n\"=>\"m\""))];
    register(&store, RegistryChange { schemas: later, ..RegistryChange::default() }).await;
    assert_eq!(query(&models, before).await.expect("an answer"), raw);
    append(&store, "account-2", vec![NewEvent { schema_version: Some(1), ..event(3, "Later") }]).await;
    let type_of_later = "SELECT data ->> 'm', schema_version FROM events WHERE type = 'Later'";
    assert_eq!(rows(&models, type_of_later).await, [[Value::Int(3), Value::Int(2)]]);

    register(&store, renamed()).await;
    let binary = NewEvent { data: Payload::Binary(vec![1, 2].into()), ..old(4) };
    append(&store, "account-1", vec![new(5), binary]).await;
    let answer = query(&models, before).await.expect("an answer");
    assert_eq!(
        answer.rows,
        [[Value::Json("{\"cents\":1,\"note\":\"note 1\"}".to_owned()), Value::Int(2), Value::Null]]
    );
    assert_eq!(answer.columns[0].kind, Kind::Json, "as before it could be lifted");
    let all = query(&models, "SELECT * FROM events ORDER BY position").await.expect("an answer");
    assert_eq!((all.columns[9].kind, all.columns[7].kind), (Kind::Any, Kind::Int), "one of them is binary");
    for (sql, expected) in [
        ("SELECT count(*) FROM events WHERE type = 'Deposited'", 3),
        ("SELECT count(*) FROM events WHERE schema_version = 2", 3),
        ("SELECT count(*) FROM events WHERE schema_version = '2'", 3),
        ("SELECT count(*) FROM events WHERE data LIKE '%amount%'", 0),
        ("SELECT sum(CASE typeof(data) WHEN 'text' THEN data ->> 'cents' END) FROM events", 6),
        (
            "WITH e AS (SELECT data AS d FROM events WHERE type = 'Deposited') SELECT count(*) FROM e WHERE d LIKE '{\"cents%'",
            2,
        ),
        ("SELECT length(data) FROM events WHERE typeof(data) = 'blob'", 2),
    ] {
        assert_eq!(rows(&models, sql).await, [[Value::Int(expected)]], "{sql}");
    }
    for refused in ["SELECT pacioli_data(1, 'a', 1, 1, '{}')", "SELECT pacioli_schema_version(1, 'a', 1, 1, '{}')"] {
        assert!(query(&models, refused).await.is_err(), "{refused}");
    }
    // Other programs see what is stored.
    let conn = rusqlite::Connection::open(directory.path().join("log.db")).expect("the log");
    let data: String = conn.query_row(before, [], |row| row.get(0)).expect("the event");
    assert!(data.starts_with("{\"amount\""), "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_stops_before_what_it_does_not_understand_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    lifted(&store, 777).await;
    let models = models(&store);
    models.begin(&projection(&balances_with("-- schemas: Deposited ^1", "amount")), 1).await.expect("a build");
    // Batches large enough to be read ahead, and one event at a time.
    for events_max in [100, 1] {
        let (place, said) =
            withheld(to_head(&models, "balances", Role::Serving, events_max).await.expect_err("it stops"));
        // The record of the change lies between.
        assert_eq!(place.as_deref(), Some("0:779"));
        assert!(said.contains("Deposited 2.0.0 (schema version 2)") && said.contains("understands ^1"), "{said}");
        let stands = build(&models, "balances", Role::Serving).await;
        assert_eq!((stands.progress[0].position, stands.progress[0].events), (Position(778), 777));
        let sum: i64 = (1..=777).sum();
        assert_eq!(rows(&models, "SELECT sum(cents) FROM balances").await, [[Value::Int(sum)]]);
    }
    let verified =
        models.verify(&name("balances"), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
    assert_eq!(verified.different, 0, "{:?}", verified.differences);

    // A person passes over one, and a fold does the same.
    let place = Place { partition: Partition::ZERO, position: Position(779) };
    let failed = Failed { place, error: "it waits".to_owned(), at: Timestamp::default() };
    models.set_state(&name("balances"), BuildNumber(1), State::Failed(failed)).await.expect("it failed");
    models.skip(&name("balances"), BuildNumber(1), place).await.expect("it is skipped");
    let (place, _) = withheld(to_head(&models, "balances", Role::Serving, 50).await.expect_err("it stops"));
    assert_eq!(place.as_deref(), Some("0:780"));
    let verified =
        models.verify(&name("balances"), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
    assert_eq!(verified.different, 0, "{:?}", verified.differences);
    let past = Query {
        sql: "SELECT sum(cents) FROM balances".to_owned(),
        as_of: Some(Moment::Occurred(Timestamp::from_micros(i64::MAX / 2))),
        limits: QueryLimits::default(),
    };
    let error = models.query(past).await.expect_err("it cannot be folded so far").to_string();
    assert!(error.contains("0:780") && error.contains("understands ^1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_later_lets_a_projection_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    register(&store, versions(None)).await;
    append(&store, "account-1", vec![new(1), old(2), new(3)]).await;
    let models = models(&store);
    models.begin(&projection(&balances_with("-- schemas: Deposited ^2", "cents")), 1).await.expect("a build");
    let (place, said) = withheld(to_head(&models, "balances", Role::Serving, 100).await.expect_err("it stops"));
    assert_eq!(place.as_deref(), Some("0:3"));
    assert!(said.contains("Deposited 1.0.0"), "{said}");
    register(&store, renamed()).await;
    to_head(&models, "balances", Role::Serving, 100).await.expect("it goes on");
    assert_eq!(rows(&models, "SELECT cents, moves FROM balances").await, [[Value::Int(6), Value::Int(3)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_skips_passes_over_what_it_does_not_understand() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    lifted(&store, 120).await;
    let models = models(&store);
    let text = balances_with("-- schemas: Deposited ^1\n-- on-newer: skip", "amount");
    models.begin(&projection(&text), 1).await.expect("a build");
    to_head(&models, "balances", Role::Serving, 100).await.expect("it fills");
    let sum: i64 = (1..=120).sum();
    assert_eq!(rows(&models, "SELECT sum(cents) FROM balances").await, [[Value::Int(sum)]]);
    let stands = build(&models, "balances", Role::Serving).await;
    let head = store.head().await.expect("the head");
    assert_eq!((stands.checkpoint(&head), stands.progress[0].events), (head, 120));
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 120)]);
    let verified =
        models.verify(&name("balances"), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
    assert_eq!(verified.different, 0, "{:?}", verified.differences);
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 120)], "a fold counts nothing");

    // What the catalogue keeps says it still, and a file that was made before it was counted counts from now on.
    drop(models);
    let models = super::support::models(&store);
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 120)]);
    drop(models);
    let file = directory.path().join("read-models").join("balances.1.db");
    let conn = rusqlite::Connection::open(file).expect("the file of the build");
    conn.execute_batch("DROP TABLE pacioli_passed_over").expect("it is of an older version");
    drop(conn);
    let models = super::support::models(&store);
    assert_eq!(passed_over(&models, Role::Serving).await, []);
    append(&store, "account-1", vec![new(1_000), old(1_001)]).await;
    to_head(&models, "balances", Role::Serving, 100).await.expect("it goes on");
    assert_eq!(rows(&models, "SELECT sum(cents) FROM balances").await, [[Value::Int(sum + 1_001)]]);
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 1)]);

    // A rebuild counts from the start of the log, whatever the size of its steps.
    for (number, step) in [(2, 1), (3, 7), (4, 1_000)] {
        models.begin(&projection(&text), 1).await.expect("a build");
        assert_eq!(passed_over(&models, Role::Filling).await, []);
        to_head(&models, "balances", Role::Filling, step).await.expect("it fills");
        assert_eq!(passed_over(&models, Role::Filling).await, [("Deposited".to_owned(), 121)], "in steps of {step}");
        models.swap(&name("balances"), BuildNumber(number)).await.expect("it serves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_an_event_that_somebody_skips_is_counted_and_nothing_of_it_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    register(&store, renamed()).await;
    append(&store, "account-1", vec![new(1), new(2), old(3), new(4), old(5)]).await;
    let models = models(&store);
    let text = balances_with("-- schemas: Deposited ^1\n-- on-newer: skip", "amount");
    models.begin(&projection(&text), 1).await.expect("a build");
    let skip = async |position: u64| {
        let place = Place { partition: Partition::ZERO, position: Position(position) };
        let failed = Failed { place, error: "it failed".to_owned(), at: Timestamp::default() };
        models.set_state(&name("balances"), BuildNumber(1), State::Failed(failed)).await.expect("it failed");
        models.skip(&name("balances"), BuildNumber(1), place).await
    };
    // The record of the change is the first event, and the third deposit is to be applied before the last is skipped.
    let Err(EngineError::Refused(said)) = skip(6).await else { panic!("an event before it would be lost") };
    assert!(said.contains("0:6 is not the next event"), "{said}");
    assert_eq!(passed_over(&models, Role::Serving).await, []);
    skip(4).await.expect("two that it does not understand lie before");
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 2)]);
    to_head(&models, "balances", Role::Serving, 100).await.expect("it goes on");
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 3)]);
    assert_eq!(rows(&models, "SELECT sum(cents) FROM balances").await, [[Value::Int(5)]]);
}

/// What a build passed over, by type.
async fn passed_over(models: &SqliteModels, role: Role) -> Vec<(String, u64)> {
    let build = build(models, "balances", role).await;
    build.passed_over.iter().map(|(event_type, events)| (event_type.to_string(), *events)).collect()
}

async fn sums(models: &SqliteModels) -> Vec<Vec<Value>> {
    rows(models, "SELECT sum(cents), sum(moves) FROM balances").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_sees_the_newest_shape_or_refuses_the_append() {
    for (lines, new_is_taken) in [
        ("", true),
        ("-- schemas: Deposited ^2", true),
        ("-- schemas: Deposited ^1", false),
        ("-- schemas: Deposited ^1\n-- on-newer: skip", true),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = open_with_gate(directory.path());
        register(&store, renamed()).await;
        append(&store, "account-1", vec![old(1), old(2)]).await;
        let sees_old = lines.contains("^1");
        let field = if sees_old { "amount" } else { "cents" };
        let models = models(&store);
        let number =
            serve(&models, &balances_with(&format!("-- mode: sync\n{lines}"), field)).await.expect("it serves");
        for (id, is_old) in [(3, true), (4, false), (5, false), (6, true)] {
            let head = store.head().await.expect("the head");
            match one(&store, 1, if is_old { old(id) } else { new(id) }).await {
                AppendOutcome::Appended(_) => assert!(is_old || new_is_taken, "{lines}: {id}"),
                AppendOutcome::Refused(Refusal::ByProjection { projection, reason }) => {
                    assert!(!is_old && !new_is_taken, "{lines}: {id}");
                    assert_eq!(projection, "balances");
                    assert!(reason.contains("Deposited 2.0.0") && reason.contains("understands ^1"), "{reason}");
                    assert_eq!(store.head().await.expect("the head"), head);
                }
                other => panic!("{lines}: {other:?}"),
            }
        }
        let ids: &[i64] = if sees_old { &[1, 2, 3, 6] } else { &[1, 2, 3, 4, 5, 6] };
        let expected = [[Value::Int(ids.iter().sum()), Value::Int(ids.len() as i64)]];
        assert_eq!(sums(&models).await, expected, "{lines}");
        let verified = models.verify(&name("balances"), number, Sample::All, &|_| {}).await.expect("it is compared");
        assert_eq!(verified.different, 0, "{lines}: {:?}", verified.differences);
        drop((models, store));
        let (store, _) = open_with_gate(directory.path());
        let models = super::support::models(&store);
        assert_eq!(sums(&models).await, expected, "{lines}: opened again");
        let over: &[(String, u64)] = if lines.contains("skip") { &[("Deposited".to_owned(), 2)] } else { &[] };
        assert_eq!(passed_over(&models, Role::Serving).await, over, "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_that_catches_up_does_what_one_in_batches_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    lifted(&store, 40).await;
    let models = models(&store);
    // Nobody fills it: it is the writer that takes it to the head.
    let text = balances_with("-- mode: sync", "cents");
    models.begin(&projection(&text), 1).await.expect("a build");
    models.swap(&name("balances"), BuildNumber(1)).await.expect("it serves");
    assert_eq!(sums(&models).await, [[Value::Int((1..=80).sum()), Value::Int(80)]]);

    let stops =
        text.replace("-- version: 1", "-- version: 2\n-- schemas: Deposited ^1").replace(":data.cents", ":data.amount");
    models.begin(&projection(&stops), 1).await.expect("a build");
    match models.swap(&name("balances"), BuildNumber(2)).await {
        Err(EngineError::Refused(problem)) => assert!(problem.contains("understands ^1"), "{problem}"),
        other => panic!("{other:?}"),
    }
    let filling = build(&models, "balances", Role::Filling).await;
    match &filling.state {
        State::Failed(failed) => assert_eq!(failed.place.to_string(), "0:42", "behind 40 deposits and the record"),
        other => panic!("{other:?}"),
    }
    assert_eq!(sums(&models).await, [[Value::Int((1..=80).sum()), Value::Int(80)]], "the other one serves on");
    append(&store, "account-1", vec![new(1_000)]).await;
    assert_eq!(sums(&models).await[0][1], Value::Int(81));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gate_or_a_schema_everything_comes_as_it_is_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    {
        let (store, _) = open_with_gate(directory.path());
        append(&store, "account-1", vec![old(1), new(2)]).await;
        let models = models(&store);
        models.begin(&projection(SEEN), 1).await.expect("a build");
        to_head(&models, "seen", Role::Serving, 100).await.expect("it fills");
        register(&store, renamed()).await;
    }
    let store = open(directory.path());
    let models = models(&store);
    let expected = [[Value::Int(1), Value::Null, Value::Int(1)], [Value::Int(2), Value::Int(2), Value::Null]];
    assert_eq!(rows(&models, "SELECT schema_version, cents, amount FROM seen ORDER BY position").await, expected);
    let log = "SELECT schema_version, data ->> 'cents', data ->> 'amount' FROM events WHERE type = 'Deposited' ORDER BY position";
    assert_eq!(rows(&models, log).await, expected);
    let verified = models.verify(&name("seen"), BuildNumber(1), Sample::All, &|_| {}).await.expect("it is compared");
    assert_eq!(verified.different, 0, "{:?}", verified.differences);
    let stops = SEEN.replace("projection: seen", "projection: other").replace("seen (", "other (");
    let stops = stops.replace("-- version: 1", "-- version: 1\n-- schemas: Deposited ^1");
    models.begin(&projection(&stops), 1).await.expect("a build");
    to_head(&models, "other", Role::Serving, 100).await.expect("nobody knows what it does not understand");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_counts_what_it_passes_over_with_the_appends_that_are_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open_with_gate(directory.path());
    register(&store, renamed()).await;
    append(&store, "account-1", vec![old(1), new(2)]).await;
    let models = models(&store);
    let text = balances_with("-- mode: sync\n-- schemas: Deposited ^1\n-- on-newer: skip", "amount")
        .replace("CHECK (cents >= 0)", "CHECK (cents < 100)");
    assert!(text.contains("cents < 100"), "{text}");
    models.begin(&projection(&text), 1).await.expect("a build");
    // It is the writer that takes it to the head.
    models.swap(&name("balances"), BuildNumber(1)).await.expect("it serves");
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 1)]);
    // One append after the other in one batch, and the second is refused with what it would have passed over.
    let to = |events| Append::to(stream("account-1"), ExpectedVersion::Any, events);
    let appends = [vec![new(3), old(4)], vec![new(5), old(1_000)], vec![new(6)], vec![new(7), new(8)]];
    let outcomes = futures::future::join_all(appends.map(|events| store.append(to(events)))).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Ok(AppendOutcome::Refused(_)))).count();
    assert_eq!(refused, 1, "{outcomes:?}");
    assert_eq!(passed_over(&models, Role::Serving).await, [("Deposited".to_owned(), 5)]);
    assert_eq!(sums(&models).await, [[Value::Int(5), Value::Int(2)]]);
}

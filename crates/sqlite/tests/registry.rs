//! The registry of schemas lies in the log's file: whole or not at all wherever the process ends, and no build and no program
//! that does not know it appends past it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pacioli_core::append::Refusal;
use pacioli_core::conformance::toy::{self, ToyGate};
use pacioli_core::schemas::{
    Gate, Generation, REGISTRY_STREAM, Registry, RegistryChange, RegistryOutcome, RegistryStore,
};
use pacioli_core::{Append, AppendError, AppendOutcome, EventStore, ExpectedVersion, Filter, NewEvent, StreamName};
use pacioli_projection::answer::Value;
use pacioli_sqlite::{SqliteOptions, SqliteStore};

use crate::models::support::{models, rows};
use crate::support::{append, event, open, stream, whole_log};
use crate::sync_projections::serve;

const DIRECTORY: &str = "PACIOLI_KILLED_DIRECTORY";

/// Opens a store with a gate that it tells what it has.
pub(crate) fn open_with_gate(directory: &Path) -> (SqliteStore, ToyGate) {
    let gate = ToyGate::new();
    let options = SqliteOptions { gate: Some(Arc::new(gate.clone())), ..SqliteOptions::default() };
    (SqliteStore::open(directory, options).expect("the store opens"), gate)
}

/// Makes a change of the registry as it is now.
pub(crate) async fn register(store: &SqliteStore, change: RegistryChange) -> Generation {
    let expected = store.registry().await.expect("the registry").generation;
    let record = vec![event(uuid::Uuid::new_v4().as_u128(), "SchemaRegistered")];
    match store.change_registry(RegistryChange { expected, record, ..change }).await.expect("an outcome") {
        RegistryOutcome::Changed { generation, .. } => generation,
        moved => panic!("{moved:?}"),
    }
}

fn placed() -> RegistryChange {
    let schemas = vec![toy::schema("Placed", 1, "1.0.0", None)];
    RegistryChange { schemas, settings: vec![toy::refused("Gone", true)], ..RegistryChange::default() }
}

fn one(name: &str, event: NewEvent) -> pacioli_core::AppendRequest {
    Append::to(stream(name), ExpectedVersion::Any, vec![event])
}

/// What the file says of itself: its format, and how many tables of the registry it has.
fn format_and_tables(directory: &Path) -> (i64, i64) {
    let conn = rusqlite::Connection::open(directory.join("log.db")).expect("the log");
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).expect("a number");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'pacioli!_schema%' ESCAPE '!'";
    (number("SELECT value FROM meta WHERE key = 'format'"), number(tables))
}

#[tokio::test(flavor = "multi_thread")]
async fn older_builds_are_kept_out_from_the_first_change_on_and_not_before() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()));
    assert_eq!(format_and_tables(directory.path()), (1, 3));
    // As a build of before there were schemas made it.
    let conn = rusqlite::Connection::open(directory.path().join("log.db")).expect("the log");
    for table in ["pacioli_schemas", "pacioli_schema_settings", "pacioli_schema_readers"] {
        conn.execute_batch(&format!("DROP TABLE {table}")).expect("it is dropped");
    }
    drop(conn);

    let (store, gate) = open_with_gate(directory.path());
    append(&store, "order-1", vec![event(1, "Placed"), event(2, "Gone")]).await;
    assert_eq!(store.registry().await.expect("the registry"), Registry::default());
    assert_eq!(store.named_readers().await.expect("the readers"), []);
    assert!(!store.forget_reader("nobody").await.expect("an answer"));
    drop(store);
    assert_eq!(format_and_tables(directory.path()), (1, 0), "nothing was written that an older build does not know");

    let (store, _) = open_with_gate(directory.path());
    assert_eq!(register(&store, placed()).await, Generation(1));
    drop(store);
    assert_eq!(format_and_tables(directory.path()), (2, 3), "a build of format 1 refuses it");
    assert_eq!(gate.generation(), Generation(0), "each store tells its own gate");

    let (store, gate) = open_with_gate(directory.path());
    assert_eq!(gate.known(), store.registry().await.expect("the registry"));
    assert_eq!(gate.known().schemas, placed().schemas);
    drop(store);
    let conn = rusqlite::Connection::open(directory.path().join("log.db")).expect("the log");
    conn.execute_batch("UPDATE meta SET value = 3 WHERE key = 'format'").expect("it is changed");
    drop(conn);
    let refused = SqliteStore::open(directory.path(), SqliteOptions::default()).map(drop).expect_err("it is newer");
    assert!(refused.reason.contains("the store has format 3 and this build knows 1 and 2"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gate_nothing_is_appended_to_a_store_that_has_schemas() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    append(&store, "order-1", vec![event(1, "Placed")]).await;
    register(&store, placed()).await;
    let head = store.head().await.expect("the head");
    let assert_closed = async |store: SqliteStore| {
        for name in ["order-1", "$told-1"] {
            let request = Append::to(StreamName::from_storage(name), ExpectedVersion::Any, vec![event(2, "Placed")]);
            match store.append(request).await {
                Err(AppendError::Denied { reason }) => assert!(reason.contains("without a schema gate"), "{reason}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(whole_log(&store, Filter::default()).await.len(), 2, "it is read as before");
        assert_eq!(store.head().await.expect("the head"), head);
    };
    assert_closed(store).await;
    assert_closed(open(directory.path())).await;
    let (store, _) = open_with_gate(directory.path());
    append(&store, "order-1", vec![event(2, "Placed")]).await;
    let refused = store.append(one("order-1", event(3, "Gone"))).await.expect("an outcome");
    assert!(matches!(refused, AppendOutcome::Refused(Refusal::BySchema(_))), "{refused:?}");
}

/// Takes records while they are few.
const RECORDS: &str = "-- projection: records
-- version: 1
-- mode: sync
-- category: $schemas

CREATE TABLE records (position BIGINT PRIMARY KEY, type TEXT NOT NULL, number BIGINT NOT NULL CHECK (number < 2));

-- on: *
INSERT INTO records (position, type, number) VALUES (:position, :type, :version);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_projection_sees_the_record_and_may_refuse_the_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, gate) = open_with_gate(directory.path());
    let models = models(&store);
    serve(&models, RECORDS).await.expect("it serves");
    register(&store, placed()).await;
    register(&store, RegistryChange { settings: vec![toy::refused("Gone", false)], ..RegistryChange::default() }).await;
    let recorded = rows(&models, "SELECT position, type FROM records ORDER BY position").await;
    let record = |position| vec![Value::Int(position), Value::Text("SchemaRegistered".to_owned())];
    assert_eq!(recorded, [record(1), record(2)]);

    let (known, head) = (gate.known(), store.head().await.expect("the head"));
    let record = vec![event(9, "SchemaRegistered")];
    let schemas = vec![toy::schema("Other", 1, "1.0.0", None)];
    let change = RegistryChange { expected: known.generation, schemas, record, ..RegistryChange::default() };
    match store.change_registry(change).await {
        Err(AppendError::Denied { reason }) => {
            assert!(reason.contains("the registry was not changed") && reason.contains("`records`"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.registry().await.expect("the registry"), known);
    assert_eq!((gate.known(), store.head().await.expect("the head")), (known, head));
    append(&store, "order-1", vec![event(10, "Gone")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_fit_the_disk_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let gate = ToyGate::new();
    let options =
        SqliteOptions { file_bytes_max: Some(1 << 20), gate: Some(Arc::new(gate.clone())), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).expect("the store opens");
    register(&store, placed()).await;
    let known = gate.known();
    let mut large = toy::schema("Large", 1, "1.0.0", None);
    large.text = "x".repeat(2 << 20).into();
    let record = vec![event(9, "SchemaRegistered")];
    let change = RegistryChange { expected: known.generation, schemas: vec![large], record, ..placed() };
    match store.change_registry(change).await {
        Err(AppendError::Store(error)) => assert!(error.is_full, "{error:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.registry().await.expect("the registry"), known);
    assert_eq!(gate.known(), known);
    append(&store, "order-1", vec![event(10, "Placed")]).await;
    assert_eq!(register(&store, placed()).await, Generation(2), "there is room for a small one");
}

/// What the change that makes generation `number` registers.
fn change(number: u64) -> RegistryChange {
    let name = |part: &str| format!("Type{number}{part}");
    RegistryChange {
        expected: Generation(number - 1),
        schemas: vec![toy::schema(&name("a"), 1, "1.0.0", None), toy::schema(&name("b"), 7, "3.1.4", Some("x=>y"))],
        removed: Vec::new(),
        settings: vec![toy::refused(&format!("Gone{number}"), true)],
        record: (0..3).map(|part| event(u128::from(number) << 64 | part, "SchemaRegistered")).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_there_whole_or_not_at_all_wherever_the_process_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut expected = Registry::default();
    for (round, crash) in [
        Some(("registry:before-commit:1", 0)),
        Some(("registry:after-commit:1", 1)),
        Some(("registry:before-commit:4", 3)),
        Some(("registry:after-commit:3", 3)),
        None,
        None,
        None,
        None,
    ]
    .into_iter()
    .enumerate()
    {
        let mut child = Killed(spawn(directory.path(), crash.map(|(point, _)| point)));
        let out = child.0.stdout.take().expect("a pipe");
        let listening = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("changed ")?.parse().ok()).max().unwrap_or(0_u64)
        });
        match crash {
            Some(_) => assert!(!child.0.wait().expect("it ends").success()),
            None => tokio::time::sleep(Duration::from_millis(150 + round as u64 * 37)).await,
        }
        drop(child);
        let acknowledged = listening.await.expect("it listened");

        let (store, gate) = open_with_gate(directory.path());
        let before = expected.generation.0;
        let now = gate.generation().0;
        assert!(now >= acknowledged, "round {round}: {acknowledged} was acknowledged and {now} is there");
        if let Some((point, further)) = crash {
            assert_eq!(now, before + further, "{point}");
        }
        for number in before + 1..=now {
            expected.apply(&change(number));
        }
        assert_eq!(gate.known(), expected, "round {round}");
        assert_eq!(store.registry().await.expect("the registry"), expected, "round {round}");
        let log = whole_log(&store, Filter::default()).await;
        let records: Vec<u128> = log
            .iter()
            .filter(|event| event.stream.as_str() == REGISTRY_STREAM)
            .map(|event| event.id.0.as_u128())
            .collect();
        let all: Vec<u128> =
            (1..=now).flat_map(|number| (0..3).map(move |part| u128::from(number) << 64 | part)).collect();
        assert_eq!(records, all, "round {round}: each change with its whole record");
        let fences: BTreeMap<String, u64> = log
            .iter()
            .filter(|event| event.stream.as_str() == REGISTRY_STREAM)
            .map(|event| (format!("Gone{}", event.id.0.as_u128() >> 64), event.position.0))
            .collect();
        for event in &log {
            let fence = fences.get(event.event_type.as_str());
            assert!(
                fence.is_none_or(|fence| event.position.0 < *fence),
                "round {round}: {event:?} lies behind {fence:?}"
            );
        }
    }
    assert!(expected.generation.0 > 10, "it came to {} changes", expected.generation);
}

/// A process that goes when the test ends in any way.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(directory: &Path, crash_point: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "registry::the_one_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(point) = crash_point {
        command.env("PACIOLI_CRASH_POINT", point);
    }
    command.spawn().expect("it starts")
}

/// The other side: does nothing unless it is started by the test above.
#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (store, gate) = open_with_gate(Path::new(&directory));
    let number = Arc::new(AtomicU64::new(gate.generation().0));
    for task in 0..4_u64 {
        let (store, number) = (store.clone(), Arc::clone(&number));
        tokio::spawn(async move {
            for round in 0.. {
                // Of those that are to come, some are refused before they are stored.
                let gone = number.load(Ordering::SeqCst) + 1 + round % 3;
                let event = event(uuid::Uuid::new_v4().as_u128(), &format!("Gone{gone}"));
                let outcome = store.append(one(&format!("order-{task}"), event)).await.expect("an outcome");
                match outcome {
                    AppendOutcome::Appended(_) | AppendOutcome::Refused(Refusal::BySchema(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    loop {
        let next = number.load(Ordering::SeqCst) + 1;
        let outcome = store.change_registry(change(next)).await.expect("an outcome");
        assert!(matches!(outcome, RegistryOutcome::Changed { generation: Generation(now), .. } if now == next));
        let mut out = std::io::stdout().lock();
        writeln!(out, "changed {next}").and_then(|()| out.flush()).expect("the test listens");
        drop(out);
        number.store(next, Ordering::SeqCst);
    }
}

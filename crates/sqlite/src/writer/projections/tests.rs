//! Builds in every append's transaction, below the catalogue: their files are made and tampered with here.

use std::path::Path;
use std::sync::Arc;

use pacioli_core::append::Refusal;
use pacioli_core::store::AppendError;
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName, Version,
};
use pacioli_projection::Projection;
use pacioli_projection::engine::BuildNumber;
use rusqlite::Connection;
use uuid::Uuid;

use super::{NotServing, SyncBuild};
use crate::{SqliteOptions, SqliteStore};

const BALANCES: &str = "-- projection: balances
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL CHECK (cents >= 0));

-- on: Moved
INSERT INTO balances (account, cents) VALUES (:stream, :data.cents)
ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents;
";

fn build(directory: &Path, number: u32, text: &str) -> SyncBuild {
    let projection = Projection::parse("test.sql", text).unwrap();
    let file = directory.join(format!("{}.{number}.db", projection.name));
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch(sql!("models/open_build")).unwrap();
    for definition in &projection.definitions {
        conn.execute_batch(&definition.sql).unwrap();
    }
    conn.execute_batch(sql!("models/create_progress")).unwrap();
    conn.execute(sql!("models/insert_progress"), [0, 0]).unwrap();
    SyncBuild::new(Arc::new(projection), BuildNumber(number), file, None)
}

fn moved(stream: &str, id: u128, cents: &str) -> pacioli_core::append::AppendRequest {
    let data = format!("{{\"cents\":{cents}}}");
    let event = NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("Moved").unwrap(), data);
    Append::to(StreamName::new(stream).unwrap(), ExpectedVersion::Any, vec![event])
}

fn rows(build: &SyncBuild) -> Vec<(String, i64)> {
    let conn = Connection::open(&build.file).unwrap();
    let mut statement = conn.prepare("SELECT account, cents FROM balances ORDER BY account").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn stands(build: &SyncBuild) -> (i64, i64) {
    let conn = Connection::open(&build.file).unwrap();
    conn.query_row("SELECT position, events FROM pacioli_progress", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions::default()).unwrap()
}

fn serve(store: &SqliteStore, build: &SyncBuild) -> Result<(), NotServing> {
    store.serve_sync(build.clone(), || Ok(()))
}

async fn appended(store: &SqliteStore, stream: &str, id: u128, cents: &str) -> (Version, u64) {
    match store.append(moved(stream, id, cents)).await.unwrap() {
        AppendOutcome::Appended(appended) => (appended.streams[0].last_version, appended.last_position.0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for id in 1..=10 {
        appended(&store, &format!("account-{}", id % 3), id, "5").await;
    }
    let build = build(directory.path(), 1, BALANCES);
    serve(&store, &build).unwrap();
    assert_eq!(stands(&build), (10, 10), "it was taken to the head before it serves");
    for id in 11..=20 {
        appended(&store, &format!("account-{}", id % 3), id, "7").await;
        assert_eq!(stands(&build), (id as i64, id as i64));
    }
    appended(&store, "other-1", 21, "7").await;
    assert_eq!(stands(&build), (21, 20));
    assert_eq!(rows(&build).iter().map(|(_, cents)| cents).sum::<i64>(), 10 * 5 + 10 * 7);
    let refused = store.append(moved("account-1", 22, "-1000")).await.unwrap();
    let AppendOutcome::Refused(Refusal::ByProjection { projection, reason }) = refused else { panic!("{refused:?}") };
    assert_eq!(projection, "balances");
    assert!(reason.contains("test.sql:9: ") && reason.contains("CHECK"), "{reason}");
    assert_eq!(appended(&store, "account-1", 23, "1").await.1, 22, "a refused append takes no position");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_write_to_the_file_is_noticed_and_made_good_where_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let build = build(directory.path(), 1, BALANCES);
    serve(&store, &build).unwrap();
    for id in 1..=10 {
        appended(&store, "account-1", id, "5").await;
    }
    let other = Connection::open(&build.file).unwrap();
    other
        .execute_batch(
            "BEGIN; UPDATE pacioli_progress SET position = 4, events = 4; UPDATE balances SET cents = 20; COMMIT",
        )
        .unwrap();
    appended(&store, "account-1", 11, "5").await;
    assert_eq!(rows(&build), [("account-1".to_owned(), 55)]);
    assert_eq!(stands(&build), (11, 11));

    // One that is ahead of the log cannot be mended while the store is open; what it does not want goes on.
    other.execute_batch("UPDATE pacioli_progress SET position = 40").unwrap();
    let error = store.append(moved("account-1", 12, "5")).await.unwrap_err();
    assert!(matches!(&error, AppendError::Store(error) if error.reason.contains("`balances` is behind")), "{error}");
    appended(&store, "other-1", 13, "5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_rolls_everything_back_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let build = build(directory.path(), 1, &BALANCES.replace("INSERT INTO", "INSERT OR ROLLBACK INTO"));
    serve(&store, &build).unwrap();
    let mut waiting = Vec::new();
    for id in 1..=300_u128 {
        let store = store.clone();
        let cents = if id % 50 == 0 { "-1000000" } else { "1" };
        waiting.push(tokio::spawn(async move { store.append(moved("account-1", id, cents)).await.unwrap() }));
    }
    let mut positions = Vec::new();
    for (index, task) in waiting.into_iter().enumerate() {
        match task.await.unwrap() {
            AppendOutcome::Appended(appended) => positions.push(appended.last_position.0),
            AppendOutcome::Refused(_) => assert_eq!((index + 1) % 50, 0),
            other => panic!("{other:?}"),
        }
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=294).collect::<Vec<_>>());
    assert_eq!(rows(&build), [("account-1".to_owned(), 294)]);
    assert_eq!(stands(&build), (294, 294));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_cannot_serve_leaves_the_one_that_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = build(directory.path(), 1, BALANCES);
    serve(&store, &first).unwrap();
    for id in 1..=5 {
        appended(&store, "account-1", id, "10").await;
    }
    // 1. An event that it fails on.
    let strict = build(directory.path(), 2, &BALANCES.replace("cents >= 0", "cents <= 30"));
    match serve(&store, &strict) {
        Err(NotServing::Event { place: Some(place), error }) => {
            assert_eq!(place.to_string(), "0:4");
            assert!(error.contains("CHECK"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // 2. A table with the name of one of the log.
    let text = BALANCES.replace("balances", "streams");
    let Err(NotServing::Refused(why)) = serve(&store, &build(directory.path(), 1, &text)) else { panic!() };
    assert!(why.contains("`streams` has the name of a table of the log"), "{why}");
    // 3. The catalogue cannot be changed.
    let second = build(directory.path(), 3, BALANCES);
    let failing = || Err(NotServing::Refused("no".to_owned()));
    assert!(matches!(store.serve_sync(second.clone(), failing), Err(NotServing::Refused(why)) if why == "no"));
    appended(&store, "account-1", 6, "10").await;
    assert_eq!(stands(&first), (6, 6), "the first one serves as before");
    // 4. Another projection with a table of the same name.
    let text = BALANCES.replace("projection: balances", "projection: others");
    let Err(NotServing::Refused(why)) = serve(&store, &build(directory.path(), 1, &text)) else { panic!() };
    assert!(why.contains("of the sync projection `balances`"), "{why}");
    // 5. And now one that can.
    serve(&store, &second).unwrap();
    appended(&store, "account-1", 7, "10").await;
    assert_eq!((stands(&first), stands(&second)), ((6, 6), (7, 7)));
    store.stop_sync(second.projection.name.clone()).unwrap();
    appended(&store, "account-1", 8, "-1000").await;
    assert_eq!(stands(&second), (7, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_at_most_eight() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..9 {
        let text = BALANCES.replace("balances", &format!("balances_{number}"));
        let served = serve(&store, &build(directory.path(), 1, &text));
        match served {
            Ok(()) => assert!(number < 8),
            Err(NotServing::Refused(why)) => {
                assert_eq!(number, 8);
                assert!(why.contains("at most 8"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    appended(&store, "account-1", 1, "10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_based_statements_see_the_events_of_one_append() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let text = "-- projection: sizes
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE sizes (first BIGINT PRIMARY KEY, events BIGINT NOT NULL CHECK (events < 3));

-- on batch:
INSERT INTO sizes (first, events) SELECT min(position), count(*) FROM batch;
";
    let build = build(directory.path(), 1, text);
    serve(&store, &build).unwrap();
    let several = |first: u128, count: u128| {
        let mut append = moved("account-1", first, "1");
        for id in first + 1..first + count {
            append.writes[0].events.push(moved("account-1", id, "1").writes[0].events[0].clone());
        }
        append
    };
    let appends = [several(1, 1), several(2, 2), several(4, 3), several(7, 2), moved("other-1", 9, "1")];
    let outcomes = futures_of(&store, appends).await;
    let refused: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, AppendOutcome::Refused(_))).collect();
    assert_eq!(refused, [false, false, true, false, false]);
    let conn = Connection::open(&build.file).unwrap();
    let sums: (i64, i64) =
        conn.query_row("SELECT count(*), sum(events) FROM sizes", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(sums, (3, 5));
    assert_eq!(stands(&build), (6, 5));
}

async fn futures_of<const N: usize>(
    store: &SqliteStore,
    appends: [pacioli_core::append::AppendRequest; N],
) -> Vec<AppendOutcome> {
    let tasks = appends.map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await.unwrap() })
    });
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let options = || SqliteOptions { file_bytes_max: Some(2 << 20), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options()).unwrap();
    let text = "-- projection: copies
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE copies (position BIGINT, n BIGINT, text TEXT, PRIMARY KEY (position, n));

-- on: Moved
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20)
INSERT INTO copies (position, n, text) SELECT :position, n, hex(zeroblob(500)) FROM n;
";
    let build = build(directory.path(), 1, text);
    serve(&store, &build).unwrap();
    let (mut stored, mut full) = (0, 0);
    for id in 1..=200 {
        match store.append(moved("account-1", id, "1")).await {
            Ok(AppendOutcome::Appended(appended)) => {
                stored += 1;
                assert_eq!(appended.last_position.0, stored);
            }
            Err(AppendError::Store(error)) => {
                assert!(error.is_full, "{error}");
                full += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(stored > 50 && full > 50, "{stored} stored, {full} full");
    assert_eq!(stands(&build), (stored as i64, stored as i64));
    assert_eq!(store.head().await.unwrap().to_string(), format!("0:{stored}"));
    appended(&store, "other-1", 1_000, "1").await;
}

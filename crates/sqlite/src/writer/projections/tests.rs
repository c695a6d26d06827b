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
    SyncBuild::new(Arc::new(projection), BuildNumber(number), file)
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

async fn serve(store: &SqliteStore, build: &SyncBuild) -> Result<(), NotServing> {
    store.serve_sync(build.clone(), Box::new(|| Ok(()))).await
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
    serve(&store, &build).await.unwrap();
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
    serve(&store, &build).await.unwrap();
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

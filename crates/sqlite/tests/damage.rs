//! A damaged row is told by name, and nothing is repaired or skipped. The log refuses to be changed.

use pacioli_core::{Append, AppendError, EventStore, ExpectedVersion, Filter, ReadError, ReadLog};
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

use crate::support::{append, event, fill, open, stream, whole_log};

fn read_all() -> ReadLog {
    ReadLog { after: None, filter: Filter::default(), limit: 100, payload: Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_column_is_noticed() {
    let changes = [
        "stream_id = 2",
        "version = version + 1",
        "type_id = 2",
        "schema_version = 7",
        "recorded_at = recorded_at + 1",
        "occurred_at = 5",
        "hash = hash + 1",
        "id = randomblob(16)",
        "stream = 'b-1'",
        "tags = 'x'",
        "metadata = '{\"actor\":\"mallory\"}'",
        "data = '{}'",
        "data = CAST(data AS BLOB)",
        "type_id = 99",
    ];
    for change in changes {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        append(&store, "a-1", vec![event(1, "First"), event(2, "Second"), event(3, "First")]).await;
        let conn = Connection::open(directory.path().join("log.db")).expect("a connection");
        conn.execute_batch("DROP TRIGGER log_refuses_update").expect("the guard removed");
        conn.execute(&format!("UPDATE log SET {change} WHERE position = 1"), []).expect("a change");
        drop(conn);
        let told = store.read_log(read_all()).await.expect_err(change);
        assert!(matches!(&told, ReadError::Damaged { place, .. } if place.to_string() == "0:1"), "{change}: {told}");
        // The rest keeps running.
        let after = Some("0:1".parse().expect("a checkpoint"));
        assert_eq!(store.read_log(ReadLog { after, ..read_all() }).await.expect("the rest").events.len(), 2);
        append(&store, "a-2", vec![event(9, "First")]).await;
        // So it does after a restart, for which the damaged row is no obstacle.
        drop(store);
        let store = open(directory.path());
        assert_eq!(append(&store, "a-3", vec![event(10, "First")]).await.first_position.0, 5, "{change}");
        // Only its stream takes no appends, because nobody knows its next version.
        let next = Append::to(stream("a-1"), ExpectedVersion::Any, vec![event(11, "First")]);
        assert!(matches!(store.append(next).await, Err(AppendError::Store(_))), "{change}");
        assert!(matches!(store.read_log(read_all()).await, Err(ReadError::Damaged { .. })), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    append(&store, "a-1", vec![event(1, "First"), event(2, "First"), event(3, "First")]).await;
    let conn = Connection::open(directory.path().join("log.db")).expect("a connection");
    let refused = conn.execute("DELETE FROM log WHERE position = 2", []).expect_err("the guard").to_string();
    assert!(refused.contains("append-only"), "{refused}");
    let refused = conn.execute("UPDATE log SET data = '{}'", []).expect_err("the guard").to_string();
    assert!(refused.contains("append-only"), "{refused}");
    conn.execute_batch("DROP TRIGGER log_refuses_delete; DELETE FROM log WHERE position = 2").expect("a deletion");
    let told = store.read_log(read_all()).await.expect_err("a gap");
    assert!(matches!(&told, ReadError::Damaged { place, .. } if place.to_string() == "0:2"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_block_is_an_error_and_no_wrong_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    fill(&store, 1, 60_000, 100).await;
    // The writer finishes the runs of a full tail while nobody appends.
    let conn = Connection::open(directory.path().join("log.db")).expect("a connection");
    let runs = || conn.query_row("SELECT count(*) FROM index_runs WHERE complete = 1", [], |row| row.get::<_, i64>(0));
    for _ in 0..200 {
        if runs().expect("a count") > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(store);
    let blocks = conn.execute("UPDATE index_blocks SET entries = zeroblob(length(entries))", []).expect("damage");
    assert!(blocks > 0, "no run was written");
    drop(conn);
    let store = open(directory.path());
    let read = |name: &str| pacioli_core::ReadStream {
        stream: crate::support::stream(name),
        from: Some(pacioli_core::Version(0)),
        direction: Default::default(),
        limit: 10,
        payload: Default::default(),
    };
    let told = store.read_stream(read("filled-7")).await.expect_err("damage").to_string();
    assert!(told.contains("run"), "{told}");
    // The log itself is whole.
    assert_eq!(whole_log(&store, Filter::default()).await.len(), 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_when_a_merge_meets_a_damaged_block() {
    let directory = tempfile::tempdir().expect("a directory");
    let tiny = || SqliteOptions { index_tail_entries: 100, ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), tiny()).expect("the store opens");
    // Ten runs of a level wait to be sixteen.
    fill(&store, 1, 1_000, 20).await;
    drop(store);
    let conn = Connection::open(directory.path().join("log.db")).expect("a connection");
    // Not the names' (kind 1): a filter that guesses wrong about a new name would have its damaged block read, and that
    // append would be refused, as it must be.
    let damage = "UPDATE index_blocks SET entries = zeroblob(length(entries))
                   WHERE id >> 24 IN (SELECT run FROM index_runs WHERE kind <> 1)";
    let blocks = conn.execute(damage, []).expect("damage");
    assert!(blocks > 0, "no run was written");
    drop(conn);
    let store = SqliteStore::open(directory.path(), tiny()).expect("the store opens");
    for id in 10_000..13_000 {
        append(&store, &format!("new-{}", id % 7), vec![event(id, "Happened")]).await;
    }
    assert_eq!(whole_log(&store, Filter::default()).await.len(), 4_000);
}

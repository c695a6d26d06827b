//! One process at a time has a data directory; a store opened with other settings than it was made with is refused.

use pacioli_sqlite::{SqliteOptions, SqliteStore};

use pacioli_core::Filter;

use crate::support::{append, event, open, whole_log};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opening_is_refused_until_the_first_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let refused = SqliteStore::open(directory.path(), SqliteOptions::default()).err().expect("a refusal").to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(store);
    open(directory.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_fixed_at_creation() {
    let directory = tempfile::tempdir().expect("a directory");
    let with = |partitions| SqliteOptions { partitions, ..SqliteOptions::default() };
    assert_eq!(SqliteStore::open(directory.path(), with(Some(3))).expect("a new store").partitions(), 3);
    assert_eq!(SqliteStore::open(directory.path(), with(None)).expect("as it is").partitions(), 3);
    let refused = SqliteStore::open(directory.path(), with(Some(4))).err().expect("a refusal").to_string();
    assert!(refused.contains("3 partitions"), "{refused}");
    let elsewhere = tempfile::tempdir().expect("a directory");
    assert!(SqliteStore::open(elsewhere.path(), with(Some(0))).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_leaves_one_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    append(&store, "a-1", vec![event(1, "Happened")]).await;
    assert_eq!(whole_log(&store, Filter::default()).await.len(), 1);
    assert!(directory.path().join("log.db-wal").exists());
    drop(store);
    assert!(!directory.path().join("log.db-wal").exists(), "the write-ahead log is gone");
}

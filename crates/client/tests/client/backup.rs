//! A backup over the network is whole and checked, or not there.

use pacioli_core::{EventStore, ReadError, StoreError};

use crate::support::{BACKUP, Scripted, Server};

#[tokio::test]
async fn a_backup_arrives_whole_and_replaces_nothing() {
    let server = Server::start(Scripted::reads(|| None)).await;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("copy.db");
    assert_eq!(server.client().backup(&to).await.unwrap(), BACKUP.len() as u64 * 100_000);
    assert!(std::fs::read(&to).unwrap() == BACKUP.repeat(100_000));
    let error = server.client().backup(&to).await.unwrap_err();
    assert!(matches!(&error, ReadError::Invalid { field: "to", .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left lying around");
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let server = Server::start(Scripted::reads(|| Some(ReadError::Store(StoreError::new("broken"))))).await;
    let dir = tempfile::tempdir().unwrap();
    assert!(server.client().backup(&dir.path().join("copy.db")).await.is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

//! The suite that every engine passes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use pacioli_core::EventStore;
use pacioli_core::conformance::{Gated, Subject};
use pacioli_core::schemas::Gate;
use pacioli_projection::Projection;
use pacioli_projection::engine::Engine;
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};
use tempfile::TempDir;

type Opened = (Weak<dyn EventStore>, PathBuf);

/// Stores in directories of their own, which live as long as the subject.
#[derive(Default)]
struct Embedded {
    /// Entries that fill an index tail; 0 leaves it as it is. Few make runs and merges out of every check.
    index_tail_entries: usize,
    /// Whether a projection sees every append before it is accepted.
    with_projection: bool,
    directories: Mutex<Vec<TempDir>>,
    /// Where each store lies, by its address; the weak handle keeps that address from being used again.
    paths: Mutex<HashMap<usize, Opened>>,
}

impl Embedded {
    fn open(&self, path: PathBuf, partitions: Option<u16>) -> Arc<dyn EventStore> {
        self.open_with_gate(path, partitions, None).store
    }

    fn open_with_gate(&self, path: PathBuf, partitions: Option<u16>, gate: Option<Arc<dyn Gate>>) -> Gated {
        let mut options = SqliteOptions { partitions, gate, ..SqliteOptions::default() };
        if self.index_tail_entries > 0 {
            options.index_tail_entries = self.index_tail_entries;
        }
        let gated = Gated::of(SqliteStore::open(&path, options).expect("the store opens"));
        let store = &gated.store;
        self.paths.lock().expect("no panic").insert(address(store), (Arc::downgrade(store), path));
        gated
    }

    /// A directory for a store, with a projection that serves where this subject has one.
    async fn directory(&self, partitions: u16) -> PathBuf {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data");
        self.directories.lock().expect("no panic").push(directory);
        if self.with_projection {
            let options = SqliteOptions { partitions: Some(partitions), ..SqliteOptions::default() };
            let store = SqliteStore::open(&path, options).expect("the store opens");
            let models = SqliteModels::open(&store, None).expect("the read models open");
            let projection = Projection::parse("seen.sql", SEEN).expect("a projection");
            let begun = models.begin(&projection, 1).await.expect("a build");
            models.swap(&projection.name, begun.number).await.expect("it serves");
        }
        path
    }
}

fn address(store: &Arc<dyn EventStore>) -> usize {
    Arc::as_ptr(store).cast::<()>() as usize
}

#[async_trait]
impl Subject for Embedded {
    fn name(&self) -> &str {
        "the embedded store"
    }

    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
        let path = self.directory(partitions).await;
        self.open(path, Some(partitions))
    }

    async fn fresh_with_gate(&self, partitions: u16, gate: Arc<dyn Gate>) -> Option<Gated> {
        let path = self.directory(partitions).await;
        Some(self.open_with_gate(path, Some(partitions), Some(gate)))
    }

    async fn reopen_with_gate(&self, gated: Gated, gate: Arc<dyn Gate>) -> Option<Gated> {
        let (_, path) = self.paths.lock().expect("no panic").remove(&address(&gated.store))?;
        drop(gated);
        Some(self.open_with_gate(path, None, Some(gate)))
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Option<Arc<dyn EventStore>> {
        let (_, path) = self.paths.lock().expect("no panic").remove(&address(&store))?;
        drop(store);
        Some(self.open(path, None))
    }
}

pacioli_core::conformance_tests!(Embedded::default());

/// The same with index tails of a few entries, so that flushes and merges happen all the time.
mod with_tiny_tails {
    use super::Embedded;

    pacioli_core::conformance_tests!(Embedded { index_tail_entries: 5, ..Embedded::default() });
}

/// Refuses what has no place: a position that was taken, a version that does not follow.
const SEEN: &str = "-- projection: seen
-- version: 1
-- mode: sync

CREATE TABLE seen (place TEXT PRIMARY KEY);
CREATE TABLE versions (stream TEXT PRIMARY KEY, version BIGINT NOT NULL, events BIGINT NOT NULL CHECK (events = version + 1));

-- on: *
INSERT INTO seen (place) VALUES (:partition || ':' || :position);
INSERT INTO versions (stream, version, events) VALUES (:stream, -1, 0) ON CONFLICT (stream) DO NOTHING;
UPDATE versions SET version = :version, events = events + 1 WHERE stream = :stream;
";

/// The same with a projection in every append's transaction.
mod with_a_sync_projection {
    use super::Embedded;

    pacioli_core::conformance_tests!(Embedded { with_projection: true, ..Embedded::default() });
}

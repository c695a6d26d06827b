//! The suite that every engine passes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use pacioli_core::EventStore;
use pacioli_core::conformance::Subject;
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

type Opened = (Weak<dyn EventStore>, PathBuf);

/// Stores in directories of their own, which live as long as the subject.
#[derive(Default)]
struct Embedded {
    /// Entries that fill an index tail; 0 leaves it as it is. Few make runs and merges out of every check.
    index_tail_entries: usize,
    directories: Mutex<Vec<TempDir>>,
    /// Where each store lies, by its address; the weak handle keeps that address from being used again.
    paths: Mutex<HashMap<usize, Opened>>,
}

impl Embedded {
    fn open(&self, path: PathBuf, partitions: Option<u16>) -> Arc<dyn EventStore> {
        let mut options = SqliteOptions { partitions, ..SqliteOptions::default() };
        if self.index_tail_entries > 0 {
            options.index_tail_entries = self.index_tail_entries;
        }
        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open(&path, options).expect("the store opens"));
        self.paths.lock().expect("no panic").insert(address(&store), (Arc::downgrade(&store), path));
        store
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
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data");
        self.directories.lock().expect("no panic").push(directory);
        self.open(path, Some(partitions))
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

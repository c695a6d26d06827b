//! The suite that every engine passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use pacioli_core::EventStore;
use pacioli_core::conformance::Subject;
use pacioli_postgres::PostgresOptions;

use crate::support::{open, options};

type Opened = (Weak<dyn EventStore>, String);

/// Stores in databases of their own.
struct Postgres {
    options: PostgresOptions,
    /// Where each store lies, by its address; the weak handle keeps that address from being used again.
    urls: Mutex<HashMap<usize, Opened>>,
}

impl Postgres {
    fn new(options: PostgresOptions) -> Postgres {
        Postgres { options, urls: Mutex::default() }
    }

    async fn open(&self, url: String, partitions: Option<u16>) -> Arc<dyn EventStore> {
        let options = PostgresOptions { partitions, ..self.options.clone() };
        let store: Arc<dyn EventStore> = Arc::new(open(&url, options).await.expect("the store opens"));
        self.urls.lock().expect("no panic").insert(address(&store), (Arc::downgrade(&store), url));
        store
    }
}

fn address(store: &Arc<dyn EventStore>) -> usize {
    Arc::as_ptr(store).cast::<()>() as usize
}

#[async_trait]
impl Subject for Postgres {
    fn name(&self) -> &str {
        "the PostgreSQL store"
    }

    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
        let url =
            tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("conformance")).await.expect("a database");
        self.open(url, Some(partitions)).await
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Option<Arc<dyn EventStore>> {
        let (_, url) = self.urls.lock().expect("no panic").remove(&address(&store))?;
        drop(store);
        Some(self.open(url, None).await)
    }
}

pacioli_core::conformance_tests!(Postgres::new(options()));

/// The same with chunks of a few events, so that every check goes over their ends.
mod with_tiny_chunks {
    use super::{Postgres, PostgresOptions, options};

    pacioli_core::conformance_tests!(Postgres::new(PostgresOptions { chunk_events: 7, ..options() }));
}

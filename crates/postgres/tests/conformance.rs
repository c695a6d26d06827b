//! The suite that every engine passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use pacioli_core::EventStore;
use pacioli_core::conformance::{Gated, Subject};
use pacioli_core::schemas::Gate;
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
        self.open_with_gate(url, partitions, None).await.store
    }

    async fn open_with_gate(&self, url: String, partitions: Option<u16>, gate: Option<Arc<dyn Gate>>) -> Gated {
        let options = PostgresOptions { partitions, gate, ..self.options.clone() };
        let gated = Gated::of(open(&url, options).await.expect("the store opens"));
        self.urls.lock().expect("no panic").insert(address(&gated.store), (Arc::downgrade(&gated.store), url));
        gated
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

    async fn fresh_with_gate(&self, partitions: u16, gate: Arc<dyn Gate>) -> Option<Gated> {
        let url =
            tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("conformance")).await.expect("a database");
        Some(self.open_with_gate(url, Some(partitions), Some(gate)).await)
    }

    async fn reopen_with_gate(&self, gated: Gated, gate: Arc<dyn Gate>) -> Option<Gated> {
        let (_, url) = self.urls.lock().expect("no panic").remove(&address(&gated.store))?;
        drop(gated);
        Some(self.open_with_gate(url, None, Some(gate)).await)
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

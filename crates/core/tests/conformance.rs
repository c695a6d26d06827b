//! The in-memory store keeps the contract.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use pacioli_core::conformance::{Gated, Subject};
use pacioli_core::memory::MemoryStore;
use pacioli_core::schemas::Gate;
use pacioli_core::{EventStore, Limits, SystemClock};

struct Memory;

#[async_trait::async_trait]
impl Subject for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        Arc::new(MemoryStore::new(partitions, Limits::default(), clock))
    }

    async fn fresh_with_gate(&self, partitions: u16, gate: Arc<dyn Gate>) -> Option<Gated> {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        Some(Gated::of(MemoryStore::with_gate(partitions, Limits::default(), clock, gate)))
    }
}

pacioli_core::conformance_tests!(Memory);

//! The in-memory store keeps the contract.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use pacioli_core::conformance::Subject;
use pacioli_core::memory::MemoryStore;
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
}

pacioli_core::conformance_tests!(Memory);

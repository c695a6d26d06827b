//! The contract, kept through a real port.

#![expect(clippy::unwrap_used, reason = "a test says that it failed by a panic")]

#[expect(dead_code, reason = "shared with the other tests of the client, which need more of it")]
mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pacioli_core::EventStore;
use pacioli_core::conformance::Subject;

/// A client, its server, and a store in memory behind them.
#[derive(Default)]
struct OverGrpc {
    servers: Mutex<Vec<support::Server>>,
}

#[async_trait]
impl Subject for OverGrpc {
    fn name(&self) -> &str {
        "the gRPC client"
    }

    async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
        let server = support::Server::start(support::memory(partitions)).await;
        let client = server.client();
        self.servers.lock().unwrap().push(server);
        Arc::new(client)
    }
}

pacioli_core::conformance_tests!(OverGrpc::default());

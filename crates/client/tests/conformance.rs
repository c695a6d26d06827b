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

/// The same with a database behind the server; each check has one partition and then four.
mod postgres {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use pacioli_core::EventStore;
    use pacioli_core::conformance::Subject;
    use pacioli_server::OpenOptions;

    use crate::support;

    /// A client, its server, and a store in a database of its own behind them.
    #[derive(Default)]
    struct OverGrpc {
        servers: Mutex<Vec<support::Server>>,
    }

    #[async_trait]
    impl Subject for OverGrpc {
        fn name(&self) -> &str {
            "the gRPC client of a server on PostgreSQL"
        }

        async fn fresh(&self, partitions: u16) -> Arc<dyn EventStore> {
            let url = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("over_grpc")).await.unwrap();
            // The cluster does not sync, since nobody pulls its plug.
            let options =
                OpenOptions { partitions: Some(partitions), accept_data_loss: true, ..OpenOptions::default() };
            let store = pacioli_server::open_store_with(&url, options).await.unwrap().store;
            let server = support::Server::start(store).await;
            let client = server.client();
            self.servers.lock().unwrap().push(server);
            Arc::new(client)
        }
    }

    pacioli_core::conformance_tests!(OverGrpc::default());

    #[tokio::test]
    async fn a_subscriber_is_told_which_way_events_come() {
        let url = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("over_grpc_bus")).await.unwrap();
        let options = OpenOptions { accept_data_loss: true, poll_only: true, ..OpenOptions::default() };
        let store = pacioli_server::open_store_with(&url, options).await.unwrap().store;
        let server = support::Server::start(store).await;
        let client = server.client();
        assert_eq!(client.bus().word(), "memory", "nobody said yet");
        drop(client.subscribe(pacioli_core::Subscribe::default()).await.unwrap());
        assert_eq!(client.bus().word(), "polling");
    }
}

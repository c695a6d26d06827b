//! What the tests of schemas share: a server over a store with a registry, and a type that was changed twice.

use pacioli_api::schemas::{Proposed, Registered, Registration};
use pacioli_client::Client;
use pacioli_core::EventType;
use pacioli_core::schemas::SchemaFormat;
use pacioli_server::{OpenOptions, Opened, ServerConfig, open_store_with};
use tempfile::TempDir;

use crate::support::{Answer, TestServer, config};

/// What a store may be, each with its registry.
pub(crate) const STORES: [&str; 2] = ["memory:", "sqlite:DIRECTORY"];

/// The first shape of `OrderPlaced`.
pub(crate) const V1: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
/// An optional field more: 1.1.0.
pub(crate) const V2: &str =
    r#"{"type":"object","properties":{"amount":{"type":"integer"},"note":{"type":"string"}},"required":["amount"]}"#;
/// A field has another name: 2.0.0.
pub(crate) const V3: &str = r#"{"type":"object",
    "properties":{"amount_cents":{"type":"integer"},"note":{"type":"string"}},"required":["amount_cents"]}"#;
/// What lifts to it.
pub(crate) const TO_V3: &str = r#"{"from":2,"to":3,"steps":[{"op":"move","from":"/amount","path":"/amount_cents"}]}"#;

/// A server over a store with a registry.
pub(crate) struct Registry {
    pub(crate) server: TestServer,
    pub(crate) client: Client,
    _opened: Opened,
    _directory: TempDir,
}

/// An event type.
pub(crate) fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

/// The registration of a schema of `OrderPlaced`.
pub(crate) fn order_placed(text: &str, upcaster: Option<&str>) -> Registration {
    let proposed = Proposed::new(event_type("OrderPlaced"), SchemaFormat::Json, text);
    Registration::of(Proposed { upcaster: upcaster.map(str::to_owned), ..proposed })
}

impl Registry {
    pub(crate) async fn start(store: &str) -> Registry {
        Registry::with(config(), store).await
    }

    pub(crate) async fn with(config: ServerConfig, store: &str) -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let url = store.replace("DIRECTORY", &directory.path().join("data").display().to_string());
        // A cluster of the tests does not sync, since nobody pulls its plug.
        let options = OpenOptions { accept_data_loss: url.starts_with("postgres"), ..OpenOptions::default() };
        let opened = open_store_with(&url, options).await.unwrap();
        let server = TestServer::with_schemas(config, &opened).await;
        let client = server.client();
        Registry { server, client, _opened: opened, _directory: directory }
    }

    /// One with two events of the first shape of `OrderPlaced`, one of the second and one of the third, each behind one of
    /// another type. They lie at 2, 4, 7 and 10; the registrations between at 5 and 8, and the first at 1.
    pub(crate) async fn with_orders(store: &str) -> Registry {
        let registry = Registry::start(store).await;
        registry.register(V1, None).await;
        registry.place(r#"{"amount":1}"#).await;
        registry.server.fill("other-1", 1).await;
        registry.place(r#"{"amount":2}"#).await;
        registry.register(V2, None).await;
        registry.server.fill("other-1", 1).await;
        registry.place(r#"{"amount":3,"note":"three"}"#).await;
        registry.register(V3, Some(TO_V3)).await;
        registry.server.fill("other-1", 1).await;
        registry.place(r#"{"amount_cents":4,"note":"four"}"#).await;
        registry
    }

    pub(crate) async fn register(&self, text: &str, upcaster: Option<&str>) -> Registered {
        self.client.schemas().register(&order_placed(text, upcaster)).await.unwrap()
    }

    /// Places an order with this data.
    pub(crate) async fn place(&self, data: &str) -> Answer {
        let answer = self.server.append("order-1", &format!(r#"[{{"type":"OrderPlaced","data":{data}}}]"#), &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer
    }
}

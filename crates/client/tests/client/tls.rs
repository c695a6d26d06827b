//! TLS with an authority of one's own, and the token on every call.

use std::sync::{Arc, Mutex};

use pacioli_client::{Client, ClientConfig};
use pacioli_core::EventStore;

use crate::support::memory;

/// What a server of one request sees of the caller.
async fn authorization(config: impl FnOnce(std::net::SocketAddr) -> ClientConfig) -> Option<String> {
    let seen: Arc<Mutex<Option<String>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let (_shutdown, down) = tokio::sync::watch::channel(false);
    let routes = pacioli_server::grpc::services(pacioli_server::grpc::Services {
        store: memory(1),
        limits: Default::default(),
        append_timeout: std::time::Duration::from_secs(1),
        backup_dir: std::env::temp_dir(),
        shutdown: down,
    });
    let routes = routes.layer(axum::middleware::map_request(move |request: axum::extract::Request| {
        let value = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        *keep.lock().unwrap() = value;
        std::future::ready(request)
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Client::connect(config(address)).unwrap().head().await.unwrap();
    let seen = seen.lock().unwrap().clone();
    seen
}

#[tokio::test]
async fn the_token_goes_with_every_call() {
    let url = |address| format!("http://{address}");
    assert_eq!(authorization(|address| ClientConfig::new(url(address))).await, None);
    let with_token = authorization(|address| ClientConfig::new(url(address)).token("s3cret")).await;
    assert_eq!(with_token.as_deref(), Some("Bearer s3cret"));
    assert!(!format!("{:?}", ClientConfig::new("http://a").token("s3cret")).contains("s3cret"));
}

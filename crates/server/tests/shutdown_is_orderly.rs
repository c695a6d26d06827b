//! A server that is told to stop finishes what it began and keeps nobody waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::Limits;
use pacioli_server::{Models, OpenOptions, OpenReadModels, Opened, Server, open_store_with};
use tokio::net::TcpStream;

use crate::failures_are_told_apart::Failing;
use crate::support::{PATIENCE, TestServer, config, memory};

#[tokio::test]
async fn appends_are_drained_and_live_streams_end() {
    let mut server = TestServer::with(config(), Arc::new(Failing(memory(1, Limits::default())))).await;
    let mut live = server.live("/v1/events", &[]).await;
    live.caught_up().await;
    let started = Instant::now();
    let (appended, ()) = tokio::join!(
        async {
            let one = r#"[{"type":"T","data":1}]"#.as_bytes();
            let mut tcp = TcpStream::connect(server.address).await.unwrap();
            let headers = [("content-type", "application/json")];
            let request = crate::support::request("POST", "/v1/streams/slow-1/events", &headers, one);
            tokio::io::AsyncWriteExt::write_all(&mut tcp, &request).await.unwrap();
            crate::support::answer(tcp).await
        },
        async {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    );
    // The append above is slower than the pause: it is answered; now the same with the stop in between.
    assert_eq!(appended.status, 201);
    let address = server.address;
    let slow = tokio::spawn(async move {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let headers = [("content-type", "application/json")];
        let body = br#"[{"type":"T","data":2}]"#;
        let request = crate::support::request("POST", "/v1/streams/slow-1/events", &headers, body);
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &request).await.unwrap();
        crate::support::answer(tcp).await
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.stop();
    assert_eq!(slow.await.unwrap().status, 201);
    // What was committed before the stop may still be delivered; then the stream ends.
    while live.next().await.is_some() {}
    tokio::time::timeout(PATIENCE, &mut server.running).await.expect("ends in time").unwrap();
    assert!(started.elapsed() < PATIENCE);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn whoever_does_not_end_is_cut() {
    let mut hasty = config();
    hasty.limits.drain_timeout = Duration::from_millis(200);
    let mut server = TestServer::with(hasty, Arc::new(Failing(memory(1, Limits::default())))).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let headers = [("content-type", "application/json")];
    let request =
        crate::support::request("POST", "/v1/streams/stuck-1/events", &headers, br#"[{"type":"T","data":2}]"#);
    tokio::io::AsyncWriteExt::write_all(&mut tcp, &request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop();
    tokio::time::timeout(PATIENCE, &mut server.running).await.expect("ends in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_may_be_opened_again_once_its_server_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("data").display());
    for round in 0..40 {
        let opened = open_store_with(&url, OpenOptions::default()).await;
        let Opened { store, engine, schemas, .. } = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let closed = engine.closed();
        let options = OpenReadModels::default();
        let models = engine.open_read_models(options).await.unwrap();
        drop(engine);
        let server = Server::listen(config()).await.unwrap().serve(store, Models::On(models), Some(schemas)).await;
        let address = server.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move { stopped.await.unwrap() }));
        // Somebody reads still when it is told to stop.
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let request = crate::support::request("GET", "/v1/events", &[], b"");
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &request).await.unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        tokio::time::timeout(PATIENCE, closed).await.unwrap_or_else(|_| panic!("round {round}: it stays open"));
    }
}

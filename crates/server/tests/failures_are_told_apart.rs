//! What the store cannot do is said in a way that tells the client what to do next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::*;
use pacioli_server::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{PATIENCE, TestServer, config, memory, request};

/// A store that fails as the stream's or consumer's name says.
pub(crate) struct Failing(pub(crate) Arc<dyn EventStore>);

#[async_trait]
impl EventStore for Failing {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        match append.writes[0].stream.category() {
            "overloaded" => Err(AppendError::Overloaded { retry_after: Duration::from_millis(1500) }),
            "unknown" => Err(AppendError::Unknown { reason: "the connection was lost".to_owned() }),
            "full" => Err(AppendError::Store(StoreError::full("the disk is full"))),
            "stopped" => Err(AppendError::Store(StoreError::new("the store takes no appends"))),
            "denied" => Err(AppendError::Denied { reason: "not here".to_owned() }),
            "panics" => panic!("on purpose"),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                self.0.append(append).await
            }
            "stuck" => std::future::pending().await,
            _ => self.0.append(append).await,
        }
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        match read.stream.category() {
            "damaged" => {
                let place = Place { partition: Partition(0), position: Position(7) };
                Err(ReadError::Damaged { place, problem: "the hash differs".to_owned() })
            }
            "broken" => Err(ReadError::Store(StoreError::new("cannot read"))),
            "stuck" => std::future::pending().await,
            _ => self.0.read_stream(read).await,
        }
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        match read.after {
            Some(after) if after.epoch() == Epoch(2) => Err(ReadError::Rewound { to: "0:5@3".parse().unwrap() }),
            _ => self.0.read_log(read).await,
        }
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        self.0.subscribe(subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.0.stream(stream).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.0.list_streams(list).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        self.0.head().await
    }

    async fn ready(&self) -> Result<(), ReadError> {
        Err(ReadError::Store(StoreError::new("the store takes no appends")))
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.0.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        self.0.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.0.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        tokio::time::sleep(Duration::from_millis(400)).await;
        std::fs::write(to, "the copy").unwrap();
        Ok(8)
    }
}

const ONE: &str = r#"[{"type":"T","data":1}]"#;

#[tokio::test]
async fn an_append_that_failed_says_whether_to_send_it_again() {
    let mut hasty = config();
    hasty.limits.append_timeout = Duration::from_millis(100);
    let server = TestServer::with(hasty, Arc::new(Failing(memory(1, Limits::default())))).await;
    let overloaded = server.append("overloaded-1", ONE, &[]).await;
    assert_eq!(overloaded.problem(503).0, "overloaded");
    assert_eq!((overloaded.header("retry-after"), &overloaded.json()["retry_after_ms"]), (Some("2"), &1500.into()));
    for stream in ["unknown-1", "stuck-1"] {
        let unknown = server.append(stream, ONE, &[]).await;
        assert_eq!(unknown.problem(503).0, "unknown-outcome");
        // Nothing would recognise this request if it came again, so it must not be sent blindly, not by a program either.
        assert_eq!(unknown.header("retry-after"), None);
        assert!(
            unknown.text().contains("no ids and no key") && !unknown.text().contains("send the same request again")
        );
        let key = [("idempotency-key", "00000000-0000-0000-0000-000000000009")];
        let with_id = r#"[{"id":"00000000-0000-0000-0000-000000000001","type":"T","data":1}]"#;
        for unknown in [server.append(stream, ONE, &key).await, server.append(stream, with_id, &[]).await] {
            assert_eq!(unknown.problem(503).0, "unknown-outcome");
            assert_eq!(unknown.header("retry-after"), Some("1"));
            assert!(unknown.text().contains("send the same request again"));
        }
        let several = format!(r#"{{"writes":[{{"stream":"{stream}","events":{ONE}}}]}}"#);
        let json = [("content-type", "application/json")];
        let unknown = server.send("POST", "/v1/appends", &json, several.as_bytes()).await;
        assert!(unknown.text().contains("no ids and no key"), "{}", unknown.text());
    }
    assert_eq!(server.append("full-1", ONE, &[]).await.problem(507).0, "storage-full");
    assert_eq!(server.append("stopped-1", ONE, &[]).await.problem(500).0, "storage");
    assert_eq!(server.append("denied-1", ONE, &[]).await.problem(403).0, "forbidden");
}

#[tokio::test]
async fn a_store_that_takes_no_appends_is_not_ready() {
    let server = TestServer::with(config(), Arc::new(Failing(memory(1, Limits::default())))).await;
    let unready = server.get("/readyz").await;
    assert_eq!(unready.problem(503).0, "timeout");
    assert!(unready.text().contains("takes no appends"));
}

/// Waits until `/metrics` has all of these lines.
async fn metrics_say(server: &TestServer, lines: &[&str]) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let metrics = server.get("/metrics").await.text();
        if lines.iter().all(|line| metrics.lines().any(|given| given == *line)) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{lines:?} are not all in {metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_append_whose_caller_went_away_is_finished_and_counted() {
    let server = TestServer::with(config(), Arc::new(Failing(memory(1, Limits::default())))).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let json = [("content-type", "application/json")];
    tcp.write_all(&request("POST", "/v1/streams/slow-1/events", &json, ONE.as_bytes())).await.unwrap();
    metrics_say(&server, &["pacioli_appends_in_flight 1"]).await;
    drop(tcp);
    metrics_say(
        &server,
        &[
            "pacioli_events_appended_total 1",
            "pacioli_appends_total{outcome=\"appended\"} 1",
            "pacioli_appends_in_flight 0",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_append_that_took_too_long_is_counted_when_it_ends() {
    let mut hasty = config();
    hasty.limits.append_timeout = Duration::from_millis(100);
    let server = TestServer::with(hasty, Arc::new(Failing(memory(1, Limits::default())))).await;
    assert_eq!(server.append("slow-1", ONE, &[]).await.problem(503).0, "unknown-outcome");
    metrics_say(
        &server,
        &[
            "pacioli_append_timeouts_total 1",
            "pacioli_events_appended_total 1",
            "pacioli_appends_total{outcome=\"appended\"} 1",
        ],
    )
    .await;
}

#[tokio::test]
async fn backups_are_made_one_at_a_time_and_torn_ones_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let torn = dir.path().join(".pacioli-backup-torn");
    std::fs::create_dir(&torn).unwrap();
    std::fs::write(torn.join("store"), "half").unwrap();
    std::fs::write(dir.path().join("log.db"), "the log").unwrap();
    let config = ServerConfig { backup_dir: Some(dir.path().to_owned()), ..config() };
    let server = TestServer::with(config, Arc::new(Failing(memory(1, Limits::default())))).await;
    let names = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["log.db"]);

    let grpc = [("content-type", "application/grpc")];
    let backup = || server.send("POST", "/pacioli.v1.Admin/Backup", &grpc, &[0; 5]);
    let second = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(names().len(), 2, "the copy is made in the directory that was named");
        backup().await
    };
    let (first, second) = tokio::join!(backup(), second);
    assert!(first.text().contains("the copy"));
    assert_eq!(second.header("grpc-status"), Some("8"));
    assert!(second.header("grpc-message").unwrap().contains("another%20backup"), "{:?}", second.headers);
    assert!(backup().await.text().contains("the copy"), "the place is given back");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while names() != ["log.db"] {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", names());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_not_a_dead_connection() {
    let server = TestServer::with(config(), Arc::new(Failing(memory(1, Limits::default())))).await;
    assert_eq!(server.append("panics-1", ONE, &[]).await.problem(500).0, "internal");
    assert_eq!(server.append("fine-1", ONE, &[]).await.status, 201);
}

#[tokio::test]
async fn a_read_that_failed_says_why() {
    let mut hasty = config();
    hasty.limits.request_timeout = Duration::from_millis(200);
    let server = TestServer::with(hasty, Arc::new(Failing(memory(1, Limits::default())))).await;
    let damaged = server.get("/v1/streams/damaged-1/events").await;
    assert_eq!(damaged.problem(500).0, "damaged");
    assert_eq!(damaged.json()["place"], "0:7");
    assert_eq!(server.get("/v1/streams/broken-1/events").await.problem(500).0, "storage");
    assert!(matches!(server.get("/v1/streams/stuck-1/events").await.status, 500 | 503));
    let rewound = server.get("/v1/events?after=0:9@2").await;
    assert_eq!(rewound.problem(410).0, "rewound");
    assert_eq!(rewound.json()["rewound_to"], "0:5@3");
}

//! What the store cannot do is said in a way that tells the client what to do next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::*;

use crate::support::{TestServer, config, memory};

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
        self.0.backup(to).await
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
        assert_eq!(unknown.header("retry-after"), Some("1"));
        assert!(unknown.text().contains("send the same request again"));
    }
    assert_eq!(server.append("full-1", ONE, &[]).await.problem(507).0, "storage-full");
    assert_eq!(server.append("stopped-1", ONE, &[]).await.problem(500).0, "storage");
    assert_eq!(server.append("denied-1", ONE, &[]).await.problem(403).0, "forbidden");
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

//! A server on a free port, and a client small enough to send what a proper one would not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pacioli_client::{Client, ClientConfig};
use pacioli_core::memory::MemoryStore;
use pacioli_core::{EventStore, Limits, SystemClock};
use pacioli_server::{Models, OpenReadModels, Opened, Server, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What nothing in a test should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<()>,
}

pub(crate) fn memory(partitions: u16, limits: Limits) -> Arc<dyn EventStore> {
    let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
    Arc::new(MemoryStore::new(partitions, limits, Arc::new(clock)))
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig { listen: "127.0.0.1:0".to_owned(), ..ServerConfig::default() }
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::with(config(), memory(1, Limits::default())).await
    }

    pub(crate) async fn with(config: ServerConfig, store: Arc<dyn EventStore>) -> TestServer {
        TestServer::run(Server::bind(config, store).await.expect("the server binds"))
    }

    /// A server over an embedded store with read models.
    pub(crate) async fn with_read_models(config: ServerConfig, opened: &Opened) -> TestServer {
        let models = opened.engine.open_read_models(OpenReadModels::default()).await.expect("read models");
        let listening = Server::listen(config).await.expect("the server listens");
        TestServer::run(
            listening.serve(Arc::clone(&opened.store), Models::On(models), Some(opened.schemas.clone())).await,
        )
    }

    /// A server over a store with its schema registry, and without read models.
    pub(crate) async fn with_schemas(config: ServerConfig, opened: &Opened) -> TestServer {
        let models = Models::Off { why: "it needs none".to_owned() };
        let listening = Server::listen(config).await.expect("the server listens");
        let schemas = Some(opened.schemas.clone());
        TestServer::run(listening.serve(Arc::clone(&opened.store), models, schemas).await)
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(ClientConfig::new(format!("http://{}", self.address))).expect("a client")
    }

    fn run(server: Server) -> TestServer {
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            server.run(stopped).await.expect("the server runs");
        });
        TestServer { address, stop: Some(stop), running }
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().expect("is stopped once").send(());
    }

    /// Its address, for tasks of their own.
    pub(crate) fn door(&self) -> Door {
        Door(self.address)
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.door().send(method, path, headers, body).await
    }

    /// Sends a request and takes what comes until the server pauses or ends.
    pub(crate) async fn send_for_head(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        let _ = tcp.write_all(&request(method, path, headers, body)).await;
        let mut bytes = Vec::new();
        let has_head = |bytes: &[u8]| bytes.windows(4).any(|window| window == b"\r\n\r\n");
        // Answers with a length are read whole; the others have said all in their head.
        while !has_head(&bytes) || !is_whole(&bytes) {
            let read = tokio::time::timeout(PATIENCE, tcp.read_buf(&mut bytes)).await.expect("a head in time");
            if read.unwrap_or(0) == 0 {
                break;
            }
        }
        answer(&bytes[..]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn append(&self, stream: &str, events: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/v1/streams/{stream}/events");
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", &path, &headers, events.as_bytes()).await
    }

    /// Appends `count` events, one append each.
    pub(crate) async fn fill(&self, stream: &str, count: usize) {
        for n in 0..count {
            let answer = self.append(stream, &format!(r#"[{{"type":"Counted","data":{{"n":{n}}}}}]"#), &[]).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }

    pub(crate) async fn live(&self, path: &str, headers: &[(&str, &str)]) -> Live {
        self.door().live(path, headers).await
    }
}

/// Where a server listens.
#[derive(Clone, Copy)]
pub(crate) struct Door(SocketAddr);

impl Door {
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut tcp = TcpStream::connect(self.0).await.unwrap();
        // A refused request may be answered before all of it was read.
        let _ = tcp.write_all(&request(method, path, headers, body)).await;
        answer(tcp).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn live(&self, path: &str, headers: &[(&str, &str)]) -> Live {
        let mut tcp = TcpStream::connect(self.0).await.unwrap();
        let headers = [&[("accept", "text/event-stream")], headers].concat();
        tcp.write_all(&request("GET", path, &headers, b"")).await.unwrap();
        let mut live = Live { lines: BufReader::new(tcp).lines() };
        let status = live.line().await.expect("a status line");
        assert!(status.contains(" 200 "), "{status}");
        while !live.line().await.expect("headers").is_empty() {}
        live
    }
}

/// Whether as many bytes are there as the head says, if it says so.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}

/// HTTP/1.0, so that the end of the connection is the end of the body.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

pub(crate) async fn answer(mut stream: impl AsyncReadExt + Unpin) -> Answer {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    assert!(read.is_ok() || !bytes.is_empty(), "{read:?}");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Answer { status, headers: lines.filter_map(header).collect(), body: bytes[(end + 4).min(bytes.len())..].to_vec() }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The slug and field of a problem with this status.
    pub(crate) fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!(body["status"], status);
        assert!(!body["detail"].as_str().unwrap().is_empty() && !body["title"].as_str().unwrap().is_empty());
        let slug = body["type"].as_str().unwrap().strip_prefix("urn:pacioli:problem:").unwrap().to_owned();
        (slug, body["field"].as_str().unwrap_or("").to_owned())
    }
}

/// A stream of server-sent events.
pub(crate) struct Live {
    lines: Lines<BufReader<TcpStream>>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: String,
    pub(crate) comment: String,
}

impl Sent {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Live {
    async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap()
    }

    /// The next block; `None` when the server ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        let mut sent = Sent::default();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { return Some(sent) };
            let slot = match name {
                "event" => &mut sent.event,
                "id" => &mut sent.id,
                "data" => &mut sent.data,
                "" => &mut sent.comment,
                other => panic!("{other}"),
            };
            slot.push_str(value);
        }
    }

    /// The next block that is a CloudEvent.
    pub(crate) async fn event(&mut self) -> Sent {
        loop {
            let sent = self.next().await.expect("another event");
            if sent.event.is_empty() && !sent.data.is_empty() {
                return sent;
            }
        }
    }

    /// Reads until the head was reached.
    pub(crate) async fn caught_up(&mut self) -> Sent {
        loop {
            let sent = self.next().await.expect("the head");
            if sent.event == "caught-up" {
                return sent;
            }
        }
    }
}

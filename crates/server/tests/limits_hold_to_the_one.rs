//! Every limit, met and then exceeded by one.

use std::time::Duration;

use pacioli_core::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, TestServer, answer, config, memory};

fn events(count: usize, data: &str) -> String {
    let event = format!(r#"{{"type":"T","data":{data}}}"#);
    format!("[{}]", vec![event; count].join(","))
}

#[tokio::test]
async fn an_append_has_a_thousand_events_and_no_more() {
    let server = TestServer::start().await;
    assert_eq!(server.append("a-1", &events(1000, "1"), &[]).await.status, 201);
    // Many keys in all are no trouble: the bound is on one document.
    assert_eq!(
        server.append("a-1", &events(1000, r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}"#), &[]).await.status,
        201
    );
    let refused = server.append("a-1", &events(1001, "1"), &[]).await;
    assert_eq!(refused.problem(413), ("over-limit".to_owned(), "events".to_owned()));
}

#[tokio::test]
async fn an_event_and_an_append_and_a_body_have_their_bytes() {
    let server = TestServer::start().await;
    let data = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(server.append("a-1", &events(1, &data(1 << 20)), &[]).await.status, 201);
    let refused = server.append("a-1", &events(1, &data((1 << 20) + 1)), &[]).await;
    assert_eq!(refused.problem(413), ("over-limit".to_owned(), "[0].data".to_owned()));
    assert_eq!(server.append("a-1", &events(4, &data(1 << 20)), &[]).await.status, 201);
    let refused = server.append("a-1", &events(5, &data(900_000)), &[]).await;
    assert_eq!(refused.problem(413), ("over-limit".to_owned(), "events".to_owned()));

    let max = config().limits.body_bytes_max();
    let padded = |bytes: usize| format!("{}{}", events(1, "1"), " ".repeat(bytes - events(1, "1").len()));
    assert_eq!(server.append("a-1", &padded(max), &[]).await.status, 201);
    let refused = server.append("a-1", &padded(max + 1), &[]).await;
    assert_eq!(refused.problem(413).0, "over-limit");
    // Who asks before sending is answered before sending.
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/streams/a-1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        max + 1
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(tcp).await.status, 413);
}

#[tokio::test]
async fn json_has_its_depth_and_its_keys() {
    let server = TestServer::start().await;
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(server.append("a-1", &events(1, &nested(64)), &[]).await.status, 201);
    assert_eq!(server.append("a-1", &events(1, &nested(65)), &[]).await.problem(400).1, "[0].data");
    assert_eq!(server.append("a-1", &nested(100_000), &[]).await.problem(400).1, "[0]");
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!("\"k{n}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert_eq!(server.append("a-1", &events(1, &keys(10_000)), &[]).await.status, 201);
    assert_eq!(server.append("a-1", &events(1, &keys(10_001)), &[]).await.problem(400).1, "[0].data");
    assert_eq!(server.append("a-1", &events(1, r#"{"a":1,"\u0061":2}"#), &[]).await.problem(400).1, "[0].data");
    assert_eq!(server.append("a-1", r#"[{"type":"T","type":"U","data":1}]"#, &[]).await.problem(400).1, "[0]");
    let tagged = |count: usize| {
        let tags: Vec<String> = (0..count).map(|n| format!("\"t{n}\"")).collect();
        format!(r#"[{{"type":"T","data":1,"tags":[{}]}}]"#, tags.join(","))
    };
    assert_eq!(server.append("a-1", &tagged(32), &[]).await.status, 201);
    assert_eq!(server.append("a-1", &tagged(33), &[]).await.problem(400).1, "[0].tags");
    let with = |bytes: usize| format!(r#"[{{"type":"T","data":1,"metadata":{{"a":"{}"}}}}]"#, "x".repeat(bytes - 8));
    assert_eq!(server.append("a-1", &with(8192), &[]).await.status, 201);
    assert_eq!(server.append("a-1", &with(8193), &[]).await.problem(413).1, "[0].metadata");
}

#[tokio::test]
async fn names_have_their_bytes() {
    let server = TestServer::start().await;
    assert_eq!(server.append(&"s".repeat(256), &events(1, "1"), &[]).await.status, 201);
    assert_eq!(server.append(&"s".repeat(257), &events(1, "1"), &[]).await.problem(400).1, "stream");
    let typed = |bytes: usize| format!(r#"[{{"type":"{}","data":1}}]"#, "t".repeat(bytes));
    assert_eq!(server.append("a-1", &typed(128), &[]).await.status, 201);
    assert_eq!(server.append("a-1", &typed(129), &[]).await.problem(400).1, "[0].type");
}

#[tokio::test]
async fn the_head_of_a_request_has_its_headers_and_bytes() {
    let server = TestServer::start().await;
    // `request` brings two headers of its own.
    let many = |count: usize| vec![("x-a", "1"); count - 2];
    assert_eq!(server.send("GET", "/healthz", &many(100), b"").await.status, 200);
    assert_eq!(server.send("GET", "/healthz", &many(101), b"").await.status, 431);
    let long = "x".repeat(60 << 10);
    assert_eq!(server.send("GET", "/healthz", &[("x-a", &long)], b"").await.status, 200);
    let longer = "x".repeat(65 << 10);
    assert_eq!(server.send("GET", "/healthz", &[("x-a", &longer)], b"").await.status, 431);
}

#[tokio::test]
async fn who_is_silent_is_not_waited_for() {
    let mut hasty = config();
    hasty.limits.header_timeout = Duration::from_millis(200);
    hasty.limits.body_idle_timeout = Duration::from_millis(200);
    let server = TestServer::with(hasty, memory(1, Limits::default())).await;
    for said in ["", "P", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-a: "] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after {said:?}");
    }
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /v1/streams/a-1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n[";
    tcp.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(tcp).await.problem(408).0, "request-timeout");
}

/// A call that trickles in would hold its connection and its memory for as long as it likes.
#[tokio::test]
async fn a_call_of_grpc_has_its_time_too() {
    let mut hasty = config();
    hasty.limits.request_timeout = Duration::from_millis(200);
    let server = TestServer::with(hasty, memory(1, Limits::default())).await;
    for method in ["Append", "GetHead", "ReadLog", "Subscribe"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /pacioli.v1.EventStore/{method} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/grpc\r\ncontent-length: 100\r\n\r\n\0\0\0\0"
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(answer(tcp).await.header("grpc-status"), Some("4"), "{method}");
    }
}

/// Two bytes of the wire are a whole event once they are decoded.
#[tokio::test]
async fn a_call_of_grpc_is_not_decoded_when_it_holds_too_much() {
    let server = TestServer::start().await;
    let mut request = vec![0x0a, 0x80, 0x80, 0x80, 0x02];
    request.extend([0x1a, 0].repeat(2 << 20));
    let mut body = vec![0];
    body.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
    body.extend(request);
    let refused =
        server.send("POST", "/pacioli.v1.EventStore/Append", &[("content-type", "application/grpc")], &body).await;
    assert_eq!(refused.header("grpc-status"), Some("3"), "{:?}", refused.headers);
    let message = refused.header("grpc-message").unwrap();
    assert!(message.starts_with("events:") && message.contains("2000"), "{message}");
}

#[tokio::test]
async fn connections_are_counted() {
    let mut few = config();
    few.limits.connections_max = 3;
    let server = TestServer::with(few, memory(1, Limits::default())).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(server.live("/v1/events", &[]).await);
    }
    let mut one_more = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, one_more.read_to_end(&mut nothing)).await.expect("closed at once");
    assert!(nothing.is_empty());
    held.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let _ = tcp.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await;
        let mut bytes = Vec::new();
        if tcp.read_to_end(&mut bytes).await.is_ok() && bytes.starts_with(b"HTTP/1.0 200") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a place that was given back is not given on");
}

/// A server tells an HTTP/2 peer its limits in the first frame it sends.
#[tokio::test]
async fn http2_peers_are_told_their_bounds() {
    let server = TestServer::start().await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    tcp.read_exact(&mut settings).await.unwrap();
    let value = |id: u16| {
        let of = |pair: &[u8]| u32::from_be_bytes(pair[2..6].try_into().unwrap());
        settings.chunks(6).find(|pair| u16::from_be_bytes([pair[0], pair[1]]) == id).map(of)
    };
    assert_eq!(value(3), Some(128), "streams at once");
    assert_eq!(value(4), Some(2 << 20), "the window of a stream");
    assert_eq!(value(5), Some(64 << 10), "bytes of a frame");
    assert_eq!(value(6), Some(16 << 10), "bytes of the headers of a request");
}

//! Reads: pages, formats, choices, and what is not there.

use pacioli_core::Limits;
use serde_json::Value;

use crate::support::{Answer, TestServer, config, memory};

fn numbers(answer: &Answer) -> Vec<u64> {
    answer.json().as_array().unwrap().iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

/// The target of the `Link` to the next page.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    assert!(link.ends_with("; rel=\"next\""), "{link}");
    Some(link.trim_start_matches('<').split('>').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_page_holds_a_hundred_and_links_to_the_next() {
    let server = TestServer::start().await;
    server.fill("counter-1", 250).await;
    for path in ["/v1/streams/counter-1/events", "/v1/events"] {
        let (mut seen, mut at) = (Vec::new(), Some(path.to_owned()));
        let mut pages = 0;
        while let Some(path) = at {
            let page = server.get(&path).await;
            assert_eq!(page.header("content-type"), Some("application/cloudevents-batch+json"));
            seen.extend(numbers(&page));
            at = next(&page);
            pages += 1;
        }
        assert_eq!((pages, seen), (3, (0..250).collect()), "{path}");
    }
    let page = server.get("/v1/events?after=0:200&limit=10&type=Counted&category=counter").await;
    assert_eq!(numbers(&page), (200..210).collect::<Vec<_>>());
    assert_eq!(next(&page).unwrap(), "/v1/events?limit=10&type=Counted&category=counter&after=0:210");
    assert_eq!(page.header("pacioli-checkpoint"), Some("0:210"));
}

#[tokio::test]
async fn a_stream_is_read_from_both_ends() {
    let server = TestServer::start().await;
    server.fill("counter-1", 5).await;
    let events = "/v1/streams/counter-1/events";
    assert_eq!(numbers(&server.get(&format!("{events}?from=3")).await), [3, 4]);
    let last = server.get(&format!("{events}?direction=backward&limit=2")).await;
    assert_eq!(numbers(&last), [4, 3]);
    assert_eq!(last.header("etag"), Some("\"4\""));
    assert_eq!(numbers(&server.get(&next(&last).unwrap()).await), [2, 1]);
    assert_eq!(server.get(&format!("{events}?from=99")).await.text(), "[]");
    let same = server.send("GET", events, &[("if-none-match", "\"4\"")], b"").await;
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[tokio::test]
async fn lines_go_on_where_a_document_would_end() {
    let limits = Limits { page_events_max: 7, ..Limits::default() };
    let mut small = config();
    small.limits.store = limits;
    let server = TestServer::with(small, memory(1, limits)).await;
    server.fill("counter-1", 30).await;
    for path in ["/v1/events", "/v1/streams/counter-1/events"] {
        let lines = server.send("GET", &format!("{path}?limit=23"), &[("accept", "application/x-ndjson")], b"").await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        let text = lines.text();
        let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["data"]["n"].as_u64();
        let numbers = text.lines().map(number);
        assert_eq!(numbers.collect::<Vec<_>>(), (0..23).map(Some).collect::<Vec<_>>());
        let all = server.send("GET", &format!("{path}?limit=1000"), &[("accept", "application/x-ndjson")], b"").await;
        assert_eq!(all.text().lines().count(), 30);
        assert_eq!(numbers_of(&server.get(&format!("{path}?limit=23")).await), 7);
    }
}

fn numbers_of(answer: &Answer) -> usize {
    assert!(next(answer).is_some());
    numbers(answer).len()
}

#[tokio::test]
async fn a_reader_gets_what_it_accepts_and_as_much_as_it_asks_for() {
    let server = TestServer::start().await;
    server
        .append("a-1", r#"[{"type":"T","data":{"owner":{"name":"Luca","age":49},"n":1.50},"tags":["x","y"]}]"#, &[])
        .await;
    let get = async |path: &str, accept: &str| server.send("GET", path, &[("accept", accept)], b"").await;
    let both = "text/html, application/json;q=0.5, */*;q=0.1";
    assert_eq!(get("/v1/events", both).await.header("content-type"), Some("application/json"));
    assert_eq!(get("/v1/events", "text/html").await.problem(406).0, "not-acceptable");
    assert!(
        server
            .get("/v1/events?fields=/owner/name,/n")
            .await
            .text()
            .contains(r#""data":{"owner":{"name":"Luca"},"n":1.50}"#)
    );
    assert!(!server.get("/v1/events?fields=none").await.text().contains("\"data\""));
    assert_eq!(server.get("/v1/events?fields=amount").await.problem(400).1, "fields");
    assert_eq!(server.get("/v1/events?tag=x&tag=y").await.json().as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/events?tag=x&tag=z").await.text(), "[]");
    assert_eq!(server.get("/v1/events?type=T&type=U").await.json().as_array().unwrap().len(), 1);
    let head = server.send("HEAD", "/v1/streams/a-1", &[], b"").await;
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some("\"0\""), 0));
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_said() {
    let server = TestServer::start().await;
    server.fill("counter-1", 1).await;
    assert_eq!(server.get("/v1/streams/nobody-1/events").await.problem(404).0, "stream-not-found");
    assert_eq!(server.get("/v1/streams/nobody-1").await.problem(404).0, "stream-not-found");
    for (path, field) in [
        ("/v1/events?after=banana", "after"),
        ("/v1/events?after=0:9", "after"),
        ("/v1/events?after=0:1,1:1", "after"),
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=-1", "limit"),
        ("/v1/events?limit=1&limit=2", "limit"),
        ("/v1/events?category=a-b", "category"),
        ("/v1/events?tag=a%20b", "tag"),
        ("/v1/events?typ=T", "typ"),
        ("/v1/events?type=%ff", "query"),
        ("/v1/streams/counter-1/events?from=x", "from"),
        ("/v1/streams/counter-1/events?direction=up", "direction"),
        ("/v1/streams?after=x", "after"),
        ("/v1/streams/counter-1?fields=all", "fields"),
    ] {
        assert_eq!(server.get(path).await.problem(400), ("invalid".to_owned(), field.to_owned()), "{path}");
    }
    let lost = server.get("/v1/event").await;
    assert_eq!(lost.problem(404).0, "route-not-found");
    assert_eq!(lost.json()["routes"][0], "GET /v1/events");
    let wrong = server.send("DELETE", "/v1/streams/counter-1/events", &[], b"").await;
    assert_eq!(wrong.problem(405).0, "method-not-allowed");
    assert_eq!(wrong.header("allow"), Some("POST, GET, HEAD"));
    assert_eq!(server.send("POST", "/v1/streams", &[], b"").await.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn streams_are_listed() {
    let server = TestServer::start().await;
    for name in ["order-1", "order-2", "payment-1"] {
        server.fill(name, 2).await;
    }
    let page = server.get("/v1/streams?category=order&limit=1").await;
    assert_eq!(page.json()["streams"], serde_json::json!([{"stream":"order-1","version":1,"partition":0}]));
    let rest = server.get(&next(&page).unwrap()).await.json();
    assert_eq!((&rest["streams"][0]["stream"], &rest["next"]), (&"order-2".into(), &Value::Null));
    assert_eq!(server.get("/v1/streams?prefix=pay").await.json()["streams"][0]["stream"], "payment-1");
    assert_eq!(server.get("/v1/streams/order-2").await.json()["version"], 1);
}

#[tokio::test]
async fn operators_and_readers_of_the_documentation_are_served() {
    let server = TestServer::start().await;
    server.fill("counter-1", 3).await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.get("/openapi.json").await.json()["openapi"], "3.1.0");
    let metrics = server.get("/metrics").await.text();
    for line in [
        "pacioli_appends_total{outcome=\"appended\"} 3",
        "pacioli_events_appended_total 3",
        "pacioli_append_duration_seconds_count 3",
        "pacioli_head_position{partition=\"0\"} 3",
        "pacioli_requests_total{method=\"POST\",route=\"/v1/streams/{stream}/events\",status=\"201\"} 3",
        "pacioli_build_info{version=",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for path in ["/", "/docs"] {
        let page = server.get(path).await;
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(page.text().contains("/v1/appends") && !page.text().contains("<script"));
    }
    let named = server.send("GET", "/healthz", &[("x-request-id", "mine-1")], b"").await;
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
    assert!(server.get("/healthz").await.header("x-request-id").unwrap().len() == 36);
}

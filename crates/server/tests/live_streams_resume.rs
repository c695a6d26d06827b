//! Server-sent events: catch-up, then live, and resumed where the reader left off.

use std::time::Duration;

use pacioli_core::Limits;

use crate::support::{TestServer, config, memory};

#[tokio::test]
async fn a_reader_catches_up_and_then_lives() {
    let server = TestServer::start().await;
    server.fill("counter-1", 2).await;
    let mut live = server.live("/v1/events", &[]).await;
    let first = live.event().await;
    assert_eq!((first.id.as_str(), first.json()["data"]["n"].as_u64()), ("0:1", Some(0)));
    assert_eq!(live.event().await.id, "0:2");
    assert_eq!(live.caught_up().await.json()["checkpoint"], "0:2");
    server.fill("counter-2", 1).await;
    assert_eq!(live.event().await.json()["subject"], "counter-2");

    let mut resumed = server.live("/v1/events?after=0:0", &[("last-event-id", "0:2")]).await;
    assert_eq!(resumed.event().await.id, "0:3");
    let mut after = server.live("/v1/events?after=0:2", &[]).await;
    assert_eq!(after.event().await.id, "0:3");
    let bad = server.send("GET", "/v1/events", &[("accept", "text/event-stream"), ("last-event-id", "x")], b"").await;
    assert_eq!(bad.problem(400).1, "Last-Event-ID");
}

#[tokio::test]
async fn one_stream_is_followed_and_no_longer_name() {
    let server = TestServer::start().await;
    // Followed before it exists.
    let mut live = server.live("/v1/streams/counter-1/events?from=1", &[]).await;
    live.caught_up().await;
    server.fill("counter-10", 1).await;
    server.fill("counter-1", 3).await;
    let first = live.event().await;
    assert_eq!(
        (first.json()["subject"].as_str(), first.json()["streamversion"].as_u64()),
        (Some("counter-1"), Some(1))
    );
    assert_eq!(live.event().await.json()["streamversion"], 2);
    let mut resumed = server.live("/v1/streams/counter-1/events", &[("last-event-id", &first.id)]).await;
    assert_eq!(resumed.event().await.json()["streamversion"], 2);
    let backward = [("accept", "text/event-stream")];
    let refused = server.send("GET", "/v1/streams/counter-1/events?direction=backward", &backward, b"").await;
    assert_eq!(refused.problem(400).1, "direction");
}

#[tokio::test]
async fn a_limit_ends_a_live_stream_and_a_filter_narrows_it() {
    let server = TestServer::start().await;
    server.fill("counter-1", 5).await;
    let mut live = server.live("/v1/events?limit=2&fields=none", &[]).await;
    assert!(!live.event().await.data.contains("\"data\""));
    assert_eq!(live.event().await.id, "0:2");
    assert_eq!(live.next().await, None);
    let mut filtered = server.live("/v1/events?category=other", &[]).await;
    assert_eq!(filtered.caught_up().await.id, "0:5");
    server.fill("counter-1", 1).await;
    server.fill("other-1", 1).await;
    assert_eq!(filtered.event().await.id, "0:7");
}

#[tokio::test]
async fn a_silent_stream_beats_and_its_beats_are_progress() {
    let mut often = config();
    often.limits.heartbeat = Duration::from_millis(50);
    let server = TestServer::with(often, memory(1, Limits::default())).await;
    let mut live = server.live("/v1/events?type=Nothing", &[]).await;
    live.caught_up().await;
    server.fill("counter-1", 2).await;
    loop {
        let beat = live.next().await.unwrap();
        assert_eq!(beat.comment, "heartbeat");
        if beat.id == "0:2" {
            break;
        }
    }
}

#[tokio::test]
async fn a_checkpoint_speaks_of_every_partition() {
    let server = TestServer::with(config(), memory(2, Limits::default())).await;
    for key in 0..20 {
        server.fill(&format!("counter-{key}"), 1).await;
    }
    let mut live = server.live("/v1/events", &[]).await;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let sent = live.event().await;
        seen.push(sent.json()["subject"].as_str().unwrap().to_owned());
        ids.push(sent.id);
    }
    let mut resumed = server.live("/v1/events", &[("last-event-id", &ids[6])]).await;
    let mut rest = Vec::new();
    for _ in 7..20 {
        rest.push(resumed.event().await.json()["subject"].as_str().unwrap().to_owned());
    }
    let (mut expected, mut rest) = (seen[7..].to_vec(), rest);
    expected.sort();
    rest.sort();
    assert_eq!(rest, expected);
    assert!(ids.iter().all(|id| id.contains(",1:")), "{ids:?}");
}

#[tokio::test]
async fn a_reader_of_events_is_told_which_way_they_come() {
    let server = TestServer::start().await;
    server.fill("counter-1", 1).await;
    for path in ["/v1/events", "/v1/streams/counter-1/events"] {
        for accept in ["text/event-stream", "application/x-ndjson", "application/json"] {
            // One event and no more, so that a live stream ends too.
            let answer = server.send("GET", &format!("{path}?limit=1"), &[("accept", accept)], b"").await;
            assert_eq!(answer.header("pacioli-bus"), Some("memory"), "{path} {accept}");
        }
    }
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("pacioli_bus{way=\"memory\"} 1"), "{metrics}");
}

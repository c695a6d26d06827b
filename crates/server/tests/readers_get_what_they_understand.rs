//! Readers by version: the newest shape, as stored, within a range; stopped or passed over, and nothing lost.

use futures::StreamExt;
use pacioli_core::schemas::{OnNewer, Shape};
use pacioli_core::{Delivery, EventStore, Filter, PayloadChoice, ReadError, ReadLog, RecordedEvent, Subscribe};
use serde_json::{Value, json};

use crate::registry::{Registry, STORES};
use crate::support::{Answer, PATIENCE};

/// The schema version and the data of each event of a batch.
fn shown(answer: &Answer) -> Vec<(u64, Value)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = answer.json();
    events.as_array().unwrap().iter().map(one).collect()
}

fn one(event: &Value) -> (u64, Value) {
    // A version of 1 is what an absent one means.
    (event["schemaversion"].as_u64().unwrap_or(1), event["data"].clone())
}

fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned())
}

fn newest() -> Vec<(u64, Value)> {
    vec![
        (3, json!({ "amount_cents": 1 })),
        (3, json!({ "amount_cents": 2 })),
        (3, json!({ "amount_cents": 3, "note": "three" })),
        (3, json!({ "amount_cents": 4, "note": "four" })),
    ]
}

/// What a reader of major 1 gets.
fn of_major_one() -> Vec<(u64, Value)> {
    vec![(2, json!({ "amount": 1 })), (2, json!({ "amount": 2 })), (2, json!({ "amount": 3, "note": "three" }))]
}

#[tokio::test]
async fn pages_come_in_the_newest_shape_or_as_stored() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        for path in ["/v1/events?type=OrderPlaced", "/v1/streams/order-1/events?"] {
            assert_eq!(shown(&registry.server.get(path).await), newest(), "{store} {path}");
            let raw = shown(&registry.server.get(&format!("{path}&raw=true")).await);
            assert_eq!(raw.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 1, 2, 3]);
            assert_eq!(raw[0].1, json!({ "amount": 1 }));
            let chosen = shown(&registry.server.get(&format!("{path}&fields=/amount_cents,/amount&limit=1")).await);
            assert_eq!(chosen, [(3, json!({ "amount_cents": 1 }))], "{store} {path}");
            let lines = registry.server.send("GET", path, &[("accept", "application/x-ndjson")], b"").await;
            let lines: Vec<_> = lines.text().lines().map(|line| one(&serde_json::from_str(line).unwrap())).collect();
            assert_eq!(lines, newest());
        }
        let state = registry.server.get("/v1/streams/order-1/state").await.json();
        assert_eq!(state["state"], json!({ "amount_cents": 4, "note": "four" }));
        let backward = shown(&registry.server.get("/v1/streams/order-1/events?direction=backward&limit=2").await);
        assert_eq!(backward, newest().into_iter().rev().take(2).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_page_ends_before_what_is_not_understood_and_the_next_says_why() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        for path in ["/v1/events?type=OrderPlaced", "/v1/streams/order-1/events?"] {
            let page = registry.server.get(&format!("{path}&accept=OrderPlaced:%5E1")).await;
            assert_eq!(shown(&page), of_major_one(), "{store} {path}");
            let next = next(&page).expect("there is more");
            assert!(next.contains("accept=OrderPlaced:%5E1"), "{next}");
            let stopped = registry.server.get(&next).await;
            assert_eq!(stopped.problem(409).0, "newer-schema");
            let problem = stopped.json();
            assert_eq!((&problem["event_type"], &problem["understands"]), (&json!("OrderPlaced"), &json!("^1")));
            assert_eq!((&problem["schema_version"], &problem["place"]), (&json!(3), &json!("0:10")));
            assert_eq!(problem["semver"], "2.0.0");
            if path.starts_with("/v1/events") {
                let on = format!("{path}&after={}", problem["checkpoint"].as_str().unwrap());
                assert_eq!(shown(&registry.server.get(&on).await), newest()[3..], "{problem}");
            }
            // It opts in, and goes on where it stood.
            let goes_on = next.replace("%5E1", "%3E=1");
            assert_eq!(shown(&registry.server.get(&goes_on).await), newest()[3..]);
        }
        let backward = "/v1/streams/order-1/events?direction=backward&accept=OrderPlaced:%5E1";
        assert_eq!(registry.server.get(backward).await.problem(409).0, "newer-schema");
        let skipping = registry.server.get(&format!("{backward}&on_newer=skip")).await;
        assert_eq!(shown(&skipping), of_major_one().into_iter().rev().collect::<Vec<_>>());
        let lines = registry
            .server
            .send("GET", "/v1/events?accept=OrderPlaced:%5E1&limit=1000", &[("accept", "application/x-ndjson")], b"")
            .await;
        let text = lines.text();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let [events @ .., stopped] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(events.len(), 9, "three each of orders, others and registrations: {text}");
        assert!(events.iter().all(|event| event["specversion"] == "1.0"), "{text}");
        assert_eq!((&stopped["status"], &stopped["place"]), (&json!(409), &json!("0:10")), "an end is no stop: {text}");
        assert_eq!(stopped["checkpoint"], "0:9");
    }
}

#[tokio::test]
async fn what_is_passed_over_is_counted_and_the_checkpoint_goes_on() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        let path = "/v1/events?type=OrderPlaced&accept=OrderPlaced:%5E1&on_newer=skip&reader=old%20one";
        let page = registry.server.get(path).await;
        assert_eq!(shown(&page), of_major_one());
        assert_eq!((page.header("pacioli-checkpoint"), next(&page)), (Some("0:10"), None));
        // Pages of one event: the last one is empty, and says that the head was reached.
        let (mut path, mut seen) = (format!("{path}&limit=1"), Vec::new());
        loop {
            let page = registry.server.get(&path).await;
            seen.extend(shown(&page));
            match next(&page) {
                Some(next) => path = next,
                None => break,
            }
        }
        assert_eq!(seen, of_major_one());
        let raw = "/v1/events?type=OrderPlaced&accept=OrderPlaced:%5E1&on_newer=skip&raw=true";
        let raw: Vec<u64> = shown(&registry.server.get(raw).await).into_iter().map(|(version, _)| version).collect();
        assert_eq!(raw, [1, 1, 2]);
        let metrics = registry.server.get("/metrics").await.text();
        let counted = "pacioli_schema_events_skipped_total{reader=\"old one\",type=\"OrderPlaced\"} 2";
        assert!(metrics.lines().any(|line| line == counted), "{metrics}");
        assert!(metrics.lines().any(|line| line == "pacioli_schema_generation 3.0"), "{metrics}");
        let readers = registry.client.schemas().readers().await.unwrap();
        assert_eq!((readers[0].name.as_str(), readers[0].waits_for.as_deref()), ("old one", None));
        assert_eq!(readers[0].skipped, 2, "that of its first page too");
    }
}

#[tokio::test]
async fn a_live_stream_ends_before_what_is_not_understood_and_resumes_after_opting_in() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        for path in ["/v1/events?type=OrderPlaced", "/v1/streams/order-1/events?"] {
            let mut live = registry.server.live(&format!("{path}&accept=OrderPlaced:%5E1"), &[]).await;
            let mut seen = Vec::new();
            let mut id = String::new();
            for _ in 0..3 {
                let sent = live.event().await;
                seen.push(one(&sent.json()));
                id = sent.id;
            }
            assert_eq!(seen, of_major_one());
            let error = live.next().await.expect("why it ends");
            assert_eq!(error.event, "error");
            assert_eq!(error.json()["type"], "urn:pacioli:problem:newer-schema");
            assert_eq!(live.next().await, None);
            let resume = [("last-event-id", id.as_str())];
            let mut live = registry.server.live(&format!("{path}&accept=OrderPlaced:%5E1,OrderPaid:*"), &resume).await;
            assert_eq!(live.next().await.expect("why it ends").event, "error", "it still does not understand");
            let mut live = registry.server.live(&format!("{path}&accept=OrderPlaced:%3E=1"), &resume).await;
            assert_eq!(one(&live.event().await.json()), newest()[3]);
        }
    }
}

#[tokio::test]
async fn another_stream_of_a_longer_name_stops_nobody() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        let placed = r#"[{"type":"OrderPlaced","schema_version":1,"data":{"amount":7}}]"#;
        let newer = r#"[{"type":"OrderPlaced","data":{"amount_cents":7}}]"#;
        assert_eq!(registry.server.append("order-20", newer, &[]).await.status, 201);
        assert_eq!(registry.server.append("order-2", placed, &[]).await.status, 201);
        let mut live = registry.server.live("/v1/streams/order-2/events?accept=OrderPlaced:%5E1", &[]).await;
        assert_eq!(one(&live.event().await.json()), (2, json!({ "amount": 7 })));
    }
}

fn shape(understands: &str, on_newer: OnNewer) -> Shape {
    Shape { understands: vec![understands.parse().unwrap()], on_newer, ..Shape::default() }
}

fn orders() -> Filter {
    Filter { types: vec![crate::registry::event_type("OrderPlaced")], ..Filter::default() }
}

fn parts(event: &RecordedEvent) -> (u64, Value) {
    (event.schema_version.into(), serde_json::from_slice(event.data.bytes()).unwrap())
}

#[tokio::test]
async fn grpc_reads_and_subscriptions_do_the_same() {
    for store in STORES {
        let registry = Registry::with_orders(store).await;
        let client = &registry.client;
        let read = |limit| ReadLog { after: None, filter: orders(), limit, payload: PayloadChoice::All };
        let page = client.read_log(read(100)).await.unwrap();
        assert_eq!(page.events.iter().map(|event| parts(event)).collect::<Vec<_>>(), newest());
        let raw = client.with_shape(Shape { raw: true, ..Shape::default() });
        let page = raw.read_log(read(100)).await.unwrap();
        assert_eq!(page.events.iter().map(|event| event.schema_version).collect::<Vec<_>>(), [1, 1, 2, 3]);

        let bounded = client.with_shape(shape("OrderPlaced:^1", OnNewer::Stop)).with_reader("bounded");
        let mut pages = bounded.read_log_pages(read(0));
        let mut seen = Vec::new();
        let withheld = loop {
            match pages.next().await.expect("it says why it ends") {
                Ok(page) => seen.extend(page.events.iter().map(|event| parts(event))),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, of_major_one());
        assert!(matches!(&withheld, ReadError::Withheld(withheld) if withheld.schema_version == 3), "{withheld}");

        let subscribe = Subscribe { filter: orders(), ..Subscribe::default() };
        let mut deliveries = bounded.subscribe(subscribe.clone()).await.unwrap();
        let (mut seen, mut checkpoint) = (Vec::new(), None);
        let withheld = loop {
            let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.expect("in time");
            match delivery.expect("it says why it ends") {
                Ok(Delivery::Events { events, checkpoint: after, .. }) => {
                    seen.extend(events.iter().map(|event| parts(event)));
                    checkpoint = Some(after);
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&withheld, ReadError::Withheld(_)), "{withheld}");
        assert_eq!((seen, checkpoint.as_ref().unwrap().to_string().as_str()), (of_major_one(), "0:9"));
        let waiting = client.schemas().readers().await.unwrap();
        assert_eq!(waiting[0].waits_for.as_deref(), Some("OrderPlaced 2.0.0 (schema version 3)"));
        assert_eq!(waiting[0].schemas, ["OrderPlaced:^1"]);

        let opted_in = client.with_shape(shape("OrderPlaced:>=1", OnNewer::Stop)).with_reader("bounded");
        let mut deliveries = opted_in.subscribe(Subscribe { after: checkpoint, ..subscribe }).await.unwrap();
        let Some(Ok(Delivery::Events { events, .. })) = deliveries.next().await else { panic!("an event") };
        assert_eq!(events.iter().map(|event| parts(event)).collect::<Vec<_>>(), newest()[3..]);
        let readers = registry.server.get("/v1/readers").await.json();
        let reader = &readers[0];
        assert_eq!(
            (&reader["waits_for"], &reader["live"], &reader["name"]),
            (&Value::Null, &json!(true), &json!("bounded"))
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_name() {
    let registry = Registry::start("memory:").await;
    for (query, field) in [
        ("raw=yes", "raw"),
        ("accept=OrderPlaced", "accept"),
        ("accept=A:%5E1,A:%5E2", "accept"),
        ("on_newer=wait", "on_newer"),
        ("reader=", "reader"),
        ("reader=a%0Ab", "reader"),
    ] {
        assert_eq!(registry.server.get(&format!("/v1/events?{query}")).await.problem(400).1, field, "{query}");
        let stream = format!("/v1/streams/order-1/events?{query}");
        assert_eq!(registry.server.get(&stream).await.problem(400).1, field, "{query}");
    }
}

#[tokio::test]
async fn a_server_without_a_registry_says_so() {
    let server = crate::support::TestServer::start().await;
    server.fill("counter-1", 1).await;
    assert_eq!(server.get("/v1/events?raw=true").await.status, 200);
    assert_eq!(server.get("/v1/events?accept=Counted:%5E1").await.problem(400).1, "accept");
    assert_eq!(server.get("/v1/events?reader=me").await.problem(400).1, "reader");
    assert_eq!(server.get("/v1/readers").await.problem(501).0, "unsupported");
    let refused = server.client().schemas().readers().await.unwrap_err();
    assert_eq!(refused.kind(), pacioli_api::problem::Kind::Unsupported);
}

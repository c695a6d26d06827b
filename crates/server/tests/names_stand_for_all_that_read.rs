//! A reader's name stands for all that read under it, names are bounded, and a break asks for those that read the type.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use pacioli_api::schemas::{Impact, ImpactOf, ImpactedReader, ReaderCheck, Registration};
use pacioli_core::memory::MemoryStore;
use pacioli_core::schemas::Gate;
use pacioli_core::{Clock, EventStore, Limits, Timestamp};
use pacioli_schema::SchemaGate;
use pacioli_server::schemas::Registry as Schemas;
use pacioli_server::{EngineSource, Opened};
use serde_json::{Value, json};

use crate::registry::{Registry, STORES, TO_V3, V1, V2, V3, event_type, order_placed};
use crate::support::{TestServer, config};

/// A registry with two versions of `OrderPlaced`, before a break.
async fn before_a_break(store: &str) -> Registry {
    let registry = Registry::start(store).await;
    registry.register(V1, None).await;
    registry.register(V2, None).await;
    registry
}

async fn impact(registry: &Registry, of: &str) -> Impact {
    registry.client.schemas().impact(&ImpactOf::Type(event_type(of))).await.unwrap()
}

fn names(impact: &Impact) -> Vec<&str> {
    impact.readers.iter().map(|reader| reader.name.as_str()).collect()
}

/// How the one reader there is is looked after, for the break.
async fn at_the_break(registry: &Registry) -> ImpactedReader {
    let proposed = Box::new(order_placed(V3, Some(TO_V3)).proposed);
    let impact = registry.client.schemas().impact(&ImpactOf::Proposed(proposed)).await.unwrap();
    let [reader] = impact.readers.as_slice() else { panic!("{impact:?}") };
    reader.clone()
}

/// A clock that is set.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl SetClock {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

/// A server over a store in memory, whose registry goes by a clock that is set.
async fn by_a_clock() -> (TestServer, Arc<SetClock>) {
    let clock = Arc::new(SetClock(AtomicI64::new(1_700_000_000_000_000)));
    let gate = Arc::new(SchemaGate::new());
    let passed = Arc::clone(&gate) as Arc<dyn Gate>;
    let rows = MemoryStore::with_gate(1, Limits::default(), Arc::clone(&clock) as _, passed);
    let store = Arc::new(rows.clone()) as Arc<dyn EventStore>;
    let schemas = Schemas::with_clock(gate, Arc::new(rows), Arc::clone(&store), Arc::clone(&clock) as _);
    let opened = Opened { store, made: Vec::new(), engine: EngineSource::Memory, schemas };
    (TestServer::with_schemas(config(), &opened).await, clock)
}

const DAY: i64 = 24 * 3_600;

#[tokio::test]
async fn who_has_not_read_for_thirty_days_is_gone_and_not_asked_for() {
    let (server, clock) = by_a_clock().await;
    let schemas = server.client().schemas();
    schemas.register(&order_placed(V1, None)).await.unwrap();
    assert_eq!(server.get("/v1/events?type=OrderPlaced&reader=nightly").await.status, 200);
    let _live = server.live("/v1/events?type=OrderPlaced&reader=billing&accept=OrderPlaced:*", &[]).await;
    clock.pass(30 * DAY - 1);
    let proposed = ImpactOf::Proposed(Box::new(order_placed(V3, None).proposed));
    let scope = pacioli_core::schemas::SettingScope::Global;
    let none = pacioli_core::schemas::Setting { scope, name: "level".into(), value: Some("none".into()) };
    schemas.set(&none).await.unwrap();
    let statuses = async || {
        let impact = schemas.impact(&proposed).await.unwrap();
        impact.readers.into_iter().map(|reader| (reader.name, reader.status)).collect::<Vec<_>>()
    };
    let of = |nightly| vec![("billing".to_owned(), ReaderCheck::OptedIn), ("nightly".to_owned(), nightly)];
    let gone = async || -> Vec<Value> {
        let readers = server.get("/v1/readers").await.json();
        readers.as_array().unwrap().iter().map(|reader| reader["gone"].clone()).collect()
    };
    assert_eq!((statuses().await, gone().await), (of(ReaderCheck::Unchecked), vec![json!(false), json!(false)]));
    let refused = schemas.register(&order_placed(V3, None)).await.unwrap_err();
    assert!(refused.detail().contains("nightly"), "{refused}");
    clock.pass(1);
    assert_eq!((statuses().await, gone().await), (of(ReaderCheck::Gone), vec![json!(false), json!(true)]));
    assert!(schemas.readers().await.unwrap()[1].gone, "over gRPC too");
    assert_eq!(schemas.register(&order_placed(V3, None)).await.unwrap().version, 2);
    // It is back as soon as it reads.
    assert_eq!(server.get("/v1/events?type=OrderPlaced&reader=nightly").await.status, 200);
    assert_eq!(gone().await, [json!(false), json!(false)]);
}

#[tokio::test]
async fn the_oldest_that_is_gone_gives_way_to_a_new_name() {
    let (server, clock) = by_a_clock().await;
    let read = async |name: &str| server.get(&format!("/v1/events?limit=1&reader={name}")).await.status;
    let names = async || server.get("/v1/readers").await.text();
    assert_eq!(read("oldest").await, 200);
    clock.pass(1);
    assert_eq!(read("older").await, 200);
    clock.pass(29 * DAY);
    for n in 2..1_000 {
        assert_eq!(read(&format!("r-{n}")).await, 200);
    }
    assert_eq!(read("early").await, 200);
    assert!(!names().await.contains("early"), "nobody is gone yet");
    clock.pass(DAY);
    assert_eq!(read("late").await, 200);
    let names = names().await;
    assert!(names.contains("late") && names.contains("older") && !names.contains("oldest"), "{names}");
}

async fn listed(registry: &Registry) -> Value {
    registry.server.get("/v1/readers").await.json()
}

#[tokio::test]
async fn a_name_that_two_follow_the_log_under_is_what_both_read() {
    for store in STORES {
        let registry = before_a_break(store).await;
        let placed = "/v1/events?type=OrderPlaced&reader=billing&accept=OrderPlaced:%5E1";
        let _placed = registry.server.live(placed, &[]).await;
        let paid = registry.server.live("/v1/events?type=OrderPaid&category=order&reader=billing", &[]).await;
        let readers = listed(&registry).await;
        assert_eq!(readers[0]["types"], json!(["OrderPaid", "OrderPlaced"]), "{store}: {readers}");
        assert_eq!(readers[0]["categories"], json!([]), "one of them asked for all");
        assert_eq!((names(&impact(&registry, "OrderPlaced").await)), ["billing"], "{store}");
        assert_eq!((names(&impact(&registry, "OrderPaid").await)), ["billing"], "{store}");
        let refused = registry.client.schemas().register(&order_placed(V3, Some(TO_V3))).await.unwrap_err();
        assert!(refused.detail().contains("billing"), "{refused}");
        // Neither a page nor the end of the other one hides the one that goes on.
        assert_eq!(registry.server.get("/v1/events?type=Other&reader=billing").await.status, 200);
        drop(paid);
        assert_eq!((names(&impact(&registry, "OrderPlaced").await)), ["billing"], "{store}");
    }
}

#[tokio::test]
async fn a_version_suits_a_name_if_it_suits_each_that_reads_under_it() {
    for (others, understands, status) in [
        ("&accept=OrderPlaced:%5E2", Some("^2"), ReaderCheck::OptedIn),
        ("&accept=OrderPlaced:%5E1", Some("^1 and ^2"), ReaderCheck::Unchecked),
        ("&accept=OrderPlaced:%3E=1", Some(">=1 and ^2"), ReaderCheck::OptedIn),
        // One that states nothing understands what it got until now, and nobody knows more.
        ("", None, ReaderCheck::Unchecked),
    ] {
        let registry = before_a_break("memory:").await;
        let placed = "/v1/events?type=OrderPlaced&reader=billing";
        let _one = registry.server.live(&format!("{placed}{others}"), &[]).await;
        let _other = registry.server.live(&format!("{placed}&accept=OrderPlaced:%5E2"), &[]).await;
        let reader = at_the_break(&registry).await;
        assert_eq!((reader.understands.as_deref(), reader.status), (understands, status), "{others}");
    }
}

#[tokio::test]
async fn a_page_says_anew_what_its_reader_reads_where_nobody_follows() {
    let registry = before_a_break("memory:").await;
    assert_eq!(registry.server.get("/v1/events?type=OrderPlaced&reader=nightly").await.status, 200);
    assert_eq!(registry.server.get("/v1/events?type=OrderPaid&reader=nightly").await.status, 200);
    assert_eq!(listed(&registry).await[0]["types"], json!(["OrderPaid"]));
}

#[tokio::test]
async fn a_reader_of_categories_reads_the_types_that_lie_there() {
    for store in STORES {
        let registry = before_a_break(store).await;
        let schemas = registry.client.schemas();
        registry.server.fill("other-1", 1).await;
        let read = "/v1/streams/other-1/events?reader=others";
        assert_eq!(registry.server.get(read).await.status, 200);
        assert_eq!(registry.server.get("/v1/events?category=order&reader=orders").await.status, 200);
        assert_eq!(names(&impact(&registry, "OrderPlaced").await), Vec::<&str>::new(), "{store}");
        assert_eq!(registry.place(r#"{"amount":1}"#).await.status, 201);
        assert_eq!(names(&impact(&registry, "OrderPlaced").await), ["orders"], "{store}");
        let refused = schemas.register(&order_placed(V3, Some(TO_V3))).await.unwrap_err();
        assert!(refused.detail().contains("orders") && !refused.detail().contains("others"), "{refused}");
    }
}

#[tokio::test]
async fn who_acknowledged_readers_left_their_names_in_the_log() {
    for store in STORES {
        let registry = before_a_break(store).await;
        assert_eq!(registry.server.get("/v1/events?type=OrderPlaced&reader=nightly").await.status, 200);
        // A name that nobody has was not looked after.
        let acknowledged = ["nobody", "nightly"].map(str::to_owned).to_vec();
        let last = Registration { acknowledged, ..order_placed(V3, Some(TO_V3)) };
        registry.client.schemas().register(&last).await.unwrap();
        let log = registry.server.get("/v1/streams/$schemas/events").await.json();
        let told: Vec<&Value> = (0..3).map(|at| &log[at]["data"]["acknowledged"]).collect();
        assert_eq!(told, [&json!([]), &json!([]), &json!(["nightly"])], "{store}");
    }
}

#[tokio::test]
async fn a_name_is_forgotten_over_http() {
    for store in STORES {
        let registry = before_a_break(store).await;
        let name = "night batch/1";
        let path = "/v1/readers/night%20batch%2F1";
        assert_eq!(registry.server.get("/v1/events?reader=night%20batch/1").await.status, 200);
        assert_eq!(listed(&registry).await[0]["name"], name);
        assert_eq!(registry.server.send("DELETE", path, &[], b"").await.status, 204, "{store}");
        assert_eq!(listed(&registry).await, json!([]));
        let unknown = registry.server.send("DELETE", path, &[], b"").await;
        assert_eq!(unknown.problem(404).0, "schema-not-found");
        let _live = registry.server.live("/v1/events?reader=billing", &[]).await;
        let kept = registry.server.send("DELETE", "/v1/readers/billing", &[], b"").await;
        assert_eq!(kept.problem(409).0, "schema-incompatible");
    }
}

#[tokio::test]
async fn beyond_a_thousand_names_reads_go_on_and_are_not_noted() {
    let registry = before_a_break("memory:").await;
    let read = |name: String| {
        let door = registry.server.door();
        async move { door.get(&format!("/v1/events?limit=1&reader={name}")).await }
    };
    for tens in 0..101 {
        let reads = (0..10).map(|ones| read(format!("dos-{tens}-{ones}")));
        for answer in futures::future::join_all(reads).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    assert_eq!(listed(&registry).await.as_array().unwrap().len(), 1_000);
    let metrics = registry.server.get("/metrics").await.text();
    assert!(metrics.lines().any(|line| line == "pacioli_schema_readers_not_noted 10.0"), "{metrics}");
    // One that follows the log has no place either, until one is free.
    let _live = registry.server.live("/v1/events?reader=late", &[]).await;
    assert!(!listed(&registry).await.to_string().contains("late"));
    assert_eq!(registry.server.send("DELETE", "/v1/readers/dos-0-0", &[], b"").await.status, 204);
    assert_eq!(read("later".to_owned()).await.status, 200);
    assert!(listed(&registry).await.to_string().contains("later"));
}

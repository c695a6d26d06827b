//! Two servers over one PostgreSQL: what one registers holds on the other at once.

use std::time::Duration;

use futures::StreamExt;
use pacioli_api::schemas::{ImpactOf, ReaderKind, Registered, Registration};
use pacioli_client::Client;
use pacioli_core::schemas::{OnNewer, Shape};
use pacioli_core::{Delivery, EventStore, ReadError, Subscribe};
use pacioli_server::{OpenOptions, open_store_with};
use serde_json::json;

use crate::registry::{TO_V3, V1, V2, V3, event_type, order_placed};
use crate::support::{PATIENCE, TestServer, config};

async fn server(url: &str) -> TestServer {
    // The cluster does not sync, since nobody pulls its plug.
    let options = OpenOptions { accept_data_loss: true, ..OpenOptions::default() };
    let opened = open_store_with(url, options).await.unwrap();
    TestServer::with_schemas(config(), &opened).await
}

async fn register(client: &Client, text: &str, upcaster: Option<&str>) -> Registered {
    client.schemas().register(&order_placed(text, upcaster)).await.unwrap()
}

#[tokio::test]
async fn what_one_server_registers_is_enforced_and_understood_on_the_other() {
    let url = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("schemas_shared")).await.unwrap();
    let (one, other) = (server(&url).await, server(&url).await);
    let (client, others) = (one.client(), other.client());
    register(&client, V1, None).await;
    // The first append behind it meets it, whoever takes it.
    let wrong = other.append("order-1", r#"[{"type":"OrderPlaced","data":{"amount":"five"}}]"#, &[]).await;
    assert_eq!(wrong.problem(400).0, "schema-violated");
    let placed = other.append("order-1", r#"[{"type":"OrderPlaced","data":{"amount":5}}]"#, &[]).await;
    assert_eq!(placed.status, 201, "{}", placed.text());

    let understands = vec!["OrderPlaced:^1".parse().unwrap()];
    let shape = Shape { understands, on_newer: OnNewer::Stop, raw: false };
    let reader = others.with_reader("billing").with_shape(shape);
    let mut deliveries = reader.subscribe(Subscribe::default()).await.unwrap();
    register(&client, V2, None).await;
    // It is a subscription on both, and no one forgets it while it is.
    for client in [&client, &others] {
        let readers = client.schemas().readers().await.unwrap();
        assert!(readers.iter().any(|reader| reader.name == "billing" && reader.live), "{readers:?}");
        let impact = client.schemas().impact(&ImpactOf::Type(event_type("OrderPlaced"))).await.unwrap();
        let kinds: Vec<_> = impact.readers.iter().map(|reader| (reader.name.as_str(), reader.kind)).collect();
        assert_eq!(kinds, [("billing", ReaderKind::Subscription)]);
        let kept = client.schemas().forget_reader("billing").await.unwrap_err();
        assert!(kept.detail().contains("follows the log now"), "{kept}");
    }
    let refused = client.schemas().register(&order_placed(V3, Some(TO_V3))).await.unwrap_err();
    assert!(refused.detail().contains("billing"), "the reader of the other server is known: {refused}");
    let acknowledged = vec!["billing".to_owned()];
    let last = Registration { acknowledged, ..order_placed(V3, Some(TO_V3)) };
    assert_eq!(client.schemas().register(&last).await.unwrap().version, 3);
    let newest = one.append("order-1", r#"[{"type":"OrderPlaced","data":{"amount_cents":700}}]"#, &[]).await;
    assert_eq!(newest.status, 201, "{}", newest.text());

    let mut seen = Vec::new();
    let withheld = loop {
        match tokio::time::timeout(PATIENCE, deliveries.next()).await.expect("in time").expect("it says why it ends") {
            Ok(Delivery::Events { events, .. }) => {
                seen.extend(events.iter().map(|event| event.event_type.as_str().to_owned()));
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(&withheld, ReadError::Withheld(withheld) if withheld.schema_version == 3), "{withheld}");
    assert_eq!(seen.iter().filter(|name| *name == "OrderPlaced").count(), 1);
    // It ended, and both say so.
    drop(deliveries);
    for client in [&client, &others] {
        let ended = async {
            loop {
                let impact = client.schemas().impact(&ImpactOf::Type(event_type("OrderPlaced"))).await.unwrap();
                if impact.readers[0].kind == ReaderKind::Consumer {
                    return impact;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it is a consumer that read");
    }
    // Within some seconds the other one lifts what is stored, too.
    let lifted = async {
        loop {
            let events = other.get("/v1/events?type=OrderPlaced").await.json();
            if events[0]["data"] == json!({ "amount_cents": 5 }) {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let events = tokio::time::timeout(PATIENCE, lifted).await.expect("it hears of the registration");
    assert_eq!((&events[0]["schemaversion"], &events[1]["schemaversion"]), (&json!(3), &json!(3)));
    // Both register at once, and one of them thinks again.
    let race = |client: Client, name: &'static str| async move {
        let mut registration = order_placed(V1, None);
        registration.proposed.event_type = crate::registry::event_type(name);
        client.schemas().register(&registration).await.unwrap().version
    };
    let raced = futures::future::join_all((0..6).map(|n| {
        let names = ["A", "B", "C", "D", "E", "F"];
        race(if n % 2 == 0 { client.clone() } else { others.clone() }, names[n])
    }));
    assert_eq!(raced.await, [1; 6]);
    let all = others.schemas().registry(None).await.unwrap();
    assert_eq!((all.generation.0, all.schemas.len()), (9, 9));
}

#[tokio::test]
async fn what_one_server_registers_the_other_answers_at_once() {
    let url = tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("schemas_answered")).await.unwrap();
    let (one, other) = (server(&url).await, server(&url).await);
    let headers = [("content-type", "application/json")];
    let send = async |method: &str, path: &str, body: serde_json::Value| {
        let answer = one.send(method, &format!("/schema-registry{path}"), &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let get = async |path: &str| other.get(&format!("/schema-registry{path}")).await.json();
    for turn in 0..12 {
        let schema = json!({ "schemaType": "JSON", "schema": json!({ "title": turn.to_string() }).to_string() });
        let id = send("POST", "/subjects/Placed/versions", schema).await["id"].clone();
        let latest = get("/subjects/Placed/versions/latest").await;
        assert_eq!((&latest["version"], &latest["id"]), (&json!(turn + 1), &id));
        let subject = format!("Placed{turn}");
        send("POST", &format!("/subjects/{subject}/versions"), json!({ "schemaType": "JSON", "schema": "{}" })).await;
        assert!(get("/subjects").await.as_array().unwrap().contains(&json!(subject)));
        let level = if turn % 2 == 0 { "FULL" } else { "NONE" };
        send("PUT", "/config", json!({ "compatibility": level })).await;
        assert_eq!(get("/config").await, json!({ "compatibilityLevel": level }));
        let mode = if turn % 2 == 0 { "READONLY" } else { "READWRITE" };
        send("PUT", "/mode", json!({ "mode": mode })).await;
        assert_eq!(get("/mode").await, json!({ "mode": mode }));
        send("PUT", "/mode", json!({ "mode": "READWRITE" })).await;
    }
}

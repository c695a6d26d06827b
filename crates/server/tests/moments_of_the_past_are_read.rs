//! The past: streams, their state and read models as they were at a moment.

use serde_json::{Value, json};

use crate::read_models::Models;
use crate::support::TestServer;

fn counted(events: &Value) -> Vec<u64> {
    events.as_array().unwrap().iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_ends_at_its_moment() {
    let server = TestServer::start().await;
    server.fill("a-1", 10).await;
    let events = server.get("/v1/streams/a-1/events").await.json();
    let time = events[4]["recordedat"].as_str().unwrap_or(events[4]["time"].as_str().unwrap()).to_owned();
    let read = async |query: &str| server.get(&format!("/v1/streams/a-1/events?{query}")).await;
    for as_of in ["0:5".to_owned(), time] {
        let page = read(&format!("as_of={as_of}")).await;
        assert_eq!(counted(&page.json()), [0, 1, 2, 3, 4], "{as_of}");
        assert_eq!((page.header("etag"), page.header("link")), (Some("\"4\""), None));
    }
    let page = read("as_of=0:5&limit=3").await;
    assert_eq!(counted(&page.json()), [0, 1, 2]);
    let next = page.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    assert!(next.contains("as_of=0:5"), "{next}");
    let page = server.get(&next).await;
    assert_eq!((counted(&page.json()), page.header("link")), (vec![3, 4], None));
    assert_eq!(counted(&read("as_of=0:5&direction=backward&limit=2").await.json()), [4, 3]);
    assert_eq!(counted(&read("as_of=0:5&direction=backward&from=2").await.json()), [2, 1, 0]);
    assert_eq!(counted(&read("as_of=0:5&from=4").await.json()), [4]);
    assert_eq!(counted(&read("as_of=0:5&from=5").await.json()), [0; 0]);
    assert_eq!(counted(&read("as_of=2999-01-01T00:00:00Z").await.json()).len(), 10);

    assert_eq!(read("as_of=0:0").await.problem(404).0, "stream-not-found");
    assert_eq!(read("as_of=2000-01-01T00:00:00Z").await.problem(404).0, "stream-not-found");
    assert_eq!(server.get("/v1/streams/a-2/events?as_of=0:5").await.problem(404).0, "stream-not-found");
    for wrong in ["yesterday", "0:99", "0:1,1:1"] {
        assert_eq!(read(&format!("as_of={wrong}")).await.problem(400).0, "invalid", "{wrong}");
    }
    let live = [("accept", "text/event-stream")];
    let refused = server.send("GET", "/v1/streams/a-1/events?as_of=0:5", &live, b"").await;
    assert_eq!(refused.problem(400), ("invalid".into(), "as_of".into()));
}

#[tokio::test]
async fn a_state_is_what_the_events_come_to() {
    let server = TestServer::start().await;
    let events = [
        r#"{"type":"Opened","data":{"owner":"Luca","limit":1.50},"occurred_at":"2020-01-01T00:00:00Z"}"#,
        r#"{"type":"Moved","data":{"city":"Venice"},"occurred_at":"2010-01-01T00:00:00Z"}"#,
        r#"{"type":"Closed","data":{"owner":null}}"#,
    ];
    for event in events {
        assert_eq!(server.append("a-1", &format!("[{event}]"), &[]).await.status, 201);
    }
    let state = async |query: &str| server.get(&format!("/v1/streams/a-1/state{query}")).await;
    let now = state("").await;
    assert_eq!(now.header("etag"), Some("\"2\""));
    assert!(now.text().contains("1.50"), "values keep their bytes: {}", now.text());
    let body = now.json();
    assert_eq!((&body["stream"], &body["version"], &body["events"]), (&json!("a-1"), &json!(2), &json!(3)));
    assert_eq!((&body["state"]["city"], &body["checkpoint"]), (&json!("Venice"), &json!("0:3")));
    let known = [("if-none-match", "\"2\"")];
    assert_eq!(server.send("GET", "/v1/streams/a-1/state", &known, b"").await.status, 304);

    let then = state("?as_of=0:1").await;
    assert_eq!((then.json()["version"].clone(), then.header("etag")), (json!(0), None));
    assert_eq!(then.json()["state"], json!({ "owner": "Luca", "limit": 1.5 }));
    let business = state("?as_of_occurred=2015-01-01T00:00:00Z").await.json();
    assert_eq!((&business["state"], &business["events"]), (&json!({ "city": "Venice" }), &json!(1)));
    assert_eq!(state("?as_of=0:0").await.problem(404).0, "stream-not-found");
    assert_eq!(server.get("/v1/streams/a-2/state").await.problem(404).0, "stream-not-found");
    assert_eq!(state("?as_of=0:1&as_of_occurred=2015-01-01T00:00:00Z").await.problem(400).0, "invalid");
    assert_eq!(state("?asof=0:1").await.problem(400), ("invalid".into(), "asof".into()));
}

#[tokio::test]
async fn a_read_model_is_asked_as_of_a_moment() {
    let models = Models::with_balances().await;
    let event = |cents: i64, at: &str| {
        json!([{ "type": "Deposited", "data": { "cents": cents }, "occurred_at": at }]).to_string()
    };
    let first = models.server.append("account-1", &event(100, "2020-01-01T00:00:00Z"), &[]).await.json();
    let first = first["checkpoint"].as_str().unwrap().to_owned();
    models.server.append("account-1", &event(20, "2010-01-01T00:00:00Z"), &[]).await;
    let last = models.deposit("account-2", 3).await;
    let balances = async |more: Value| {
        let mut body = json!({ "sql": "SELECT sum(cents) AS cents FROM balances" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = models.sql(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()[0]["cents"].clone()
    };
    assert_eq!(balances(json!({ "at_least": last })).await, 123);
    assert_eq!(balances(json!({ "as_of": first })).await, 100);
    assert_eq!(balances(json!({ "as_of": "2999-01-01T00:00:00Z" })).await, 123);
    assert_eq!(balances(json!({ "as_of": "2000-01-01T00:00:00Z" })).await, Value::Null);
    assert_eq!(balances(json!({ "as_of_occurred": "2015-01-01T00:00:00Z" })).await, 20);
    assert_eq!(balances(json!({})).await, 123, "now is still now");

    let diff = async |query: &str| models.server.get(&format!("/v1/read-models/balances/diff?{query}")).await;
    let changed = diff(&format!("from={first}&to={last}")).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let mut rows = changed.json().as_array().unwrap().clone();
    rows.sort_by_key(|row| row.to_string());
    let expected = [
        json!({ "change": "+", "account": "account-1", "cents": 120 }),
        json!({ "change": "+", "account": "account-2", "cents": 3 }),
        json!({ "change": "-", "account": "account-1", "cents": 100 }),
    ];
    assert_eq!(rows.len(), 3, "{rows:?}");
    for row in expected {
        assert!(rows.contains(&row), "{row}: {rows:?}");
    }
    assert_eq!(diff(&format!("from={last}&to={last}")).await.json(), json!([]));
    assert_eq!(diff(&format!("from={last}")).await.problem(400), ("invalid".into(), "to".into()));
    assert_eq!(diff("from=x&to=0:1").await.problem(400), ("invalid".into(), "from".into()));
    let other = models.server.get("/v1/read-models/nothing/diff?from=0:0&to=0:1").await;
    assert_eq!(other.problem(404).0, "projection-not-found");
}

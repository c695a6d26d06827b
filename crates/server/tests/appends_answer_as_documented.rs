//! Every status of an append, with its body and headers.

use serde_json::json;

use crate::support::TestServer;

const ONE: &str = r#"[{"type":"AccountOpened","data":{"owner":"Luca"}}]"#;
const KEY: &str = "0198a9c2-7a10-7000-8000-000000000001";

#[tokio::test]
async fn expectations_come_by_the_webs_own_means() {
    let server = TestServer::start().await;
    let opened = server.append("account-1", ONE, &[("if-none-match", "*")]).await;
    assert_eq!(opened.status, 201, "{}", opened.text());
    assert_eq!(opened.header("etag"), Some("\"0\""));
    let expected =
        json!({"stream":"account-1","first_version":0,"last_version":0,"checkpoint":"0:1","duplicate":false});
    assert_eq!(opened.json(), expected);
    assert_eq!(
        opened.text(),
        r#"{"stream":"account-1","first_version":0,"last_version":0,"checkpoint":"0:1","duplicate":false}"#
    );

    let again = server.append("account-1", ONE, &[("if-none-match", "*")]).await;
    assert_eq!(again.problem(412).0, "wrong-version");
    assert_eq!(again.json()["current_version"], 0);
    assert_eq!(server.append("account-1", ONE, &[("if-match", "\"0\"")]).await.status, 201);
    assert_eq!(server.append("account-1", ONE, &[("if-match", "\"0\"")]).await.json()["current_version"], 1);
    assert_eq!(server.append("account-1", ONE, &[("if-match", "*")]).await.status, 201);
    let missing = server.append("account-2", ONE, &[("if-match", "*")]).await;
    assert_eq!(missing.problem(412).0, "wrong-version");
    assert_eq!(missing.json()["current_version"], serde_json::Value::Null);

    for (headers, field) in [
        (&[("if-match", "\"x\"")][..], "If-Match"),
        (&[("if-match", "0")], "If-Match"),
        (&[("if-match", "\"0\", \"1\"")], "If-Match"),
        (&[("if-none-match", "\"0\"")], "If-None-Match"),
        (&[("if-match", "*"), ("if-none-match", "*")], "If-Match"),
        (&[("if-match", "*"), ("if-match", "*")], "If-Match"),
        (&[("idempotency-key", "x")], "Idempotency-Key"),
    ] {
        let refused = server.append("account-1", ONE, headers).await;
        assert_eq!(refused.problem(400), ("invalid".to_owned(), field.to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn a_retry_gets_the_first_answer() {
    let server = TestServer::start().await;
    let first = server.append("account-1", ONE, &[("idempotency-key", KEY)]).await;
    let again = server.append("account-1", ONE, &[("idempotency-key", &format!("\"{KEY}\""))]).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(again.json()["duplicate"], true);
    assert_eq!(again.json()["checkpoint"], first.json()["checkpoint"]);
    let other = ONE.replace("Luca", "Leonardo");
    assert_eq!(server.append("account-1", &other, &[("idempotency-key", KEY)]).await.problem(422).0, "key-reused");

    let with_id = |owner: &str| format!(r#"[{{"type":"T","data":"{owner}","id":"{KEY}"}}]"#);
    assert_eq!(server.append("account-1", &with_id("a"), &[]).await.status, 201);
    assert_eq!(server.append("account-1", &with_id("a"), &[]).await.status, 200);
    assert_eq!(server.append("account-1", &with_id("b"), &[]).await.problem(422).0, "id-reused");
    let mixed = format!(r#"[{{"type":"T","data":"a","id":"{KEY}"}},{{"type":"T","data":"new"}}]"#);
    let conflict = server.append("account-1", &mixed, &[("if-match", "\"1\"")]).await;
    assert_eq!(conflict.problem(409).0, "ids-known");
    assert_eq!(conflict.json()["known_ids"], json!([KEY]));
}

#[tokio::test]
async fn bad_input_is_named_and_stores_nothing() {
    let server = TestServer::start().await;
    for (stream, body, field) in [
        ("account-9", "[]", "events"),
        ("account-9", "{", "body"),
        ("account-9", "", "body"),
        ("account-9", r#"[{"data":{}}]"#, "[0].type"),
        ("account-9", r#"[{"type":"T","data":1},{"type":"T"}]"#, "[1].data"),
        ("account-9", r#"[{"type":"T","data":{"a":1,"a":2}}]"#, "[0].data"),
        ("account-9", r#"[{"type":"T","data":"\u0000"}]"#, "[0].data"),
        ("account-9", r#"[{"type":"T","data":1,"occurred_at":"2999-01-01T00:00:00Z"}]"#, "[0].occurred_at"),
        (
            "account-9",
            &format!(r#"[{{"type":"T","data":1,"id":"{KEY}"}},{{"type":"T","data":1,"id":"{KEY}"}}]"#),
            "[1].id",
        ),
        ("account-%01", ONE, "stream"),
        ("account-%ff", ONE, "stream"),
    ] {
        let refused = server.append(stream, body, &[]).await;
        assert_eq!(refused.problem(400), ("invalid".to_owned(), field.to_owned()), "{body}");
    }
    assert_eq!(server.get("/v1/events").await.text(), "[]");
}

#[tokio::test]
async fn a_stream_may_have_any_name() {
    let server = TestServer::start().await;
    for (path, name) in [("caf%C3%A9-1", "café-1"), ("a%2Fb-1", "a/b-1"), ("a+b-%20c%3F", "a+b- c?")] {
        assert_eq!(server.append(path, ONE, &[]).await.json()["stream"], name);
        assert_eq!(server.get(&format!("/v1/streams/{path}")).await.json()["stream"], name);
    }
}

#[tokio::test]
async fn cloud_events_are_taken_one_or_many() {
    let server = TestServer::start().await;
    let event =
        |more: &str| format!(r#"{{"specversion":"1.0","id":"a","source":"/shop","type":"Sold","data":1{more}}}"#);
    let send = async |media_type: &str, body: String| {
        let path = "/v1/streams/order-7/events";
        server.send("POST", path, &[("content-type", media_type)], body.as_bytes()).await
    };
    let one = "application/cloudevents+json; charset=utf-8";
    let many = "application/cloudevents-batch+json";
    assert_eq!(send(one, event("")).await.status, 201);
    // The same id of the same source is the same event.
    assert_eq!(send(many, format!("[{}]", event(r#","subject":"order-7""#))).await.status, 200);
    let elsewhere = event(r#","subject":"order-8""#);
    assert_eq!(send(one, elsewhere.clone()).await.problem(400).1, "subject");
    assert_eq!(send(many, format!("[{elsewhere}]")).await.problem(400).1, "[0].subject");
    assert_eq!(send(one, event(r#","time":"2999-01-01T00:00:00Z""#)).await.problem(400).1, "time");
    let stored = server.get("/v1/streams/order-7/events").await.json();
    assert_eq!((&stored[0]["source"], &stored[0]["sourceid"]), (&json!("/shop"), &json!("a")));

    for media_type in ["text/plain", "", "application/xml"] {
        assert_eq!(send(media_type, event("")).await.problem(415).0, "unsupported-media-type");
    }
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let squeezed = server.send("POST", "/v1/streams/order-7/events", &headers, ONE.as_bytes()).await;
    assert_eq!(squeezed.problem(415).0, "unsupported-media-type");
}

#[tokio::test]
async fn several_streams_take_all_or_none() {
    let server = TestServer::start().await;
    let send = async |body: serde_json::Value| {
        server.send("POST", "/v1/appends", &[("content-type", "application/json")], body.to_string().as_bytes()).await
    };
    let write = |stream: &str, expected: serde_json::Value| json!({"stream": stream, "expected": expected, "events": [{"type":"SeatTaken","data":{},"tags":["seat:7"]}]});
    let condition = json!({"items":[{"tags":["seat:7"]}]});
    let both =
        json!({"writes":[write("order-7", json!("none")), write("payment-7", json!("any"))], "condition": condition});
    let done = send(both.clone()).await;
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(done.json()["streams"][1], json!({"stream":"payment-7","first_version":0,"last_version":0}));
    assert_eq!(done.json()["checkpoint"], "0:2");

    let matched = send(json!({"writes":[write("order-8", json!("any"))], "condition": condition})).await;
    assert_eq!(matched.problem(409).0, "condition-matched");
    assert_eq!(matched.json()["matched"], "0:1");
    let stale = send(json!({"writes":[write("order-8", json!("any")), write("order-7", json!(4))]})).await;
    assert_eq!(stale.problem(409).0, "wrong-version");
    assert_eq!(stale.json()["current_version"], 0);
    let tracked = json!({"writes":[write("order-9", json!("any"))], "tracking":{"name":"orders","checkpoint":"0:2"}});
    assert_eq!(send(tracked.clone()).await.status, 201);
    let behind = send(tracked).await;
    assert_eq!(behind.problem(409).0, "consumer-ahead");
    assert_eq!(behind.json()["current_checkpoint"], "0:2");
    assert_eq!(send(json!({"writes":[write("a-1", json!("x"))]})).await.problem(400).1, "writes[0].expected");
    assert_eq!(send(json!({"writes":[]})).await.problem(400).1, "writes");
    assert_eq!(send(json!({"writes":[{"stream":"a-1","events":[]}]})).await.problem(400).1, "writes[0].events");
    let past = json!({"writes":[write("a-1", json!("any"))],"condition":{"items":[{"types":["T"]}],"after":"0:99"}});
    assert_eq!(send(past).await.problem(400).1, "condition.after");
    assert_eq!(server.get("/v1/streams/order-8").await.status, 404);

    let keyed = json!({"writes":[write("key-1", json!("any"))],"key":"0198a9c2-7a10-7000-8000-000000000001"});
    assert_eq!(send(keyed.clone()).await.status, 201);
    assert_eq!(send(keyed.clone()).await.status, 200);
    let headers = [("content-type", "application/json"), ("idempotency-key", "0198a9c2-7a10-7000-8000-000000000002")];
    let two_keys = server.send("POST", "/v1/appends", &headers, keyed.to_string().as_bytes()).await;
    assert_eq!(two_keys.problem(400).1, "key");
    let headers = [("content-type", "application/json"), ("if-match", "*")];
    let precondition = server.send("POST", "/v1/appends", &headers, both.to_string().as_bytes()).await;
    assert_eq!(precondition.problem(400).1, "If-Match");
}

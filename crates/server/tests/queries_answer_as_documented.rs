//! Questions over HTTP: their forms, their bounds, how they wait, and what is said where there is no answer.

use std::time::{Duration, Instant};

use pacioli_core::Limits;
use serde_json::json;

use crate::read_models::Models;
use crate::support::{TestServer, config, memory};

#[tokio::test]
async fn rows_come_in_the_form_that_is_asked_for() {
    let models = Models::with_balances().await;
    models.deposit("account-1", 100).await;
    let at_least = models.deposit("account-2", 250).await;
    let sql = "SELECT account, cents, cents AS cents FROM balances ORDER BY account";
    let forms = [
        (
            "json",
            "application/json",
            "[{\"account\":\"account-1\",\"cents\":100,\"cents_2\":100},{\"account\":\"account-2\",\"cents\":250,\"cents_2\":250}]",
        ),
        (
            "ndjson",
            "application/x-ndjson",
            "{\"account\":\"account-1\",\"cents\":100,\"cents_2\":100}\n{\"account\":\"account-2\",\"cents\":250,\"cents_2\":250}\n",
        ),
        (
            "csv",
            "text/csv; charset=utf-8; header=present",
            "account,cents,cents_2\r\naccount-1,100,100\r\naccount-2,250,250\r\n",
        ),
    ];
    for (format, media_type, expected) in forms {
        let by_body = models.sql(json!({ "sql": sql, "at_least": at_least, "format": format })).await;
        assert_eq!((by_body.status, by_body.text().as_str()), (200, expected));
        assert_eq!(by_body.header("content-type"), Some(media_type));
        assert_eq!(by_body.header("cache-control"), Some("no-store"));
        let accept = media_type.split(';').next().unwrap();
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let body = json!({ "sql": sql }).to_string();
        assert_eq!(models.server.send("POST", "/v1/sql", &headers, body.as_bytes()).await.text(), expected);
    }
    let arrow = models.sql(json!({ "sql": sql, "format": "arrow" })).await;
    match cfg!(feature = "arrow") {
        true => assert_eq!(arrow.header("content-type"), Some("application/vnd.apache.arrow.stream")),
        false => assert_eq!(arrow.problem(501).0, "unsupported"),
    }
    let headers = [("content-type", "application/json"), ("accept", "image/png")];
    let refused = models.server.send("POST", "/v1/sql", &headers, b"{\"sql\":\"SELECT 1\"}").await;
    assert_eq!(refused.problem(406).0, "not-acceptable");
}

#[tokio::test]
async fn a_long_answer_comes_whole() {
    let models = Models::start().await;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n";
    let answer = models.sql(json!({ "sql": sql })).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 5_000);
    let over = models.sql(json!({ "sql": sql, "max_rows": 4_999 })).await;
    assert_eq!(over.problem(400).0, "query-refused");
    assert_eq!(models.sql(json!({ "sql": sql, "max_rows": 5_000 })).await.status, 200);
}

#[tokio::test]
async fn the_log_is_a_table() {
    let models = Models::start().await;
    models.deposit("account-1", 100).await;
    let sql = "SELECT stream, type, data ->> 'cents' AS cents FROM events";
    let rows = models.sql(json!({ "sql": sql })).await.json();
    assert_eq!(rows, json!([{ "stream": "account-1", "type": "Deposited", "cents": 100 }]));
}

#[tokio::test]
async fn a_reader_sees_its_own_write_or_is_told_how_far_it_is() {
    let models = Models::with_balances().await;
    let at_least = models.deposit("account-1", 100).await;
    let question = json!({ "sql": "SELECT cents FROM balances", "at_least": at_least });
    assert_eq!(models.sql(question).await.json(), json!([{ "cents": 100 }]));
    let path = format!("/v1/read-models/balances?account=account-1&at_least={at_least}");
    assert_eq!(models.server.get(&path).await.json(), json!([{ "account": "account-1", "cents": 100 }]));

    assert_eq!(models.command("pause", json!({})).await.json()["state"], "paused");
    let at_least = models.deposit("account-1", 1).await;
    let began = Instant::now();
    let question = json!({ "sql": "SELECT cents FROM balances", "at_least": at_least, "deadline": "300ms" });
    let behind = models.sql(question.clone()).await;
    assert_eq!(behind.problem(504).0, "behind");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let body = behind.json();
    assert_eq!((&body["projection"], &body["at_least"]), (&json!("balances"), &json!(at_least)));
    assert!(
        body["checkpoint"].as_str().unwrap() < at_least.as_str() && body["detail"].as_str().unwrap().contains("paused")
    );
    assert_eq!(behind.header("retry-after"), None, "it does not go on by itself");
    let path = format!("/v1/read-models/balances?at_least={at_least}&deadline=0.1");
    assert_eq!(models.server.get(&path).await.problem(504).0, "behind");

    // Whoever waits is answered as soon as it goes on.
    let question = json!({ "sql": "SELECT cents FROM balances", "at_least": at_least });
    let (answer, resumed) = tokio::join!(models.sql(question), models.command("resume", json!({})));
    assert_eq!((answer.json(), resumed.status), (json!([{ "cents": 101 }]), 200));
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let models = Models::with_balances().await;
    models.deposit("account-1", 100).await;
    let refused = [
        "DELETE FROM balances",
        "INSERT INTO balances VALUES ('x', 1)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE balances",
        "UPDATE events SET type = 'x'",
        "CREATE TABLE t (x int)",
        "PRAGMA writable_schema = 1",
        "ATTACH 'x' AS y",
        "SELECT load_extension('x')",
        "SELECT * FROM nothing",
        "SELEC 1",
        "",
    ];
    for sql in refused {
        assert_eq!(models.sql(json!({ "sql": sql })).await.problem(400).0, "query-refused", "{sql}");
    }
    let sql = "SELECT 1 AS one";
    let malformed = [
        (json!({ "sql": sql, "at_least": "banana" }), "at_least"),
        (json!({ "sql": sql, "deadline": "1h" }), "deadline"),
        (json!({ "sql": sql, "deadline": -1 }), "deadline"),
        (json!({ "sql": sql, "deadline": 601 }), "deadline"),
        (json!({ "sql": sql, "as_of": "yesterday" }), "as_of"),
        (json!({ "sql": sql, "as_of_occurred": "0:1" }), "as_of_occurred"),
        (json!({ "sql": sql, "as_of": "0:1", "as_of_occurred": "2026-01-01T00:00:00Z" }), "as_of_occurred"),
        (json!({ "sql": sql, "format": "xml" }), "format"),
        (json!({ "sql": sql, "max_rows": 0 }), "max_rows"),
        (json!({ "sql": sql, "max_rows": 100_001 }), "max_rows"),
        (json!({ "sql": sql, "atleast": "0:1" }), "body"),
        (json!({}), "body"),
    ];
    for (body, field) in malformed {
        assert_eq!(models.sql(body).await.problem(400), ("invalid".to_owned(), field.to_owned()));
    }
    assert!(models.sql(json!({ "sql": sql, "at_least": "0:99" })).await.problem(400).0 == "query-refused");
    let text = models.server.send("POST", "/v1/sql", &[("content-type", "text/plain")], b"SELECT 1").await;
    assert_eq!(text.problem(415).0, "unsupported-media-type");
    for deadline in [json!("10s"), json!(1.5), json!("2m")] {
        assert_eq!(models.sql(json!({ "sql": sql, "deadline": deadline })).await.json(), json!([{ "one": 1 }]));
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended() {
    let models = Models::start().await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let began = Instant::now();
    let late = models.sql(json!({ "sql": endless, "deadline": "400ms" })).await;
    assert_eq!(late.problem(504).0, "query-late");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Nothing of it goes on that would keep the next one waiting.
    assert_eq!(models.sql(json!({ "sql": "SELECT 1 AS one" })).await.status, 200);
}

#[tokio::test]
async fn points_are_read_by_column() {
    let models = Models::with_balances().await;
    for (account, cents) in [("account-1", 300), ("account-2", 100), ("account-3", 200), ("account-ü", 100)] {
        models.deposit(&account.replace('ü', "%C3%BC"), cents).await;
    }
    models.until(|status| status["lag_events"] == 0).await;
    let accounts = async |query: &str| {
        let rows = models.server.get(&format!("/v1/read-models/balances{query}")).await;
        assert_eq!(rows.status, 200, "{}", rows.text());
        let rows = rows.json().as_array().unwrap().clone();
        rows.iter().map(|row| row["account"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(accounts("?account=account-2").await, ["account-2"]);
    assert_eq!(accounts("?account=account-%C3%BC").await, ["account-ü"]);
    assert_eq!(accounts("?cents=100&order=account").await, ["account-2", "account-ü"]);
    assert_eq!(accounts("?cents=100&account=account-1").await, [""; 0]);
    assert_eq!(accounts("?order=-cents&limit=2").await, ["account-1", "account-3"]);
    assert_eq!(accounts("?order=cents&limit=1&deadline=2s").await.len(), 1);

    // From memory the second time, and from the table again after the next commit.
    for cents in [100, 107] {
        for _ in 0..2 {
            let rows = models.server.get("/v1/read-models/balances?account=account-2").await.json();
            assert_eq!(rows, json!([{ "account": "account-2", "cents": cents }]));
        }
        let at_least = models.deposit("account-2", 7).await;
        models.server.get(&format!("/v1/read-models/balances?account=account-2&at_least={at_least}")).await;
    }

    let lines = [("accept", "application/x-ndjson")];
    let answer = models.server.send("GET", "/v1/read-models/balances?account=account-1", &lines, b"").await;
    assert_eq!(answer.text(), "{\"account\":\"account-1\",\"cents\":300}\n");
    let refused = |query: &str| format!("/v1/read-models/{query}");
    for (query, status, slug) in [
        ("nothing?account=x", 404, "projection-not-found"),
        ("balances?acount=x", 400, "query-refused"),
        ("balances?order=acount", 400, "query-refused"),
        ("balances?cents=1&cents=2", 400, "invalid"),
        ("balances?limit=0", 400, "invalid"),
        ("balances?limit=10001", 400, "invalid"),
        ("balances?at_least=x", 400, "invalid"),
        ("balances?deadline=x", 400, "invalid"),
        ("%FF", 400, "invalid"),
    ] {
        assert_eq!(models.server.get(&refused(query)).await.problem(status).0, slug, "{query}");
    }
}

#[tokio::test]
async fn what_came_of_questions_is_counted() {
    let models = Models::with_balances().await;
    models.sql(json!({ "sql": "SELECT 1 AS one" })).await;
    models.sql(json!({ "sql": "SELEC" })).await;
    models.server.get("/v1/read-models/nothing").await;
    let metrics = models.server.get("/metrics").await.text();
    for line in [
        r#"pacioli_queries_total{kind="sql",outcome="answered"} 1"#,
        r#"pacioli_queries_total{kind="sql",outcome="refused"} 1"#,
        r#"pacioli_queries_total{kind="lookup",outcome="not_found"} 1"#,
        r#"pacioli_query_duration_seconds_count{kind="sql",outcome="answered"} 1"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_store_in_memory_says_that_it_has_no_read_models() {
    let server = TestServer::with(config(), memory(1, Limits::default())).await;
    let gets = [
        "/v1/projections",
        "/v1/projections/balances",
        "/v1/read-models/balances",
        "/v1/read-models/balances/diff?from=0:0&to=0:0",
    ];
    for path in gets {
        assert_eq!(server.get(path).await.problem(501).0, "unsupported", "{path}");
    }
    let headers = [("content-type", "application/json")];
    for path in ["/v1/sql", "/v1/projections", "/v1/projections/balances/rebuild", "/v1/projections/balances/verify"] {
        let refused = server.send("POST", path, &headers, br#"{"sql":"SELECT 1"}"#).await;
        assert_eq!(refused.problem(501).0, "unsupported", "{path}");
    }
    assert_eq!(server.send("DELETE", "/v1/projections/balances", &[], b"").await.problem(501).0, "unsupported");
    // The state of a stream is read from the log, which it has.
    server.append("a-1", r#"[{"type":"T","data":{"a":1}}]"#, &[]).await;
    assert_eq!(server.get("/v1/streams/a-1/state").await.json()["state"], json!({ "a": 1 }));
}

#[tokio::test]
async fn a_server_that_stops_ends_those_who_wait_and_gives_its_projections_back() {
    let mut models = Models::with_balances().await;
    models.command("pause", json!({})).await;
    let at_least = models.deposit("account-1", 1).await;
    let question = json!({ "sql": "SELECT 1 FROM balances", "at_least": at_least, "deadline": "60s" }).to_string();
    let address = models.server.address;
    let waiting = tokio::spawn(async move {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let headers = [("content-type", "application/json")];
        let request = crate::support::request("POST", "/v1/sql", &headers, question.as_bytes());
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &request).await.unwrap();
        crate::support::answer(tcp).await
    });
    // It waits: its metrics say that the request was let in only when it is answered, so a moment has to do.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    models.server.stop();
    assert_eq!(waiting.await.unwrap().problem(503).0, "shutting-down");
    (&mut models.server.running).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // Another server runs them at once, without waiting for leases to run out.
    let other = TestServer::with_read_models(config(), &models.store).await;
    let headers = [("content-type", "application/json")];
    let resumed = other.send("POST", "/v1/projections/balances/resume", &headers, b"{}").await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    let path = format!("/v1/read-models/balances?at_least={at_least}&deadline=2s");
    assert_eq!(other.get(&path).await.json(), json!([{ "account": "account-1", "cents": 1 }]));
}

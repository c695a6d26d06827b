//! Projections over HTTP: added, watched, rebuilt, stopped and mended, each by a command with its answer.

use std::sync::Arc;

use pacioli_api::schemas::{Proposed, Registration};
use pacioli_core::schemas::SchemaFormat;
use pacioli_core::{Direction, PayloadChoice, ReadStream, StreamName};
use pacioli_server::ServerConfig;
use pacioli_server::tokens::{Role, new_token};
use serde_json::{Value, json};

use crate::read_models::{BALANCES, Models};
use crate::registry::event_type;
use crate::support::config;

#[tokio::test]
async fn a_file_is_added_once() {
    let models = Models::start().await;
    assert_eq!(models.server.get("/v1/projections").await.json(), json!([]));
    let added = models.add("balances.sql", BALANCES).await;
    assert_eq!((added.status, added.json()["outcome"].clone()), (201, json!("created")), "{}", added.text());
    assert_eq!((&added.json()["name"], &added.json()["version"]), (&json!("balances"), &json!(1)));
    let again = models.add("balances.sql", BALANCES).await;
    assert_eq!((again.status, again.json()["outcome"].clone()), (200, json!("unchanged")));
    let changed = models.add("balances.sql", &BALANCES.replace("cents BIGINT", "cents INTEGER")).await;
    assert!(matches!(changed.status, 409 | 422), "{}", changed.text());

    let list = models.server.get("/v1/projections").await.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let one = models.server.get("/v1/projections/balances").await;
    assert_eq!(one.header("cache-control"), Some("no-store"));
    let one = one.json();
    assert_eq!((&one["version"], &one["building"], &one["mode"]), (&json!(1), &Value::Null, &json!("async")));
    assert_eq!(one["tables"], json!(["balances"]));
    assert_eq!(models.server.get("/v1/projections/others").await.problem(404).0, "projection-not-found");
    assert_eq!(models.server.get("/v1/projections/Others").await.problem(400), ("invalid".into(), "name".into()));
    assert_eq!(models.server.get("/v1/projections?name=x").await.problem(400).0, "invalid");
}

#[tokio::test]
async fn what_a_projection_waits_for_and_passes_over_is_told() {
    for is_shared in [false, true] {
        let models = if is_shared { Models::on_postgres("steered_schemas").await } else { Models::start().await };
        let register = async |version: u32, text: &str, upcaster: Option<&str>| {
            let proposed = Proposed::new(event_type("Deposited"), SchemaFormat::Json, text);
            let proposed = Proposed { upcaster: upcaster.map(str::to_owned), ..proposed };
            let mut registration = Registration::of(proposed);
            // A break: each projection is asked for.
            registration.acknowledged = vec!["balances".to_owned(), "skipping".to_owned()];
            let registered = models.server.client().schemas().register(&registration).await.unwrap();
            assert_eq!(registered.version, version);
        };
        register(1, r#"{"properties":{"cents":{"type":"integer"}},"required":["cents"]}"#, None).await;
        models.deposit("account-1", 1).await;
        let stops = BALANCES.replace("-- version: 1", "-- version: 1\n-- schemas: Deposited ^1");
        let skips = stops.replace("^1", "^1\n-- on-newer: skip").replace("balances", "skipping");
        assert_eq!(models.add("balances.sql", &stops).await.status, 201);
        assert_eq!(models.add("skipping.sql", &skips).await.status, 201);
        let at = models.deposit("account-1", 2).await;
        let upcaster = r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/cents","path":"/euros"}]}"#;
        register(2, r#"{"properties":{"euros":{"type":"integer"}},"required":["euros"]}"#, Some(upcaster)).await;
        let new =
            json!([{ "type": "Deposited", "data": { "euros": 3 } }, { "type": "Deposited", "data": { "euros": 4 } }]);
        let appended = models.server.append("account-1", &new.to_string(), &[]).await;
        assert_eq!(appended.status, 201, "{} {at}", appended.text());
        let stopped = models.until_one("balances", |status| status["state"] == "failed").await;
        assert_eq!(stopped["waits_for"], "Deposited 2.0.0 (schema version 2)", "{stopped}");
        assert_eq!(stopped["passed_over"], json!({}));
        let goes_on = models.until_one("skipping", |status| status["lag_events"] == 0).await;
        assert_eq!(goes_on["passed_over"], json!({ "Deposited": 2 }), "{goes_on}");
        assert_eq!((&goes_on["waits_for"], &goes_on["state"]), (&Value::Null, &json!("running")));
        let metrics = models.server.get("/metrics").await.text();
        let counted = "pacioli_projection_passed_over{projection=\"skipping\",type=\"Deposited\"} 2.0";
        assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_run_is_told_with_its_lines() {
    let models = Models::start().await;
    let broken = BALANCES.replace("excluded.cents;", "no_such(1);").replace("-- on: Deposited", "-- on: Deposited\n");
    let refused = models.add("balances.sql", &broken).await;
    assert_eq!(refused.problem(422).0, "file-refused");
    let findings = refused.json()["findings"].as_array().unwrap().clone();
    assert!(findings.iter().any(|finding| finding["severity"] == "error"), "{findings:?}");
    for finding in findings.iter().filter(|finding| finding["severity"] == "error") {
        assert_eq!(finding["file"], "balances.sql");
        assert!(finding["line"].as_u64().unwrap() > 1 && finding["problem"].as_str().unwrap().contains("no_such"));
    }
    assert_eq!(models.server.get("/v1/projections").await.json(), json!([]), "nothing is left of it");
    for (body, field) in [
        (json!({ "file": "a/b.sql", "text": BALANCES }), "file"),
        (json!({ "file": "", "text": BALANCES }), "file"),
        (json!({ "file": "b.sql" }), "body"),
        (json!({ "file": "b.sql", "text": BALANCES, "name": "x" }), "body"),
    ] {
        assert_eq!(models.post("/v1/projections", &body).await.problem(400), ("invalid".into(), field.into()));
    }
    let plain = models.server.send("POST", "/v1/projections", &[("content-type", "text/plain")], b"x").await;
    assert_eq!(plain.problem(415).0, "unsupported-media-type");
}

#[tokio::test]
async fn a_new_version_takes_over_and_the_old_one_can_come_back() {
    let models = Models::with_balances().await;
    let at_least = models.deposit("account-1", 100).await;
    let doubled = BALANCES
        .replace("version: 1", "version: 2")
        .replace("(:stream, :data.cents)", "(:stream, 2 * CAST(:data.cents AS BIGINT))");
    let added = models.add("balances.sql", &doubled).await;
    assert_eq!((added.status, added.json()["outcome"].clone()), (201, json!("rebuilding")), "{}", added.text());
    let cents = async || {
        let rows = models.server.get(&format!("/v1/read-models/balances?at_least={at_least}")).await;
        assert_eq!(rows.status, 200, "{}", rows.text());
        rows.json()[0]["cents"].clone()
    };
    let status = models.until(|status| status["version"] == 2 && status["state"] == "running").await;
    assert_eq!((&status["kept"], &status["building"]), (&json!(1), &Value::Null));
    assert_eq!(cents().await, 200);

    assert_eq!(models.command("rollback", json!({})).await.status, 200);
    models.until(|status| status["version"] == 1 && status["state"] == "running").await;
    assert_eq!(cents().await, 100);

    let rebuilding = models.command("rebuild", json!({})).await;
    assert_eq!((rebuilding.status, &rebuilding.json()["name"]), (200, &json!("balances")));
    models.until(|status| status["building"].is_null() && status["state"] == "running").await;
    assert_eq!(cents().await, 100);
    assert_eq!(
        models.command("rebuild", json!({ "parallel": 0 })).await.problem(400),
        ("invalid".into(), "parallel".into())
    );
    assert_eq!(models.command("rebuild", json!({ "parallel": 4 })).await.problem(409).0, "projection-state");

    let kept = models.server.send("DELETE", "/v1/projections/balances?kept=true", &[], b"").await;
    assert_eq!((kept.status, kept.body.len()), (204, 0));
    let again = models.server.send("DELETE", "/v1/projections/balances?kept=true", &[], b"").await;
    assert_eq!(again.problem(409).0, "projection-state");
    assert_eq!(models.command("rollback", json!({})).await.problem(409).0, "projection-state");
    assert_eq!(cents().await, 100, "what serves goes on");
    let wrong = models.server.send("DELETE", "/v1/projections/balances?kept=1", &[], b"").await;
    assert_eq!(wrong.problem(400), ("invalid".into(), "kept".into()));
    assert_eq!(models.server.send("DELETE", "/v1/projections/balances", &[], b"").await.status, 204);
    let gone = models.server.send("DELETE", "/v1/projections/balances", &[], b"").await;
    assert_eq!(gone.problem(404).0, "projection-not-found");
    assert_eq!(models.server.get("/v1/read-models/balances").await.problem(404).0, "projection-not-found");
}

#[tokio::test]
async fn commands_that_do_not_fit_say_how_it_is() {
    let models = Models::with_balances().await;
    for command in ["cancel", "resume", "retry", "rollback"] {
        let refused = models.command(command, json!({})).await;
        assert_eq!(refused.problem(409).0, "projection-state", "{command}");
        assert_eq!(models.command(command, json!({ "x": 1 })).await.problem(400), ("invalid".into(), "body".into()));
        let other = models.post(&format!("/v1/projections/others/{command}"), &json!({})).await;
        assert_eq!(other.problem(404).0, "projection-not-found", "{command}");
    }
    assert_eq!(models.command("skip", json!({ "reason": "a test" })).await.problem(409).0, "projection-state");
    for body in [json!({}), json!({ "reason": " " })] {
        assert_eq!(models.command("skip", body).await.problem(400), ("invalid".into(), "reason".into()));
    }
    assert_eq!(models.command("refresh", json!({})).await.problem(400), ("invalid".into(), "view".into()));
    assert!(matches!(models.command("refresh", json!({ "view": "x" })).await.status, 404 | 409));
    assert_eq!(models.command("pause", json!({})).await.json()["state"], "paused");
    // A command needs no body.
    let resumed = models.server.send("POST", "/v1/projections/balances/resume", &[], b"").await;
    assert_eq!(resumed.json()["state"], "running");
}

#[tokio::test]
async fn a_poison_event_stops_its_projection_alone_until_somebody_decides() {
    let models = Models::with_balances().await;
    let other = BALANCES.replace("balances", "totals").replace(" CHECK (cents >= 0)", "");
    assert_eq!(models.add("totals.sql", &other).await.status, 201);
    models.deposit("account-1", 10).await;
    let poison = models.deposit("account-2", -5).await;
    let after = models.deposit("account-1", 5).await;
    let failed = models.until(|status| status["state"] == "failed").await;
    assert_eq!(failed["error"]["place"], json!(poison), "{failed}");
    assert!(failed["error"]["error"].as_str().unwrap().contains("CHECK"), "{failed}");
    let totals = models.server.get(&format!("/v1/read-models/totals?account=account-1&at_least={after}")).await;
    assert_eq!(totals.json()[0]["cents"], 15, "the other one goes on");
    let metrics = models.server.get("/metrics").await.text();
    for line in [
        r#"pacioli_projection_state{projection="balances",state="failed"} 1.0"#,
        r#"pacioli_projection_state{projection="balances",state="running"} 0.0"#,
        r#"pacioli_projection_failed{projection="balances"} 1.0"#,
        r#"pacioli_projection_failed{projection="totals"} 0.0"#,
        r#"pacioli_projection_version{projection="totals"} 1.0"#,
        r#"pacioli_projection_lag_events{projection="totals"} 0.0"#,
        r#"pacioli_projection_stalled{projection="balances"} 0.0"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}: {metrics}");
    }
    let behind = models.sql(json!({ "sql": "SELECT 1 FROM balances", "at_least": after, "deadline": 0.2 })).await;
    assert!(behind.problem(504).0 == "behind" && behind.text().contains("CHECK"), "{}", behind.text());

    // Tried again, it fails again; passed over, it goes on.
    assert_eq!(models.command("retry", json!({})).await.status, 200);
    models.until(|status| status["state"] == "failed").await;
    assert_eq!(models.command("skip", json!({ "reason": "a test event" })).await.status, 200);
    let rows = models.server.get(&format!("/v1/read-models/balances?at_least={after}")).await.json();
    assert_eq!(rows, json!([{ "account": "account-1", "cents": 15 }]));
}

#[tokio::test]
async fn a_sync_projection_is_there_at_once_and_refuses_what_it_cannot_take() {
    let models = Models::start().await;
    models.deposit("account-1", 10).await;
    let sync = BALANCES.replace("-- category", "-- mode: sync\n-- category");
    let added = models.add("balances.sql", &sync).await;
    assert_eq!(added.status, 201, "{}", added.text());
    models.deposit("account-1", 5).await;
    let rows = models.server.get("/v1/read-models/balances").await.json();
    assert_eq!(rows, json!([{ "account": "account-1", "cents": 15 }]), "what was there before, and one's own write");
    let event = r#"[{"type":"Deposited","data":{"cents":-99}}]"#;
    let refused = models.server.append("account-1", event, &[]).await;
    assert_eq!(refused.problem(422).0, "projection-refused");
    assert_eq!(refused.json()["projection"], "balances");
    assert!(refused.json()["reason"].as_str().unwrap().contains("CHECK"), "{}", refused.text());
    models.deposit("account-1", 1).await;
    let rows = models.server.get("/v1/read-models/balances").await.json();
    assert_eq!(rows[0]["cents"], 16);
    assert_eq!(models.command("pause", json!({})).await.problem(409).0, "projection-state");
}

#[tokio::test]
async fn a_check_tells_its_progress_and_what_it_found() {
    let models = Models::with_balances().await;
    for number in 0..20 {
        models.deposit(&format!("account-{number}"), number).await;
    }
    models.until(|status| status["lag_events"] == 0).await;
    let checked = models.command("verify", json!({})).await;
    assert_eq!((checked.status, checked.header("content-type")), (200, Some("application/x-ndjson")));
    let lines: Vec<Value> = checked.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (found, progress) = lines.split_last().unwrap();
    assert!(progress.iter().all(|line| line["progress"].is_number()), "{lines:?}");
    assert_eq!((&found["different"], &found["differences"]), (&json!(0), &json!([])), "{found}");
    assert_eq!(found["rows"], 20);
    assert!(found["checkpoint"].as_str().unwrap().starts_with("0:"));
    assert_eq!(models.until(|status| status["verified"]["rows"] == 20).await["verified"]["different"], 0);

    assert_eq!(models.command("verify", json!({ "sample": "1/16" })).await.problem(409).0, "projection-state");
    for sample in ["2/16", "16", "1/0"] {
        let refused = models.command("verify", json!({ "sample": sample })).await;
        assert_eq!(refused.problem(400), ("invalid".into(), "sample".into()));
    }
    let other = models.post("/v1/projections/others/verify", &json!({})).await;
    assert_eq!(other.problem(404).0, "projection-not-found");
}

#[tokio::test]
async fn who_gave_a_command_is_written_into_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let (secret, line) = new_token(Role::Admin, "ops at night").unwrap();
    std::fs::write(&path, line).unwrap();
    let models = Models::with(ServerConfig { tokens: Some(path), ..config() }).await;
    let authorization = format!("Bearer {secret}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let body = json!({ "file": "balances.sql", "text": BALANCES }).to_string();
    assert_eq!(models.server.send("POST", "/v1/projections", &headers, body.as_bytes()).await.status, 201);
    assert_eq!(models.server.send("POST", "/v1/projections/balances/pause", &headers, b"").await.status, 200);
    let read = ReadStream {
        stream: StreamName::new("$projection-balances").unwrap(),
        from: None,
        direction: Direction::Forward,
        limit: 10,
        payload: PayloadChoice::All,
    };
    let events = Arc::clone(&models.store.store).read_stream(read).await.unwrap().events;
    let told: Vec<(&str, Option<&str>)> =
        events.iter().map(|event| (event.event_type.as_str(), event.metadata.actor.as_deref())).collect();
    assert_eq!(told, [("ProjectionAdded", Some("ops at night")), ("ProjectionPaused", Some("ops at night"))]);
}

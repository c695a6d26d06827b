//! A deleted version takes no new events, and whatever was stored is read as before, on both engines.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Server;

const FIRST: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}"#;
const SECOND: &str = r#"{"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]}"#;
const UPCASTER: &str = r#"{"from":1,"to":2,"steps":[{"op":"move","from":"/amount","path":"/cents"}]}"#;
const TOTALS: &str = "-- projection: totals
-- version: 1
-- category: account
-- schemas: Deposited ^2

CREATE TABLE totals (account TEXT PRIMARY KEY, cents BIGINT NOT NULL, events BIGINT NOT NULL);

-- on: Deposited
INSERT INTO totals (account, cents, events) VALUES (:stream, :data.cents, 1)
ON CONFLICT (account) DO UPDATE SET cents = totals.cents + excluded.cents, events = totals.events + 1;
";
const DATA: &str = "SELECT CAST(sum(CAST(data ->> 'cents' AS bigint)) AS bigint) AS cents, min(schema_version) AS version \
                    FROM events WHERE type = 'Deposited'";

/// What every reader is told.
fn told(server: &Server) -> Value {
    let shapes = |more: &[&str]| -> Vec<Value> {
        let log = server.run(&[&["log", "--type", "Deposited"], more].concat()).lines();
        log.iter().map(|event| json!([event["data"], event["schemaversion"]])).collect()
    };
    json!({
        "log": shapes(&[]),
        "second": shapes(&["--accept", "Deposited:^2"]),
        "raw": shapes(&["--raw"]),
        "events": server.run(&["query", DATA]).line(),
        "check": server.run(&["check", "--all"]).lines(),
    })
}

fn totals(server: &Server) -> Value {
    server.run(&["query", "SELECT account, cents, events FROM totals"]).line()
}

/// Deletes versions of a type that has two, by an upcaster.
fn deletes(server: &Server, view: impl Fn() -> Option<String>) {
    let deposit = |data: &str| {
        let told = server.run(&["append", "account-1", "--type", "Deposited", "--data", data]);
        assert_eq!(told.code, 0, "{told:?}");
    };
    let register = |text: &str, more: &[&str]| {
        let file = server.write("schema.json", text);
        let told = server.run(&[&["schema", "register", "Deposited", &file], more].concat());
        assert_eq!(told.code, 0, "{told:?}");
    };
    register(FIRST, &[]);
    deposit(r#"{"amount":5}"#);
    let upcaster = server.write("upcaster.json", UPCASTER);
    register(SECOND, &["--upcaster", &upcaster]);
    deposit(r#"{"cents":7}"#);
    let file = server.write("totals.sql", TOTALS);
    assert_eq!(server.run(&["projection", "add", &file]).code, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    let expected = json!({"account": "account-1", "cents": 12, "events": 2});
    let is_filled = || {
        let told = server.run(&["query", "SELECT account, cents, events FROM totals"]).out;
        serde_json::from_str::<Value>(&told).is_ok_and(|told| told == expected)
    };
    while !is_filled() {
        assert!(Instant::now() < deadline, "the projection fills");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (before, before_in_view) = (told(server), view());
    assert_eq!(before["log"], json!([[{"cents": 5}, 2], [{"cents": 7}, 2]]));
    assert_eq!(before["events"], json!({"cents": 12, "version": 2}));
    assert_eq!(before["check"][0]["lifted_to"], 2);
    for which in [&["Deposited@2"][..], &["Deposited", "--all"]] {
        assert_eq!(server.run(&[&["schema", "delete"], which].concat()).code, 0);
        assert_eq!((told(server), view()), (before.clone(), before_in_view.clone()), "{which:?}");
        let rebuilt = server.run(&["projection", "rebuild", "totals"]);
        assert_eq!((rebuilt.code, totals(server)), (0, expected.clone()), "{which:?} {rebuilt:?}");
    }
    server.run(&["append", "account-1", "--type", "Deposited", "--data", r#"{"amount":1}"#]).fails(2, "deleted");
}

#[test]
fn what_is_deleted_is_read_as_before_on_sqlite() {
    let server = Server::start();
    deletes(&server, || None);
}

#[test]
fn what_is_deleted_is_read_as_before_on_postgres() {
    let (name, url) = crate::postgres::database("retired");
    let server = Server::start_on(&url, &[]);
    let sql = "SELECT string_agg(data::text || ' ' || schema_version, ', ' ORDER BY position) FROM pacioli.log WHERE type = 'Deposited'";
    deletes(&server, || Some(crate::postgres::value(&name, sql)));
}

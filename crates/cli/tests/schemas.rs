//! The schema gate from the command line: registered, refused, lifted, checked.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::{Finished, Server, run};

const V1: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"},"currency":{"type":"string"}},"required":["amount"]}"#;
const V2: &str = r#"{"type":"object","properties":{"amount":{"type":"integer"},"currency":{"type":"string"},"note":{"type":"string"}},"required":["amount"]}"#;
const V3: &str = r#"{"type":"object","properties":{"amount_cents":{"type":"integer"},"currency":{"type":"string"},"note":{"type":"string"}},"required":["amount_cents","currency"]}"#;
const TO_3: &str = r#"{"from":2,"to":3,"steps":[{"op":"move","from":"/amount","path":"/amount_cents"},{"op":"default","path":"/currency","value":"USD"}]}"#;

fn register(server: &Server, schema: &str, more: &[&str]) -> Finished {
    let file = server.write("schema.json", schema);
    server.run(&[&["schema", "register", "MoneyDeposited", &file], more].concat())
}

fn append(server: &Server, data: &str, version: &str) -> Finished {
    let event = ["append", "account-1", "--type", "MoneyDeposited", "--data", data, "--schema-version", version];
    server.run(&event)
}

fn data(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

/// A server with three versions, a break before the last, and an event of the first and of the last.
fn three_versions() -> Server {
    let server = Server::start();
    assert_eq!(register(&server, V1, &[]).line()["semver"], "1.0.0");
    assert_eq!(append(&server, r#"{"amount":5}"#, "1").code, 0);
    assert_eq!(register(&server, V2, &[]).line()["semver"], "1.1.0");
    let upcaster = server.write("to-3.json", TO_3);
    let third = register(&server, V3, &["--upcaster", &upcaster]).line();
    assert_eq!((&third["version"], &third["semver"], &third["tried"]), (&json!(3), &json!("2.0.0"), &json!(1)));
    assert_eq!(append(&server, r#"{"amount_cents":700,"currency":"EUR"}"#, "3").code, 0);
    server
}

#[test]
fn what_is_not_like_its_schema_is_refused_with_the_path() {
    let server = Server::start();
    assert_eq!(append(&server, r#"{"amount":"five"}"#, "1").code, 0, "a type without a schema takes what it gets");
    let registered = register(&server, V1, &[]).line();
    assert_eq!(
        (&registered["version"], &registered["id"], &registered["is_known"]),
        (&json!(1), &json!(1), &json!(false))
    );
    assert_eq!(register(&server, V1, &[]).line()["is_known"], true);
    append(&server, r#"{"amount":"five"}"#, "1").fails(2, "/amount");
    append(&server, r#"{"amount":5}"#, "9").fails(2, "9");
    assert_eq!(append(&server, r#"{"amount":5}"#, "1").code, 0);
    register(&server, r#"{"type":"objekt"}"#, &[]).fails(2, "the schema is refused");
    register(&server, r#"{"$ref":"http://127.0.0.1:1/x.json"}"#, &[]).fails(2, "the schema is refused");
    let mistyped = server.write("schema.txt", V1);
    server.run(&["schema", "register", "MoneyDeposited", &mistyped]).fails(2, "--format");
    server.run(&["schema", "register", "MoneyDeposited", "missing.json"]).fails(1, "missing.json");
}

#[test]
fn a_version_must_say_how_much_changed() {
    let server = Server::start();
    assert_eq!(register(&server, V1, &["--semver", "1.0.0"]).code, 0);
    register(&server, V2, &["--semver", "1.0.1"]).fails(2, "1.1.0");
    let tried = register(&server, V2, &["--dry-run"]).line();
    assert_eq!(
        (&tried["semver"], &tried["size"], &tried["checkpoint"]),
        (&json!("1.1.0"), &json!("minor"), &Value::Null)
    );
    assert_eq!(server.run(&["schema", "list", "MoneyDeposited"]).lines().len(), 1, "nothing was registered");
    assert_eq!(register(&server, V2, &["--semver", "1.1.0"]).code, 0);
    let refused = register(&server, V3, &[]);
    refused.fails(1, "/amount");
    assert!(refused.err.contains("hint:") && refused.err.contains("--upcaster"), "{refused:?}");
    register(&server, V3, &["--semver", "1.2.0"]).fails(2, "2.0.0");

    let file = server.write("schema.json", V3);
    let upcaster = server.write("to-3.json", TO_3);
    let check = |more: &[&str]| server.run(&[&["schema", "check", "MoneyDeposited", &file], more].concat());
    let refused = check(&[]);
    refused.fails(1, "/amount");
    let told: Value = serde_json::from_str(&refused.out).unwrap();
    assert!(told["taken"] == false && !told["changes"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(check(&["--upcaster", &upcaster]).line()["taken"], true);
    check(&["--upcaster", &upcaster, "--semver", "1.2.0"]).fails(1, "2.0.0");
    let broken = server.write("broken.json", r#"{"from":2,"to":3,"steps":[{"op":"explode"}]}"#);
    register(&server, V3, &["--upcaster", &broken]).fails(2, "the upcaster is refused");
}

#[test]
fn everybody_reads_the_shape_they_understand() {
    let server = three_versions();
    let (lifted, newest) =
        (json!({ "amount_cents": 5, "currency": "USD" }), json!({ "amount_cents": 700, "currency": "EUR" }));
    let stored = json!({ "amount": 5 });
    let read = |more: &[&str]| server.run(&[&["read", "account-1"], more].concat());
    assert_eq!(data(&read(&[]).lines()), [lifted.clone(), newest.clone()]);
    assert_eq!(read(&[]).lines()[0]["schemaversion"], 3);
    assert_eq!(data(&read(&["--raw"]).lines()), [stored.clone(), newest.clone()]);
    assert_eq!(data(&read(&["--accept", "MoneyDeposited:^2"]).lines()), [lifted.clone(), newest.clone()]);
    let log = |more: &[&str]| server.run(&[&["log", "--category", "account"], more].concat());
    assert_eq!(data(&log(&[]).lines()), [lifted, newest.clone()]);

    let old = ["--accept", "MoneyDeposited:^1"];
    let stopped = log(&old);
    stopped.fails(1, "2.0.0");
    assert!(stopped.err.contains("hint:") && stopped.err.contains("--on-newer"), "{stopped:?}");
    let skipped = log(&[&old[..], &["--on-newer", "skip", "--reader", "billing"]].concat()).lines();
    assert_eq!(data(&skipped), std::slice::from_ref(&stored));
    let impact = server.run(&["schema", "impact", "MoneyDeposited"]).line();
    assert!(impact["readers"].as_array().unwrap().iter().any(|reader| reader["name"] == "billing"), "{impact}");
    let reader = server.run(&["schema", "readers"]).line();
    assert_eq!((&reader["name"], &reader["live"], &reader["skipped"]), (&json!("billing"), &json!(false), &json!(1)));
    assert_eq!((&reader["schemas"], &reader["waits_for"]), (&json!(["MoneyDeposited:^1"]), &Value::Null));
    let table = server.run(&["schema", "readers", "--output", "table"]).out;
    assert!(table.contains("SKIPPED") && table.contains("MoneyDeposited:^1"), "{table}");
    log(&["--on-newer", "skip"]).fails(2, "--accept");
    log(&["--accept", "MoneyDeposited"]).fails(2, "OrderPlaced:^1");

    // A copy is a copy.
    let copy = server.file("copy.ndjson");
    assert_eq!(server.run(&["export", copy.to_str().unwrap(), "--category", "account"]).code, 0);
    let copied: Vec<Value> =
        std::fs::read_to_string(copy).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(data(&copied), [stored, newest]);
}

#[test]
fn a_break_that_many_read_is_refused_with_what_to_do_about_readers() {
    let server = Server::start();
    assert_eq!(register(&server, V1, &[]).code, 0);
    assert_eq!(register(&server, V2, &[]).code, 0);
    let name = |n: usize| format!("reader-{n}-{}", "x".repeat(200));
    for n in 0..14 {
        let read = server.run(&["log", "--type", "MoneyDeposited", "--reader", &name(n), "--limit", "1"]);
        assert_eq!(read.code, 0, "{read:?}");
    }
    let upcaster = server.write("to-3.json", TO_3);
    let refused = register(&server, V3, &["--upcaster", &upcaster]);
    refused.fails(1, "--acknowledge");
    let (_, hint) = refused.err.split_once("hint:").unwrap_or_else(|| panic!("{refused:?}"));
    assert!(hint.contains("--acknowledge NAME") && hint.contains("pacioli schema readers"), "{hint}");
    assert!(!hint.contains("--upcaster"), "{hint}");
    for n in 0..14 {
        assert_eq!(server.run(&["schema", "readers", "--forget", &name(n)]).line()["forgotten"], name(n));
    }
    server.run(&["schema", "readers", "--forget", "nobody"]).fails(4, "nobody");
    assert_eq!(register(&server, V3, &["--upcaster", &upcaster]).line()["semver"], "2.0.0");
}

#[test]
fn what_is_registered_is_listed_shown_compared_and_deleted() {
    let server = three_versions();
    let list = |more: &[&str]| server.run(&[&["schema", "list"], more].concat()).lines();
    assert_eq!(list(&[]).len(), 1);
    assert_eq!(list(&[])[0]["version"], 3);
    assert_eq!(list(&["MoneyDeposited"]).len(), 3);
    assert_eq!(list(&["--all"]).len(), 3);
    let shown = server.run(&["schema", "show", "MoneyDeposited"]).line();
    assert_eq!((&shown["version"], &shown["schema"]), (&json!(3), &json!(V3)));
    assert_eq!(shown["upcaster"], serde_json::from_str::<Value>(TO_3).unwrap());
    assert_eq!(server.run(&["schema", "show", "MoneyDeposited@1"]).line()["schema"], V1);
    let table = server.run(&["schema", "show", "MoneyDeposited@3", "--output", "table"]);
    assert!(table.out.contains("lifts version 2") && table.out.contains("amount_cents"), "{table:?}");
    server.run(&["schema", "show", "MoneyDeposited@7"]).fails(4, "7");
    server.run(&["schema", "show", "Nothing"]).fails(4, "Nothing");

    let added = server.run(&["schema", "diff", "MoneyDeposited@1", "MoneyDeposited@2"]);
    let changes = added.lines();
    assert_eq!(
        (changes.len(), &changes[0]["path"], &changes[0]["breaks_backward"]),
        (1, &json!("/note"), &json!(false))
    );
    assert!(added.err.contains("minor"), "{added:?}");
    let (old, new) = (server.write("old.json", V2), server.write("new.json", V3));
    let local = run(["schema", "diff", &old, &new]);
    assert!(local.lines().iter().any(|change| change["path"] == "/amount" && change["breaks_backward"] == true));
    assert!(local.err.contains("major"), "{local:?}");
    assert_eq!(server.run(&["schema", "diff", "MoneyDeposited@2", &new]).lines(), local.lines());
    server.run(&["schema", "diff", "MoneyDeposited", &new]).fails(2, "OrderPlaced@2");

    server.run(&["schema", "delete", "MoneyDeposited"]).fails(2, "--all");
    server.run(&["schema", "delete", "MoneyDeposited@1", "--permanent"]).fails(1, "delete it first");
    let before = server.run(&["read", "account-1"]).lines();
    assert_eq!(before[0]["schemaversion"], 3);
    assert_eq!(server.run(&["schema", "delete", "MoneyDeposited@1"]).line()["versions"], json!([1]));
    append(&server, r#"{"amount":5}"#, "1").fails(2, "1");
    assert_eq!(server.run(&["read", "account-1"]).lines(), before, "what is stored is read as before");
    assert_eq!(list(&["MoneyDeposited"]).len(), 2);
    assert_eq!(list(&["MoneyDeposited", "--deleted"]).len(), 3);
    // A type all of whose versions are deleted is retired.
    assert_eq!(server.run(&["schema", "delete", "MoneyDeposited", "--all"]).line()["versions"], json!([2, 3]));
    append(&server, r#"{"amount_cents":1,"currency":"EUR"}"#, "3").fails(2, "3");
    assert_eq!(server.run(&["read", "account-1"]).lines(), before, "what is stored is read as before");
    let none = server.run(&["schema", "list", "MoneyDeposited", "--output", "table"]);
    assert!(none.code == 0 && none.err.contains("--deleted"), "{none:?}");
    server.run(&["schema", "list", "Nothing"]).fails(4, "Nothing");
    server.run(&["schema", "impact", "Nothing"]).fails(4, "Nothing");
}

#[test]
fn a_schema_is_read_from_wherever_it_comes() {
    let server = Server::start();
    let piped = |more: &[&str]| {
        server.run_with(&[&["schema", "register", "MoneyDeposited", "-"], more].concat(), V1.as_bytes())
    };
    piped(&[]).fails(2, "--format");
    assert_eq!(piped(&["--format", "json"]).line()["version"], 1);
    piped(&["--format", "json", "--upcaster", "-"]).fails(2, "standard input");
    // What has no end is not read to it.
    server.run(&["schema", "register", "MoneyDeposited", "/dev/zero", "--format", "json"]).fails(2, "1 MiB");
    let long = server.write("long.json", format!("{V1}{}", " ".repeat(300_000)));
    server.run(&["schema", "register", "MoneyDeposited", &long]).fails(2, "262144");
    // A file that is not there is the same to every command.
    for command in [
        &["schema", "register", "MoneyDeposited", "missing.json"][..],
        &["schema", "check", "MoneyDeposited", "missing.json"],
        &["schema", "diff", "MoneyDeposited@1", "missing.json"],
        &["check", "--samples", "missing"],
        &["import", "missing.ndjson"],
        &["projection", "add", "missing.sql"],
        &["query", "@missing.sql"],
    ] {
        server.run(command).fails(1, "missing");
    }
    // A registration may be the first thing that a store hears.
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("new").display());
    let file = server.write("schema.json", V1);
    run(["schema", "check", "MoneyDeposited", &file, "--store", &store]).fails(1, "there is no store");
    assert_eq!(run(["schema", "register", "MoneyDeposited", &file, "--store", &store]).line()["version"], 1);
}

#[test]
fn who_is_acknowledged_and_reads_nothing_is_told() {
    let server = Server::start();
    assert_eq!(server.run(&["log", "--reader", "billing"]).code, 0);
    let told = register(&server, V1, &["--acknowledge", "billing", "--acknowledge", "nobody"]);
    assert_eq!(told.line()["version"], 1);
    assert!(told.err.contains("`nobody`") && !told.err.contains("`billing`"), "{told:?}");
}

#[test]
fn a_reader_that_has_to_stop_is_told_where_it_goes_on() {
    let server = three_versions();
    let log = server.run(&["log", "--type", "MoneyDeposited", "--accept", "MoneyDeposited:^1"]);
    log.fails(1, "2.0.0");
    let after = log.err.split("--after ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let on = server.run(&["log", "--type", "MoneyDeposited", "--after", after]).lines();
    assert_eq!((on.len(), &on[0]["schemaversion"]), (1, &json!(3)), "{log:?}");
    let read = server.run(&["read", "account-1", "--accept", "MoneyDeposited:^1"]);
    read.fails(1, "`--from 1`");
}

#[test]
fn levels_and_modes_are_set_and_shown() {
    let server = three_versions();
    let level = |words: &[&str]| server.run(&[&["schema", "level"], words].concat());
    assert_eq!(level(&["MoneyDeposited"]).line()["set_for"], "default");
    assert_eq!(level(&["MoneyDeposited"]).line()["level"], "backward");
    assert_eq!(level(&["--global", "forward"]).line()["level"], "forward");
    assert_eq!(level(&["MoneyDeposited"]).line()["set_for"], "global");
    assert_eq!(level(&["MoneyDeposited", "FULL"]).line()["level"], "full");
    assert_eq!(level(&["MoneyDeposited", "--unset"]).line()["level"], "forward");
    assert_eq!(level(&["--global", "--unset"]).line()["level"], "backward");
    assert_eq!(
        (&level(&["--global"]).line()["of"], &level(&["--global"]).line()["rules"]),
        (&Value::Null, &json!("ours"))
    );
    let told = server.run(&["schema", "level", "--global", "--output", "table"]);
    assert_eq!(told.out, "the level of all types without one of their own is backward (nothing is set)\n");
    let config = r#"{"compatibility":"FULL"}"#;
    let mut tcp = std::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let head =
        "PUT /schema-registry/config/MoneyDeposited HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json";
    write!(tcp, "{head}\r\ncontent-length: {}\r\n\r\n{config}", config.len()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    let told = server.run(&["schema", "level", "MoneyDeposited", "--output", "table"]);
    assert_eq!(told.out, "the level of type MoneyDeposited is full, by Confluent's rules\n");
    assert_eq!(level(&["MoneyDeposited", "--unset"]).line()["rules"], "ours");
    level(&["MoneyDeposited", "sideways"]).fails(2, "transitive");
    level(&[]).fails(2, "--global");
    level(&["--global", "full", "more"]).fails(2, "a word too many");

    let mode = |words: &[&str]| server.run(&[&["schema", "mode"], words].concat());
    assert_eq!(mode(&["account", "enforce"]).line()["mode"], "enforce");
    let unknown = ["append", "account-1", "--type", "Unknown", "--data", "{}"];
    server.run(&unknown).fails(2, "Unknown");
    assert_eq!(mode(&["account", "off"]).line()["set_for"], "category");
    assert_eq!(append(&server, r#"{"amount_cents":"seven","currency":"EUR"}"#, "3").code, 0, "nothing is looked at");
    assert_eq!(mode(&["account", "--unset"]).line()["set_for"], "default");
    append(&server, r#"{"amount_cents":"seven","currency":"EUR"}"#, "3").fails(2, "/amount_cents");
    mode(&["account", "sometimes"]).fails(2, "enforce");
}

#[test]
fn a_check_finds_what_is_stored_and_not_as_it_should_be() {
    let server = Server::start();
    assert_eq!(server.run(&["check"]).lines(), [json!(null); 0]);
    assert_eq!(append(&server, r#"{"amount":"five"}"#, "1").code, 0);
    assert_eq!(append(&server, r#"{"amount":"six"}"#, "1").code, 0);
    assert_eq!(append(&server, r#"{"amount":7}"#, "1").code, 0);
    assert_eq!(server.run(&["check"]).lines()[0]["events"], 3, "without a schema there is nothing to check");
    assert_eq!(register(&server, V1, &[]).code, 0);
    let checked = server.run(&["check", "--all"]);
    checked.fails(1, "/amount");
    assert!(checked.err.contains("1 event more like it") && checked.err.contains("0:1"), "{checked:?}");
    let told: Value = serde_json::from_str(checked.out.lines().next().unwrap()).unwrap();
    assert_eq!((&told["events"], &told["failed"], &told["failures"][0]["events"]), (&json!(3), &json!(2), &json!(2)));
    let table = server.run(&["check", "--output", "table"]);
    assert!(table.out.contains("MoneyDeposited") && table.out.contains("LIFTED TO"), "{table:?}");
}

#[test]
fn golden_events_are_written_and_checked_against_what_is_registered() {
    let server = three_versions();
    let checked = server.run(&["check"]).lines();
    assert_eq!(checked.iter().map(|told| told["lifted_to"].clone()).collect::<Vec<_>>(), [json!(3), Value::Null]);
    let golden = server.file("golden");
    let golden = golden.to_str().unwrap();
    assert_eq!(server.run(&["check", "--export-samples", golden]).code, 0);
    let mut files: Vec<String> =
        std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["MoneyDeposited@1.ndjson", "MoneyDeposited@3.ndjson"]);
    assert_eq!(server.run(&["check", "--samples", golden]).lines().len(), 2);

    // Another registry, in which the third version never came to be.
    let other = Server::start();
    assert_eq!(register(&other, V1, &[]).code, 0);
    other.run(&["check", "--samples", golden]).fails(1, "MoneyDeposited@3.ndjson:1");
    std::fs::write(server.file("golden").join("bad.ndjson"), "{}\n").unwrap();
    let checked = server.run(&["check", "--samples", golden, "--output", "table"]);
    checked.fails(1, "bad.ndjson:1");
    assert!(checked.err.contains("1 event of 3 events failed, 1 kind of failure"), "{checked:?}");
    assert!(checked.out.contains("MoneyDeposited") && checked.out.contains("(no event)"), "{checked:?}");
    let empty = tempfile::tempdir().unwrap();
    server.run(&["check", "--samples", empty.path().to_str().unwrap()]).fails(2, "--export-samples");
}

#[test]
fn a_store_that_no_server_has_open_does_too() {
    let mut server = three_versions();
    let store = format!("sqlite:{}", server.data().display());
    crate::support::signal(server.child.id(), "TERM");
    crate::support::wait(&mut server.child);
    let raw = run(["read", "account-1", "--raw", "--store", &store]).lines();
    assert_eq!(raw[0]["data"], json!({ "amount": 5 }));
    let newest = run(["read", "account-1", "--store", &store]).lines();
    assert_eq!(newest[0]["data"], json!({ "amount_cents": 5, "currency": "USD" }));
    assert_eq!(run(["schema", "list", "--store", &store]).lines()[0]["version"], 3);
    assert_eq!(run(["check", "--store", &store]).lines().len(), 2);
    let wrong = ["append", "account-1", "--type", "MoneyDeposited", "--data", "{}", "--store", &store];
    run(wrong).fails(2, "amount_cents");
}

#[test]
fn a_pipeline_that_registers_nothing_needs_no_more_than_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let secret = |role: &str| {
        let told = run(["token", "new", "--role", role, "--name", role, "--output", "json"]).line();
        let line = told["line"].as_str().unwrap();
        let known = std::fs::read_to_string(&tokens).unwrap_or_default();
        std::fs::write(&tokens, format!("{known}{line}\n")).unwrap();
        told["token"].as_str().unwrap().to_owned()
    };
    let (read, admin) = (secret("read"), secret("admin"));
    let server = Server::start_with(&["--tokens", tokens.to_str().unwrap()]);
    let file = server.write("schema.json", V1);
    let ask = |words: &[&str], token: &str| {
        server.run(&[&["schema"], words, &["MoneyDeposited", &file, "--token", token]].concat())
    };
    assert_eq!(ask(&["check"], &read).line()["taken"], true);
    assert_eq!(ask(&["register", "--dry-run"], &read).line()["version"], 1);
    ask(&["register"], &read).fails(1, "`admin`");
    assert_eq!(ask(&["register"], &admin).line()["version"], 1);
}

#[test]
fn a_check_passes_over_what_is_damaged_and_tells_it() {
    let mut server = three_versions();
    for _ in 0..3 {
        assert_eq!(append(&server, r#"{"amount":6}"#, "1").code, 0);
    }
    assert_eq!(append(&server, r#"{"amount":7,"note":"last"}"#, "2").code, 0);
    crate::support::signal(server.child.id(), "TERM");
    crate::support::wait(&mut server.child);
    let conn = rusqlite::Connection::open(server.data().join("log.db")).unwrap();
    conn.execute_batch("DROP TRIGGER log_refuses_update").unwrap();
    let damaged = "UPDATE log SET data = '{}' WHERE position IN (SELECT position FROM log WHERE stream = 'account-1' \
                   ORDER BY position LIMIT 2 OFFSET 2)";
    assert_eq!(conn.execute(damaged, []).unwrap(), 2);
    drop(conn);
    let store = format!("sqlite:{}", server.data().display());
    for all in [&["check"][..], &["check", "--all"]] {
        let checked = run([all, &["--store", &store]].concat());
        checked.fails(1, "is damaged in storage");
        assert!(checked.err.contains("2 events of 6 events failed, 1 kind of failure"), "{checked:?}");
        assert!(checked.err.contains("(1 event more like it)"), "{checked:?}");
        let told: Vec<Value> = checked.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let counts: Vec<_> = told.iter().map(|told| (&told["version"], &told["events"], &told["failed"])).collect();
        let (n, none) = (|n: u64| json!(n), Value::Null);
        let expected = [(&n(1), &n(2), &n(0)), (&n(2), &n(1), &n(0)), (&n(3), &n(1), &n(0)), (&none, &n(2), &n(2))];
        assert_eq!(counts, expected, "{checked:?}");
        assert_eq!(told[3]["unreadable"], "damaged");
    }
}

#[test]
fn a_check_of_a_store_finds_it_free_every_time() {
    let mut server = three_versions();
    crate::support::signal(server.child.id(), "TERM");
    crate::support::wait(&mut server.child);
    let store = format!("sqlite:{}", server.data().display());
    for _ in 0..20 {
        assert_eq!(run(["check", "--store", &store]).lines().len(), 2);
        assert_eq!(run(["schema", "list", "--store", &store]).lines().len(), 1);
    }
}

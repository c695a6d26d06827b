//! The schema gate from the command line: registered, refused, lifted, checked.

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
    assert_eq!(server.run(&["schema", "delete", "MoneyDeposited@1"]).line()["versions"], json!([1]));
    append(&server, r#"{"amount":5}"#, "1").fails(2, "1");
    assert_eq!(data(&server.run(&["read", "account-1"]).lines()).len(), 2, "what is stored is read as before");
    assert_eq!(list(&["MoneyDeposited"]).len(), 2);
    assert_eq!(list(&["MoneyDeposited", "--deleted"]).len(), 3);
    // A type all of whose versions are deleted is retired.
    assert_eq!(server.run(&["schema", "delete", "MoneyDeposited", "--all"]).line()["versions"], json!([2, 3]));
    append(&server, r#"{"amount_cents":1,"currency":"EUR"}"#, "3").fails(2, "3");
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
    server.run(&["check", "--samples", golden]).fails(2, "bad.ndjson:1");
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

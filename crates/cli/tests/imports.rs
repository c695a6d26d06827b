//! Importing again adds nothing, a bad line is named, and export then import loses nothing.

use serde_json::Value;

use crate::support::{Finished, Server, run, text};

fn event(id: u64, stream: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"Happened","subject":"{stream}","time":"2012-03-01T10:00:00.{id:03}Z","data":{{"n":{id}}}}}"#
    )
}

fn events(count: u64) -> String {
    (0..count).map(|id| event(id, &format!("thing-{}", id % 7)) + "\n").collect()
}

fn counts(finished: &Finished) -> (u64, u64, u64) {
    let line = finished.line();
    let count = |name: &str| line[name].as_u64().unwrap();
    (count("new"), count("known"), count("invalid"))
}

#[test]
fn importing_again_adds_nothing_and_says_so() {
    let server = Server::start();
    let file = server.write("events.ndjson", events(900));
    assert_eq!(counts(&server.run(&["import", &file])), (900, 0, 0));
    assert_eq!(counts(&server.run(&["import", &file])), (0, 900, 0));
    let more = server.write("more.ndjson", events(950));
    assert_eq!(counts(&server.run(&["import", &more])), (50, 900, 0));
    assert_eq!(server.run(&["head"]).line()["checkpoint"], "0:950");
    let table = server.run(&["import", &more, "--output", "table"]);
    assert!(table.out.starts_with("950 events in "), "{table:?}");
    let one = server.write("one.ndjson", events(951).lines().last().unwrap());
    let table = server.run(&["import", &one, "--output", "table"]);
    assert!(table.out.starts_with("imported 1 event in "), "{table:?}");
}

#[test]
fn every_stream_keeps_its_order() {
    let server = Server::start();
    assert_eq!(server.run_with(&["import", "-"], events(900).as_bytes()).code, 0);
    let log = server.run(&["log"]).lines();
    let numbers: Vec<u64> = log.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..900).collect::<Vec<u64>>());
}

#[test]
fn a_bad_line_is_named_and_stops_the_import_after_what_came_before_it() {
    let server = Server::start();
    let cases = [
        ("banana".to_owned(), "line 3: "),
        (r#"{"specversion":"1.0","id":"9","source":"/t","type":"T"}"#.to_owned(), "line 3: subject"),
        (event(9, "a").replace("Happened", ""), "line 3: type"),
        (event(9, "a").replace("2012-03-01", "2999-03-01"), "line 3: occurred_at"),
        // The id of the first line, with other content.
        (event(0, "other-1"), "line 3: event id"),
    ];
    for (n, (bad, says)) in cases.iter().enumerate() {
        let streams = format!("case{n}-1");
        let good = |id: u64| event(id + 10 * n as u64, &streams);
        let bad = if n == 4 { event(40, "other-1") } else { bad.clone() };
        let file = server.write("bad.ndjson", format!("{}\n{}\n{bad}\n{}\n", good(0), good(1), good(2)));
        server.run(&["import", &file]).fails(2, says);
        let stored = server.run(&["read", &streams]).lines().len();
        assert!((2..=3).contains(&stored), "what came before is stored: {stored}");
        let skipping = server.run(&["import", &file, "--skip-invalid"]);
        assert!(skipping.err.contains(says), "{skipping:?}");
        assert_eq!(counts(&skipping).2, 1);
        assert_eq!(server.run(&["read", &streams]).lines().len(), 3);
    }
    server.run(&["import", "/nowhere"]).fails(1, "/nowhere");
}

#[test]
fn export_then_import_loses_nothing() {
    let (old, new) = (Server::start(), Server::start());
    let rich = [
        "append",
        "account-1",
        "--type",
        "MoneyDeposited",
        "--data",
        "{ \"amount\": 1.50,\n \"note\": \"é\\u20ac\" }",
        "--tag",
        "vip",
        "--tag",
        "eu",
        "--occurred-at",
        "1494-11-10T09:00:00.123456Z",
        "--schema-version",
        "3",
        "--metadata",
        r#"{"actor":"luca","correlation_id":"c","causation_id":"d","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","x":{"y":[1]}}"#,
    ];
    assert_eq!(old.run(&rich).code, 0);
    old.append("account-1", "Plain", "null");
    assert_eq!(old.run_with(&["import", "-"], events(300).as_bytes()).code, 0);

    let plain = text(&old.file("log.ndjson"));
    let gzip = text(&old.file("log.ndjson.gz"));
    for file in [&plain, &gzip] {
        assert_eq!(old.run(&["export", file]).code, 0);
    }
    assert!(std::fs::metadata(&gzip).unwrap().len() * 2 < std::fs::metadata(&plain).unwrap().len());
    assert_eq!(counts(&new.run(&["import", &gzip])), (302, 0, 0));
    assert_eq!(counts(&new.run(&["import", &plain])), (0, 302, 0), "both files say the same");
    assert_eq!(counts(&old.run(&["import", &plain])), (0, 302, 0), "what was exported is what is stored");

    // Everything but when the store took it is the same, byte for byte: an event without a time of its own keeps the
    // moment at which it was first recorded.
    let mut logs = [&old, &new].map(|server| server.run(&["log"]).lines());
    let forget_recording = |event: &mut Value| {
        event.as_object_mut().unwrap().remove("recordedat").unwrap();
    };
    logs.iter_mut().flatten().for_each(forget_recording);
    assert_eq!(logs[0][0], logs[1][0]);
    assert_eq!(logs[0].len(), logs[1].len());
    for (old, new) in logs[0].iter().zip(&logs[1]).skip(2) {
        assert_eq!(old, new);
    }
}

#[test]
fn an_export_overwrites_nothing_and_filters() {
    let server = Server::start();
    server.append("account-1", "Opened", "{}");
    server.append("order-1", "Placed", "{}");
    let file = server.write("taken", "mine");
    server.run(&["export", &file]).fails(1, "exists already");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let piped = server.run(&["export", "--category", "order"]);
    assert_eq!(piped.lines().len(), 1);
    let nowhere = text(&server.file("no/such/directory"));
    server.run(&["export", &nowhere]).fails(1, "no/such/directory");
}

#[test]
fn a_store_in_process_imports_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().display());
    let import = || crate::support::run_with(["import", "-", "--store", &store], events(500).as_bytes());
    assert_eq!(counts(&import()), (500, 0, 0));
    assert_eq!(counts(&import()), (0, 500, 0));
    assert_eq!(run(["head", "--store", &store]).line()["checkpoint"], "0:500");
}

mod slow {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::support::{pacioli, wait};

    #[test]
    fn an_import_gives_up_when_the_server_stays_away() {
        let mut server = Server::start();
        let mut child = pacioli()
            .args(["import", "-", "--server", &server.url])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, events(100).as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.run(&["head"]).line()["checkpoint"] != "0:100" {
            assert!(Instant::now() < deadline, "lines of a pipe that stays open are stored as they come");
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let began = Instant::now();
        let more: String = (100..200).map(|id| event(id, "thing-1") + "\n").collect();
        std::io::Write::write_all(&mut input, more.as_bytes()).unwrap();
        assert_eq!(wait(&mut child), 1);
        let waited = began.elapsed().as_secs();
        assert!((25..50).contains(&waited), "{waited} s");
        drop(input);
    }
}

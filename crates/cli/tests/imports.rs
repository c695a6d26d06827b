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
        // The bad lines that only the store refuses are of other streams.
        assert!(stored == 2 || n >= 3 && stored == 3, "what came before is stored: {stored}");
        let skipping = server.run(&["import", &file, "--skip-invalid"]);
        assert!(skipping.err.contains(says), "{skipping:?}");
        assert_eq!(counts(&skipping).2, 1);
        assert_eq!(server.run(&["read", &streams]).lines().len(), 3);
    }
    server.run(&["import", "/nowhere"]).fails(1, "/nowhere");
}

/// The numbers of the events of a stream, in its order.
fn stored(on: &[&str], stream: &str) -> Vec<u64> {
    let read = run([&["read", stream], on].concat());
    if read.code == 4 {
        return Vec::new();
    }
    read.lines().iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

/// A store whose schema of `Happened` takes numbers below 1000 alone.
fn below_1000(server: &Server) {
    let file = server.write("schema.json", r#"{"properties":{"n":{"type":"integer","exclusiveMaximum":1000}}}"#);
    server.append("other-1", "Other", "{}");
    assert_eq!(server.run(&["schema", "register", "Happened", &file]).code, 0);
}

#[test]
fn nothing_of_a_stream_is_stored_behind_a_line_that_is_refused() {
    let postgres = crate::postgres::database("import_refused").1;
    for server in [Server::start(), Server::start_on(&postgres, &[])] {
        below_1000(&server);
        let on = ["--server", &server.url];
        let five = |first: u64| -> String {
            let bad = |n: u64| if n == first + 1 || n == first + 3 { n + 1000 } else { n };
            (first..first + 5).map(|n| event(bad(n), &format!("five-{first}")) + "\n").collect()
        };
        let refused = server.run_with(&["import", "-"], five(10).as_bytes());
        refused.fails(2, "line 2: ");
        assert!(refused.err.contains("stopped after 1 event"), "{refused:?}");
        assert_eq!(stored(&on, "five-10"), [10]);
        // A stream that is there already, with what is known and what is new.
        let known = [event(30, "five-30"), event(31, "five-30")].join("\n");
        assert_eq!(counts(&server.run_with(&["import", "-"], known.as_bytes())), (2, 0, 0));
        let more = [known, event(1032, "five-30"), event(33, "five-30"), event(34, "five-30")].join("\n");
        server.run_with(&["import", "-"], more.as_bytes()).fails(2, "line 3: ");
        assert_eq!(stored(&on, "five-30"), [30, 31]);
        // Left out, the others are there in their order.
        let skipping = server.run_with(&["import", "-", "--skip-invalid"], five(20).as_bytes());
        assert_eq!(counts(&skipping), (3, 0, 2));
        assert!(skipping.err.contains("line 2: ") && skipping.err.contains("line 4: "), "{skipping:?}");
        assert_eq!(stored(&on, "five-20"), [20, 22, 24]);
    }
}

#[test]
fn the_first_bad_line_of_many_is_named_and_every_line_before_it_is_stored() {
    let mut server = Server::start();
    below_1000(&server);
    crate::support::signal(server.child.id(), "TERM");
    crate::support::wait(&mut server.child);
    let store = format!("sqlite:{}", server.data().display());
    let on = ["--store", store.as_str()];
    // Of seven streams, in turn; every line from 300 on is refused in three of them.
    let lines: String = (0..900)
        .map(|n| event(if n >= 300 && n % 7 < 3 { n + 1000 } else { n }, &format!("thing-{}", n % 7)) + "\n")
        .collect();
    let refused = crate::support::run_with([&["import", "-"], &on[..]].concat(), lines.as_bytes());
    refused.fails(2, "line 302: ");
    for stream in 0..7_u64 {
        let stored = stored(&on, &format!("thing-{stream}"));
        let expected = |n: &u64| *n < 301 || stream >= 3 && *n <= *stored.last().unwrap();
        assert_eq!(stored, (stream..900).step_by(7).filter(expected).collect::<Vec<u64>>(), "thing-{stream}");
    }
    let skipping = crate::support::run_with([&["import", "-", "--skip-invalid"], &on[..]].concat(), lines.as_bytes());
    assert_eq!(skipping.line()["invalid"], (300..900).filter(|n| n % 7 < 3).count());
    for stream in 0..7_u64 {
        let expected = |n: &u64| stream >= 3 || *n < 300;
        let expected = (stream..900).step_by(7).filter(expected).collect::<Vec<u64>>();
        assert_eq!(stored(&on, &format!("thing-{stream}")), expected, "thing-{stream}");
    }
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

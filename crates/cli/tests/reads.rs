//! Reading gives every event once, in order, in the form that suits where it goes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Server, pacioli, run, signal, wait};

fn versions(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["streamversion"].as_u64().unwrap()).collect()
}

#[test]
fn a_stream_is_read_in_both_directions() {
    let server = Server::start();
    for amount in 0..5 {
        server.append("account-1", "MoneyDeposited", &format!(r#"{{"amount":{amount}}}"#));
    }
    let read = |more: &[&str]| versions(&server.run(&[&["read", "account-1"], more].concat()).lines());
    assert_eq!(read(&[]), [0, 1, 2, 3, 4]);
    assert_eq!(read(&["--from", "3"]), [3, 4]);
    assert_eq!(read(&["--from", "1", "--limit", "2"]), [1, 2]);
    assert_eq!(read(&["--backward"]), [4, 3, 2, 1, 0]);
    assert_eq!(read(&["--backward", "--limit", "1"]), [4]);
    assert_eq!(read(&["--backward", "--from", "1"]), [1, 0]);
    server.run(&["read", "account-2"]).fails(4, "account-2");
}

#[test]
fn the_log_is_filtered_and_resumed() {
    let server = Server::start();
    server.append("account-1", "Opened", "{}");
    server.append("order-1", "Placed", "{}");
    let tagged = ["append", "account-2", "--type", "Opened", "--data", "{}", "--tag", "vip", "--tag", "eu"];
    assert_eq!(server.run(&tagged).code, 0);
    let log = |more: &[&str]| -> Vec<String> {
        let events = server.run(&[&["log"], more].concat()).lines();
        events.iter().map(|event| event["subject"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(log(&[]), ["account-1", "order-1", "account-2"]);
    assert_eq!(log(&["--after", "0:1"]), ["order-1", "account-2"]);
    assert_eq!(log(&["--category", "account"]), ["account-1", "account-2"]);
    assert_eq!(log(&["--category", "account", "--category", "order", "--limit", "2"]), ["account-1", "order-1"]);
    assert_eq!(log(&["--prefix", "account-2"]), ["account-2"]);
    assert_eq!(log(&["--type", "Placed", "--type", "Cancelled"]), ["order-1"]);
    assert_eq!(log(&["--tag", "vip", "--tag", "eu"]), ["account-2"]);
    assert_eq!(log(&["--tag", "vip", "--tag", "us"]), [""; 0]);
    server.run(&["log", "--after", "banana"]).fails(2, "banana");
    server.run(&["log", "--after", "0:99"]).fails(2, "0:99");
}

#[test]
fn a_reader_chooses_fields() {
    let server = Server::start();
    server.append("account-1", "Opened", r#"{"owner":{"name":"Luca","age":49},"amount":1.50}"#);
    let directory = tempfile::tempdir().unwrap();
    let in_process = format!("sqlite:{}", directory.path().display());
    let event = r#"{"owner":{"name":"Luca","age":49},"amount":1.50}"#;
    let append = ["append", "account-1", "--type", "Opened", "--data", event, "--store", &in_process];
    assert_eq!(crate::support::run(append).code, 0);
    for command in [&["read", "account-1"][..], &["log"], &["log", "--follow", "--limit", "1"], &["export"]] {
        let run = |fields: &str| {
            let ask = [command, &["--fields", fields]].concat();
            let event = server.run(&ask).line();
            let local = crate::support::run([&ask[..], &["--store", &in_process]].concat()).line();
            assert_eq!(event.get("data"), local.get("data"), "{command:?} {fields}");
            event
        };
        assert_eq!(run("/owner/name,/amount")["data"], json!({"owner": {"name": "Luca"}, "amount": 1.5}));
        let envelope = run("none");
        assert!(envelope.get("data").is_none() && envelope["type"] == "Opened", "{envelope}");
        assert_eq!(run("all")["data"]["owner"]["age"], 49);
        server.run(&[command, &["--fields", "amount"]].concat()).fails(2, "JSON pointers");
    }
    let table = server.run(&["read", "account-1", "--fields", "/amount", "--output", "table"]).out;
    assert!(table.contains(r#"{"amount":1.50}"#) && !table.contains("Luca"), "{table}");
}

#[test]
fn streams_and_head_tell_what_there_is() {
    let server = Server::start();
    assert_eq!(server.run(&["head"]).line(), json!({"checkpoint": "0:0"}));
    for stream in ["account-1", "order-1", "account-2", "account-1"] {
        server.append(stream, "T", "{}");
    }
    assert_eq!(server.run(&["head"]).line(), json!({"checkpoint": "0:4"}));
    assert_eq!(server.run(&["head", "--output", "table"]).out, "0:4\n");
    let streams = |more: &[&str]| server.run(&[&["streams"], more].concat()).lines();
    assert_eq!(streams(&[])[0], json!({"stream": "account-1", "version": 1, "partition": 0}));
    assert_eq!(streams(&[]).len(), 3);
    assert_eq!(streams(&["--category", "account"]).len(), 2);
    assert_eq!(streams(&["--prefix", "order"]).len(), 1);
    assert_eq!(streams(&["--limit", "2"]).len(), 2);
}

#[test]
fn a_table_is_aligned_and_cannot_steer_the_terminal() {
    let server = Server::start();
    server.append("account-1", "MoneyDeposited", "{\"note\":\"\u{9b}2J\"}");
    server.append("account-10", "T", "{}");
    let table = server.run(&["log", "--output", "table"]);
    assert_eq!(table.code, 0);
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("POSITION  STREAM"), "{}", table.out);
    assert_eq!(lines.len(), 3);
    assert!(table.out.contains("\\u{9b}") && !table.out.contains('\u{9b}'));
    assert!(!table.out.contains('\u{1b}'), "no colours where it is no terminal");
}

#[test]
fn everything_is_read_when_there_is_more_than_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().display());
    let events: String = (0..4_500)
        .map(|n| {
            format!(
                "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/t\",\"type\":\"T\",\"subject\":\"s-{}\"}}\n",
                n % 2_100
            )
        })
        .chain((4_500..6_000).map(|n| {
            format!(
                "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/t\",\"type\":\"T\",\"subject\":\"long-1\"}}\n"
            )
        }))
        .collect();
    let imported = crate::support::run_with(["import", "-", "--store", &store], events.as_bytes());
    assert_eq!(imported.line()["new"], 6_000);
    let lines = |arguments: &[&str]| run(arguments.iter().chain(&["--store", store.as_str()])).lines();
    let positions: Vec<u64> =
        lines(&["log"]).iter().map(|event| event["position"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(positions, (1..=6_000).collect::<Vec<u64>>());
    assert_eq!(lines(&["streams"]).len(), 2_101);
    assert_eq!(versions(&lines(&["read", "long-1"])), (0..1_500).collect::<Vec<u64>>());
    assert_eq!(versions(&lines(&["read", "long-1", "--backward"])), (0..1_500).rev().collect::<Vec<u64>>());
    assert_eq!(lines(&["log", "--limit", "2500"]).len(), 2_500);
}

#[test]
fn following_sees_what_was_missed_and_what_comes_and_ends_on_ctrl_c_with_0() {
    let server = Server::start();
    server.append("account-1", "First", "{}");
    let mut child =
        pacioli().args(["log", "--follow", "--server", &server.url]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next_type = || {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        event["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(next_type(), "First");
    server.append("account-1", "Second", "{}");
    assert_eq!(next_type(), "Second");
    signal(child.id(), "INT");
    assert_eq!(wait(&mut child), 0);

    let limited = server.run(&["log", "--follow", "--limit", "2"]);
    assert_eq!(limited.lines().len(), 2);
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let server = Server::start();
    let events: String = (0..20_000)
        .map(|n| {
            format!("{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/t\",\"type\":\"T\",\"subject\":\"s-1\"}}\n")
        })
        .collect();
    assert_eq!(server.run_with(&["import", "-"], events.as_bytes()).code, 0);
    for command in [&["log"][..], &["read", "s-1"], &["export"], &["log", "--follow"]] {
        let mut child = pacioli()
            .args(command)
            .args(["--server", &server.url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::with_capacity(100, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with('{'));
        // The reader is dropped here: the pipe is closed.
        let code = wait(&mut child);
        let mut err = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
        assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
    }
}

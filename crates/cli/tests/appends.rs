//! An append says where it went, and a conflict is an outcome of its own.

use serde_json::json;

use crate::support::Server;

const KEY: &str = "0198a9c2-7a10-7000-8000-000000000001";

#[test]
fn an_append_prints_what_http_answers() {
    let server = Server::start();
    let first = server.run(&["append", "account-1", "--type", "AccountOpened", "--data", "{}", "--expect", "none"]);
    let expected = json!({
        "stream": "account-1", "first_version": 0, "last_version": 0, "checkpoint": "0:1", "duplicate": false
    });
    assert_eq!(first.line(), expected);
    let table = server.run(&["append", "account-1", "--type", "T", "--data", "1", "--output", "table"]);
    assert_eq!(table.out, "appended version 1 of account-1, checkpoint 0:2\n");
}

#[test]
fn a_conflict_exits_3_and_names_the_stream() {
    let server = Server::start();
    let append = |expect| server.run(&["append", "account-1", "--type", "T", "--data", "{}", "--expect", expect]);
    append("exists").fails(3, "account-1");
    assert_eq!(append("none").code, 0);
    append("none").fails(3, "conflict: stream `account-1` was expected not to exist but is at version 0");
    append("7").fails(3, "account-1");
    assert_eq!(append("0").code, 0);
    assert_eq!(append("any").code, 0);
    append("banana").fails(2, "--expect");
}

#[test]
fn a_condition_that_an_event_matches_exits_3() {
    let server = Server::start();
    let seat = ["append", "course-1", "--type", "SeatTaken", "--data", "{}", "--tag", "seat:7"];
    let unless = |more: &[&str]| server.run(&[&seat[..], more].concat());
    assert_eq!(unless(&["--unless-tag", "seat:7"]).code, 0);
    unless(&["--unless-tag", "seat:7"]).fails(3, "condition");
    unless(&["--unless-type", "SeatTaken"]).fails(3, "condition");
    assert_eq!(unless(&["--unless-type", "SeatTaken", "--unless-tag", "seat:8"]).code, 0);
    assert_eq!(unless(&["--unless-tag", "seat:7", "--unless-after", "0:2"]).code, 0);
    unless(&["--unless-after", "0:2"]).fails(2, "--unless-after");
}

#[test]
fn the_same_request_again_gives_the_first_answer() {
    let server = Server::start();
    for option in ["--key", "--id"] {
        let stream = format!("account{option}");
        let append = |data| server.run(&["append", &stream, "--type", "T", "--data", data, option, KEY]);
        let (first, again) = (append("1").line(), append("1").line());
        assert_eq!(first["duplicate"], false);
        assert_eq!(again["duplicate"], true);
        assert_eq!(first["checkpoint"], again["checkpoint"]);
        append("2").fails(1, KEY);
    }
}

#[test]
fn data_and_metadata_come_from_files_and_from_standard_input() {
    let server = Server::start();
    let file = server.write("data.json", "{\"from\": \"file\"}\n");
    let at_file = format!("@{file}");
    assert_eq!(server.run(&["append", "a-1", "--type", "T", "--data", &at_file]).code, 0);
    let piped = ["append", "a-1", "--type", "T", "--data", "-", "--metadata", r#"{"actor":"luca","x":1}"#];
    assert_eq!(server.run_with(&piped, b"[1, 2]").code, 0);
    let when = ["append", "a-1", "--type", "T", "--data", "-1", "--occurred-at", "1494-11-10T09:00:00Z"];
    assert_eq!(server.run(&when).code, 0);

    let events = server.run(&["read", "a-1"]).lines();
    assert_eq!(events[0]["data"], json!({"from": "file"}));
    assert_eq!(events[1]["data"], json!([1, 2]));
    assert_eq!(events[1]["actor"], "luca");
    assert_eq!(events[2]["time"], "1494-11-10T09:00:00Z");
    server.run(&["append", "a-1", "--type", "T", "--data", "@/nowhere"]).fails(1, "/nowhere");
}

#[test]
fn wrong_input_exits_2_names_the_option_or_field_and_stores_nothing() {
    let server = Server::start();
    let cases: [(&[&str], &str); 7] = [
        (&["append", "a-1", "--type", "T", "--data", "{"], "data"),
        (&["append", "a-1", "--type", "", "--data", "{}"], "--type"),
        (&["append", "a\u{1}", "--type", "T", "--data", "{}"], "stream"),
        (&["append", "a-1", "--type", "T", "--data", "{}", "--tag", "a b"], "--tag"),
        (&["append", "a-1", "--type", "T", "--data", "{}", "--key", "x"], "--key"),
        (&["append", "a-1", "--type", "T", "--data", "{}", "--metadata", "[]"], "metadata"),
        (&["append", "a-1", "--type", "T", "--data", "{}", "--occurred-at", "2999-01-01T00:00:00Z"], "occurred_at"),
    ];
    for (arguments, says) in cases {
        server.run(arguments).fails(2, says);
    }
    assert_eq!(server.run(&["head"]).line(), json!({"checkpoint": "0:0"}));
}

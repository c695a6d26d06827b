//! Projections and queries from the command line: what is printed, what is refused, and with which exit code.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Server, run, run_with};

const BALANCES: &str = "-- projection: balances
-- version: 1
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL);

-- on: Deposited
INSERT INTO balances (account, cents) VALUES (:stream, :data.cents)
ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents;
";

fn doubled() -> String {
    BALANCES.replace("version: 1", "version: 2").replace("excluded.cents", "2 * excluded.cents")
}

fn deposit(server: &Server, account: &str, cents: i64) -> String {
    let told = server.append(account, "Deposited", &format!(r#"{{"cents":{cents}}}"#));
    told["checkpoint"].as_str().unwrap().to_owned()
}

/// A server with the projection `balances`, and the path of its file.
fn with_balances() -> (Server, String) {
    let server = Server::start();
    let file = server.write("balances.sql", BALANCES);
    let added = server.run(&["projection", "add", &file]);
    let told = added.line();
    assert_eq!((&told["name"], &told["version"], &told["outcome"]), (&json!("balances"), &json!(1), &json!("created")));
    assert!(added.err.starts_with(&format!("{file}:7: warning: no event of type `Deposited`")), "{added:?}");
    (server, file)
}

#[test]
fn a_question_is_answered_in_the_form_that_suits() {
    let (server, _) = with_balances();
    deposit(&server, "account-1", 100);
    let at_least = deposit(&server, "account-22", 2500);
    let sql = "SELECT account, cents, NULL AS note FROM balances ORDER BY cents";
    let query = |more: &[&str]| server.run(&[&["query", sql, "--at-least", &at_least], more].concat());
    let rows = [
        json!({"account": "account-1", "cents": 100, "note": null}),
        json!({"account": "account-22", "cents": 2500, "note": null}),
    ];
    assert_eq!(query(&[]).lines(), rows, "one object a line where it goes into a pipe");
    assert_eq!(query(&["--output", "json"]).lines(), rows);
    let table = query(&["--output", "table"]).out;
    assert_eq!(table, "account     cents  note\naccount-1     100\naccount-22   2500\n");
    assert_eq!(query(&["--output", "csv"]).out, "account,cents,note\r\naccount-1,100,\r\naccount-22,2500,\r\n");
    let file = server.write("query.sql", sql);
    assert_eq!(server.run(&["query", &format!("@{file}")]).lines(), rows);
    assert_eq!(server.run_with(&["query", "-"], sql.as_bytes()).lines(), rows);
    let none = server.run(&["query", "SELECT 1 FROM balances WHERE cents < 0", "--output", "table"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "no rows\n"));
    let log = "SELECT type, count(*) AS n FROM events WHERE stream NOT LIKE '$%' GROUP BY type";
    assert_eq!(server.run(&["query", log]).line(), json!({"type": "Deposited", "n": 2}));
}

#[test]
fn an_arrow_stream_goes_to_a_pipe() {
    let (server, _) = with_balances();
    let mut command = crate::support::pacioli();
    let query = ["query", "SELECT 1 AS one, 'x' AS text", "--output", "arrow", "--server", &server.url];
    let output = command.args(query).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // An IPC stream begins with the mark of a message, and ends with an empty one.
    assert_eq!(
        (&output.stdout[..4], &output.stdout[output.stdout.len() - 8..]),
        (&[0xff; 4][..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..])
    );
}

#[test]
fn what_is_no_question_exits_2_and_one_without_an_answer_1() {
    let (server, _) = with_balances();
    let query = |sql: &str, more: &[&str]| server.run(&[&["query", sql], more].concat());
    for sql in
        ["DELETE FROM balances", "SELECT 1; SELECT 2", "SELECT * FROM nothing", "SELEC 1", "PRAGMA user_version = 1"]
    {
        query(sql, &[]).fails(2, "error: ");
    }
    let sql = "SELECT * FROM balances";
    query(sql, &["--at-least", "0:99"]).fails(2, "0:99");
    query(sql, &["--at-least", "x"]).fails(2, "--at-least");
    query(sql, &["--deadline", "soon"]).fails(2, "`soon` is no duration");
    query(sql, &["--as-of", "yesterday"]).fails(2, "yesterday");
    query(sql, &["--as-of", "0:1", "--as-of-occurred", "2026-01-01T00:00:00Z"]).fails(2, "--as-of");
    query(sql, &["--output", "xml"]).fails(2, "xml");
    server.run(&["query", "@nowhere.sql"]).fails(1, "nowhere.sql");
    assert_eq!(server.run(&["projection", "pause", "balances"]).line()["state"], "paused");
    let at_least = deposit(&server, "account-1", 1);
    let behind = query(sql, &["--at-least", &at_least, "--deadline", "200ms"]);
    behind.fails(1, "projection `balances` is at");
    assert!(behind.err.contains("pacioli projection resume balances"), "{behind:?}");
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    query(endless, &["--deadline", "300ms"]).fails(1, "longer");
}

#[test]
fn a_file_is_told_what_became_of_it() {
    let (server, file) = with_balances();
    let add = |file: &str, more: &[&str]| server.run(&[&["projection", "add", file], more].concat());
    assert_eq!(add(&file, &[]).line()["outcome"], "unchanged");
    assert_eq!(add(&file, &["--output", "table"]).out, "balances has version 1 already; nothing to do\n");
    let at_least = deposit(&server, "account-1", 10);
    assert_eq!(server.run(&["query", "SELECT cents FROM balances", "--at-least", &at_least]).line()["cents"], 10);
    let changed = server.write("changed.sql", BALANCES.replace("cents BIGINT", "cents INTEGER"));
    let refused = add(&changed, &[]);
    assert_eq!(refused.code, if refused.err.contains("changed.sql:") { 2 } else { 1 }, "{refused:?}");
    let second = server.write("second.sql", doubled());
    assert_eq!(
        add(&second, &["--output", "table"]).out,
        "rebuilding balances: version 2 fills beside the one that serves, and then takes over\n"
    );

    let bad = server.write("bad.sql", BALANCES.replace("balances", "bad").replace("excluded.cents", "no_such(1)"));
    let refused = add(&bad, &[]);
    refused.fails(2, "no_such");
    assert!(refused.err.contains(&format!("{bad}:9: error: ")), "{refused:?}");
    assert!(
        refused.err.ends_with(&format!("error: {bad} cannot run: 1 error; nothing was registered\n")),
        "{refused:?}"
    );
    let typo = server.write("typo.sql", BALANCES.replace("balances", "typo").replace("-- category", "-- catgory"));
    add(&typo, &[]).fails(2, "typo.sql:3: error: ");
    add("nowhere.sql", &[]).fails(1, "nowhere.sql");
    assert_eq!(server.run(&["projection", "list"]).lines().len(), 1);
}

#[test]
fn a_server_registers_the_files_of_a_directory_and_serves_in_spite_of_a_bad_one() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("b-balances.sql", BALANCES);
    write("a-bad.sql", &BALANCES.replace("balances", "bad").replace("excluded.cents", "no_such(1)"));
    write("notes.txt", "no SQL");
    let path = directory.path().to_str().unwrap().to_owned();
    let server = Server::start_with(&["--projections", &path, "--rewind"]);
    let patience = Instant::now() + Duration::from_secs(10);
    let names = loop {
        let names: Vec<String> = server
            .run(&["projection", "list"])
            .lines()
            .iter()
            .map(|told| told["name"].as_str().unwrap().to_owned())
            .collect();
        if names.len() == 2 || Instant::now() > patience {
            break names;
        }
    };
    assert_eq!(names, ["balances", "rewind"]);
    let at_least = deposit(&server, "account-1", 10);
    let query = |sql: &str| server.run(&["query", sql, "--at-least", &at_least]).line();
    assert_eq!(query("SELECT cents FROM balances"), json!({"cents": 10}));
    let state = query("SELECT version, events, state FROM rewind_streams WHERE stream = 'account-1'");
    assert_eq!((&state["version"], &state["events"]), (&json!(0), &json!(1)));
    assert!(state["state"].to_string().contains("cents"), "{state}");

    let nowhere = directory.path().join("nowhere");
    let nowhere = run(["serve", "--store", "memory:", "--projections", nowhere.to_str().unwrap()]);
    nowhere.fails(2, "--projections: could not read");
    for option in [&["--projections", &path][..], &["--rewind"], &["--read-models", "sqlite:x"]] {
        run(["serve", "--listen", "127.0.0.1:0", "--store", "memory:"].iter().chain(option)).fails(2, "in memory");
    }
}

#[test]
fn a_projection_is_rebuilt_checked_and_dropped() {
    let (server, file) = with_balances();
    for number in 0..20 {
        deposit(&server, &format!("account-{number}"), number);
    }
    let projection = |arguments: &[&str]| server.run(&[&["projection"], arguments].concat());
    let rebuilt = projection(&["rebuild", "balances"]).line();
    assert_eq!(
        (&rebuilt["state"], &rebuilt["building"], &rebuilt["kept"]),
        (&json!("running"), &Value::Null, &json!(1))
    );
    let head = server.run(&["head"]).line()["checkpoint"].as_str().unwrap().to_owned();
    let sum = server.run(&["query", "SELECT sum(cents) AS cents FROM balances", "--at-least", &head]).line();
    assert_eq!(sum, json!({"cents": 190}));
    projection(&["rebuild", "balances", "--parallel", "4"]).fails(1, "parallel-by");
    assert_eq!(projection(&["rebuild", "balances", "--no-wait"]).line()["name"], "balances");

    let checked = projection(&["verify", "balances"]).line();
    assert_eq!((&checked["rows"], &checked["different"]), (&json!(20), &json!(0)), "{checked}");
    let told = projection(&["verify", "balances", "--output", "table"]).out;
    assert!(told.starts_with("balances is what the log says: 20 rows compared at 0:"), "{told}");
    projection(&["verify", "balances", "--sample", "2/3"]).fails(2, "1/16");
    projection(&["verify", "others"]).fails(4, "others");

    assert_eq!(projection(&["rollback", "balances"]).line()["state"], "running");
    projection(&["cancel", "balances"]).fails(1, "nothing to cancel");
    projection(&["skip", "balances"]).fails(2, "--reason");
    projection(&["skip", "balances", "--reason", "x"]).fails(1, "balances");
    projection(&["retry", "others"]).fails(4, "others");
    projection(&["refresh", "balances", "view"]).fails(4, "view");

    run_with(["projection", "drop", "balances", "--kept", "--server", &server.url], b"y\n").fails(2, "--yes");
    assert_eq!(projection(&["drop", "balances", "--kept", "--yes"]).line()["what"], "kept");
    projection(&["drop", "balances", "--kept", "--all", "--yes"]).fails(2, "--all");
    assert_eq!(projection(&["drop", "balances", "--yes"]).line()["what"], "all");
    projection(&["status", "balances"]).fails(4, "balances");
    assert_eq!(projection(&["list"]).lines(), [Value::Null; 0]);
    assert_eq!(projection(&["add", &file]).line()["outcome"], "created");
}

#[test]
fn status_is_a_picture_for_people_and_json_for_programs() {
    let (server, _) = with_balances();
    let poison = server.write(
        "strict.sql",
        BALANCES.replace("balances", "strict").replace("NOT NULL)", "NOT NULL CHECK (cents > 0))"),
    );
    assert_eq!(server.run(&["projection", "add", &poison]).code, 0);
    let at_least = deposit(&server, "account-1", -1);
    assert_eq!(server.run(&["query", "SELECT 1 FROM balances", "--at-least", &at_least]).code, 0);
    let behind = server.run(&["query", "SELECT 1 FROM strict", "--at-least", &at_least, "--deadline", "5s"]);
    behind.fails(1, "CHECK");
    let table = server.run(&["projection", "status", "--output", "table"]).out;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("balances  v1  running  at the head"), "{table}");
    assert!(lines[1].starts_with("strict    v1  failed   v1 stopped at 0:") && lines[1].contains("CHECK"), "{table}");
    let one = server.run(&["projection", "status", "strict", "--output", "table"]).out;
    assert!(one.contains("pacioli projection skip strict --reason") && one.contains("tables      strict"), "{one}");
    let told = server.run(&["projection", "status", "strict"]).line();
    assert_eq!((&told["state"], &told["error"]["version"]), (&json!("failed"), &json!(1)));
    assert_eq!(server.run(&["projection", "status"]).lines().len(), 2);
    let list = server.run(&["projection", "list", "--output", "table"]).out;
    assert!(list.starts_with("PROJECTION  VERSION  MODE   STATE"), "{list}");
    let skipped = server.run(&["projection", "skip", "strict", "--reason", "a test", "--output", "table"]);
    assert!(skipped.code == 0 && skipped.out.starts_with("strict  v1  running"), "{skipped:?}");
    assert_eq!(server.run(&["query", "SELECT count(*) AS n FROM strict", "--at-least", &at_least]).line()["n"], 0);
}

#[test]
fn the_past_is_asked_and_compared() {
    let (server, _) = with_balances();
    let first = deposit(&server, "account-1", 100);
    let last = deposit(&server, "account-1", 20);
    let sql = "SELECT cents FROM balances";
    assert_eq!(server.run(&["query", sql, "--at-least", &last]).line()["cents"], 120);
    assert_eq!(server.run(&["query", sql, "--as-of", &first]).line()["cents"], 100);
    assert_eq!(server.run(&["query", sql, "--as-of-occurred", "2000-01-01T00:00:00Z"]).lines(), [Value::Null; 0]);
    let changes = server.run(&["diff", "balances", "--from", &first, "--to", &last]).lines();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&json!({"change": "-", "account": "account-1", "cents": 100})), "{changes:?}");
    let table = server.run(&["diff", "balances", "--from", &first, "--to", &last, "--output", "table"]).out;
    assert!(table.starts_with("change  account    cents\n"), "{table}");
    server.run(&["diff", "nothing", "--from", &first, "--to", &last]).fails(4, "nothing");
    server.run(&["diff", "balances", "--from", "then", "--to", &last]).fails(2, "then");

    let read = |more: &[&str]| server.run(&[&["read", "account-1", "--as-of"], more].concat());
    assert_eq!(read(&[&first]).lines().len(), 1);
    assert_eq!(read(&[&last]).lines().len(), 2);
    assert_eq!(read(&[&first, "--backward"]).line()["streamversion"], 0);
    assert_eq!(read(&[&first, "--from", "1"]).lines().len(), 0);
    read(&["2000-01-01T00:00:00Z"]).fails(4, "had no event then");
    read(&["0:99"]).fails(2, "0:99");
    read(&["then"]).fails(2, "`then` is neither");
}

#[test]
fn a_store_is_asked_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("data").display());
    let file = directory.path().join("balances.sql");
    std::fs::write(&file, BALANCES).unwrap();
    let pacioli = |arguments: &[&str]| run(arguments.iter().chain(&["--store", &store]));
    for command in [
        &["query", "SELECT 1"][..],
        &["diff", "balances", "--from", "0:1", "--to", "0:1"],
        &["projection", "list"],
        &["projection", "status"],
        &["projection", "add", file.to_str().unwrap()],
    ] {
        pacioli(command).fails(1, "there is no store in");
        assert!(!directory.path().join("data").exists());
    }
    let append = ["append", "account-1", "--type", "Deposited", "--data", r#"{"cents":7}"#];
    let at_least = pacioli(&append).line()["checkpoint"].as_str().unwrap().to_owned();
    assert_eq!(pacioli(&["projection", "add", file.to_str().unwrap()]).line()["outcome"], "created");
    let sql = "SELECT cents FROM balances";
    assert_eq!(pacioli(&["query", sql, "--at-least", &at_least]).line(), json!({"cents": 7}));
    assert_eq!(pacioli(&["projection", "rebuild", "balances"]).line()["state"], "running");
    assert_eq!(pacioli(&["projection", "verify", "balances"]).line()["different"], 0);
    pacioli(&["query", "DELETE FROM balances"]).fails(2, "reads");
    assert_eq!(pacioli(&["query", sql]).line(), json!({"cents": 7}));
    run(["query", "SELECT 1", "--store", "memory:"]).fails(2, "in memory");
}

//! Every command does on PostgreSQL what it does on the embedded store, and says what is PostgreSQL's own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pacioli_pgtest::{Cluster, ClusterOptions};

use crate::support::{Server, commands_that_only_read, pacioli, run, run_with};

/// A cluster that keeps what it acknowledges; it goes with this process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let options = || ClusterOptions { fsync: true, tcp: true, ..ClusterOptions::default() };
    CLUSTER.get_or_init(|| Cluster::start(options()).unwrap())
}

/// A new database, its name and its URL.
pub(crate) fn database(label: &str) -> (String, String) {
    let name = cluster().create_database(label).unwrap();
    let url = cluster().tcp_url(&name).unwrap();
    (name, url)
}

/// One value that the database gives.
pub(crate) fn value(database: &str, sql: &str) -> String {
    cluster().sql_value(database, sql).unwrap()
}

#[test]
fn init_makes_what_is_missing_and_says_what() {
    let (_, url) = database("init");
    let init = |options: &[&str]| run(["init", "--store", &url].iter().chain(options));
    let made = init(&["--output", "table"]);
    assert!(made.code == 0 && made.out.contains("made schema pacioli"), "{made:?}");
    assert_eq!(init(&["--output", "table"]).out, "nothing was missing\n");
    assert_eq!(init(&[]).line(), serde_json::json!({ "made": [] }));
    init(&["--partitions", "4"]).fails(1, "has 1 partitions");
    run(["init", "--store", &format!("{url}?partitions=2"), "--partitions", "4"]).fails(2, "do not agree");
    run(["init"]).fails(2, "--store");
    run(["init", "--store", "sqlite:./x", "--print"]).fails(2, "--print");
    run(["init", "--store", "memory:"]).fails(2, "memory");
    assert_eq!(run(["head", "--store", &url]).line()["checkpoint"], "0:0");
}

#[test]
fn init_makes_an_embedded_store_too() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("data").display());
    let made = run(["init", "--store", &url, "--partitions", "2"]).line();
    assert!(made["made"][0].as_str().unwrap().contains("made a store"), "{made}");
    assert_eq!(run(["init", "--store", &url]).line(), serde_json::json!({ "made": [] }));
    assert_eq!(run(["head", "--store", &url]).line()["checkpoint"], "0:0,1:0");
}

/// The SQL that is shown makes the very store that this build then finds complete.
#[test]
fn init_prints_sql_that_makes_the_store_and_needs_no_database_for_it() {
    let printed = run(["init", "--print", "--store", "postgres://nobody@127.0.0.1:1/none?schema=sales&partitions=2"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let (name, url) = database("print");
    cluster().sql(&name, &printed.out).unwrap();
    let url = format!("{url}?schema=sales");
    assert_eq!(run(["init", "--store", &url]).line(), serde_json::json!({ "made": [] }));
    assert_eq!(run(["head", "--store", &url]).line()["checkpoint"], "0:0,1:0");
}

#[test]
fn maintain_does_what_is_due_once() {
    let (_, url) = database("maintain");
    run(["maintain", "--store", &url]).fails(1, "");
    assert_eq!(run(["init", "--store", &url]).code, 0);
    assert_eq!(run(["maintain", "--store", &url]).line(), serde_json::json!({ "done": [] }));
    run(["maintain", "--store", "memory:"]).fails(2, "PostgreSQL");
}

#[test]
fn who_only_reads_makes_no_store_and_needs_no_rights_to_make_one() {
    let (name, url) = database("reads");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let copy = copy.to_str().unwrap();
    for command in commands_that_only_read(copy) {
        run(command.iter().chain(&["--store", &url])).fails(1, "there is no store in schema `pacioli`");
    }
    assert_eq!(value(&name, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pacioli'"), "0");
}

#[test]
fn commands_work_in_process() {
    let (name, url) = database("commands");
    let on = |arguments: &[&str]| run(arguments.iter().chain(&["--store", &url]));
    let append =
        ["append", "account-1", "--type", "AccountOpened", "--data", r#"{"owner":"Luca"}"#, "--expect", "none"];
    assert_eq!(on(&append).line()["checkpoint"], "0:1");
    on(&append).fails(3, "account-1");
    on(&["read", "account-2"]).fails(4, "account-2");
    assert_eq!(on(&["read", "account-1"]).line()["data"]["owner"], "Luca");
    assert_eq!(on(&["log"]).line()["subject"], "account-1");
    assert_eq!(on(&["streams"]).line()["stream"], "account-1");
    assert_eq!(on(&["head"]).line()["checkpoint"], "0:1");
    let directory = tempfile::tempdir().unwrap();
    on(&["backup", directory.path().join("copy").to_str().unwrap()]).fails(1, "pg_basebackup");
    // By the view that any SQL client sees.
    assert_eq!(value(&name, "SELECT data->>'owner' FROM pacioli.log"), "Luca");
}

#[test]
fn an_import_keeps_the_order_and_adds_nothing_the_second_time() {
    let (_, url) = database("import");
    let event = |n: usize| {
        let (id, stream) = (uuid(n), n % 7);
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"T","subject":"a-{stream}","data":{{"n":{n}}}}}"#
        )
    };
    let file: Vec<u8> = (0..3_000).flat_map(|n| (event(n) + "\n").into_bytes()).collect();
    let import = || run_with(["import", "-", "--store", &url], &file).line();
    assert_eq!(import()["new"], 3_000);
    let again = import();
    assert_eq!((again["new"].as_u64(), again["known"].as_u64()), (Some(0), Some(3_000)));
    let exported = run(["export", "-", "--store", &url]).lines();
    let numbers: Vec<u64> = exported.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..3_000).collect::<Vec<u64>>());
}

fn uuid(n: usize) -> String {
    format!("0198a9c2-7a10-7000-8000-{n:012x}")
}

#[test]
fn a_server_says_what_it_made_and_which_way_events_come() {
    let (name, url) = database("serve");
    let mut child = pacioli()
        .args(["serve", "--store", &url.replace("postgres@", "postgres:secret@"), "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.last().is_some_and(|line| line.starts_with("events of other writers")) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = said.join("\n");
    assert!(said.iter().any(|line| line == "made schema pacioli"), "{text}");
    let shown = format!("keeps its events in postgres://127.0.0.1:{}/{name}?schema=pacioli", cluster().port());
    assert!(text.contains(&shown), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn two_servers_on_one_database_deliver_each_others_events() {
    let (_, url) = database("two");
    let here = Server::start_on(&url, &[]);
    let there = Server::start_on(&url, &["--poll"]);
    let mut followers: Vec<_> = [&here, &there]
        .map(|server| {
            let mut command = pacioli();
            command.args(["log", "--follow", "--output", "json", "--server", &server.url]);
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
        })
        .into();
    assert_eq!(here.append("a-1", "T", "{}")["checkpoint"], "0:1");
    assert_eq!(there.append("b-1", "T", "{}")["checkpoint"], "0:2");
    for follower in &mut followers {
        let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        let subjects: Vec<String> = lines
            .take(2)
            .map(|line| {
                let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                event["subject"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(subjects, ["a-1", "b-1"]);
        follower.kill().unwrap();
        follower.wait().unwrap();
    }
}

#[test]
fn a_database_that_may_lose_appends_is_refused_unless_that_is_accepted() {
    let url = pacioli_pgtest::database_url("loss");
    run(["serve", "--store", &url, "--listen", "127.0.0.1:0"]).fails(1, "fsync is off");
    let append = ["append", "a-1", "--type", "T", "--data", "{}", "--store", &url];
    run(append).fails(1, "pacioli serve --accept-data-loss");
    let server = Server::start_on(&url, &["--accept-data-loss"]);
    server.append("a-1", "T", "{}");
    assert_eq!(run(["head", "--store", &url]).line()["checkpoint"], "0:1", "reading loses nothing");
    for option in ["--accept-data-loss", "--own-events-by-bus", "--poll"] {
        run(["serve", "--store", "memory:", "--listen", "127.0.0.1:0", option]).fails(2, "PostgreSQL");
    }
}

#[test]
fn no_error_shows_a_password() {
    for (url, code) in [
        ("postgres://u:secret@127.0.0.1:1/db", 1),
        ("postgres://u:secret@127.0.0.1:x/db", 2),
        ("postgres://u:secret@127.0.0.1:1/db?schema=Big", 2),
        ("postgresql:///db?host=/nowhere&user=u&password=secret", 1),
    ] {
        for command in [&["head"][..], &["serve", "--listen", "127.0.0.1:0"], &["init"], &["maintain"]] {
            let began = Instant::now();
            let finished = run(command.iter().chain(&["--store", url]));
            assert_eq!(finished.code, code, "{command:?} {url}: {finished:?}");
            assert!(!finished.err.contains("secret"), "{finished:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "{command:?} {url}");
        }
    }
}

#[test]
fn doctor_tells_what_is_wrong_and_fails_only_for_failures() {
    let (_, url) = database("doctor");
    let doctor = |options: &[&str]| run(["doctor", "--store", &url].iter().chain(options));
    let empty = doctor(&["--output", "table"]);
    assert!(empty.out.contains("ok       connection"), "{empty:?}");
    assert_eq!(run(["init", "--store", &url]).code, 0);
    let findings = doctor(&["--json"]).lines();
    let has = |name: &str, severity: &str| findings.iter().any(|f| f["name"] == name && f["severity"] == severity);
    assert!(has("connection", "ok") && has("chunks", "ok"), "{findings:?}");
    assert!(findings.iter().all(|finding| finding["severity"] != "failure"), "{findings:?}");

    let unsafe_url = pacioli_pgtest::database_url("doctor");
    let refused = run(["doctor", "--output", "table", "--store", &unsafe_url]);
    refused.fails(1, "see the");
    let line = refused.out.lines().position(|line| line.starts_with("FAILURE")).unwrap();
    assert!(refused.out.lines().nth(line + 1).unwrap().starts_with("          "), "advice follows: {refused:?}");
    let away = run(["doctor", "--json", "--store", "postgres://u:secret@127.0.0.1:1/db"]);
    assert!(away.code == 1 && !away.out.contains("secret") && away.out.contains("connection"), "{away:?}");
    run(["doctor", "--store", &url, "--standby", "sqlite:x"]).fails(2, "--standby");
    run(["doctor", "--store", &url, "--reader", "sqlite:x"]).fails(2, "--reader");
    run(["doctor", "--store", "sqlite:x", "--reader", &url]).fails(2, "--reader");
    let strong = run(["doctor", "--json", "--store", &url, "--reader", &url]);
    assert!(strong.code == 1 && strong.out.contains("SUPERUSER"), "a superuser is no reader: {strong:?}");
    let itself = run(["doctor", "--json", "--store", &url, "--standby", &url]);
    assert!(itself.code == 1, "a primary is no standby: {itself:?}");
}

#[test]
fn doctor_says_of_an_embedded_store_what_it_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("data").display());
    let doctor = || run(["doctor", "--json", "--store", &url]);
    assert!(doctor().code == 1 && doctor().out.contains("is not there"), "{:?}", doctor());
    assert_eq!(run(["init", "--store", &url]).code, 0);
    let names: Vec<String> = doctor().lines().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["file", "open", "head"]);
    let server = Server::start_on(&url, &[]);
    assert!(doctor().code == 0 && doctor().out.contains("another process has it open"), "{:?}", doctor());
    drop(server);
    std::fs::write(directory.path().join("data/log.db"), "this is no database").unwrap();
    assert_eq!(doctor().code, 1);
    run(["doctor", "--store", "memory:"]).fails(2, "nothing to examine");
}

#[test]
fn indexes_are_added_listed_and_dropped() {
    let (name, url) = database("index");
    let on = |arguments: &[&str]| run(["index"].iter().chain(arguments).chain(&["--store", &url]));
    on(&["list"]).fails(1, "");
    assert_eq!(run(["init", "--store", &url]).code, 0);
    let definition = "((data::jsonb ->> 'customer'))";
    let added = on(&["add", "customer", definition]).line();
    assert_eq!((&added["name"], &added["chunks"]), (&"customer".into(), &added["chunks_total"]), "{added}");
    assert_eq!(on(&["list"]).line()["definition"], definition);
    let made = "SELECT count(*) > 0 FROM pg_indexes WHERE schemaname = 'pacioli' AND indexdef LIKE '%customer%'";
    assert_eq!(value(&name, made), "t");
    assert_eq!(on(&["drop", "customer"]).line()["dropped"], "customer");
    assert_eq!(value(&name, made), "f");
    on(&["drop", "customer"]).fails(4, "there is no index `customer`");
    on(&["add", "Wrong", definition]).fails(1, "Wrong");
    run(["index", "list", "--store", "memory:"]).fails(2, "PostgreSQL");
}

//! A benchmark on PostgreSQL reports both its baselines, and leaves nothing behind in the database.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::postgres::{database, value};
use crate::support::{pacioli, run, signal, wait};

/// How many schemas of benchmarks there are.
const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bench%'";

fn bench(name: &str, arguments: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let finished = run(["bench"].iter().chain(arguments).chain(&["--dir", dir, "--output", "json"]));
    let report = finished.lines().pop().unwrap();
    assert_eq!(value(name, SCHEMAS), "0", "{finished:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    report
}

#[test]
fn append_reports_its_ratios_to_the_floor_and_to_raw_copy() {
    let (name, url) = database("bench_append");
    let short = ["append", "--seconds", "1", "--warm-up", "0.2", "--streams", "100", "--in-flight", "16"];
    for (how, target) in [
        (&["--store", &url][..], "postgres: in this process"),
        (
            &["--spawn-server", "--store", &url, "--connections", "2", "--writers", "2"],
            "a server of its own on postgres",
        ),
    ] {
        let report = bench(&name, &[&short[..], how].concat());
        for field in
            ["events_per_second", "p99_ms", "ratio_to_floor", "copy_events_per_second", "copy_p99_ms", "ratio_to_copy"]
        {
            assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
        }
        assert_eq!(report["parameters"]["target"], target);
    }
    let steady = ["append", "--store", &url, "--rate", "200", "--seconds", "1", "--warm-up", "0.2", "--no-floor"];
    let report = bench(&name, &steady);
    assert_eq!((report["ratio_to_copy"].as_f64(), report["parameters"]["rate"].as_u64()), (None, Some(200)));
    assert!((150.0..250.0).contains(&report["events_per_second"].as_f64().unwrap()), "{report}");
}

#[test]
fn subscribe_measures_what_another_writer_appends() {
    let (name, url) = database("bench_subscribe");
    let short = ["subscribe", "--rate", "200", "--seconds", "1", "--warm-up", "0.2", "--from-other", "--store", &url];
    for how in [&[][..], &["--spawn-server"]] {
        let report = bench(&name, &[&short[..], how].concat());
        assert_eq!((report["events"].as_u64(), &report["parameters"]["from_other"]), (Some(200), &Value::Bool(true)));
    }
    let embedded = ["bench", "subscribe", "--store", "sqlite:", "--from-other", "--seconds", "1"];
    run(embedded).fails(2, "--from-other");
}

/// Transactions that take their time beside the run, and end where it does.
#[test]
fn user_transactions_run_beside_the_load() {
    let (name, url) = database("bench_mixed");
    let mixed = ["append", "--store", &url, "--rate", "200", "--seconds", "1", "--warm-up", "0.2", "--no-floor"];
    let report = bench(&name, &[&mixed[..], &["--user-transactions", "4", "--user-work-ms", "20"]].concat());
    let rate = report["user_transactions_per_second"].as_f64().unwrap();
    // Four clients, each busy for 20 ms and a little more.
    assert!((20.0..200.0).contains(&rate), "{report}");
    assert!(report["user_transaction_p99_ms"].as_f64().unwrap() >= 20.0, "{report}");
    assert_eq!(report["parameters"]["user_transactions"], 4);
}

#[test]
fn grow_tells_the_parts_on_disk() {
    let (name, url) = database("bench_grow");
    let grown = bench(&name, &["grow", "--store", &url, "--events", "2000", "--streams", "100", "--batch", "50"]);
    for field in ["last_to_first", "overhead_bytes_per_event", "restart_ready_seconds"] {
        assert!(grown[field].as_f64().unwrap() > 0.0, "{field}: {grown}");
    }
    let parts: Vec<&str> =
        grown["disk_parts"].as_array().unwrap().iter().map(|p| p["part"].as_str().unwrap()).collect();
    for part in ["events, heap", "events, index on btree (part, position)", "streams, heap"] {
        assert!(parts.contains(&part), "{part}: {parts:?}");
    }
}

#[test]
fn a_run_uses_a_schema_of_its_own_and_may_keep_it() {
    let (name, url) = database("bench_keep");
    let spawn = ["bench", "read", "--spawn-server", "--store", &url, "--events", "500", "--keep", "--output", "json"];
    assert_eq!(run(spawn).line()["events"], 500);
    // The log's, and beside it the two that every server makes for read models.
    assert_eq!(value(&name, SCHEMAS), "3");
    assert_eq!(value(&name, "SELECT count(*) FROM pg_namespace WHERE nspname = 'pacioli'"), "0");
    run(["bench", "read", "--spawn-server", "--store", "sqlite:./x"]).fails(2, "--spawn-server");
    run(["bench", "append", "--store", "memory:", "--user-transactions", "1", "--seconds", "1"])
        .fails(2, "--user-transactions");
}

#[test]
fn ctrl_c_drops_the_schema() {
    let (name, url) = database("bench_interrupted");
    let mut child = pacioli()
        .args(["bench", "append", "--spawn-server", "--seconds", "60", "--store", &url])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while value(&name, SCHEMAS) == "0" {
        assert!(Instant::now() < deadline, "no schema was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(child.id(), "INT");
    assert_eq!(wait(&mut child), 1);
    assert_eq!(value(&name, SCHEMAS), "0");
}

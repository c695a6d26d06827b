//! A benchmark of read models prints every field that a figure needs, and leaves nothing behind.

use serde_json::Value;

use crate::postgres::{database, value};
use crate::support::run;

/// How many schemas of benchmarks there are.
const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bench%'";

/// Runs a benchmark in a directory of its own, which is empty afterwards.
fn bench(arguments: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let finished = run(["bench"].iter().chain(arguments).chain(&["--dir", dir, "--output", "json"]));
    let report = finished.line();
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    report
}

#[track_caller]
fn assert_above_zero(report: &Value, fields: &[&str]) {
    for field in fields {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
}

#[track_caller]
fn assert_parameters(report: &Value, workload: &str) {
    assert_eq!(report["parameters"]["workload"], workload);
    assert_eq!(report["parameters"]["event_types"], 8);
    assert_above_zero(&report["machine"], &["cores", "fdatasync_per_second"]);
}

fn names<'a>(report: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    report[list].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

#[test]
fn rebuild_folds_every_event_and_tells_what_batches_are_worth() {
    let report = bench(&["rebuild", "--store", "sqlite:", "--events", "3000", "--streams", "300"]);
    assert_parameters(&report, "rebuild");
    assert_eq!(
        names(&report, "rebuilds", "projection"),
        ["bench_totals", "bench_accounts_by_set", "bench_accounts", "rewind"]
    );
    for rebuilt in report["rebuilds"].as_array().unwrap() {
        assert_eq!(rebuilt["events"], 3_000, "{rebuilt}");
        assert_above_zero(
            rebuilt,
            &[
                "seconds",
                "events_per_second",
                "batches_of_500_per_second",
                "one_event_per_second",
                "ratio_of_500",
                "ratio_to_one_event",
            ],
        );
    }
    assert_eq!((report["workers"].as_u64(), report["batch_max"].as_u64()), (Some(1), Some(5_000)));

    let one =
        ["rebuild", "--store", "sqlite:", "--events", "1000", "--per-event", "--no-baseline", "--batch-max", "100"];
    let report = bench(&one);
    assert_eq!(names(&report, "rebuilds", "projection"), ["bench_accounts"]);
    assert_eq!((&report["rebuilds"][0]["ratio_of_500"], &report["batch_max"]), (&Value::Null, &Value::from(100)));
}

/// A log that was filled once serves many runs, and a projection that is somebody's is neither measured nor dropped.
#[test]
fn rebuild_uses_a_log_that_is_there_and_keeps_away_from_projections() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("data").display());
    let again = ["rebuild", "--store", &store, "--events", "500", "--set-based", "--no-baseline"];
    for _ in 0..2 {
        assert_eq!(bench(&again)["rebuilds"][1]["events"], 500);
    }
    let file = directory.path().join("mine.sql");
    std::fs::write(&file, "-- projection: mine\n-- version: 1\n\nCREATE TABLE mine (stream TEXT PRIMARY KEY);\n\n-- on: *\nINSERT INTO mine (stream) VALUES (:stream) ON CONFLICT DO NOTHING;\n").unwrap();
    let added = run(["projection", "add", file.to_str().unwrap(), "--store", &store]);
    assert_eq!(added.code, 0, "{added:?}");
    run(["bench"].iter().chain(&again)).fails(2, "`mine`");
}

#[test]
fn lag_waits_for_what_was_appended_in_process_and_over_http() {
    let short = ["lag", "--rate", "200", "--seconds", "1", "--warm-up", "0.2", "--sample", "10"];
    for where_to in [&["--store", "sqlite:"][..], &["--spawn-server", "--connections", "2"]] {
        let report = bench(&[&short[..], where_to].concat());
        assert_parameters(&report, "lag");
        assert_above_zero(
            &report,
            &["events_per_second", "p50_ms", "p99_ms", "p999_ms", "longest_ms", "from_send_p50_ms", "from_send_p99_ms"],
        );
        assert!((15..=25).contains(&report["samples"].as_u64().unwrap()), "{report}");
    }
}

#[test]
fn lookup_finds_every_row_also_beside_appends() {
    let short = ["lookup", "--spawn-server", "--streams", "200", "--seconds", "0.5", "--warm-up", "0.2"];
    for (more, readers) in [(&["--connections", "3"][..], 3), (&["--appends", "200"], 1)] {
        let report = bench(&[&short[..], more].concat());
        assert_parameters(&report, "lookup");
        assert_above_zero(&report, &["reads_per_second", "p50_ms", "p99_ms", "p999_ms", "reads"]);
        assert_eq!(report["found"], report["reads"], "{report}");
        assert_eq!((report["rows"].as_u64(), report["readers"].as_u64()), (Some(200), Some(readers)));
    }
}

#[test]
fn analyst_answers_every_question_in_process_and_over_http() {
    let short = ["analyst", "--events", "2000", "--streams", "100"];
    for where_to in [&["--store", "sqlite:"][..], &["--spawn-server"]] {
        let report = bench(&[&short[..], where_to].concat());
        assert_parameters(&report, "analyst");
        let rows: Vec<u64> =
            report["questions"].as_array().unwrap().iter().map(|one| one["rows"].as_u64().unwrap()).collect();
        assert_eq!(rows[..3], [1, 1, 1], "{report}");
        // The log has the benchmark's eight types, and what was recorded about its projections.
        assert!(rows[3..].iter().all(|rows| *rows >= 8), "{report}");
        for question in report["questions"].as_array().unwrap() {
            assert_above_zero(question, &["median_ms", "shortest_ms", "longest_ms", "first_ms"]);
        }
        assert_eq!(report["events"], 2_000);
    }
}

#[test]
fn append_tells_what_a_sync_projection_costs() {
    let short =
        ["append", "--seconds", "0.5", "--warm-up", "0.2", "--streams", "100", "--no-floor", "--sync-projection"];
    for where_to in [&["--store", "sqlite:"][..], &["--spawn-server"]] {
        let report = bench(&[&short[..], where_to].concat());
        assert_above_zero(&report, &["sync_events_per_second", "sync_p99_ms", "ratio_with_sync"]);
    }
}

#[test]
fn a_parameter_that_makes_no_sense_exits_2() {
    run(["bench", "rebuild", "--spawn-server"]).fails(2, "--spawn-server");
    run(["bench", "rebuild", "--server", "http://127.0.0.1:1"]).fails(2, "--store");
    run(["bench", "rebuild", "--store", "sqlite:", "--parallel", "2"]).fails(2, "--parallel");
    run(["bench", "lag", "--store", "sqlite:", "--sample", "0"]).fails(2, "--sample");
    run(["bench", "lookup", "--store", "sqlite:", "--payload", "16"]).fails(2, "--payload");
    run(["bench", "analyst", "--store", "memory:", "--events", "10"]).fails(2, "memory");
}

#[test]
fn read_models_are_measured_on_postgres_too_and_go_with_their_schemas() {
    let (name, url) = database("bench_models");
    let rebuilt = bench(&["rebuild", "--store", &url, "--events", "1000", "--streams", "100", "--set-based"]);
    assert_eq!(rebuilt["rebuilds"][1]["events"], 1_000);
    let shared = ["rebuild", "--store", &url, "--events", "1000", "--per-event", "--no-baseline", "--parallel", "2"];
    assert_eq!(bench(&shared)["workers"], 2);
    let short = ["--rate", "100", "--seconds", "0.5", "--warm-up", "0.2", "--sample", "5"];
    let lag = bench(&[&["lag", "--spawn-server", "--store", &url][..], &short].concat());
    assert_above_zero(&lag, &["samples", "p99_ms"]);
    let found = bench(&["lookup", "--spawn-server", "--store", &url, "--streams", "100", "--seconds", "0.3"]);
    assert_eq!(found["found"], found["reads"]);
    let asked = bench(&["analyst", "--spawn-server", "--store", &url, "--events", "1000", "--streams", "100"]);
    assert!(names(&asked, "questions", "what").len() >= 4, "{asked}");
    assert_eq!(value(&name, SCHEMAS), "0");
}

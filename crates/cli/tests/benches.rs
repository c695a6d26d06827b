//! A benchmark prints every field that a figure needs to be repeated, and cleans up.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{pacioli, run, signal, wait};

fn bench(arguments: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let finished = run(["bench"].iter().chain(arguments).chain(&["--dir", dir, "--output", "json"]));
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    finished.lines().pop().unwrap()
}

#[track_caller]
fn assert_report(report: &Value, workload: &str) {
    for field in ["events_per_second", "operations_per_second", "p50_ms", "p99_ms", "p999_ms", "longest_stall_ms"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    assert_eq!(report["parameters"]["workload"], workload);
    for field in ["cores", "fdatasync_per_second"] {
        assert!(report["machine"][field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    for field in ["cpu", "kernel"] {
        assert!(!report["machine"][field].as_str().unwrap().is_empty());
    }
}

#[test]
fn append_reports_its_ratio_to_the_floor_in_process_and_through_grpc() {
    let short = ["append", "--seconds", "1", "--warm-up", "0.2", "--streams", "100", "--in-flight", "16"];
    for where_to in [&["--store", "sqlite:"][..], &["--spawn-server", "--connections", "2", "--writers", "2"]] {
        let report = bench(&[&short[..], where_to].concat());
        assert_report(&report, "append");
        for field in ["floor_events_per_second", "floor_p99_ms", "ratio_to_floor"] {
            assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
        }
        assert_eq!(report["parameters"]["in_flight"], 16);
    }
}

#[test]
fn read_and_subscribe_report_what_they_delivered() {
    let read = bench(&["read", "--store", "sqlite:", "--events", "5000"]);
    assert_report(&read, "read");
    assert_eq!(read["events"], 5_000);
    let again = bench(&["read", "--store", "sqlite:", "--events", "1000", "--seconds", "0.5"]);
    let events = again["events"].as_u64().unwrap();
    assert!(events > 1_000 && events.is_multiple_of(1_000), "{again}");
    assert_eq!(again["parameters"]["seconds"], 0.5);
    let pages = bench(&["read", "--spawn-server", "--events", "5000", "--by", "pages"]);
    assert_eq!(pages["events"], 5_000);
    let live = bench(&["subscribe", "--spawn-server", "--rate", "500", "--seconds", "1", "--warm-up", "0.2"]);
    assert_report(&live, "subscribe");
    assert_eq!(live["events"], 500);
}

/// The load of a bench has no business in a live server that merely listens at the default address.
#[test]
fn without_a_target_a_bench_starts_a_server_of_its_own_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let finished = run(["bench", "read", "--events", "100", "--dir", dir, "--output", "json"]);
    assert_eq!(finished.line()["parameters"]["target"], "a server of its own");
    assert!(finished.err.contains("--spawn-server"), "{finished:?}");
}

#[test]
fn what_a_schema_costs_is_measured_in_the_same_run() {
    let short = ["append", "--no-floor", "--schema", "--seconds", "0.5", "--warm-up", "0.1", "--streams", "100"];
    for where_to in [&["--store", "sqlite:"][..], &["--spawn-server"]] {
        let report = bench(&[&short[..], where_to].concat());
        for field in ["schema_events_per_second", "schema_p99_ms", "ratio_with_schema"] {
            assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
        }
        let lifted = bench(&[&["read", "--lift", "--events", "2000"], where_to].concat());
        assert_eq!(lifted["events"], 2_003, "those, and what records the three versions: {lifted}");
        for field in ["raw_events_per_second", "ratio_to_raw"] {
            assert!(lifted[field].as_f64().unwrap() > 0.0, "{field}: {lifted}");
        }
    }
    let asked = bench(&["schema", "--spawn-server", "--connections", "2", "--types", "5", "--seconds", "0.5"]);
    for kind in ["lookups", "checks"] {
        assert!(asked[kind]["per_second"].as_f64().unwrap() > 0.0, "{asked}");
    }
    run(["bench", "schema", "--store", "sqlite:"]).fails(2, "--spawn-server");
    run(["bench", "append", "--store", "sqlite:", "--schema", "--payload", "20"]).fails(2, "--payload");
}

#[test]
fn grow_reports_each_step_and_the_restart() {
    let grown = bench(&["grow", "--spawn-server", "--events", "3000", "--streams", "300", "--batch", "50"]);
    assert_eq!(grown["events"], 3_000);
    for field in ["last_to_first", "overhead_bytes_per_event", "resident_bytes", "restart_ready_seconds"] {
        assert!(grown[field].as_f64().unwrap() > 0.0, "{field}: {grown}");
    }
}

#[test]
fn a_parameter_that_makes_no_sense_exits_2() {
    for wrong in ["--writers", "--in-flight", "--batch", "--streams", "--connections", "--payload"] {
        let finished = run(["bench", "append", "--store", "memory:", wrong, "0", "--seconds", "0.1"]);
        finished.fails(2, wrong);
    }
    for workload in ["append", "read", "subscribe"] {
        run(["bench", workload, "--seconds", "forever"]).fails(2, "--seconds");
        run(["bench", workload, "--seconds", "0"]).fails(2, "--seconds");
    }
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = pacioli()
        .args(["bench", "append", "--spawn-server", "--seconds", "60", "--dir"])
        .arg(directory.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::fs::read_dir(directory.path()).unwrap().count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), "INT");
    assert_eq!(wait(&mut child), 1);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

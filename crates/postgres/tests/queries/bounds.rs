//! No query takes more than it was given: time, rows, bytes, connections.

use std::process::Command;
use std::time::{Duration, Instant};

use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{QueryError, QueryLimits};

use super::world::{Mode, World, limits, lookup};

/// Never ends by itself, one of them in a single call of a function.
const RUNAWAYS: &[&str] = &[
    "SELECT count(*) FROM generate_series(1, 1000000000000) n",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 1 FROM t) SELECT count(*) FROM t",
    "SELECT count(*) FROM events a, events b, events c, events d, events e, events f, events g, events h, events i",
    "SELECT sum(length(repeat(account, 100000))) FROM balances a, generate_series(1, 100000000) n",
    "SELECT max(factorial(32000 + (n % 100)::int)) FROM generate_series(1, 100000) n",
    "SELECT regexp_count(repeat('a', 200) || 'b', '(a*)(a*)(a*)(a*)(a*)(a*)\\6\\5\\4\\3\\2\\1b')",
    "SELECT * FROM balances a, balances b, balances c ORDER BY a.cents * b.cents * c.cents",
];

fn within(time_max: Duration) -> QueryLimits {
    QueryLimits { time_max, ..limits() }
}

/// Statements that run in the database, beside that of who asks.
async fn running(world: &World) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend' AND application_name = 'pacioli' AND state <> 'idle'";
    world.admin.query_one(sql, &[]).await.expect("an answer").get(0)
}

/// Waits until nothing runs any more.
async fn until_idle(world: &World, patience: Duration) {
    let began = Instant::now();
    while running(world).await > 0 {
        assert!(began.elapsed() < patience, "something still runs after {patience:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_ends_within_a_second_of_its_deadline() {
    for (label, mode) in [("runaway_reader", Mode::Reader), ("runaway_superuser", Mode::Superuser)] {
        let world = World::new(label, mode).await;
        for sql in RUNAWAYS {
            let (began, time_max) = (Instant::now(), Duration::from_millis(300));
            let answer = world.reader.query(sql, &[], within(time_max)).await;
            assert!(matches!(answer, Err(QueryError::Late(late)) if late == time_max), "{sql}: {answer:?}");
            until_idle(&world, (time_max + Duration::from_secs(1)).saturating_sub(began.elapsed())).await;
        }
        assert_eq!(world.rows("SELECT 1").await, vec![vec![Value::Int(1)]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_nobody_waits_for_is_stopped() {
    let world = World::new("abandoned", Mode::Reader).await;
    for sql in RUNAWAYS {
        let asked = world.reader.query(sql, &[], within(Duration::from_secs(600)));
        assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err(), "{sql} has an answer");
        until_idle(&world, Duration::from_secs(1)).await;
    }
    assert_eq!(world.rows("SELECT 1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_hears_nothing_is_given_up() {
    let world = World::new("deaf", Mode::Reader).await;
    let time_max = Duration::from_millis(800);
    let asked = world.reader.query(RUNAWAYS[0], &[], within(time_max));
    let stop = async {
        let pid: i32 = loop {
            let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%1000000000000%' AND pid <> pg_backend_pid()";
            if let Some(row) = world.admin.query_opt(sql, &[]).await.expect("an answer") {
                break row.get(0);
            }
        };
        let signal =
            |signal: &str| Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill").success();
        assert!(signal("-STOP"));
        pid
    };
    let began = Instant::now();
    let (answer, pid) = futures::join!(asked, stop);
    let took = began.elapsed();
    assert!(Command::new("kill").args(["-CONT", &pid.to_string()]).status().expect("kill").success());
    assert!(matches!(answer, Err(QueryError::Late(_))), "{answer:?}");
    assert!(took < time_max + Duration::from_secs(1), "{took:?}");
    assert_eq!(world.rows("SELECT 1").await.len(), 1, "the next query has another connection");
    until_idle(&world, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_bytes_have_bounds() {
    let world = World::new("caps", Mode::Reader).await;
    let few = QueryLimits { rows_max: 100, bytes_max: 100_000, time_max: Duration::from_secs(10) };
    let exactly = world.reader.query("SELECT * FROM balances LIMIT 100", &[], few).await.expect("as many as may be");
    assert_eq!(exactly.rows.len(), 100);
    for (sql, says) in [
        ("SELECT * FROM balances", "more than 100 rows (max_rows): add a LIMIT"),
        ("SELECT generate_series(1, 100000000)", "more than 100 rows (max_rows)"),
        ("SELECT repeat('x', 3000) FROM generate_series(1, 100)", "more than 100000 bytes"),
        ("SELECT repeat(repeat('x', 1000), 50000)", "more than 100000 bytes"),
        ("SELECT array_agg(n) FROM generate_series(1, 3000000) n", "more than 100000 bytes"),
    ] {
        let began = Instant::now();
        match world.reader.query(sql, &[], few).await {
            Err(QueryError::TooMuch(said)) => assert!(said.contains(says), "{sql}: {said}"),
            other => panic!("{sql}: {:?}", other.map(|answer| answer.rows.len())),
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{sql} took {:?}", began.elapsed());
        until_idle(&world, Duration::from_secs(1)).await;
    }
    let mut many = lookup("balances", &[]);
    many.limit = 1_000;
    let answer = world.reader.lookup(many, few).await;
    assert!(matches!(answer, Err(QueryError::TooMuch(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_take_the_memory_that_it_may_not_have() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default()
    };
    let world = World::new("memory", Mode::Reader).await;
    world.rows("SELECT 1").await;
    let before = peak();
    // Half a gigabyte in one value, which the driver would hold twice.
    let answer = world.ask("SELECT repeat(repeat('x', 1000), 500000)").await;
    assert!(matches!(answer, Err(QueryError::TooMuch(_))), "{:?}", answer.map(|answer| answer.rows.len()));
    let grown = (peak() - before) >> 10;
    assert!(grown < 200, "grew by {grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn point_reads_do_not_wait_behind_analyses() {
    let world = World::new("reserved", Mode::Reader).await;
    let world = std::sync::Arc::new(world);
    let analyses: Vec<_> = (0..12)
        .map(|_| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move { world.reader.query(RUNAWAYS[0], &[], within(Duration::from_secs(3))).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let answer = world.look_up("balances", &[("account", "account-7")]).await.expect("an answer");
    assert_eq!(answer.rows.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for analysis in analyses {
        let answer = analysis.await.expect("an end");
        assert!(matches!(answer, Err(QueryError::Late(_))), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_lock_or_a_server_is_told_in_time() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let world = World::in_cluster(&cluster, "waits", Mode::Reader).await;
    world
        .admin
        .batch_execute("BEGIN; LOCK TABLE pacioli_balances_1.balances IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    let began = Instant::now();
    let time_max = Duration::from_millis(300);
    let answer = world.reader.query("SELECT * FROM balances", &[], within(time_max)).await;
    assert!(matches!(answer, Err(QueryError::Late(_))), "{answer:?}");
    let answer = world.reader.lookup(lookup("balances", &[("account", "x")]), within(time_max)).await;
    assert!(matches!(answer, Err(QueryError::Late(_))), "{answer:?}");
    assert!(began.elapsed() < 2 * (time_max + Duration::from_secs(1)), "{:?}", began.elapsed());
    world.admin.batch_execute("ROLLBACK").await.expect("unlocked");
    assert_eq!(world.look_up("balances", &[("account", "account-1")]).await.expect("an answer").rows.len(), 1);

    cluster.pause().expect("paused");
    let began = Instant::now();
    let answer = world.reader.query("SELECT 1", &[], within(time_max)).await;
    assert!(matches!(answer, Err(QueryError::Late(_))), "{answer:?}");
    assert!(began.elapsed() < time_max + Duration::from_secs(1), "{:?}", began.elapsed());
    cluster.resume().expect("resumed");
    let began = Instant::now();
    while world.ask("SELECT 1").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the server is back");
    }
}

//! A session is given to the next query as it was to the one before.

use std::time::{Duration, Instant};

use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown};
use pacioli_postgres::models::query::SqlReader;
use pacioli_projection::answer::Value;
use pacioli_projection::engine::QueryError;

use super::world::{Mode, World, limits, lookup};

/// What a session shows of itself to who may look.
const SEEN: &str = "SELECT pid, state, xact_start IS NULL, query_start FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'pacioli' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

async fn one_session(label: &str, mode: Mode) {
    let world = World::new(label, mode).await;
    let reader = SqlReader::new(&world.location, 1).expect("a reader");
    let ask = |sql: &'static str| reader.query(sql, &[], limits());
    assert!(ask("SELECT 1").await.is_ok());
    let first: i32 = world.admin.query_one(SEEN, &[]).await.expect("one session").get(0);
    for sql in [
        "SELECT * FROM balances",
        "SELECT 1 / 0",
        "SELECT * FROM nothing",
        "SELECT nonsense(",
        "SELECT * FROM balances WHERE cents = 'x'::text::int",
        "EXPLAIN SELECT 1",
        "SELECT ARRAY[1], now()",
    ] {
        let _ = ask(sql).await;
    }
    let late = reader.query("SELECT count(*) FROM generate_series(1, 10000000000)", &[], {
        let mut limits = limits();
        limits.time_max = Duration::from_millis(100);
        limits
    });
    assert!(matches!(late.await, Err(QueryError::Late(_))));
    assert!(reader.lookup(lookup("balances", &[("account", "account-3")]), limits()).await.is_ok());
    // The time that a query had is not that of the next.
    let slow = ask("SELECT count(*) FROM generate_series(1, 2000000)").await;
    assert!(slow.is_ok(), "{slow:?}");
    let row = world.admin.query_one(SEEN, &[]).await.expect("still one session");
    assert_eq!(row.get::<_, i32>(0), first, "and the same");

    let began = Instant::now();
    loop {
        let row = world.admin.query_one(SEEN, &[]).await.expect("one session");
        if row.get::<_, &str>(1) == "idle" && row.get::<_, bool>(2) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a transaction stays open");
    }
    let held = "SELECT count(*) FROM pg_locks WHERE pid = $1";
    assert_eq!(world.admin.query_one(held, &[&first]).await.expect("an answer").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn nothing_stays_in_a_session_of_the_reader() {
    one_session("session_reader", Mode::Reader).await;
}

#[tokio::test]
async fn nothing_stays_in_a_session_of_a_superuser() {
    one_session("session_superuser", Mode::Superuser).await;
}

#[tokio::test]
async fn a_superuser_steps_down_before_a_query() {
    let world = World::new("step_down", Mode::Superuser).await;
    // The view is there and the reader may not read it: nobody but the role decides.
    world
        .admin
        .batch_execute("CREATE VIEW pacioli_read.hidden AS SELECT canary FROM public.secret")
        .await
        .expect("a view");
    let problem = world.ask("SELECT * FROM hidden").await.expect_err("no right");
    assert!(matches!(&problem, QueryError::Refused(said) if said.contains("permission denied")), "{problem:?}");
}

#[tokio::test]
async fn a_session_that_ended_is_replaced() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let world = World::in_cluster(&cluster, "replaced", Mode::Reader).await;
    assert_eq!(world.rows("SELECT 1").await, vec![vec![Value::Int(1)]]);
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pacioli' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    world.admin.query(end, &[]).await.expect("ended");
    let mut answers = 0;
    for _ in 0..3 {
        answers += usize::from(world.ask("SELECT 1").await.is_ok());
    }
    assert!(answers >= 2, "one may meet the end of its session, and no more");
    cluster.restart(Shutdown::Fast).expect("restarted");
    let began = Instant::now();
    while world.ask("SELECT 1").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the server is back");
    }
}

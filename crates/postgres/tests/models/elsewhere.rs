//! Read models in another database than the log's.

use pacioli_postgres::PostgresModels;
use pacioli_projection::Engine;
use pacioli_projection::engine::{BuildNumber, EngineError, Moment, Query, QueryLimits, Sample};

use super::world::{BALANCES, COUNTS, World, catch_up, connect, event, name, projection};
use crate::support::location;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_a_foreign_table_and_everything_else_is_the_same() {
    let world = World::new("models_log").await;
    let elsewhere =
        tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_elsewhere")).await.expect("a database");
    world.deposit(5, 4).await;
    world.append("account-1", vec![event("Withdrawn", r#"{"cents":3}"#)]).await;
    for round in 0..2 {
        // Opened again, it leads to where the log is now.
        let models = PostgresModels::open(&world.store, Some(location(&elsewhere)), None).await.expect("read models");
        assert!(!models.abilities().sync);
        if round == 0 {
            for (text, named) in [(BALANCES, "balances"), (COUNTS, "counts")] {
                models.begin(&projection(text), 1).await.expect("it begins");
                catch_up(&models, named, 1, 3).await.expect("it advances");
            }
        }
        let there = connect(&elsewhere).await;
        let row =
            there.query_one("SELECT sum(cents)::bigint, sum(events)::bigint FROM pacioli_read.balances", &[]).await;
        let row = row.expect("a row");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (17, 21));
        let verified = models.verify(&name("counts"), BuildNumber(1), Sample::All, &|_| {}).await.expect("verified");
        assert_eq!((verified.rows, verified.different), (2, 0), "{verified:?}");
        let as_of = Some(Moment::At("0:7".parse().expect("a checkpoint")));
        let query = |sql: &str, as_of| Query { sql: sql.to_owned(), as_of, limits: QueryLimits::default() };
        let answer = models.query(query("SELECT count(*) FROM balances", as_of)).await.expect("an answer");
        assert_eq!(answer.rows, [[pacioli_projection::answer::Value::Int(2)]]);
        let answer = models.query(query("SELECT count(*) FROM events", None)).await.expect("an answer");
        assert_eq!(answer.rows, [[pacioli_projection::answer::Value::Int(21)]]);
        let sync = BALANCES.replace("-- version: 1", "-- version: 2\n-- mode: sync");
        let EngineError::File(findings) = models.begin(&projection(&sync), 1).await.expect_err("no sync here") else {
            panic!("findings")
        };
        assert!(findings[0].problem.contains("--read-models"), "{findings:?}");
    }
    assert_eq!(
        world.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^pacioli_(balances|counts)'").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_reads_no_more_of_the_log_than_it_is_to_look_at() {
    let world = World::new("models_far_log").await;
    let elsewhere =
        tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_far")).await.expect("a database");
    world.deposit(10, 10).await;
    PostgresModels::open(&world.store, Some(location(&elsewhere)), None).await.expect("read models");
    let there = connect(&elsewhere).await;
    let explain = "EXPLAIN (VERBOSE, COSTS OFF) SELECT e.position FROM pacioli_projections.events e
        WHERE e.part = 0 AND e.position > 5 AND e.position <= 70 AND e.type = ANY (ARRAY['Deposited']::text[]) ORDER BY e.position LIMIT 3";
    there.batch_execute("SET ROLE pacioli_projector").await.expect("its role");
    let rows = there.query(explain, &[]).await.expect("a plan");
    let remote: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let remote = remote.join("\n").replace('"', "");
    assert!(
        remote.contains("position > 5") && remote.contains("position <= 70") && remote.contains("ORDER BY"),
        "{remote}"
    );
}

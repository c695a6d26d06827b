//! Read models in another database than the log's.

use pacioli_postgres::PostgresModels;
use pacioli_projection::Engine;
use pacioli_projection::engine::{AdvanceError, BuildNumber, EngineError, Moment, Query, QueryLimits, Sample, State};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_has_seen_what_the_log_lost_stops_and_one_that_has_not_goes_on() {
    let (world, restored) = (World::new("models_lost").await, World::new("models_restored").await);
    let elsewhere =
        tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_ahead")).await.expect("a database");
    world.deposit(2, 5).await;
    let models = PostgresModels::open(&world.store, Some(location(&elsewhere)), None).await.expect("read models");
    models.begin(&projection(BALANCES), 1).await.expect("it begins");
    models.begin(&projection(COUNTS), 1).await.expect("it begins");
    catch_up(&models, "balances", 1, 100).await.expect("it advances");
    let counts = models.builds().await.expect("builds").remove(1);
    models.advance(super::world::step(&counts, 0, 10, 4)).await.expect("it advances");
    models.keep_copy(&name("counts"), BuildNumber(1)).await.expect("a copy");
    models.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy");
    drop(models);
    // The same log as a restore left it: its tail is gone, another epoch began.
    restored.deposit(1, 5).await;
    let rewind = "INSERT INTO pacioli.epochs (epoch, heads, system_id, timeline) SELECT 2, ARRAY[5], system_id, timeline FROM pacioli.epochs;
                  UPDATE pacioli.heads SET epoch = 2";
    restored.client().await.batch_execute(rewind).await.expect("an epoch");
    let store = crate::support::open(&restored.url, crate::support::options()).await.expect("it opens");
    let models = PostgresModels::open(&store, Some(location(&elsewhere)), None).await.expect("read models");
    let stale = models.advance(super::world::step(&counts, 4, 5, 4)).await;
    assert!(matches!(stale, Err(AdvanceError::Moved)), "nothing moves before it is settled: {stale:?}");
    // What is copied before it is settled is a copy of what the log had then.
    models.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy");
    let builds = models.builds().await.expect("builds");
    let State::Failed(failed) = &builds[0].state else { panic!("{:?}", builds[0]) };
    assert_eq!(failed.place.to_string(), "0:6");
    assert!(
        failed.error.contains("the log lost its tail: it goes on from 0:5@2, and this build had come to 0:10"),
        "{failed:?}"
    );
    assert_eq!(builds[1].state, State::Running);
    // Where it stands is said with the epoch that this is of.
    let (_, stands) = models.serving(&name("balances")).await.expect("an answer").expect("it serves");
    assert_eq!((stands[0].position.0, stands[0].epoch.0), (10, 1));
    let (_, stands) = models.serving(&name("counts")).await.expect("an answer").expect("it serves");
    assert_eq!((stands[0].position.0, stands[0].epoch.0), (4, 2));
    catch_up(&models, "counts", 1, 100).await.expect("it goes on");
    let there = connect(&elsewhere).await;
    let row =
        there.query_one("SELECT string_agg(name, ' ') FROM pacioli_projections.copies", &[]).await.expect("a row");
    assert_eq!(row.get::<_, &str>(0), "counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_another_server_settled_meanwhile_is_not_taken_for_one_that_saw_what_was_lost() {
    let world = World::new("models_settled").await;
    let elsewhere =
        tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_settled_far")).await.expect("a database");
    world.deposit(1, 5).await;
    let models = PostgresModels::open(&world.store, Some(location(&elsewhere)), None).await.expect("read models");
    models.begin(&projection(COUNTS), 1).await.expect("it begins");
    catch_up(&models, "counts", 1, 100).await.expect("it advances");
    drop(models);
    let rewind = "INSERT INTO pacioli.epochs (epoch, heads, system_id, timeline) SELECT 2, ARRAY[5], system_id, timeline FROM pacioli.epochs;
                  UPDATE pacioli.heads SET epoch = 2";
    world.client().await.batch_execute(rewind).await.expect("an epoch");
    let store = crate::support::open(&world.url, crate::support::options()).await.expect("it opens");
    let models = PostgresModels::open(&store, Some(location(&elsewhere)), None).await.expect("read models");
    // Another server is about to bring it into today's epoch, and goes on.
    let mut other = connect(&elsewhere).await;
    let settling = other.transaction().await.expect("a transaction");
    settling.query("SELECT FROM pacioli_projections.progress FOR UPDATE", &[]).await.expect("the lock");
    let looking = tokio::spawn(async move { models.builds().await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let watching = connect(&elsewhere).await;
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while watching.query_one(waits, &[]).await.expect("a row").get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("this one waits for the lock");
    settling
        .batch_execute(
            "UPDATE pacioli_projections.builds SET epoch = 2; UPDATE pacioli_projections.progress SET position = 9",
        )
        .await
        .expect("it goes on");
    settling.commit().await.expect("committed");
    let builds = looking.await.expect("no panic").expect("builds");
    assert_eq!(builds[0].state, State::Running, "nine events of today's epoch were lost by nobody");
}

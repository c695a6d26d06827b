//! Who may do what with read models.

use pacioli_core::AppendOutcome;
use pacioli_postgres::PostgresModels;
use pacioli_projection::Engine;
use pacioli_projection::engine::{BuildNumber, Role};

use super::world::{BALANCES, World, catch_up, connect, event, name, projection};
use crate::support::{open, options};

const GAUGE: &str = "-- projection: gauge
-- version: 1
-- mode: sync
-- types: GaugeRead

CREATE TABLE gauge (gauge TEXT PRIMARY KEY, value BIGINT NOT NULL);

-- on: GaugeRead
INSERT INTO gauge (gauge, value) VALUES (:stream, :data.value) ON CONFLICT (gauge) DO UPDATE SET value = excluded.value;
";

/// The same database for a login that may do what these roles may.
async fn login(world: &World, name: &str, roles: &str) -> String {
    world.client().await.batch_execute(&format!("CREATE ROLE {name} LOGIN IN ROLE {roles}")).await.expect("a login");
    world.url.replacen("postgres@", &format!("{name}@"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_append_runs_sync_projections_and_touches_no_read_model() {
    let world = World::new("models_appender").await;
    world.begin(GAUGE).await;
    world.swap("gauge", 1).await.expect("it serves");
    let url = login(&world, "models_appender_login", "pacioli_appender").await;
    let server = World {
        store: open(&url, options()).await.expect("it opens"),
        models: PostgresModels::open(&world.store, None, None).await.expect("read models"),
        url: url.clone(),
    };
    let outcome = server.append("gauge-1", vec![event("GaugeRead", r#"{"value":7}"#)]).await;
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    let client = connect(&url).await;
    let append = "SELECT * FROM pacioli.append('gauge-2', 'any', ARRAY['{\"type\":\"GaugeRead\",\"data\":{\"value\":8}}'::jsonb])";
    client.batch_execute(append).await.expect("it is appended");
    assert_eq!(world.value("SELECT sum(value) FROM pacioli_read.gauge").await, "15");
    for statement in [
        "SELECT * FROM pacioli_read.gauge",
        "DELETE FROM pacioli_gauge_1.gauge",
        "SELECT pacioli_gauge_1.apply(0, 0, 1, 1, 0, 1, NULL)",
        "UPDATE pacioli_projections.progress SET position = 0",
        "DELETE FROM pacioli.sync_builds",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{statement}: {error:?}");
    }
    let Err(error) = PostgresModels::open(&server.store, None, None).await else { panic!("it may not") };
    assert!(
        error.reason.contains("belong to `pacioli_projector`") && error.reason.contains("GRANT"),
        "{}",
        error.reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_superuser_fills_read_models() {
    let world = World::new("models_projector").await;
    world.deposit(2, 2).await;
    let url = login(&world, "models_projector_login", "pacioli_appender, pacioli_projector").await;
    let store = open(&url, options()).await.expect("it opens");
    let models = PostgresModels::open(&store, None, None).await.expect("read models");
    let begun = models.begin(&projection(BALANCES), 1).await.expect("it begins");
    assert_eq!(begun.role, Role::Serving);
    catch_up(&models, "balances", 1, 100).await.expect("it advances");
    models.begin(&projection(GAUGE), 1).await.expect("it begins");
    models.swap(&name("gauge"), BuildNumber(1)).await.expect("it serves");
    world.append("gauge-1", vec![event("GaugeRead", r#"{"value":7}"#)]).await;
    assert_eq!(
        world
            .value("SELECT sum(cents) || ' ' || (SELECT value FROM pacioli_read.gauge) FROM pacioli_read.balances")
            .await,
        "4 7"
    );
    let owners =
        "SELECT string_agg(DISTINCT nspowner::regrole::text, ' ') FROM pg_namespace WHERE nspname ~ '^pacioli_'";
    assert_eq!(world.value(owners).await, "pacioli_projector");
    models.drop_build(&name("gauge"), BuildNumber(1)).await.expect("it is dropped");
    models.drop_build(&name("balances"), BuildNumber(1)).await.expect("it is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_of_read_models_makes_of_a_handler_never_runs_as_the_owner_of_the_log() {
    let world = World::new("models_wall").await;
    world.begin(GAUGE).await;
    world.swap("gauge", 1).await.expect("it serves");
    let url = login(&world, "models_wall_login", "pacioli_projector").await;
    let client = connect(&url).await;
    for statement in [
        "DELETE FROM pacioli.events",
        "INSERT INTO pacioli.commits VALUES (0, 9, 9, now())",
        "DROP TABLE pacioli.streams",
    ] {
        let error = client.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{statement}: {error:?}");
    }
    let evil = "CREATE OR REPLACE FUNCTION pacioli_gauge_1.apply(_pacioli_part int, _pacioli_after bigint, _pacioli_up_to bigint, _pacioli_max int,
                    _pacioli_worker int, _pacioli_workers int, _pacioli_until timestamptz, OUT _pacioli_position bigint, OUT _pacioli_events bigint)
                LANGUAGE plpgsql SECURITY INVOKER AS $$ BEGIN DROP TABLE pacioli.snapshots; END $$";
    client.batch_execute(&format!("SET ROLE pacioli_projector; {evil}")).await.expect("it is its own");
    let superuser = world.client().await;
    let append = "SELECT * FROM pacioli.append('gauge-2', 'any', ARRAY['{\"type\":\"GaugeRead\",\"data\":{\"value\":8}}'::jsonb])";
    let error = superuser.batch_execute(append).await.expect_err("it may not");
    assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{error:?}");
    assert_eq!(world.value("SELECT to_regclass('pacioli.snapshots')").await, "pacioli.snapshots");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_open_at_the_same_time_and_a_schema_of_others_is_left_alone() {
    let url =
        tokio::task::spawn_blocking(|| pacioli_pgtest::database_url("models_together")).await.expect("a database");
    let store = open(&url, options()).await.expect("a store");
    let opened = futures::future::join_all((0..4).map(|_| PostgresModels::open(&store, None, None))).await;
    assert!(opened.iter().all(Result::is_ok));
    let other = open(&format!("{url}&schema=models_other"), options()).await.expect("a store");
    let client = connect(&url).await;
    client
        .batch_execute("CREATE SCHEMA models_other_read; CREATE TABLE models_other_read.x ()")
        .await
        .expect("somebody's");
    let Err(error) = PostgresModels::open(&other, None, None).await else { panic!("it is somebody's") };
    assert!(error.reason.contains("schema `models_other_read` holds other things"), "{}", error.reason);
}

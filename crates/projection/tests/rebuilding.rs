//! A new build fills beside the one that serves, and takes over by itself; what went before can come back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pacioli_core::Clock;
use pacioli_projection::Engine;
use pacioli_projection::engine::{Failed, Role, State};
use pacioli_projection::service::CommandError;

use crate::support::{World, events_of, file, named, total};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_new_version_takes_over_under_load_and_no_reader_sees_time_go_back() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 3_000).await;
    let server = world.server_with("one", |options| options.batch_max = 64).await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().advance_takes = Duration::from_millis(5);
    server.add(&file("balances", 2, "")).await;
    let status = server.status("balances").await;
    assert_eq!((status.version, status.building, status.state), (Some(1), Some(2), "rebuilding"));
    let (mut seen, mut swapped_in) = (0, None);
    for round in 0..1_000 {
        let at = world.append("account-1", "MoneyDeposited", 3).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        // Some of the reads wait for their own write, the others take what there is.
        let answer = if round % 5 == 0 {
            server.ask("SELECT * FROM balances", Some(&at), LONG).await.unwrap()
        } else {
            server.ask("SELECT * FROM balances", None, LONG).await.unwrap()
        };
        assert!(total(&answer) >= seen, "{} after {seen}", total(&answer));
        seen = total(&answer);
        if server.status("balances").await.version == Some(2) {
            swapped_in.get_or_insert(round);
        }
    }
    assert!(swapped_in.is_some_and(|round| (5..900).contains(&round)), "{swapped_in:?}");
    let status = server.until("balances", |status| status.version == Some(2) && status.lag_events == 0).await;
    assert_eq!((status.building, status.state, status.kept), (None, "running", Some(1)));
    world.check_exactly_once(&server.engine).await;
    assert_eq!(world.recorded_types("balances").await, ["ProjectionAdded", "ProjectionAdded", "ProjectionSwapped"]);
    assert_eq!(world.recorded("balances").await[2].1["before"]["version"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_goes_on_where_it_was_when_its_server_was_killed() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 2_000).await;
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    one.caught_up("balances", &at).await;
    one.engine.faults().advance_takes = Duration::from_millis(100);
    one.models.rebuild(&named("balances"), None, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(450)).await;
    drop(one);
    let done = world.database.tables().role("balances", Role::Filling).unwrap().applied.len();
    assert!(done > 0 && done < 2_000, "{done}");
    let two = world.server("two").await;
    two.until("balances", |status| status.building.is_none()).await;
    world.check_exactly_once(&two.engine).await;
    let tables = world.database.tables();
    assert_eq!(tables.serving("balances").unwrap().build.number.0, 2);
    assert_eq!(tables.begun, 2, "it did not begin anew");
}

#[tokio::test(start_paused = true)]
async fn one_build_fills_at_a_time_and_a_newer_version_outruns_it() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 2_000).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().advance_takes = Duration::from_millis(200);
    server.add(&file("balances", 2, "")).await;
    let refused = server.models.rebuild(&named("balances"), None, None).await.unwrap_err();
    assert!(matches!(&refused, CommandError::State(reason) if reason.contains("cancel")), "{refused}");
    server.add(&file("balances", 3, "")).await;
    let builds: Vec<_> = world.database.tables().builds.iter().map(|stored| stored.build.projection.version).collect();
    assert_eq!(builds, [1, 3]);
    let status = server.until("balances", |status| status.version == Some(3)).await;
    assert_eq!(status.kept, Some(1));
}

#[tokio::test(start_paused = true)]
async fn cancel_gives_the_filling_build_up() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 2_000).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    let nothing = server.models.cancel(&named("balances"), None).await.unwrap_err();
    assert!(matches!(nothing, CommandError::State(_)));
    server.engine.faults().advance_takes = Duration::from_millis(200);
    server.models.rebuild(&named("balances"), None, Some("anna")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = server.models.cancel(&named("balances"), Some("bert")).await.unwrap();
    assert_eq!((status.building, status.version, status.state), (None, Some(1), "running"));
    assert_eq!(world.database.tables().builds.len(), 1);
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 2_001);
    let recorded = world.recorded("balances").await;
    let last = recorded.last().unwrap();
    assert_eq!((last.0.as_str(), last.2.as_deref()), ("ProjectionCancelled", Some("bert")));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_the_kept_version_to_the_head_and_lets_it_serve() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 100).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    let refused = server.models.rollback(&named("balances"), None).await.unwrap_err();
    assert!(matches!(refused, CommandError::State(_)));
    server.add(&file("balances", 2, "")).await;
    server.until("balances", |status| status.version == Some(2)).await;
    let at = world.append("account-2", "MoneyDeposited", 50).await;
    server.caught_up("balances", &at).await;
    server.models.rollback(&named("balances"), Some("anna")).await.unwrap();
    let status = server.until("balances", |status| status.version == Some(1)).await;
    assert_eq!((status.kept, status.state), (Some(2), "running"));
    assert_eq!(total(&server.caught_up("balances", &at).await), 150);
    world.check_exactly_once(&server.engine).await;
    // And back again.
    server.models.rollback(&named("balances"), None).await.unwrap();
    server.until("balances", |status| status.version == Some(2)).await;
    server.models.drop_builds(&named("balances"), false, None).await.unwrap();
    assert_eq!(server.status("balances").await.kept, None);
    assert!(server.models.drop_builds(&named("balances"), false, None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_sync_projection_serves_once_it_is_filled_and_only_appends_move_it_then() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 2_000).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- mode: sync")).await;
    let status = server.status("balances").await;
    assert_eq!((status.version, status.mode, status.lag_events), (Some(1), "sync", 0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let advances = server.engine.advances.load(Ordering::Relaxed);
    let at = world.append("account-2", "MoneyDeposited", 10).await;
    server.engine.run_sync().await;
    let answer = server.ask("SELECT * FROM balances", Some(&at), Duration::from_millis(1)).await.unwrap();
    assert_eq!((events_of(&answer, "account-2"), total(&answer)), (10, 2_010));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(server.engine.advances.load(Ordering::Relaxed), advances);
    let refused = server.models.pause(&named("balances"), None).await.unwrap_err();
    assert!(matches!(refused, CommandError::State(_)), "{refused}");
    // A new version of it fills and swaps like any other.
    server.add(&file("balances", 2, "-- mode: sync")).await;
    server.until("balances", |status| status.version == Some(2)).await;
    world.append("account-2", "MoneyDeposited", 10).await;
    server.engine.run_sync().await;
    world.check_exactly_once(&server.engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_is_refused_is_tried_again_and_the_old_build_goes_on() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().refuses_swap = Some("a reader holds a lock".to_owned());
    server.add(&file("balances", 2, "")).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let at = world.append("account-1", "MoneyDeposited", 5).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 105);
    assert_eq!(server.status("balances").await.version, Some(1));
    server.engine.faults().refuses_swap = None;
    server.until("balances", |status| status.version == Some(2)).await;
}

#[tokio::test(start_paused = true)]
async fn pause_stops_both_builds_where_they_are_and_resume_lets_them_go_on() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 3_000).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().advance_takes = Duration::from_millis(50);
    server.add(&file("balances", 2, "")).await;
    let status = server.models.pause(&named("balances"), Some("anna")).await.unwrap();
    assert_eq!(status.state, "paused");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let applied = || {
        let tables = world.database.tables();
        tables.builds.iter().map(|stored| stored.applied.len()).collect::<Vec<_>>()
    };
    let before = applied();
    world.append("account-1", "MoneyDeposited", 5).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(applied(), before);
    assert!(server.models.pause(&named("balances"), None).await.is_err(), "it is paused already");
    server.models.resume(&named("balances"), Some("anna")).await.unwrap();
    server.until("balances", |status| status.version == Some(2) && status.lag_events == 0).await;
    world.check_exactly_once(&server.engine).await;
    assert!(server.models.resume(&named("balances"), None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn workers_are_as_many_as_the_file_and_the_engine_allow() {
    let world = World::new();
    world.database.tables().workers_max = 3;
    world.append("account-1", "MoneyDeposited", 10).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.add(&file("counts", 1, "-- parallel-by: stream")).await;
    let refused = |name: &'static str, workers: u16| {
        let models = server.models.clone();
        async move { models.rebuild(&named(name), Some(workers), None).await.unwrap_err().to_string() }
    };
    assert!(refused("balances", 2).await.contains("-- parallel-by: stream"));
    assert!(refused("counts", 4).await.contains("at most 3"));
    assert!(refused("counts", 0).await.contains("at least one"));
    assert_eq!(server.status("counts").await.workers, 3);
    server.models.rebuild(&named("counts"), Some(2), None).await.unwrap();
    server.until("counts", |status| status.workers == 2 && status.building.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_projection_that_failed_is_not_taken_to_be_at_the_head() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- mode: sync")).await;
    let at = world.append("account-1", "MoneyDeposited", 5).await;
    // As an engine finds it that could not bring it to the head when it was opened.
    let number = world.database.tables().serving("balances").unwrap().build.number;
    let place = pacioli_core::Place { partition: pacioli_core::Partition(0), position: pacioli_core::Position(3) };
    let failed = Failed { place, error: "a constraint".to_owned(), at: world.clock.now() };
    server.engine.set_state(&named("balances"), number, State::Failed(failed)).await.unwrap();
    let status = server.status("balances").await;
    assert_eq!((status.state, status.error.unwrap().place.as_str()), ("failed", "0:3"));
    assert!(status.lag_events >= 4, "{}", status.lag_events);
    let behind = server.ask("SELECT * FROM balances", Some(&at), Duration::from_secs(1)).await.unwrap_err();
    assert!(behind.to_string().contains("0:3: a constraint"), "{behind}");
    server.models.retry(&named("balances"), None).await.unwrap();
    server.engine.run_sync().await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 5);
}

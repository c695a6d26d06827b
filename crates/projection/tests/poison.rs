//! An event that a projection cannot take stops that projection alone, right before the event.

use std::time::Duration;

use pacioli_core::place::{Partition, Place, Position};
use pacioli_projection::engine::State;
use pacioli_projection::service::CommandError;

use crate::support::{World, batch_file, file, named, total};

fn place(position: u64) -> Place {
    Place { partition: Partition(0), position: Position(position) }
}

fn poison(world: &World, name: &str, position: u64) {
    world.database.tables().poison.entry(name.to_owned()).or_default().insert(place(position));
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_stops_its_projection_alone_with_all_before_it_applied() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 500).await;
    poison(&world, "balances", 317);
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.add(&file("others", 1, "")).await;
    let status = server.until("balances", |status| status.state == "failed").await;
    let error = status.error.unwrap();
    assert_eq!((error.place.as_str(), error.version), ("0:317", 1));
    assert!(error.error.contains("CHECK constraint failed"), "{error:?}");
    assert_eq!(status.checkpoint, "0:316");
    assert_eq!(world.database.tables().serving("balances").unwrap().applied.len(), 316);
    assert_eq!(total(&server.caught_up("others", &at).await), 500);
    world.check_exactly_once(&server.engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_set_based_handlers_poison_event_is_found_by_halving() {
    for position in [1, 64, 65, 2_345, 5_000] {
        let world = World::new();
        world.append("account-1", "MoneyDeposited", 5_000).await;
        poison(&world, "balances", position);
        let server = world.server("one").await;
        server.add(&batch_file("balances", 1, "")).await;
        let status = server.until("balances", |status| status.state == "failed").await;
        assert_eq!(status.error.unwrap().place, format!("0:{position}"));
        assert_eq!(world.database.tables().serving("balances").unwrap().applied.len() as u64, position - 1);
        world.check_exactly_once(&server.engine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_fail_only_together_are_taken_in_smaller_batches() {
    let world = World::new();
    world.database.tables().fails_together_over = Some(7);
    let at = world.append("account-1", "MoneyDeposited", 1_000).await;
    let server = world.server("one").await;
    server.add(&batch_file("balances", 1, "")).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 1_000);
    assert_eq!(server.status("balances").await.state, "running");
    world.check_exactly_once(&server.engine).await;
}

#[tokio::test(start_paused = true)]
async fn retry_takes_the_event_once_it_can_be_taken() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 10).await;
    poison(&world, "balances", 5);
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.until("balances", |status| status.state == "failed").await;
    // Nothing is mended: it fails again, at the same event.
    server.models.retry(&named("balances"), Some("anna")).await.unwrap();
    let status = server.until("balances", |status| status.state == "failed").await;
    assert_eq!(status.error.unwrap().place, "0:5");
    world.database.tables().poison.clear();
    server.models.retry(&named("balances"), Some("anna")).await.unwrap();
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 11);
    assert_eq!(server.status("balances").await.error, None);
    world.check_exactly_once(&server.engine).await;
}

#[tokio::test(start_paused = true)]
async fn skip_passes_over_one_event_and_wants_a_reason() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 10).await;
    poison(&world, "balances", 5);
    poison(&world, "balances", 8);
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.until("balances", |status| status.state == "failed").await;
    let refused = server.models.skip(&named("balances"), "  ", None).await.unwrap_err();
    assert!(matches!(refused, CommandError::State(_)), "{refused}");
    server.models.skip(&named("balances"), "booked twice", Some("anna")).await.unwrap();
    let status = server.until("balances", |status| status.state == "failed").await;
    assert_eq!(status.error.unwrap().place, "0:8");
    server.models.skip(&named("balances"), "booked twice", Some("anna")).await.unwrap();
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 9);
    let recorded = world.recorded("balances").await;
    let skipped: Vec<_> = recorded.iter().filter(|(event_type, ..)| event_type == "ProjectionSkipped").collect();
    assert_eq!(skipped.len(), 2);
    assert_eq!(skipped[0].1["place"], "0:5");
    assert_eq!(skipped[0].1["reason"], "booked twice");
    assert_eq!(skipped[0].2.as_deref(), Some("anna"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_fails_stops_the_others_of_its_build_and_skip_finds_the_right_one() {
    let world = World::new();
    world.database.tables().workers_max = 4;
    for stream in 0..50 {
        world.append(&format!("account-{stream}"), "MoneyDeposited", 20).await;
    }
    poison(&world, "balances", 611);
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- parallel-by: stream")).await;
    server.until("balances", |status| status.state == "failed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = world.database.tables().serving("balances").unwrap().applied.len();
    world.append("account-7", "MoneyDeposited", 5).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.database.tables().serving("balances").unwrap().applied.len(), before, "a failed build moved");
    server.models.skip(&named("balances"), "known", None).await.unwrap();
    let at = world.head().await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 1_004);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fills_and_fails_leaves_the_serving_one_alone() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    poison(&world, "balances", 50);
    server.models.rebuild(&named("balances"), None, None).await.unwrap();
    let status = server.until("balances", |status| status.state == "failed").await;
    assert_eq!((status.version, status.building), (Some(1), Some(1)));
    let at = world.append("account-1", "MoneyDeposited", 3).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 103);
    server.models.cancel(&named("balances"), None).await.unwrap();
    let status = server.status("balances").await;
    assert_eq!((status.state, status.building, status.error), ("running", None, None));
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_for_a_while_is_waited_for() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().is_down = true;
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = server.engine.advances.load(std::sync::atomic::Ordering::Relaxed);
    assert!(tries < 100, "{tries} attempts in a minute are no back-off");
    server.engine.faults().is_down = false;
    assert_eq!(total(&server.caught_up("balances", &at).await), 200);
    assert_eq!(world.database.tables().serving("balances").unwrap().build.state, State::Running);
    assert!(server.status("balances").await.store_errors > 0);
}

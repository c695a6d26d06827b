//! One server runs a projection at a time; another takes over when it is gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{World, file, named, total};

#[tokio::test(start_paused = true)]
async fn another_server_takes_over_within_five_seconds() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    one.until("balances", |status| status.runner.is_some()).await;
    let two = world.server("two").await;
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    one.caught_up("balances", &at).await;
    assert_eq!(two.until("balances", |status| status.runner.is_some()).await.runner.as_deref(), Some("one"));
    assert_eq!(two.engine.advances.load(Ordering::Relaxed), 0, "only one server runs it");
    // As kill -9 does: nothing is given back.
    drop(one);
    let killed = Instant::now();
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    assert_eq!(total(&two.caught_up("balances", &at).await), 20);
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert_eq!(two.status("balances").await.runner.as_deref(), Some("two"));
    world.check_exactly_once(&two.engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_gives_its_leases_back() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    let two = world.server("two").await;
    two.until("balances", |status| status.runner.as_deref() == Some("one")).await;
    one.models.stop().await;
    let stopped = Instant::now();
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    two.caught_up("balances", &at).await;
    assert!(stopped.elapsed() <= Duration::from_millis(1_100), "{:?}", stopped.elapsed());
    // What stopped still answers.
    assert_eq!(total(&one.caught_up("balances", &at).await), 10);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_all_promptly_even_in_the_middle_of_a_batch() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 1_000).await;
    let server = world.server("one").await;
    server.engine.faults().advance_takes = Duration::from_secs(100);
    server.add(&file("balances", 1, "")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    server.models.stop().await;
    assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
    let advances = server.engine.advances.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(server.engine.advances.load(Ordering::Relaxed), advances);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_once_the_last_handle_is_dropped() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    server.caught_up("balances", &at).await;
    let engine = std::sync::Arc::clone(&server.engine);
    drop(server);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let advances = engine.advances.load(Ordering::Relaxed);
    world.append("account-1", "MoneyDeposited", 10).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(engine.advances.load(Ordering::Relaxed), advances);
    assert_eq!(std::sync::Arc::strong_count(&engine), 1, "a task holds on to the engine");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_renew_its_lease_stops_running_before_it_runs_out() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    one.until("balances", |status| status.runner.is_some()).await;
    let two = world.server("two").await;
    one.store.lies().leases_are_down = true;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let advances = one.engine.advances.load(Ordering::Relaxed);
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    two.caught_up("balances", &at).await;
    assert_eq!(one.engine.advances.load(Ordering::Relaxed), advances, "it runs without a lease");
    assert_eq!(one.status("balances").await.runner, None);
}

#[tokio::test(start_paused = true)]
async fn a_command_works_on_a_server_that_does_not_run_the_projection() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    one.caught_up("balances", &at).await;
    let two = world.server("two").await;
    two.models.pause(&named("balances"), Some("anna")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(one.status("balances").await.lag_events >= 10);
    two.models.resume(&named("balances"), Some("anna")).await.unwrap();
    assert_eq!(total(&two.caught_up("balances", &at).await), 20);
    two.models.rebuild(&named("balances"), None, None).await.unwrap();
    let status = two.until("balances", |status| status.kept == Some(1)).await;
    assert_eq!(status.runner.as_deref(), Some("one"));
    two.models.drop_builds(&named("balances"), true, None).await.unwrap();
    assert!(one.models.status(&named("balances")).await.is_err());
    assert!(one.models.list().await.unwrap().is_empty());
}

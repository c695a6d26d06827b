//! The status says how a projection is: how far, how fast, how old, and since when it stands still.

use std::time::Duration;

use crate::support::{World, file, named};

#[tokio::test(start_paused = true)]
async fn lag_is_told_in_events_and_in_seconds() {
    let world = World::with_partitions(2);
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.until("balances", |status| status.lag_events == 0).await;
    server.models.pause(&named("balances"), None).await.unwrap();
    world.append("account-1", "MoneyDeposited", 4).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    world.append("account-2", "MoneyDeposited", 4).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = server.status("balances").await;
    assert_eq!((status.lag_events, status.state), (9, "paused"));
    assert!((41.9..43.0).contains(&status.lag_seconds), "{}", status.lag_seconds);
    server.models.resume(&named("balances"), None).await.unwrap();
    let status = server.until("balances", |status| status.lag_events == 0).await;
    assert_eq!((status.lag_seconds, status.stalled_seconds), (0.0, 0.0));
    assert_eq!(status.checkpoint, status.head);
    assert_eq!(status.tables, ["balances"]);
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_tells_its_progress_its_rate_and_when_it_will_be_done() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 5_000).await;
    let server = world.server_with("one", |options| options.batch_max = 64).await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    // 64 events in 320 ms: 200 a second.
    server.engine.faults().advance_takes = Duration::from_millis(320);
    server.models.rebuild(&named("balances"), None, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = server.status("balances").await;
    assert_eq!((status.state, status.building), ("rebuilding", Some(1)));
    assert!((150.0..250.0).contains(&status.events_per_second), "{status:#?}");
    assert!((0.3..0.5).contains(&status.progress.unwrap()), "{status:#?}");
    assert!((10.0..22.0).contains(&status.eta_seconds.unwrap()), "{status:#?}");
    let status = server.until("balances", |status| status.building.is_none() && status.lag_events == 0).await;
    assert_eq!((status.progress, status.eta_seconds), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_projection_that_is_behind_and_does_not_move_is_stalled() {
    let world = World::new();
    let server = world.server_with("one", |options| options.stalled_after = Duration::from_secs(30)).await;
    server.add(&file("balances", 1, "")).await;
    server.until("balances", |status| status.lag_events == 0).await;
    // At the head it may stand still as long as it likes.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(!server.status("balances").await.stalled);
    server.engine.faults().advance_takes = Duration::from_secs(60);
    world.append("account-1", "MoneyDeposited", 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let status = server.status("balances").await;
    assert!(!status.stalled && (18.0..22.0).contains(&status.stalled_seconds), "{status:#?}");
    tokio::time::sleep(Duration::from_secs(15)).await;
    let status = server.status("balances").await;
    assert!(status.stalled && (33.0..37.0).contains(&status.stalled_seconds), "{status:#?}");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let status = server.status("balances").await;
    assert!(!status.stalled, "{status:#?}");
    assert_eq!(status.stalled_seconds, 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_not_found() {
    let world = World::new();
    let server = world.server("one").await;
    let missing = server.models.status(&named("nothing")).await.unwrap_err();
    assert!(missing.to_string().contains("pacioli projection list"), "{missing}");
    assert!(server.models.pause(&named("nothing"), None).await.is_err());
}

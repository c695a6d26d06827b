//! A log that lost its tail: what was built on the lost part is not served on as if nothing had happened.

use std::time::Duration;

use pacioli_projection::Engine;
use pacioli_projection::engine::QueryError;
use pacioli_projection::service::AskError;

use crate::support::{World, file, named, total};

#[tokio::test(start_paused = true)]
async fn a_build_that_took_events_which_the_log_lost_stops_and_says_to_rebuild() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "-- category: account")).await;
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    one.caught_up("balances", &at).await;
    one.models.stop().await;
    // Restored from a backup that had 60 events; 41 others were appended since.
    world.epochs.rewind("0:60");
    let two = world.server("two").await;
    let status = two.until("balances", |status| status.state == "failed").await;
    let error = status.error.unwrap();
    assert_eq!(error.place, "0:61");
    assert!(error.error.contains("pacioli projection rebuild balances"), "{}", error.error);
    // It has events at these positions, and not those of today.
    let today = two.engine.head().await.unwrap();
    let behind = two.ask("SELECT * FROM balances", Some(&today), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&behind, AskError::Behind { why: Some(why), .. } if why.contains("0:61")), "{behind}");
    two.models.retry(&named("balances"), None).await.unwrap();
    two.until("balances", |status| status.state == "failed").await;
    two.models.rebuild(&named("balances"), None, None).await.unwrap();
    let status = two.until("balances", |status| status.kept.is_some() && status.lag_events == 0).await;
    assert_eq!(status.state, "running");
    assert!(status.checkpoint.ends_with("@2"), "{}", status.checkpoint);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_stands_before_the_lost_part_goes_on() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- category: account")).await;
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    server.caught_up("balances", &at).await;
    let head = world.head().await;
    // The epoch changes while it runs, as after a failover that lost nothing.
    world.epochs.rewind(&head.to_string());
    let at = world.append("account-1", "MoneyDeposited", 10).await.in_epoch(pacioli_core::Epoch(2));
    assert_eq!(total(&server.caught_up("balances", &at).await), 110);
    assert_eq!(server.status("balances").await.state, "running");
    // What a client saw of an earlier epoch still means the same; what was lost is told.
    server.ask("SELECT * FROM balances", Some(&head), Duration::from_secs(1)).await.unwrap();
    let lost = format!("0:{}", head.position(pacioli_core::Partition(0)).0 + 1).parse().unwrap();
    let refused = server.ask("SELECT * FROM balances", Some(&lost), Duration::from_secs(1)).await.unwrap_err();
    assert!(
        matches!(&refused, AskError::Query(QueryError::Invalid(problem)) if problem.contains("rewound")),
        "{refused}"
    );
}

//! Copies, verifications and refreshes happen when the file says.

use std::time::Duration;

use crate::support::tables::Row;
use crate::support::{World, file, named};

#[tokio::test(start_paused = true)]
async fn a_copy_is_kept_every_so_many_events() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- keep-copies: every 100 events\n-- category: account")).await;
    for _ in 0..10 {
        let at = world.append("account-1", "MoneyDeposited", 50).await;
        server.caught_up("balances", &at).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.database.tables().copies.len(), 5);
    world.append("other-1", "Other", 500).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.database.tables().copies.len(), 5, "only events that it took count");
    // A new build that comes to serve has no copies yet.
    server.models.rebuild(&named("balances"), None, None).await.unwrap();
    server.until("balances", |status| status.kept.is_some()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.database.tables().copies.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_drift_is_found_on_schedule_and_told_by_every_server() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- verify: hourly\n-- category: account")).await;
    server.caught_up("balances", &at).await;
    assert_eq!(server.status("balances").await.verified, None);
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    let verified = server.status("balances").await.verified.unwrap();
    assert_eq!((verified.rows, verified.different), (1, 0));
    {
        let mut tables = world.database.tables();
        let number = tables.serving("balances").unwrap().build.number;
        tables.find(&named("balances"), number).unwrap().rows.insert("nobody".to_owned(), Row::default());
    }
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    let two = world.server("two").await;
    for server in [&server, &two] {
        let verified = server.status("balances").await.verified.unwrap();
        assert_eq!((verified.different, verified.differences[0].as_str()), (1, "row of `nobody` differs"));
    }
    // Another server that takes over knows when it was verified last.
    server.models.stop().await;
    let before = world.recorded_types("balances").await.len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.recorded_types("balances").await.len(), before);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.recorded_types("balances").await.len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn materialized_views_are_refreshed_on_their_schedule_and_on_demand() {
    let world = World::new();
    let server = world.server("one").await;
    let views = "CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM balances;\n\n";
    let text = file("balances", 1, "");
    let (top, rest) = text.split_once("-- on: *").unwrap();
    let text = format!("{top}-- materialized: refresh 60s\n{views}-- on: *{rest}");
    server.add(&text).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.database.tables().refreshed.len(), 1, "at once, since it never was");
    tokio::time::sleep(Duration::from_secs(300)).await;
    let refreshed = world.database.tables().refreshed.clone();
    assert_eq!(refreshed.len(), 6);
    let apart: Vec<_> =
        refreshed.windows(2).map(|pair| (pair[1].1.as_micros() - pair[0].1.as_micros()) / 1_000_000).collect();
    assert!(apart.iter().all(|seconds| (60..=61).contains(seconds)), "{apart:?}");
    let age = server.status("balances").await.materialized["totals"].unwrap();
    assert!(age < 62.0, "{age}");
    server.models.refresh(&named("balances"), "totals").await.unwrap();
    assert!(server.status("balances").await.materialized["totals"].unwrap() < 1.0);
    let missing = server.models.refresh(&named("balances"), "nothing").await.unwrap_err();
    assert!(missing.to_string().contains("`totals`"), "{missing}");
}

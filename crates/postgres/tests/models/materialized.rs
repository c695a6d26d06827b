//! Materialized views are refreshed as a whole.

use pacioli_projection::Engine;
use pacioli_projection::engine::BuildNumber;

use super::world::{BALANCES, World, name};

const TOTALS: &str = "
-- materialized: refresh 60s
CREATE MATERIALIZED VIEW totals AS SELECT 1 AS n, count(*) AS accounts, sum(cents) AS cents FROM balances;
CREATE UNIQUE INDEX totals_by_n ON totals (n);

-- materialized: on demand
CREATE MATERIALIZED VIEW largest AS SELECT max(cents) AS cents FROM balances;

-- on: Deposited";

fn with_totals(version: u32) -> String {
    BALANCES.replacen("\n-- on: Deposited", TOTALS, 1).replace("-- version: 1", &format!("-- version: {version}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_as_it_was_refreshed_and_a_build_that_takes_over_has_a_fresh_one() {
    let world = World::new("models_materialized").await;
    world.deposit(3, 2).await;
    world.begin(&with_totals(1)).await;
    world.catch_up("balances", 1).await.expect("it advances");
    let totals = "SELECT (SELECT accounts || '/' || coalesce(cents, 0) FROM pacioli_read.totals) || ' ' || coalesce((SELECT cents FROM pacioli_read.largest), 0)";
    assert_eq!(world.value(totals).await, "0/0 0");
    let views = world.models.materialized(&name("balances"), BuildNumber(1)).await.expect("views");
    assert_eq!(
        views.iter().map(|view| (view.view.as_str(), view.every.map(|e| e.as_secs()))).collect::<Vec<_>>(),
        [("totals", Some(60)), ("largest", None)]
    );
    for view in ["totals", "largest"] {
        world.models.refresh(&name("balances"), BuildNumber(1), view).await.expect("it is refreshed");
    }
    assert_eq!(world.value(totals).await, "3/6 2");
    let later = world.models.materialized(&name("balances"), BuildNumber(1)).await.expect("views");
    assert!(later.iter().zip(&views).all(|(later, earlier)| later.refreshed_at > earlier.refreshed_at), "{later:?}");
    world.deposit(1, 1).await;
    world.begin(&with_totals(2)).await;
    world.catch_up("balances", 2).await.expect("it advances");
    world.swap("balances", 2).await.expect("it takes over");
    assert_eq!(world.value(totals).await, "3/7 3", "nobody sees the new build's views empty");
    let refused = world.models.refresh(&name("balances"), BuildNumber(2), "balances").await.expect_err("a table");
    assert!(refused.to_string().contains("is no materialized view of `balances`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_of_one_view_never_overlap() {
    let world = World::new("models_overlap").await;
    world.deposit(3, 2).await;
    world.begin(&with_totals(1)).await;
    world.catch_up("balances", 1).await.expect("it advances");
    // A query that holds the view keeps a plain refresh waiting, and with it whoever comes next.
    let query = world.client().await;
    query.batch_execute("BEGIN; SELECT * FROM pacioli_read.largest").await.expect("a query");
    let named = name("balances");
    let refresh = || world.models.refresh(&named, BuildNumber(1), "largest");
    let watch = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while world.value(waiting).await != "2" {}
        let refreshing =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'REFRESH%' AND datname = current_database()";
        let refreshing = world.value(refreshing).await;
        query.batch_execute("COMMIT").await.expect("the query ends");
        refreshing
    };
    let (first, second, refreshing) =
        tokio::time::timeout(std::time::Duration::from_secs(20), async { tokio::join!(refresh(), refresh(), watch) })
            .await
            .expect("in time");
    first.expect("refreshed");
    second.expect("refreshed");
    assert_eq!(refreshing, "1");
}

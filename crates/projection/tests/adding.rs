//! What a file means for what there is already.

use std::time::Duration;

use pacioli_projection::file::Finding;
use pacioli_projection::service::{Added, Adding, CommandError};

use crate::support::{Server, World, file, named, total};

async fn add(server: &Server, name: &str, text: &str) -> Result<Added, CommandError> {
    server.models.add(name, text, Some("anna")).await
}

fn findings(refused: Result<Added, CommandError>) -> Vec<Finding> {
    match refused {
        Err(CommandError::File(findings)) => findings,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_file_again_does_nothing_and_writes_nothing() {
    let world = World::new();
    let server = world.server("one").await;
    let text = file("balances", 1, "");
    assert_eq!(add(&server, "a.sql", &text).await.unwrap().outcome, Adding::Created);
    let again = add(&server, "b.sql", &text.replace('\n', "\r\n")).await.unwrap();
    assert_eq!(again.outcome, Adding::Unchanged);
    assert_eq!(world.recorded_types("balances").await, ["ProjectionAdded"]);
    assert_eq!(world.database.tables().begun, 1);
    let recorded = &world.recorded("balances").await[0];
    assert_eq!((recorded.1["version"].as_u64(), recorded.2.as_deref()), (Some(1), Some("anna")));
}

#[tokio::test(start_paused = true)]
async fn the_same_version_with_another_text_is_refused_and_a_higher_one_is_filled() {
    let world = World::new();
    let server = world.server("one").await;
    add(&server, "a.sql", &file("balances", 3, "")).await.unwrap();
    let other = findings(add(&server, "a.sql", &file("balances", 3, "-- category: account")).await);
    assert!(other[0].problem.contains("-- version: 4"), "{}", other[0]);
    let older = findings(add(&server, "a.sql", &file("balances", 2, "")).await);
    assert!(older[0].problem.contains("rollback"), "{}", older[0]);
    let newer = add(&server, "a.sql", &file("balances", 4, "-- category: account")).await.unwrap();
    assert_eq!(newer.outcome, Adding::Rebuilding);
    server.until("balances", |status| status.version == Some(4)).await;
    // The file of the kept version is known, and what can be done with it is said.
    let kept = add(&server, "a.sql", &file("balances", 3, "")).await.unwrap();
    assert_eq!(kept.outcome, Adding::Unchanged);
    assert!(kept.warnings[0].problem.contains("pacioli projection rollback balances"), "{}", kept.warnings[0]);
}

#[tokio::test(start_paused = true)]
async fn a_table_has_one_owner() {
    let world = World::new();
    let server = world.server("one").await;
    add(&server, "a.sql", &file("balances", 1, "")).await.unwrap();
    let thief = file("balances", 1, "").replace("projection: balances", "projection: thief");
    let refused = findings(add(&server, "thief.sql", &thief).await);
    assert_eq!((refused[0].file.as_str(), refused[0].line), ("thief.sql", 4));
    assert!(refused[0].problem.contains("belongs to the projection `balances`"), "{}", refused[0]);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_finds_is_told_with_file_and_line_and_nothing_begins() {
    let world = World::new();
    let server = world.server("one").await;
    let refused = findings(
        add(&server, "bad.sql", &file("bad", 1, "").replace("VALUES (:stream, 1)", "VALUES (:stream, no_such(1))"))
            .await,
    );
    assert!(refused[0].to_string().starts_with("bad.sql:7: error: "), "{}", refused[0]);
    assert!(findings(add(&server, "bad.sql", "nothing").await)[0].to_string().starts_with("bad.sql:"));
    assert!(server.models.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sync_file_is_refused_where_the_engine_cannot_keep_the_promise() {
    let world = World::new();
    world.database.tables().no_sync = true;
    let server = world.server("one").await;
    let refused = findings(add(&server, "a.sql", &file("balances", 1, "-- mode: sync")).await);
    assert!(refused[0].problem.contains("-- mode: async"), "{}", refused[0]);
}

#[tokio::test(start_paused = true)]
async fn two_servers_that_start_with_the_same_directory_begin_each_build_once() {
    for round in 0..20 {
        let world = World::new();
        world.append("account-1", "MoneyDeposited", 10 + round).await;
        let files: Vec<_> = (0..4).map(|n| (format!("{n}.sql"), file(&format!("p{n}"), 1, ""))).collect();
        let (one, two) = (world.server("one").await, world.server("two").await);
        let (first, second) = tokio::join!(one.models.load(files.clone()), two.models.load(files));
        let outcomes = |loaded: &[(String, Result<Added, CommandError>)]| {
            loaded.iter().map(|(_, added)| added.as_ref().unwrap().outcome).collect::<Vec<_>>()
        };
        for (one, other) in outcomes(&first).into_iter().zip(outcomes(&second)) {
            assert!(matches!(
                (one, other),
                (Adding::Created, Adding::Unchanged) | (Adding::Unchanged, Adding::Created)
            ));
        }
        assert_eq!(world.database.tables().begun, 4);
        assert_eq!(world.recorded_types("p0").await, ["ProjectionAdded"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_of_a_directory_does_not_stop_the_others() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    let server = world.server("one").await;
    let loaded = server
        .models
        .load(vec![
            ("c.sql".to_owned(), file("counts", 1, "")),
            ("a.sql".to_owned(), file("balances", 1, "")),
            ("b.sql".to_owned(), "SELECT 1".to_owned()),
            ("d.sql".to_owned(), file("counts", 2, "")),
            ("e.sql".to_owned(), file("sums", 1, "-- mode: sync")),
        ])
        .await;
    let told: Vec<_> = loaded.iter().map(|(file, outcome)| (file.as_str(), outcome.is_ok())).collect();
    assert_eq!(told, [("a.sql", true), ("b.sql", false), ("c.sql", true), ("d.sql", false), ("e.sql", true)]);
    assert!(loaded[3].1.as_ref().unwrap_err().to_string().contains("`c.sql`"));
    assert_eq!(total(&server.caught_up("balances", &at).await), 10);
    assert_eq!(server.status("sums").await.version, Some(1), "a sync projection is filled before the door opens");
    // The same directory again changes nothing.
    let head = world.head().await;
    let again = server.models.load(vec![("a.sql".to_owned(), file("balances", 1, ""))]).await;
    assert_eq!(again[0].1.as_ref().unwrap().outcome, Adding::Unchanged);
    assert_eq!(world.head().await, head, "nothing is written at start");
}

#[tokio::test(start_paused = true)]
async fn a_sync_projection_that_cannot_be_filled_says_why() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 10).await;
    let poison = pacioli_core::Place { partition: pacioli_core::Partition(0), position: pacioli_core::Position(4) };
    world.database.tables().poison.entry("balances".to_owned()).or_default().insert(poison);
    let server = world.server("one").await;
    let refused = add(&server, "a.sql", &file("balances", 1, "-- mode: sync")).await.unwrap_err();
    assert!(refused.to_string().contains("0:4"), "{refused}");
    let status = server.status("balances").await;
    assert_eq!((status.state, status.version, status.building), ("failed", None, Some(1)));
    let cancelled = server.models.cancel(&named("balances"), None).await.unwrap();
    assert_eq!(cancelled.state, "cancelled");
    assert!(server.models.status(&named("balances")).await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.database.tables().poison.clear();
    add(&server, "a.sql", &file("balances", 1, "-- mode: sync")).await.unwrap();
    assert_eq!(server.status("balances").await.version, Some(1));
}

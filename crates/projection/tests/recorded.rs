//! What was done to a projection is in the log, with who did it.

use crate::support::{World, file, named};

#[tokio::test(start_paused = true)]
async fn each_command_appends_its_record_with_its_actor() {
    let world = World::new();
    world.append("account-1", "MoneyDeposited", 10).await;
    let server = world.server("one").await;
    let (models, name) = (&server.models, named("balances"));
    server.add(&file("balances", 1, "")).await;
    models.pause(&name, Some("anna")).await.unwrap();
    models.resume(&name, Some("bert")).await.unwrap();
    models.rebuild(&name, None, Some("carl")).await.unwrap();
    server.until("balances", |status| status.kept.is_some() && status.building.is_none()).await;
    models.rollback(&name, Some("dora")).await.unwrap();
    server.until("balances", |status| status.building.is_none()).await;
    models.drop_builds(&name, false, Some("emil")).await.unwrap();
    models.verify(&name, pacioli_projection::engine::Sample::All, &|_| ()).await.unwrap();
    models.drop_builds(&name, true, Some("emil")).await.unwrap();
    let recorded = world.recorded("balances").await;
    let told: Vec<_> = recorded.iter().map(|(event_type, _, actor)| (event_type.as_str(), actor.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("ProjectionAdded", Some("anna")),
            ("ProjectionPaused", Some("anna")),
            ("ProjectionResumed", Some("bert")),
            ("ProjectionRebuildStarted", Some("carl")),
            ("ProjectionSwapped", None),
            ("ProjectionRolledBack", Some("dora")),
            ("ProjectionSwapped", None),
            ("ProjectionDropped", Some("emil")),
            ("ProjectionVerified", None),
            ("ProjectionDropped", Some("emil")),
        ]
    );
    assert!(recorded.iter().all(|(_, data, _)| data["projection"] == "balances"));
    assert_eq!(recorded[9].1["all"], true);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_recorded_is_done_all_the_same() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.store.lies().appends_are_down = true;
    assert_eq!(server.models.pause(&named("balances"), Some("anna")).await.unwrap().state, "paused");
    assert_eq!(world.recorded_types("balances").await, ["ProjectionAdded"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_done_as_a_whole_where_its_caller_goes_away() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.engine.faults().set_state_takes = std::time::Duration::from_secs(3);
    let models = server.models.clone();
    let command = tokio::spawn(async move { models.pause(&named("balances"), Some("anna")).await });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    command.abort();
    assert!(command.await.is_err());
    server.until("balances", |status| status.state == "paused").await;
    while world.recorded_types("balances").await.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

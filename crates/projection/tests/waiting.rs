//! A question that says "not before this checkpoint" is answered from there on, or told how far it is.

use std::time::Duration;

use pacioli_core::place::Checkpoint;
use pacioli_projection::engine::QueryError;
use pacioli_projection::service::AskError;
use tokio::time::Instant;

use crate::support::{World, file, named, total};

const QUERY: &str = "SELECT * FROM balances";

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_write_it_asked_for() {
    let world = World::with_partitions(2);
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    let two = world.server("two").await;
    one.engine.faults().advance_takes = Duration::from_millis(10);
    for n in 0..200 {
        let at = world.append(&format!("account-{}", n % 7), "MoneyDeposited", 1).await;
        let asked = if n % 3 == 0 { &two } else { &one };
        let answer = asked.ask(QUERY, Some(&at), Duration::from_secs(10)).await.unwrap();
        assert_eq!(total(&answer), n + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_soon() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    let two = world.server("two").await;
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    one.caught_up("balances", &at).await;
    for (server, at_most) in [(&one, 5), (&two, 60)] {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(333)).await;
            let at = world.append("account-1", "MoneyDeposited", 1).await;
            let asked = Instant::now();
            server.ask(QUERY, Some(&at), Duration::from_secs(10)).await.unwrap();
            assert!(asked.elapsed() <= Duration::from_millis(at_most), "{:?}", asked.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_projection_that_does_not_come_in_time_is_told_with_where_it_is_and_why() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    server.caught_up("balances", &at).await;
    server.models.pause(&named("balances"), None).await.unwrap();
    let at = world.append("account-1", "MoneyDeposited", 10).await;
    let asked = Instant::now();
    let behind = server.ask(QUERY, Some(&at), Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(asked.elapsed().as_secs(), 3);
    let AskError::Behind { projection, checkpoint, at_least, why } = &behind else { panic!("{behind}") };
    assert_eq!((projection.as_str(), at_least), ("balances", &at));
    assert!(at.covers(checkpoint) && *checkpoint != at, "{checkpoint}");
    assert!(why.as_deref().unwrap().contains("paused"), "{behind}");
    server.models.resume(&named("balances"), None).await.unwrap();
    server.engine.faults().advance_takes = Duration::from_secs(20);
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    let behind = server.ask(QUERY, Some(&at), Duration::from_secs(3)).await.unwrap_err();
    assert!(behind.to_string().contains("it goes on, ask again later"), "{behind}");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_not_of_this_log_is_told_at_once() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    world.append("account-1", "MoneyDeposited", 10).await;
    for (wrong, says) in [("0:999", "past the head"), ("0:1,1:1", "partitions"), ("0:1@7", "epoch")] {
        let asked = Instant::now();
        let wrong: Checkpoint = wrong.parse().unwrap();
        for sql in [QUERY, "SELECT * FROM events"] {
            let refused = server.ask(sql, Some(&wrong), Duration::from_secs(10)).await.unwrap_err();
            let AskError::Query(QueryError::Invalid(problem)) = &refused else { panic!("{refused}") };
            assert!(problem.contains(says), "{problem}");
        }
        assert!(asked.elapsed() < Duration::from_millis(100));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_deadline_bounds_the_query() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    let late = server.ask(QUERY, None, Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, AskError::Query(QueryError::Late(_))), "{late}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_goes_over_to_the_build_that_takes_over() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 100).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    server.caught_up("balances", &at).await;
    // The serving build is stuck; the next version is not.
    server.models.pause(&named("balances"), None).await.unwrap();
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    server.add(&file("balances", 2, "")).await;
    let answer = server.ask(QUERY, Some(&at), Duration::from_secs(60)).await.unwrap();
    assert_eq!(total(&answer), 101);
}

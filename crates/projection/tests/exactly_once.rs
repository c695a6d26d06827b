//! Every event takes effect once, whoever runs a projection and whatever breaks.

use std::time::Duration;

use pacioli_projection::engine::Role;

use crate::support::random::Random;
use crate::support::{World, batch_file, file, total};

#[tokio::test(start_paused = true)]
async fn a_projection_catches_up_and_follows_the_head() {
    let world = World::new();
    for stream in 0..10 {
        world.append(&format!("account-{stream}"), "MoneyDeposited", 100).await;
    }
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- category: account")).await;
    let at = world.head().await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 1_000);
    for stream in 0..10 {
        let at = world.append(&format!("account-{stream}"), "MoneyDeposited", 1).await;
        assert_eq!(total(&server.caught_up("balances", &at).await), 1_001 + stream);
    }
    world.append("other-1", "Other", 5).await;
    let status = server.until("balances", |status| status.lag_events == 0).await;
    assert_eq!((status.state, status.runner.as_deref()), ("running", Some("one")));
    world.check_exactly_once(&server.engine).await;
    server.models.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_grow_to_their_bound_while_it_is_behind_and_shrink_at_the_head() {
    let world = World::new();
    let at = world.append("account-1", "MoneyDeposited", 30_000).await;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 30_000);
    let batches = std::mem::take(&mut server.engine.faults().batches);
    assert_eq!(batches[..8], [64, 128, 256, 512, 1_024, 2_048, 4_096, 5_000]);
    assert!(batches.iter().all(|events_max| *events_max <= 5_000));
    for _ in 0..20 {
        let at = world.append("account-1", "MoneyDeposited", 1).await;
        server.caught_up("balances", &at).await;
    }
    assert_eq!(server.engine.faults().batches.last(), Some(&64));
}

#[tokio::test(start_paused = true)]
async fn partitions_and_workers_each_take_their_own_events() {
    let world = World::with_partitions(3);
    world.database.tables().workers_max = 4;
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- parallel-by: stream")).await;
    for stream in 0..40 {
        world.append(&format!("account-{stream}"), "MoneyDeposited", 25).await;
    }
    let at = world.head().await;
    assert_eq!(total(&server.caught_up("balances", &at).await), 1_000);
    assert_eq!(server.status("balances").await.workers, 4);
    let rows = world.database.tables().serving("balances").unwrap().build.progress.len();
    assert_eq!(rows, 12);
    world.check_exactly_once(&server.engine).await;
}

/// Two servers with leases that lie and a storage that loses answers, over many seeds.
async fn exactly_once_whatever_breaks(seed: u64) {
    let world = World::with_partitions(1 + (seed % 2) as u16);
    world.database.tables().workers_max = 1 + (seed % 3) as u16;
    let lease_for = Duration::from_millis(300);
    let one = world.server_with("one", |options| options.lease_for = lease_for).await;
    let two = world.server_with("two", |options| options.lease_for = lease_for).await;
    for (number, server) in [&one, &two].into_iter().enumerate() {
        let mut faults = server.engine.faults();
        faults.random = Some(Random::new(seed * 2 + number as u64));
        faults.store_error_one_in = 20;
        faults.lost_answer_one_in = 15;
        faults.moved_one_in = 25;
        faults.advance_takes = Duration::from_millis(seed % 4);
        let mut lies = server.store.lies();
        lies.random = Some(Random::new(seed * 3 + number as u64));
        lies.taken_one_in = 3;
        lies.held_one_in = 4;
    }
    one.add(&file("balances", 1, "-- parallel-by: stream")).await;
    two.add(&batch_file("counts", 1, "")).await;
    let mut random = Random::new(seed);
    for round in 0..60 {
        world.append(&format!("account-{}", random.below(20)), "MoneyDeposited", 1 + random.below(30) as usize).await;
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        match round {
            20 => drop(one.models.rebuild(&crate::support::named("balances"), None, None).await),
            35 => drop(two.models.add("test.sql", &batch_file("counts", 2, ""), None).await.unwrap()),
            _ => {}
        }
    }
    for server in [&one, &two] {
        server.engine.faults().random = None;
        server.store.lies().random = None;
    }
    for name in ["balances", "counts"] {
        one.until(name, |status| status.state == "running" && status.building.is_none() && status.lag_events == 0)
            .await;
    }
    world.check_exactly_once(&one.engine).await;
    let tables = world.database.tables();
    assert_eq!(tables.serving("counts").unwrap().build.projection.version, 2);
    assert!(tables.builds.iter().all(|stored| stored.build.role != Role::Filling));
}

#[tokio::test(start_paused = true)]
async fn two_servers_whose_leases_lie_never_apply_an_event_twice() {
    for seed in 0..40 {
        exactly_once_whatever_breaks(seed).await;
    }
}

mod slow {
    use super::exactly_once_whatever_breaks;

    /// The same on real threads, in real time.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_servers_on_many_threads_never_apply_an_event_twice() {
        let trials = (100..110).map(|seed| tokio::spawn(exactly_once_whatever_breaks(seed)));
        for trial in trials.collect::<Vec<_>>() {
            trial.await.unwrap();
        }
    }
}

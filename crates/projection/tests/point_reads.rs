//! Point reads come from memory only where that cannot be told from asking the tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pacioli_core::place::Checkpoint;
use pacioli_projection::engine::Lookup;
use pacioli_projection::service::AskError;

use crate::support::random::Random;
use crate::support::{Server, World, events_of, file, named};

const LONG: Duration = Duration::from_secs(60);

fn of(stream: &str) -> Lookup {
    Lookup {
        table: "balances".to_owned(),
        equals: vec![("stream".to_owned(), stream.to_owned())],
        order: None,
        limit: 10,
    }
}

async fn read(server: &Server, stream: &str, at_least: Option<&Checkpoint>) -> i64 {
    events_of(&server.models.lookup(of(stream), at_least, LONG).await.unwrap(), stream)
}

fn lookups(server: &Server) -> u64 {
    server.engine.lookups.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_second_read_comes_from_memory_until_a_commit_changes_rows() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- category: account")).await;
    let at = world.append("account-1", "MoneyDeposited", 3).await;
    assert_eq!(read(&server, "account-1", Some(&at)).await, 3);
    let before = lookups(&server);
    for _ in 0..100 {
        assert_eq!(read(&server, "account-1", Some(&at)).await, 3);
    }
    assert_eq!(lookups(&server), before);
    // Events that it does not want change no rows, though it passes over them.
    let at = world.append("other-1", "Other", 3).await;
    server.caught_up("balances", &at).await;
    assert_eq!(read(&server, "account-1", Some(&at)).await, 3);
    assert_eq!(lookups(&server), before);
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    assert_eq!(read(&server, "account-1", Some(&at)).await, 4);
    assert_eq!(lookups(&server), before + 1);
    // Nobody asked for this one before it was there.
    let at = world.append("account-1", "MoneyDeposited", 1).await;
    server.caught_up("balances", &at).await;
    assert_eq!(read(&server, "account-1", None).await, 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_commit_is_not_kept_behind_it() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "")).await;
    let at = world.append("account-1", "MoneyDeposited", 3).await;
    server.caught_up("balances", &at).await;
    server.engine.faults().lookup_takes = Duration::from_secs(1);
    let slow = async { read(&server, "account-1", None).await };
    let commit = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let at = world.append("account-1", "MoneyDeposited", 1).await;
        server.caught_up("balances", &at).await;
        at
    };
    let (before, at) = tokio::join!(slow, commit);
    assert_eq!(before, 3);
    assert_eq!(read(&server, "account-1", Some(&at)).await, 4);
    assert_eq!(read(&server, "account-1", None).await, 4);
}

#[tokio::test(start_paused = true)]
async fn what_another_server_runs_is_asked_for_each_time() {
    let world = World::new();
    let one = world.server("one").await;
    one.add(&file("balances", 1, "")).await;
    one.until("balances", |status| status.runner.is_some()).await;
    let two = world.server("two").await;
    let at = world.append("account-1", "MoneyDeposited", 3).await;
    for n in 1..=5 {
        assert_eq!(read(&two, "account-1", Some(&at)).await, 3);
        assert_eq!(lookups(&two), n);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sync_projection_is_asked_for_each_time() {
    let world = World::new();
    let server = world.server("one").await;
    server.add(&file("balances", 1, "-- mode: sync")).await;
    for n in 1..=5 {
        world.append("account-1", "MoneyDeposited", 1).await;
        server.engine.run_sync().await;
        assert_eq!(read(&server, "account-1", None).await, n);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_never_older_than_the_checkpoint_that_was_asked_for() {
    for seed in 0..20 {
        never_older_than_asked_for(seed, 200).await;
    }
}

/// Two servers that lose their leases, a storage that loses answers, a rebuild, and readers on both.
async fn never_older_than_asked_for(seed: u64, rounds: u64) {
    let world = World::new();
    let lease_for = Duration::from_millis(300);
    let one = Arc::new(world.server_with("one", |options| options.lease_for = lease_for).await);
    let two = Arc::new(world.server_with("two", |options| options.lease_for = lease_for).await);
    one.add(&file("balances", 1, "")).await;
    for (number, server) in [&one, &two].into_iter().enumerate() {
        let mut faults = server.engine.faults();
        faults.random = Some(Random::new(seed * 2 + number as u64));
        faults.store_error_one_in = 15;
        faults.lost_answer_one_in = 5;
        faults.advance_takes = Duration::from_millis(seed % 3);
        let mut lies = server.store.lies();
        lies.random = Some(Random::new(seed * 5 + number as u64));
        lies.taken_one_in = 3;
    }
    let mut random = Random::new(seed);
    let mut appended = 0;
    for round in 0..rounds {
        appended += 1;
        let at = world.append("account-1", "MoneyDeposited", 1).await;
        let server = if random.one_in(2) { &one } else { &two };
        let count = read(server, "account-1", Some(&at)).await;
        assert!(count >= appended, "seed {seed}: {count} of {appended}");
        // Others read without waiting, so that the memory is full of what was.
        for server in [&one, &two] {
            read(server, "account-1", None).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(40))).await;
        for server in [&one, &two] {
            assert!(read(server, "account-1", Some(&at)).await >= appended, "seed {seed}");
        }
        if round == rounds / 2 {
            drop(one.models.rebuild(&named("balances"), None, None).await);
        }
    }
}

mod slow {
    use super::never_older_than_asked_for;

    /// The same on real threads, in real time.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_answer_on_many_threads_is_never_older_than_asked_for() {
        let trials = (100..106).map(|seed| tokio::spawn(never_older_than_asked_for(seed, 40)));
        for trial in trials.collect::<Vec<_>>() {
            trial.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_nobody_serves_is_not_found() {
    let world = World::new();
    let server = world.server("one").await;
    let missing = server.models.lookup(of("account-1"), None, LONG).await.unwrap_err();
    assert!(matches!(missing, AskError::NotFound(_)), "{missing}");
    server.add(&file("balances", 1, "")).await;
    read(&server, "account-1", None).await;
    server.models.drop_builds(&named("balances"), true, None).await.unwrap();
    assert!(server.models.lookup(of("account-1"), None, LONG).await.is_err());
}

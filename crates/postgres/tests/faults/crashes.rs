//! PostgreSQL killed, restarted, and its backends ended one by one, under load.

use std::time::Duration;

use pacioli_core::conformance::history::Random;
use pacioli_pgtest::{ClusterOptions, Shutdown};

use super::world::{Load, Pair, blocking, durable, rounds, seed};

fn fsync() -> ClusterOptions {
    ClusterOptions { fsync: true, ..ClusterOptions::default() }
}

async fn pause(random: &mut Random, up_to_millis: usize) {
    tokio::time::sleep(Duration::from_millis(50 + random.below(up_to_millis) as u64)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_every_process_of_postgresql() {
    let seed = seed();
    let mut random = Random::new(seed);
    let pair = Pair::start(fsync(), durable()).await;
    let load = Load::start(&[&pair.first, &pair.second], 4, seed);
    for _ in 0..rounds(3) {
        pause(&mut random, 500).await;
        blocking(|| pair.cluster.kill());
        pause(&mut random, 200).await;
        blocking(|| pair.cluster.boot());
        load.goes_on().await;
    }
    pair.finish(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_wal_level_replica_and_back() {
    let seed = seed();
    let pair = Pair::start(ClusterOptions::default(), crate::support::options()).await;
    let load = Load::start(&[&pair.first, &pair.second], 3, seed);
    for level in ["replica", "logical"] {
        load.goes_on().await;
        blocking(|| pair.cluster.configure(&[("wal_level", level)]));
        blocking(|| pair.cluster.restart(Shutdown::Fast));
        load.goes_on().await;
        // Each follower sees what the other store appends, whichever way it comes.
        let seen = load.followers[1].seen().len();
        super::world::eventually(super::world::STALL_MAX, "events reach the other store", async || {
            load.followers[1].seen().len() > seen + 20
        })
        .await;
    }
    pair.finish(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_cancelled_and_terminated_at_random() {
    let seed = seed();
    let mut random = Random::new(seed);
    let pair = Pair::start(ClusterOptions::default(), crate::support::options()).await;
    let load = Load::start(&[&pair.first, &pair.second], 4, seed);
    for _ in 0..rounds(60) {
        tokio::time::sleep(Duration::from_millis(random.below(30) as u64)).await;
        let how = if random.percent(60) { "pg_cancel_backend" } else { "pg_terminate_backend" };
        let one = format!(
            "SELECT {how}(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid() AND state <> 'idle' \
             ORDER BY random() LIMIT 1",
            pair.database
        );
        blocking(|| pair.cluster.sql("postgres", &one));
    }
    load.goes_on().await;
    pair.finish(load).await;
}

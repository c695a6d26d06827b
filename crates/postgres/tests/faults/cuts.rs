//! Connections cut around COMMIT: what is stored is never reported as not stored, and never acknowledged by guess.

use std::time::Duration;

use pacioli_core::conformance::history::Random;
use pacioli_core::{AppendError, AppendOutcome, EventStore};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::PostgresOptions;

use super::proxy::{Cut, Proxy};
use super::world::{Load, blocking, eventually, measure, no_slot_is_left, one, rounds, seed};
use crate::support::{open, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_around_commit_under_load() {
    let seed = seed();
    let mut random = Random::new(seed);
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("cuts"));
    let proxy = Proxy::before(&cluster, seed);
    let through = open(&proxy.url(&database), options()).await.expect("the store opens");
    let direct = open(&cluster.url(&database), options()).await.expect("the store opens");
    let load = Load::start(&[&through, &direct], 4, seed);
    load.goes_on().await;
    let rounds = rounds(30);
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(random.below(60) as u64)).await;
        let before = proxy.cuts();
        proxy.cut_next(match round % 3 {
            0 => Cut::AfterCommit,
            1 => Cut::BeforeCommit,
            _ => Cut::AfterBytes(1 + random.below(20_000) as u64),
        });
        eventually(Duration::from_secs(10), "a connection is cut", async || proxy.cuts() > before).await;
    }
    load.goes_on().await;
    let cut_at_commit = rounds * 2 / 3;
    assert!(measure(&through, "postgres_unknown_outcomes") >= cut_at_commit as f64 / 2.0, "cuts hit batches");
    load.finish(&direct).await;
    drop((through, direct));
    no_slot_is_left(&cluster).await;
}

/// Cuts one append and keeps the store away from its database until the caller has had to be answered.
async fn cut_and_stay_away(cut: Cut, was_stored: bool) {
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("cut"));
    let proxy = Proxy::before(&cluster, 1);
    let options = PostgresOptions { answer_within: Duration::from_millis(700), ..options() };
    let store = open(&proxy.url(&database), options).await.expect("the store opens");
    store.append(one("a-1", "Opened")).await.expect("an answer");
    let request = one("a-1", "Cut");
    proxy.cut_next(cut);
    proxy.refuse();
    let began = std::time::Instant::now();
    let answer = store.append(request.clone()).await;
    assert!(matches!(answer, Err(AppendError::Unknown { .. })), "nobody can know: {answer:?}");
    assert!(began.elapsed() < Duration::from_millis(2_700), "answered in time");
    proxy.open();
    let retry = || async { store.append(request.clone()).await.expect("an answer") };
    let AppendOutcome::Appended(appended) = retry().await else { panic!("appended") };
    assert_eq!((appended.first_position.0, appended.duplicate), (2, was_stored), "the one answer");
    let AppendOutcome::Appended(again) = retry().await else { panic!("appended") };
    assert!(again.duplicate && again.first_position == appended.first_position && again.streams == appended.streams);
    let count = "SELECT count(*) || ' ' || max(last_pos) FROM pacioli.events, pacioli.commits";
    assert_eq!(blocking(|| cluster.sql_value(&database, count)), "4 2", "two events in two commits, joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_a_retry_gets_the_one_answer() {
    cut_and_stay_away(Cut::AfterCommit, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_unknown_and_a_retry_stores_it() {
    cut_and_stay_away(Cut::BeforeCommit, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_reached_stored_nothing_and_comes_back() {
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("away"));
    let proxy = Proxy::before(&cluster, 1);
    let options = PostgresOptions { answer_within: Duration::from_millis(700), ..options() };
    let store = open(&proxy.url(&database), options).await.expect("the store opens");
    proxy.close();
    let answer = store.append(one("a-1", "Opened")).await;
    assert!(matches!(answer, Err(AppendError::Store(_))), "nothing was sent: {answer:?}");
    assert!(store.head().await.is_err(), "reads say so too");
    proxy.open();
    store.append(one("a-1", "Opened")).await.expect("an answer");
    store.head().await.expect("a head");
}

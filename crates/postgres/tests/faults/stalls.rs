//! A database that hangs: connections stay and nothing answers.

use std::time::{Duration, Instant};

use pacioli_core::{AppendError, AppendOutcome, EventStore};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::PostgresOptions;

use super::world::{Load, blocking, no_slot_is_left, one, seed};
use crate::support::{open, options};

/// Lets the cluster go on even where the test fails, so that it can be stopped.
struct Paused<'a>(&'a Cluster);

impl<'a> Paused<'a> {
    fn new(cluster: &'a Cluster) -> Paused<'a> {
        blocking(|| cluster.pause());
        Paused(cluster)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        let _ = self.0.resume();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_append_is_answered_in_time_while_the_database_hangs() {
    let answer_within = Duration::from_millis(1_500);
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("hangs"));
    let store = open(&cluster.url(&database), PostgresOptions { answer_within, ..options() }).await.expect("it opens");
    store.append(one("a-1", "Opened")).await.expect("an answer");
    let paused = Paused::new(&cluster);
    let sent: Vec<_> = (0..5)
        .map(|number| {
            let (store, request) = (store.clone(), one("a-1", "Sent"));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(400 * number)).await;
                let began = Instant::now();
                let answer = store.append(request.clone()).await;
                (request, answer, began.elapsed())
            })
        })
        .collect();
    let mut requests = Vec::new();
    for one in sent {
        let (request, answer, took) = one.await.expect("no panic");
        assert!(took < answer_within + Duration::from_secs(2), "answered after {took:?}");
        assert!(matches!(answer, Err(AppendError::Store(_) | AppendError::Unknown { .. })), "{answer:?}");
        requests.push((request, matches!(answer, Err(AppendError::Store(_)))));
    }
    drop(paused);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (request, was_not_stored) in requests {
        let AppendOutcome::Appended(appended) = store.append(request).await.expect("an answer") else { panic!() };
        assert!(!(was_not_stored && appended.duplicate), "what was answered as not stored is not there");
    }
    let events =
        blocking(|| cluster.sql_value(&database, "SELECT count(*) || ' ' || max(position) FROM pacioli.events"));
    assert_eq!(events, "6 6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_under_load_goes_on_where_it_was() {
    let seed = seed();
    let quick = PostgresOptions { answer_within: Duration::from_millis(1_200), ..options() };
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("stalls"));
    let first = open(&cluster.url(&database), quick.clone()).await.expect("the store opens");
    let second = open(&cluster.url(&database), quick).await.expect("the store opens");
    let load = Load::start(&[&first, &second], 4, seed);
    for hung in [200, 2_500] {
        load.goes_on().await;
        let paused = Paused::new(&cluster);
        tokio::time::sleep(Duration::from_millis(hung)).await;
        drop(paused);
        load.goes_on().await;
    }
    load.finish(&first).await;
    drop((first, second));
    no_slot_is_left(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_to_a_database_that_hangs_is_given_up() {
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("mute"));
    let paused = Paused::new(&cluster);
    let began = Instant::now();
    let Err(error) = open(&cluster.url(&database), options()).await else { panic!("nobody answered") };
    assert!(began.elapsed() < Duration::from_secs(5), "after {:?}", began.elapsed());
    assert!(error.reason.contains("no answer in"), "{error}");
    drop(paused);
}

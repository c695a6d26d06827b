//! Others who hold what a writer needs: the lock of the head, an old snapshot, the last chunk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::{AppendError, EventStore};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::PostgresOptions;

use super::world::{Load, Pair, STALL_MAX, blocking, eventually, one, say, seed};
use crate::support::{location, open, options};

/// Holds the head's lock for so long, as a transaction that appends and then sleeps does.
fn hold(cluster: &Arc<Cluster>, database: &str, seconds: f32) -> std::thread::JoinHandle<()> {
    let (cluster, database) = (Arc::clone(cluster), database.to_owned());
    std::thread::spawn(move || {
        let hold = format!("BEGIN; SELECT FROM pacioli.heads FOR NO KEY UPDATE; SELECT pg_sleep({seconds}); COMMIT");
        cluster.sql(&database, &hold).expect("the lock is held");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_appends_and_sleeps_holds_appends_up_and_no_more() {
    let seed = seed();
    let cluster = Arc::new(blocking(|| Cluster::start(ClusterOptions::default())));
    let database = blocking(|| cluster.create_database("sleeper"));
    let first = open(&cluster.url(&database), options()).await.expect("the store opens");
    let second = open(&cluster.url(&database), options()).await.expect("the store opens");
    let load = Load::start(&[&first, &second], 3, seed);
    load.goes_on().await;
    let holder = hold(&cluster, &database, 3.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held_at = load.acknowledged();
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert!(load.acknowledged() <= held_at + 20, "nobody appends without the lock");
    tokio::task::block_in_place(|| holder.join()).expect("the holder ends");
    load.goes_on().await;
    let counts = load.finish(&first).await;
    assert_eq!(counts.unknown_absent + counts.unknown_stored, 0, "they waited: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_for_too_long_is_answered_as_not_stored() {
    let cluster = Arc::new(blocking(|| Cluster::start(ClusterOptions::default())));
    let database = blocking(|| cluster.create_database("holder"));
    let options = PostgresOptions { answer_within: Duration::from_secs(1), ..options() };
    let store = open(&cluster.url(&database), options).await.expect("the store opens");
    store.append(one("a-1", "Opened")).await.expect("an answer");
    let holder = hold(&cluster, &database, 4.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    // The second one waits behind the first, is not taken in time by the writer, or is and finds the lock held.
    let (taken, queued) = tokio::join!(store.append(one("a-1", "Held")), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.append(one("a-1", "Held")).await
    });
    assert!(matches!(taken, Err(AppendError::Store(_))), "{taken:?}");
    assert!(matches!(queued, Err(AppendError::Store(_) | AppendError::Unknown { .. })), "{queued:?}");
    assert!(began.elapsed() < Duration::from_secs(3) + Duration::from_millis(200), "answered in time");
    tokio::task::block_in_place(|| holder.join()).expect("the holder ends");
    store.append(one("a-1", "Opened")).await.expect("an answer");
    let events = "SELECT count(*) FROM pacioli.events WHERE type = 'Held'";
    assert_eq!(blocking(|| cluster.sql_value(&database, events)), "0", "what was not stored stays so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_snapshot_slows_nothing_down() {
    let seed = seed();
    let cluster = Arc::new(blocking(|| Cluster::start(ClusterOptions::default())));
    let database = blocking(|| cluster.create_database("snapshot"));
    let store = open(&cluster.url(&database), options()).await.expect("the store opens");
    let old = {
        let (cluster, database) = (Arc::clone(&cluster), database.clone());
        std::thread::spawn(move || {
            let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pacioli.heads; SELECT pg_sleep(6); \
                        SELECT count(*)::text FROM pacioli.events; COMMIT";
            cluster.sql(&database, hold).expect("the snapshot is held").pop().expect("a row").pop().expect("a value")
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let load = Load::start(&[&store], 8, seed);
    load.goes_on().await;
    let mut rates = Vec::new();
    for _ in 0..4 {
        let before = load.acknowledged();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        rates.push(load.acknowledged() - before);
    }
    say(&format!("appends in each window: {rates:?}"));
    // One window may be another test's.
    let later = rates[1..].iter().max().expect("windows");
    assert!(later * 4 > rates[0], "the rate fell: {rates:?}");
    let seen = tokio::task::block_in_place(|| old.join()).expect("the snapshot's holder ends");
    assert_eq!(seen.as_deref(), Some("0"), "it was held all the time");
    load.finish(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiny_chunks_never_stop_the_log() {
    let seed = seed();
    let tiny = PostgresOptions { chunk_events: 40, ..options() };
    let pair = Pair::start(ClusterOptions::default(), tiny).await;
    let load = Load::start(&[&pair.first, &pair.second], 3, seed);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        load.goes_on().await;
    }
    let chunks = blocking(|| pair.cluster.sql_value(&pair.database, "SELECT count(*) FROM pacioli.chunks"));
    let counts = pair.finish(load).await;
    assert!(
        counts.events > 200 && chunks.parse::<usize>().expect("a number") > counts.events / 40,
        "{counts:?}, {chunks}"
    );
    assert_eq!(counts.unknown_absent + counts.unknown_stored, 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_make_no_chunks_says_so_and_goes_on_once_there_are_some() {
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("chunkless"));
    let tiny = PostgresOptions { chunk_events: 7, answer_within: Duration::from_millis(600), ..options() };
    drop(open(&cluster.url(&database), tiny.clone()).await.expect("the owner makes the store"));
    // The owner's store is closing; its maintenance must not make chunks for the other.
    let others =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()");
    eventually(STALL_MAX, "the owner is gone", async || blocking(|| cluster.sql_value(&database, &others)) == "0")
        .await;
    let grants = "CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA pacioli TO app; \
                  GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA pacioli TO app; \
                  GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pacioli TO app; \
                  REVOKE EXECUTE ON FUNCTION pacioli.make_chunks(bigint, int) FROM app, PUBLIC";
    blocking(|| cluster.sql(&database, grants));
    let url = cluster.url(&database).replace("postgres@", "app@");
    let store = open(&url, tiny).await.expect("the store opens");
    let mut stored = 0;
    let refused = loop {
        match store.append(one("a-1", "Written")).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "there are chunks for a few events only");
    };
    assert!(stored >= 20, "the chunks that are there were used: {stored}");
    let AppendError::Store(error) = refused else { panic!("nothing was stored: {refused:?}") };
    assert!(error.reason.contains("pacioli maintain"), "{error}");
    pacioli_postgres::maintenance::maintain(&location(&cluster.url(&database))).await.expect("chunks are made");
    store.append(one("a-1", "Written")).await.expect("appends go on");
    let events = blocking(|| cluster.sql_value(&database, "SELECT count(*) FROM pacioli.events"));
    assert_eq!(events, (stored + 1).to_string());
}

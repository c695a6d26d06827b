//! Indexes that a team asks for: on every chunk, while appends go on, and again after a break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pacioli_core::store::EventStore;
use pacioli_core::{Append, AppendOutcome, EventId, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_postgres::{Location, PostgresOptions, PostgresStore, indexes, maintenance};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::{location, open, options};

const CUSTOMER: &str = "((data::jsonb ->> 'customer'))";

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("SET search_path = pacioli").await.expect("a path");
    client
}

async fn append(store: &PostgresStore, from: u128, events: u128) {
    let event = |number| {
        let data = format!("{{\"customer\":\"c{number}\"}}");
        NewEvent::json(EventId(Uuid::from_u128(number)), EventType::new("Ordered").expect("a name"), data.into_bytes())
    };
    let events = (from..from + events).map(event).collect();
    let append = Append::to(StreamName::new("order-1").expect("a name"), ExpectedVersion::Any, events);
    assert!(matches!(store.append(append).await.expect("an answer"), AppendOutcome::Appended(_)));
}

/// A store of five full chunks of 50 events, and more ahead.
async fn full(label: &str) -> (String, Location, PostgresStore) {
    let url = pacioli_pgtest::database_url(label);
    let store = open(&url, PostgresOptions { chunk_events: 50, ..options() }).await.expect("a store");
    for round in 0..5 {
        append(&store, 1 + round * 50, 50).await;
    }
    (url.clone(), location(&url), store)
}

/// Which chunks have the index and which have not.
async fn covered(client: &Client, name: &str) -> (i64, i64) {
    let sql = "SELECT count(i), count(*) FROM chunks c LEFT JOIN pg_indexes i ON i.schemaname = 'pacioli' \
               AND i.indexname = 'events_c' || lpad(c.chunk::text, 6, '0') || '_' || $1";
    let row = client.query_one(sql, &[&name]).await.expect("a count");
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_made_on_every_chunk_and_used_by_queries_over_the_log() {
    let (url, location, store) = full("indexes_used").await;
    let done = Arc::new(AtomicBool::new(false));
    let appending = tokio::spawn({
        let (store, done) = (store.clone(), Arc::clone(&done));
        async move {
            let mut rounds = 0;
            while rounds == 0 || (!done.load(Ordering::Relaxed) && rounds < 200) {
                append(&store, 10_000 + rounds * 20, 20).await;
                rounds += 1;
            }
            rounds
        }
    });
    let mut seen = Vec::new();
    indexes::add(&location, "customer", CUSTOMER, |progress| seen.push(progress)).await.expect("an index");
    done.store(true, Ordering::Relaxed);
    let rounds = appending.await.expect("appends went on");
    assert!(rounds >= 1);
    assert!(seen.len() >= 8, "five full chunks, the one in use and those ahead: {seen:?}");
    assert!(
        seen.windows(2).all(|two| two[0].chunk > two[1].chunk && two[0].done + 1 == two[1].done),
        "newest first: {seen:?}"
    );
    assert_eq!(seen.last().map(|last| (last.chunk, last.done)), seen.last().map(|last| (0, last.total)));

    let client = connect(&url).await;
    client.execute("SELECT make_chunks((SELECT max(last_pos) FROM commits), 9)", &[]).await.expect("new chunks");
    let (have, all) = covered(&client, "customer").await;
    assert_eq!(have, all, "new chunks get it too");
    client.batch_execute("ANALYZE events; SET enable_seqscan = off").await.expect("done");
    let plan = client
        .query("EXPLAIN SELECT count(*) FROM log WHERE data ->> 'customer' = 'c7' AND position <= 200", &[])
        .await
        .expect("a plan");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains("events_c000003_customer"), "{plan:#?}");
    let found =
        client.query_one("SELECT count(*) FROM log WHERE data ->> 'customer' = 'c7'", &[]).await.expect("a count");
    assert_eq!(found.get::<_, i64>(0), 1);

    let listed = indexes::list(&location).await.expect("a list");
    let [index] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((index.name.as_str(), index.definition.as_str()), ("customer", CUSTOMER));
    assert!(index.bytes > 0 && index.chunks == index.chunks_total && index.chunks == all as u64, "{index:?}");

    let again = indexes::add(&location, "customer", CUSTOMER, |progress| panic!("nothing is left: {progress:?}")).await;
    again.expect("the same again is fine");
    let other = indexes::add(&location, "customer", "(stream)", drop).await.expect_err("refused");
    assert!(other.reason.contains("drop it first"), "{other:?}");

    assert!(indexes::drop(&location, "customer").await.expect("dropped"));
    assert!(!indexes::drop(&location, "customer").await.expect("nothing there"));
    assert_eq!(covered(&client, "customer").await.0, 0);
    assert!(indexes::list(&location).await.expect("a list").is_empty());
    maintenance::maintain(&location).await.expect("upkeep");
}

#[tokio::test]
async fn what_broke_off_is_taken_up_again() {
    let (url, location, _store) = full("indexes_resumed").await;
    let client = connect(&url).await;
    // As a session leaves it that was killed: the wish, some chunks done, one broken off, one with nothing.
    client
        .execute("INSERT INTO indexes (name, definition) VALUES ('customer', $1)", &[&CUSTOMER])
        .await
        .expect("a row");
    for chunk in [5, 4, 3, 2] {
        let sql = format!("CREATE INDEX events_c{chunk:06}_customer ON events_c{chunk:06} {CUSTOMER}");
        client.batch_execute(&sql).await.expect("an index");
    }
    client
        .batch_execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_c000002_customer'::regclass")
        .await
        .expect("broken off");
    let broken = indexes::list(&location).await.expect("a list");
    // The store may have made a further chunk meanwhile, with the index.
    assert!(broken[0].chunks + 3 <= broken[0].chunks_total, "{broken:?}");
    let mut seen = Vec::new();
    indexes::add(&location, "customer", CUSTOMER, |progress| seen.push(progress.chunk)).await.expect("finished");
    assert!(seen.ends_with(&[2, 1, 0]) && !seen.contains(&4), "{seen:?}");
    let whole = indexes::list(&location).await.expect("a list");
    assert_eq!(whole[0].chunks, whole[0].chunks_total, "{whole:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_leaves_nothing_behind() {
    let (url, location, store) = full("indexes_refused").await;
    let client = connect(&url).await;
    for definition in ["((data ->> 'customer')", "(nothing)", "(stream); DROP TABLE pacioli.leases", "((now()))", ""] {
        let refused = indexes::add(&location, "wrong", definition, drop).await.expect_err("refused");
        assert!(refused.reason.contains("is refused"), "{definition}: {refused:?}");
    }
    // Fits an empty table, but not what is in the log.
    let refused =
        indexes::add(&location, "number", "(((data::jsonb ->> 'customer')::int))", drop).await.expect_err("refused");
    assert!(refused.reason.contains("cannot be made for what is in the log"), "{refused:?}");
    let refused = indexes::add(&location, "Big Name", CUSTOMER, drop).await.expect_err("refused");
    assert!(refused.reason.contains("is no name for an index"), "{refused:?}");
    for name in ["wrong", "number"] {
        assert_eq!(covered(&client, name).await.0, 0, "{name}");
    }
    assert!(indexes::list(&location).await.expect("a list").is_empty());
    append(&store, 100_000, 10).await;

    client
        .batch_execute("SELECT pg_advisory_lock(hashtextextended('pacioli index customer', 0))")
        .await
        .expect("somebody else at work");
    let refused = indexes::add(&location, "customer", CUSTOMER, drop).await.expect_err("refused");
    assert!(refused.reason.contains("another session"), "{refused:?}");
}

#[tokio::test]
async fn a_gin_index_over_all_data_serves_containment() {
    let (url, location, _store) = full("indexes_gin").await;
    indexes::add(&location, "everything", "USING gin ((data::jsonb) jsonb_path_ops)", drop).await.expect("an index");
    let client = connect(&url).await;
    client.batch_execute("SET enable_seqscan = off; SET enable_indexscan = off").await.expect("done");
    let sql = "SELECT count(*) FROM log WHERE data @> '{\"customer\":\"c7\"}'";
    let plan = client.query(&format!("EXPLAIN {sql}"), &[]).await.expect("a plan");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains("events_c000000_everything"), "{plan:#?}");
    assert_eq!(client.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0), 1);
}

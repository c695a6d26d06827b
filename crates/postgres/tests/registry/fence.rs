//! What one store registers is in force for every other from its very next append on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pacioli_core::schemas::{RegistryOutcome, RegistryStore};
use pacioli_core::{AppendOutcome, EventStore};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::{PostgresOptions, PostgresStore};

use super::world::{change, fresh, gated, is_refused, one, schema};
use crate::faults::proxy::{Cut, Proxy};
use crate::faults::world::{blocking, eventually};
use crate::support::open;

async fn register(store: &PostgresStore, generation: u64, member: &str) {
    let schemas = vec![schema("Opened", 1, member)];
    let outcome = store.change_registry(change(generation, schemas, vec![])).await.expect("an outcome");
    assert!(matches!(outcome, RegistryOutcome::Changed { .. }), "{outcome:?}");
}

async fn enforced_at_once(label: &'static str, partitions: u16) {
    let (url, here) = fresh(label, partitions).await;
    let there = open(&url, gated()).await.expect("an answer");
    for generation in 0..20_u64 {
        let (from, to) = if generation % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let member = format!("m{generation}");
        register(from, generation, &member).await;
        let stream = format!("account-{generation}");
        assert!(
            is_refused(&to.append(one(&stream, "Opened", "other")).await.expect("an answer")),
            "generation {generation}"
        );
        let taken = to.append(one(&stream, "Opened", &member)).await.expect("an answer");
        assert!(matches!(taken, AppendOutcome::Appended(_)), "{taken:?}");
        assert!(is_refused(&from.append(one(&stream, "Opened", "other")).await.expect("an answer")));
    }
}

#[tokio::test]
async fn a_schema_is_enforced_by_another_stores_next_append() {
    enforced_at_once("fence_one", 1).await;
}

#[tokio::test]
async fn a_schema_is_enforced_by_another_stores_next_append_in_four_partitions() {
    enforced_at_once("fence_four", 4).await;
}

/// Clients append through both stores while a schema alternates between two members. What is stored is told by its place
/// in the log: no event behind a record lacks the member that was asked for there.
async fn enforced_under_load(label: &'static str, partitions: u16) {
    let (url, here) = fresh(label, partitions).await;
    let there = open(&url, gated()).await.expect("an answer");
    let stop = Arc::new(AtomicBool::new(false));
    let stored = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for number in 0..8 {
        let store = if number % 2 == 0 { here.clone() } else { there.clone() };
        let (stop, stored) = (Arc::clone(&stop), Arc::clone(&stored));
        clients.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let member = if n % 2 == 0 { "even" } else { "odd" };
                match store.append(one(&format!("account-{number}{n}"), "Opened", member)).await.expect("an answer") {
                    AppendOutcome::Appended(_) => drop(stored.fetch_add(1, Ordering::Relaxed)),
                    outcome => assert!(is_refused(&outcome), "{outcome:?}"),
                }
            }
        }));
    }
    for generation in 0..20 {
        register(
            if generation % 3 == 0 { &there } else { &here },
            generation,
            if generation % 2 == 0 { "even" } else { "odd" },
        )
        .await;
        let before = stored.load(Ordering::Relaxed);
        while stored.load(Ordering::Relaxed) < before + 5 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("a client ends");
    }
    // Within a partition the order of commits is the order of positions; between partitions, all locks were held.
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("an answer");
    tokio::spawn(connection);
    let rows = client
        .query(
            "SELECT count(*), count(*) FILTER (WHERE NOT e.data::jsonb ? r.member)
               FROM pacioli.events e,
                    LATERAL (SELECT CASE (data ->> 'change')::int % 2 WHEN 0 THEN 'even' ELSE 'odd' END AS member
                               FROM pacioli.events r
                              WHERE r.stream = '$schemas' AND r.recorded_at <= e.recorded_at AND (r.part <> e.part OR r.position < e.position)
                              ORDER BY r.version DESC LIMIT 1) r
              WHERE e.type = 'Opened'",
            &[],
        )
        .await
        .expect("an answer");
    let (looked_at, wrong): (i64, i64) = (rows[0].get(0), rows[0].get(1));
    assert!(looked_at > 50, "{looked_at} events are too few to mean anything");
    assert_eq!(wrong, 0, "of {looked_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_enforced_under_load() {
    enforced_under_load("fence_load_one", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_enforced_under_load_in_four_partitions() {
    enforced_under_load("fence_load_four", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_before_a_schema_stays_a_duplicate() {
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("fence_retry"));
    let proxy = Proxy::before(&cluster, 1);
    let options = || PostgresOptions { poll_only: true, ..gated() };
    let through = open(&proxy.url(&database), options()).await.unwrap();
    let direct = open(&cluster.url(&database), options()).await.unwrap();
    for (generation, cut) in [Cut::AfterCommit, Cut::BeforeCommit].into_iter().enumerate() {
        let member = format!("m{generation}");
        let request = one("account-1", "Opened", if generation == 0 { "first" } else { "m0" });
        // So that there is a connection, which is the one to be cut.
        through.append(one("account-1", "Other", "x")).await.unwrap();
        let before = proxy.cuts();
        proxy.cut_next(cut);
        proxy.refuse();
        let (sent, store) = (request.clone(), through.clone());
        let waiting = tokio::spawn(async move { store.append(sent).await });
        // COMMIT was sent, or not; then the schema comes, and only then the store gets through again.
        eventually(Duration::from_secs(5), "the connection is cut", async || proxy.cuts() > before).await;
        register(&direct, generation as u64, &member).await;
        proxy.open();
        let outcome = waiting.await.unwrap().expect("an answer in time");
        match cut {
            Cut::AfterCommit => assert!(matches!(&outcome, AppendOutcome::Appended(_)), "{outcome:?}"),
            _ => assert!(is_refused(&outcome), "{outcome:?}"),
        }
        let again = direct.append(request).await.unwrap();
        match cut {
            Cut::AfterCommit => {
                assert!(matches!(&again, AppendOutcome::Appended(again) if again.duplicate), "{again:?}");
            }
            _ => assert!(is_refused(&again), "{again:?}"),
        }
    }
}

#[tokio::test]
async fn a_registry_that_a_restore_set_back_is_the_one_in_force() {
    let (url, store) = fresh("fence_rewound", 1).await;
    register(&store, 0, "first").await;
    register(&store, 1, "second").await;
    let taken = store.append(one("account-1", "Opened", "second")).await.expect("an answer");
    assert!(matches!(taken, AppendOutcome::Appended(_)), "{taken:?}");
    // The same database as a restore left it: of before the second change, in another epoch.
    let client = super::world::client(&url).await;
    client
        .batch_execute(
            "UPDATE pacioli.registry SET generation = 1;
             UPDATE pacioli.schemas SET text = 'first';
             INSERT INTO pacioli.epochs (epoch, heads, system_id, timeline)
             SELECT 2, ARRAY[(SELECT max(last_pos) FROM pacioli.commits)], system_id, timeline FROM pacioli.epochs;
             UPDATE pacioli.heads SET epoch = 2",
        )
        .await
        .expect("it is set back");
    let taken = store.append(one("account-1", "Opened", "first")).await.expect("an answer");
    assert!(matches!(taken, AppendOutcome::Appended(_)), "{taken:?}");
    assert!(is_refused(&store.append(one("account-1", "Opened", "second")).await.expect("an answer")));
    register(&store, 1, "third").await;
    assert!(is_refused(&store.append(one("account-1", "Opened", "first")).await.expect("an answer")));
}

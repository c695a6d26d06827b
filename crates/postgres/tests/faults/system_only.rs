//! A synchronous standby that is gone: what waits for it is not acknowledged, whoever cancels the wait. Making one takes
//! programs that come with a whole PostgreSQL only.

use std::time::Duration;

use pacioli_core::{AppendError, AppendOutcome, EventStore};
use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown, StandbyOptions};
use pacioli_postgres::PostgresOptions;

use super::world::{blocking, eventually, measure, one};
use crate::support::{open, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_wait_for_a_standby_is_no_acknowledgement() {
    let primary = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| primary.create_database("vouched"));
    let standby = blocking(|| primary.standby(StandbyOptions::default()));
    blocking(|| primary.configure(&[("synchronous_standby_names", "standby")]));
    blocking(|| primary.reload());
    let patient = PostgresOptions { answer_within: Duration::from_secs(3), ..options() };
    let store = open(&primary.url(&database), patient).await.expect("the store opens");
    store.append(one("a-1", "Replicated")).await.expect("an answer");

    blocking(|| standby.stop(Shutdown::Immediate));
    let request = one("a-1", "Alone");
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let append = tokio::spawn({
        let (store, request) = (store.clone(), request.clone());
        async move { store.append(request).await }
    });
    // The batch itself, and then what vouches for it: each is cancelled, neither is taken for an answer.
    for times in [1.0, 2.0] {
        eventually(Duration::from_secs(3), "a wait is cancelled", async || {
            blocking(|| primary.sql_value(&database, cancel));
            measure(&store, "postgres_unknown_outcomes") >= times
        })
        .await;
    }
    let answer = append.await.expect("no panic");
    assert!(matches!(answer, Err(AppendError::Unknown { .. })), "it is on no standby: {answer:?}");
    let there = "SELECT count(*) FROM pacioli.events WHERE type = 'Alone'";
    assert_eq!(blocking(|| primary.sql_value(&database, there)), "1", "it is visible on the primary all the same");

    // The last one still waits, and holds the lock. Once it is gone, a first try of somebody else finds it, and still may not vouch for it.
    eventually(Duration::from_secs(3), "nobody waits", async || {
        blocking(|| primary.sql_value(&database, cancel)) == "0"
    })
    .await;
    let hasty = PostgresOptions { answer_within: Duration::from_secs(1), ..options() };
    let other = open(&primary.url(&database), hasty).await.expect("the store opens");
    let answer = other.append(request.clone()).await;
    assert!(matches!(answer, Err(AppendError::Unknown { .. })), "found, and on no standby: {answer:?}");

    // It comes back, and the retry is answered once it has everything.
    blocking(|| standby.boot());
    let AppendOutcome::Appended(appended) = store.append(request).await.expect("an answer") else { panic!() };
    assert!(appended.duplicate && appended.first_position.0 == 2, "{appended:?}");
    let received = "SELECT count(*) FROM pacioli.events WHERE type = 'Alone'";
    eventually(Duration::from_secs(5), "the standby shows it", async || {
        blocking(|| standby.sql_value(&database, received)) == "1"
    })
    .await;
}

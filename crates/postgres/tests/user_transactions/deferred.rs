//! `append_deferred` takes the lock inside COMMIT alone.

use std::time::{Duration, Instant};

use pacioli_core::{Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
use tokio_postgres::Client;
use uuid::Uuid;

use super::session::{Asked, Subject, append, asked, conflict, defer};

async fn left_behind(session: &Client) -> i64 {
    session.query_one("SELECT count(*) FROM pacioli.deferred_appends", &[]).await.expect("the table is read").get(0)
}

#[tokio::test]
async fn a_sleeping_transaction_blocks_nobody() {
    let subject = Subject::new("deferred", 1).await;
    let session = subject.session().await;
    session.batch_execute("CREATE TABLE wallets (name text)").await.unwrap();
    session.batch_execute("BEGIN; INSERT INTO wallets VALUES ('wallet-1')").await.unwrap();
    defer(&session, &Asked { expected: "none", ..asked("wallet-1") }).await.unwrap();
    let sleeping = session.batch_execute("SELECT pg_sleep(2)");
    let working = async {
        let begun = Instant::now();
        for number in 0..50 {
            let event = NewEvent::json(EventId(Uuid::now_v7()), EventType::new("E").unwrap(), "{}");
            let stream = StreamName::new(format!("other-{number}")).unwrap();
            let append = Append::to(stream, ExpectedVersion::None, vec![event]);
            let outcome = subject.store.append(append).await.expect("an outcome");
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
        let other = subject.session().await;
        append(&other, &asked("other-50")).await.unwrap();
        begun.elapsed()
    };
    let (slept, worked) = tokio::join!(sleeping, working);
    slept.unwrap();
    assert!(worked < Duration::from_millis(1_900), "nobody waited for the sleeper, which slept 2 s: {worked:?}");
    session.batch_execute("COMMIT").await.unwrap();
    let log = subject.log().await;
    assert_eq!((log.len(), log[51].stream.as_str()), (52, "wallet-1"), "its place is where it committed");
    assert_eq!(left_behind(&session).await, 0);
}

#[tokio::test]
async fn a_conflict_is_an_error_of_commit() {
    let subject = Subject::new("late_conflict", 1).await;
    let (session, other) = (subject.session().await, subject.session().await);
    session.batch_execute("CREATE TABLE wallets (name text)").await.unwrap();
    session.batch_execute("BEGIN; INSERT INTO wallets VALUES ('wallet-1')").await.unwrap();
    defer(&session, &Asked { expected: "none", ..asked("wallet-1") }).await.unwrap();
    append(&other, &asked("wallet-1")).await.unwrap();
    let error = conflict(session.batch_execute("COMMIT").await);
    assert_eq!(
        error.message(),
        "stream `wallet-1` was expected not to exist but is at version 0; read it again and decide again"
    );
    assert_eq!(error.constraint(), Some("wrong-version"));
    let rows: i64 = session.query_one("SELECT count(*) FROM wallets", &[]).await.unwrap().get(0);
    assert_eq!((rows, subject.log().await.len()), (0, 1), "the row went with it");
    assert_eq!(left_behind(&session).await, 0);
}

#[tokio::test]
async fn appends_run_in_their_order_and_not_before_they_are_due() {
    let subject = Subject::new("in_order", 1).await;
    let session = subject.session().await;
    session.batch_execute("BEGIN").await.unwrap();
    defer(&session, &Asked { expected: "none", ..asked("a-1") }).await.unwrap();
    session.batch_execute("SAVEPOINT dropped").await.unwrap();
    defer(&session, &Asked { expected: "7", ..asked("a-1") }).await.unwrap();
    session.batch_execute("ROLLBACK TO dropped").await.unwrap();
    defer(&session, &Asked { expected: "0", ..asked("a-1") }).await.unwrap();
    assert_eq!(subject.log().await.len(), 0);
    // Who wants to know before COMMIT can: now is when they are due.
    session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap();
    let own: i64 = session.query_one("SELECT count(*) FROM pacioli.log", &[]).await.unwrap().get(0);
    assert_eq!(own, 2);
    session.batch_execute("COMMIT").await.unwrap();
    assert_eq!(subject.log().await.len(), 2);
    session.batch_execute("BEGIN").await.unwrap();
    defer(&session, &asked("a-1")).await.unwrap();
    session.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!((subject.log().await.len(), left_behind(&session).await), (2, 0));
}

#[tokio::test]
async fn a_retry_by_key_stores_nothing_twice() {
    let subject = Subject::new("deferred_key", 1).await;
    let session = subject.session().await;
    let asked = Asked { expected: "none", key: Some(Uuid::now_v7()), ..asked("a-1") };
    for _ in 0..3 {
        session.batch_execute("BEGIN").await.unwrap();
        defer(&session, &asked).await.unwrap();
        session.batch_execute("COMMIT").await.unwrap();
    }
    assert_eq!(subject.log().await.len(), 1);
}

/// Each transaction queues appends to two partitions, and every second one the other way round: were their locks taken in
/// the order of the calls, two of them would soon wait for each other.
#[tokio::test]
async fn appends_to_several_partitions_do_not_wait_for_each_other() {
    let subject = Subject::new("deferred_partitions", 4).await;
    let work = |number: usize| {
        let subject = &subject;
        async move {
            let session = subject.session().await;
            let mut streams: Vec<String> = (0..4).map(|key| format!("s{number}-{key}")).collect();
            if number % 2 == 1 {
                streams.reverse();
            }
            for _ in 0..15 {
                session.batch_execute("BEGIN").await.unwrap();
                for stream in &streams {
                    defer(&session, &asked(stream)).await.unwrap();
                }
                session.batch_execute("COMMIT").await.unwrap();
            }
        }
    };
    futures::future::join_all((0..6).map(work)).await;
    let log = subject.log().await;
    assert_eq!(log.len(), 6 * 15 * 4);
    let partitions: std::collections::HashSet<_> = log.iter().map(|event| event.partition).collect();
    assert!(partitions.len() > 1, "the streams lie in several partitions");
}

//! Who appends holds a lock that everybody waits for, so the wait is bounded and the holder is too.

use std::time::{Duration, Instant};

use pacioli_core::{Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::session::{Asked, Subject, append, asked, refused};

fn to_store(stream: &str) -> pacioli_core::AppendRequest {
    let event = NewEvent::json(EventId(Uuid::now_v7()), EventType::new("E").expect("it is well-formed"), "{}");
    Append::to(StreamName::new(stream).expect("it is well-formed"), ExpectedVersion::Any, vec![event])
}

async fn setting(session: &tokio_postgres::Client, name: &str) -> String {
    session.query_one("SELECT current_setting($1)", &[&name]).await.expect("it is well-formed").get(0)
}

#[tokio::test]
async fn a_client_that_appends_and_goes_away_frees_the_head() {
    let subject = Subject::new("lunch", 1).await;
    let (away, next) = (subject.session().await, subject.session().await);
    away.batch_execute("BEGIN").await.unwrap();
    append(&away, &asked("a-1")).await.unwrap();
    assert_eq!(setting(&away, "idle_in_transaction_session_timeout").await, "5s");
    let begun = Instant::now();

    // Another application is not kept waiting for ever, and may try again.
    let error = refused(append(&next, &asked("a-2")).await);
    assert_eq!(*error.code(), SqlState::LOCK_NOT_AVAILABLE);
    let waited = begun.elapsed();
    assert!((Duration::from_millis(1_500)..Duration::from_secs(5)).contains(&waited), "{waited:?}");

    // The server goes on by itself once the session that sleeps is ended.
    let outcome = subject.store.append(to_store("a-3")).await.expect("an outcome");
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    let waited = begun.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&waited), "{waited:?}");
    assert!(away.query("SELECT 1", &[]).await.is_err(), "its session was ended");
    let log = subject.log().await;
    assert_eq!(log.iter().map(|event| event.stream.as_str()).collect::<Vec<_>>(), ["a-3"]);
}

#[tokio::test]
async fn what_the_guards_set_ends_with_the_transaction() {
    let subject = Subject::new("settings", 1).await;
    let session = subject.session().await;
    let names =
        ["idle_in_transaction_session_timeout", "lock_timeout", "synchronous_commit", "enable_seqscan", "search_path"];
    // A stricter setting of the caller's stays; a laxer one comes back.
    for (given, during) in [
        (["0", "0", "on", "on", "public"], ["5s", "0", "on", "on", "public"]),
        (["1s", "300ms", "remote_apply", "off", "public"], ["1s", "300ms", "remote_apply", "off", "public"]),
        (["1min", "1h", "off", "on", "public"], ["5s", "1h", "on", "on", "public"]),
    ] {
        for (name, value) in names.iter().zip(given) {
            session.batch_execute(&format!("SET {name} = '{value}'")).await.unwrap();
        }
        session.batch_execute("BEGIN").await.unwrap();
        append(&session, &asked("a-1")).await.unwrap();
        for (name, value) in names.iter().zip(during) {
            assert_eq!(setting(&session, name).await, value, "{name} after append");
        }
        session.batch_execute("COMMIT").await.unwrap();
        for (name, value) in names.iter().zip(given) {
            assert_eq!(setting(&session, name).await, value, "{name} after COMMIT");
        }
    }
}

#[tokio::test]
async fn a_stricter_patience_of_the_caller_holds() {
    let subject = Subject::new("patience", 1).await;
    let (holder, waiter) = (subject.session().await, subject.session().await);
    holder.batch_execute("BEGIN").await.unwrap();
    append(&holder, &asked("a-1")).await.unwrap();
    waiter.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
    let begun = Instant::now();
    let error = refused(append(&waiter, &asked("a-2")).await);
    assert_eq!(*error.code(), SqlState::LOCK_NOT_AVAILABLE);
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    // What is malformed is refused without waiting.
    let error = refused(append(&waiter, &Asked { expected: "no", ..asked("a-2") }).await);
    assert_eq!(*error.code(), SqlState::INVALID_PARAMETER_VALUE);
    holder.batch_execute("COMMIT").await.unwrap();
    append(&waiter, &asked("a-2")).await.unwrap();
}

#[tokio::test]
async fn a_callers_collation_and_search_path_change_nothing() {
    let subject = Subject::new("surroundings", 1).await;
    let session = subject.session().await;
    let other = "SELECT collname FROM pg_collation WHERE collprovider = 'i' AND collname LIKE 'de%' LIMIT 1";
    let collation: String = session.query_one(other, &[]).await.unwrap().get(0);
    session
        .batch_execute(&format!(
            r#"CREATE SCHEMA decoy;
               CREATE TABLE decoy.heads (part int, epoch int, floor_pos bigint);
               CREATE TEMP TABLE streams (part int, stream text, version bigint, last_chunk int);
               INSERT INTO streams VALUES (0, 'a-1', 41, 0);
               SET search_path = decoy, public;
               CREATE TEMP TABLE given (stream text COLLATE "{collation}", expected text COLLATE "{collation}");
               INSERT INTO given VALUES ('a-1', 'none');
               SELECT pacioli.append(stream, expected, ARRAY['{{"type":"E","data":{{}}}}']::jsonb[]) FROM given"#
        ))
        .await
        .unwrap();
    let log = subject.log().await;
    assert_eq!((log.len(), log[0].version.0), (1, 0));
}

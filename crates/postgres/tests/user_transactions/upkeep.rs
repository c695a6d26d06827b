//! What appends need beside the log is kept ready without standing in their way, and nobody can ask for too much of it.

use std::time::{Duration, Instant};

use pacioli_postgres::migrate;
use tokio_postgres::{Client, NoTls};
use uuid::{NoContext, Timestamp, Uuid};

use super::session::{Asked, append, asked};
use crate::support::location;

/// A store that no server keeps, and sessions on its database.
async fn sessions<const N: usize>(label: &'static str) -> [Client; N] {
    let url = tokio::task::spawn_blocking(move || pacioli_pgtest::database_url(label)).await.expect("a database");
    migrate::init(&location(&url), None).await.expect("a store");
    let mut sessions = Vec::new();
    for _ in 0..N {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a session");
        tokio::spawn(connection);
        client.batch_execute("SET search_path = pacioli").await.expect("a path");
        sessions.push(client);
    }
    sessions.try_into().expect("as many as were made")
}

async fn number(session: &Client, sql: &str) -> i64 {
    session.query_one(sql, &[]).await.expect("a number").get(0)
}

#[tokio::test]
async fn an_old_period_is_dropped_when_nobody_has_to_wait_for_it() {
    let [holder, keeper, other] = sessions("periods").await;
    // The first period ended long ago, and the second is made by an append, which drops nothing.
    keeper
        .batch_execute(
            "UPDATE periods SET ends_at = '2001-01-01';
             ALTER TABLE event_ids DETACH PARTITION event_ids_p1;
             ALTER TABLE append_keys DETACH PARTITION append_keys_p1;
             ALTER TABLE event_ids ATTACH PARTITION event_ids_p1 FOR VALUES FROM ('-infinity') TO ('2001-01-01');
             ALTER TABLE append_keys ATTACH PARTITION append_keys_p1 FOR VALUES FROM ('-infinity') TO ('2001-01-01')",
        )
        .await
        .expect("an old period");
    append(&other, &asked("a-1")).await.expect("appended");
    assert_eq!(number(&keeper, "SELECT sum(period) FROM periods").await, 3, "periods 1 and 2");

    holder.batch_execute("BEGIN; LOCK TABLE event_ids IN ACCESS SHARE MODE").await.expect("held");
    for patience in ["0", "10ms", "1h"] {
        keeper.batch_execute(&format!("SET lock_timeout = '{patience}'; BEGIN")).await.expect("begun");
        let begun = Instant::now();
        let appending = async {
            append(&other, &asked("a-1")).await.expect("appended");
            begun.elapsed()
        };
        let (turned, waited) = tokio::join!(keeper.query("SELECT turn_periods()", &[]), appending);
        assert!(turned.expect("it is no error").is_empty(), "it is left for the next time");
        assert!(begun.elapsed() < Duration::from_secs(1), "{waited:?} {:?}", begun.elapsed());
        let after = keeper.query_one("SELECT current_setting('lock_timeout')", &[]).await.expect("a setting");
        assert_eq!(after.get::<_, &str>(0), patience, "the caller's own comes back");
        // And no lock is left behind in the caller's transaction.
        append(&other, &asked("a-1")).await.expect("appended");
        keeper.batch_execute("COMMIT").await.expect("ended");
    }
    holder.batch_execute("COMMIT").await.expect("ended");

    let turned = keeper.query("SELECT turn_periods()", &[]).await.expect("turned");
    assert_eq!(turned[0].get::<_, &str>(0), "forgot the ids and keys of period 1");
    assert_eq!(number(&keeper, "SELECT sum(period) FROM periods").await, 2, "period 2");
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'pacioli'::regnamespace \
                  AND relname IN ('event_ids_p1', 'append_keys_p1')";
    assert_eq!(number(&keeper, tables).await, 0);
}

#[tokio::test]
async fn the_next_period_is_waited_for_only_where_there_is_none() {
    let [holder, keeper] = sessions("next_period").await;
    holder.batch_execute("BEGIN; LOCK TABLE event_ids IN SHARE MODE").await.expect("held");
    // There is one for now: the next is left for later.
    let near = "UPDATE periods SET ends_at = clock_timestamp() + interval '1 hour'; SET lock_timeout = '100ms'";
    keeper.batch_execute(near).await.expect("nearly over");
    assert!(keeper.query("SELECT turn_periods()", &[]).await.expect("it is no error").is_empty());
    keeper.batch_execute("UPDATE periods SET ends_at = clock_timestamp()").await.expect("over");
    let error = keeper.query("SELECT turn_periods()", &[]).await.expect_err("it could not be made");
    assert_eq!(error.code().expect("an answer").code(), "55P03");
}

#[tokio::test]
async fn chunks_are_made_no_further_than_appends_can_reach() {
    let [session] = sessions("chunks").await;
    session.query("SELECT make_chunks(1000000000000, 100000)", &[]).await.expect("chunks");
    // Four chunks beyond the head, and sixteen beyond those.
    assert_eq!(number(&session, "SELECT max(chunk)::bigint FROM chunks").await, 20);
    session.query("SELECT make_chunks(1000000000000, 100000)", &[]).await.expect("nothing");
    assert_eq!(number(&session, "SELECT count(*) FROM chunks").await, 21);
}

#[tokio::test]
async fn an_epoch_that_somebody_has_seen_elsewhere_is_never_given_again() {
    let [session] = sessions("epochs").await;
    // Who asks with 0 has seen none on another database.
    for (seen, epoch) in [(0, 1), (1, 2), (1, 2), (0, 2), (7, 8), (2, 8), (8, 9), (0, 9)] {
        let sql = format!("SELECT meet_database({seen})::bigint");
        assert_eq!(number(&session, &sql).await, epoch, "seen {seen}");
    }
    assert_eq!(append(&session, &asked("a-1")).await.expect("appended").checkpoint, "0:1@9");
}

#[tokio::test]
async fn an_id_or_key_of_a_clock_that_is_ahead_is_recognised_however_late_it_comes_again() {
    let [session] = sessions("ahead").await;
    let day = 86_400;
    let seconds = number(&session, "SELECT extract(epoch FROM clock_timestamp())::bigint").await as u64;
    let ahead = |days: u64| Uuid::new_v7(Timestamp::from_unix(NoContext, seconds + days * day, 0));
    let with_id = format!(r#"{{"id":"{}","type":"E","data":{{}}}}"#, ahead(3));
    let with_id = asked("a-1").events([&with_id]);
    let with_key = Asked { key: Some(ahead(4)), ..asked("a-2") };
    for asked in [&with_id, &with_key] {
        assert!(!append(&session, asked).await.expect("appended").duplicate);
    }
    // As if two days had gone by: the clock that made them is still ahead.
    for table in ["event_ids", "append_keys"] {
        session
            .batch_execute(&format!(
                "ALTER TABLE {table}_p1 DISABLE TRIGGER append_only; ALTER TABLE {table} DISABLE TRIGGER append_only;
                 UPDATE {table} SET at = at - interval '2 days'"
            ))
            .await
            .expect("two days");
    }
    for asked in [&with_id, &with_key] {
        assert!(append(&session, asked).await.expect("answered").duplicate, "{asked:?}");
    }
}

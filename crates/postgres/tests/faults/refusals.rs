//! A database that refuses a row, or drops it without a word, with COMMIT already on its way.

use std::sync::Arc;

use pacioli_core::{AppendError, AppendOutcome, EventStore};
use pacioli_postgres::PostgresStore;
use tokio::task::JoinSet;

use super::world::{blocking, measure, one};
use crate::support::{open, options};

async fn store_with(label: &str, body: &str) -> (PostgresStore, String) {
    let url = blocking(|| Ok(pacioli_pgtest::database_url(label)));
    let store = open(&url, options()).await.expect("the store opens");
    let database = url.split('/').nth(3).and_then(|rest| rest.split('?').next()).expect("a name").to_owned();
    let trigger = format!(
        "CREATE FUNCTION pacioli.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$; \
         CREATE TRIGGER meddle BEFORE INSERT ON pacioli.events FOR EACH ROW EXECUTE FUNCTION pacioli.meddle()"
    );
    blocking(|| pacioli_pgtest::shared().sql(&database, &trigger));
    (store, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_fails_with_commit_behind_it_is_not_acknowledged_and_harms_no_neighbour() {
    let refuse = "IF NEW.type = 'Marked' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation', \
                  CONSTRAINT = 'no_marks'; END IF;";
    let (store, database) = store_with("refused", refuse).await;
    let store = Arc::new(store);
    let mut appends = JoinSet::new();
    for number in 0..120_u32 {
        let store = Arc::clone(&store);
        let marked = number % 10 == 3;
        let request = one(&format!("a-{}", number % 7), if marked { "Marked" } else { "Plain" });
        let request = if marked {
            let more = one("own-1", "Plain").writes.remove(0);
            request.and(more.stream, more.expected, more.events)
        } else {
            request
        };
        appends.spawn(async move { (marked, store.append(request).await) });
    }
    let mut positions = Vec::new();
    while let Some(done) = appends.join_next().await {
        match done.expect("no panic") {
            (true, Err(AppendError::Store(error))) => assert!(error.reason.contains("not this one"), "{error}"),
            (false, Ok(AppendOutcome::Appended(appended))) => positions.push(appended.first_position.0),
            (marked, answer) => panic!("marked {marked}: {answer:?}"),
        }
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=108).collect::<Vec<u64>>(), "each neighbour is stored once, with no gap");
    let stored = "SELECT count(*) || ' ' || count(*) FILTER (WHERE type = 'Marked' OR stream = 'own-1') || ' ' || \
                  (SELECT max(last_pos) FROM pacioli.commits) || ' ' || (SELECT count(*) FROM pacioli.event_ids) FROM pacioli.events";
    assert_eq!(blocking(|| pacioli_pgtest::shared().sql_value(&database, stored)), "108 0 108 108");
    assert!(measure(&store, "postgres_unknown_outcomes") == 0.0, "it is known that nothing was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_dropped_without_a_word_stops_the_store() {
    let (store, _) = store_with("dropped", "IF NEW.type = 'Marked' THEN RETURN NULL; END IF;").await;
    store.append(one("a-1", "Plain")).await.expect("an answer");
    store.ready().await.expect("it is ready");
    let answer = store.append(one("a-1", "Marked")).await;
    assert!(matches!(answer, Err(AppendError::Unknown { .. })), "not acknowledged, and COMMIT was sent: {answer:?}");
    let after = store.append(one("b-1", "Plain")).await;
    let Err(AppendError::Store(error)) = after else { panic!("the store takes nothing more: {after:?}") };
    assert!(error.reason.contains("trigger") && error.reason.contains("restart"), "it says why: {error}");
    assert!(store.ready().await.is_err(), "and is not ready");
}

//! What is acknowledged is in the tables, and what they refuse is nowhere.

use std::collections::BTreeMap;

use pacioli_core::append::Refusal;
use pacioli_core::{Append, AppendOutcome, EventStore, ExpectedVersion, Filter, Position, Version};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Engine, EngineError, Role};
use pacioli_sqlite::{SqliteOptions, SqliteStore};

use crate::models::support::{TOTALS, build, models, moved, name, projection, rows, text};
use crate::support::{append, open, stream, whole_log};

use super::{all_at_once, assert_folded, one, serve, sync_balances};

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_append_is_in_the_tables() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    let mut cents = 0;
    for id in 1..=200 {
        append(&store, "account-1", vec![moved(id, "Deposited", id as i64)]).await;
        cents += id as i64;
        let row = rows(&models, "SELECT cents, moves FROM balances WHERE account = 'account-1'").await;
        assert_eq!(row, [[Value::Int(cents), Value::Int(id as i64)]]);
        let (_, stands) = models.serving(&name("balances")).await.expect("an answer").expect("it serves");
        assert_eq!(stands[0].position, Position(id as u64));
    }
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_refused_harms_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    serve(&models, &TOTALS.replace("-- version: 1", "-- version: 1\n-- mode: sync")).await.expect("it serves");
    append(&store, "account-poor", vec![moved(1, "Deposited", 5)]).await;
    let (mut stored, mut refused) = (0, 0);
    for round in 0..5_u128 {
        // One in seven draws more than there is; the others must not notice.
        let appends = (0..700_u128)
            .map(|number| {
                let id = (round << 32) + (number << 8) + 2;
                match number % 7 {
                    3 => one("account-poor", moved(id, "Withdrawn", 1_000)),
                    _ => one(&format!("account-{}", number % 50), moved(id, "Deposited", 1)),
                }
            })
            .collect();
        for (number, outcome) in all_at_once(&store, appends).await.into_iter().enumerate() {
            match outcome.expect("an outcome") {
                AppendOutcome::Appended(appended) => {
                    assert!(number % 7 != 3 && !appended.duplicate);
                    stored += 1;
                }
                AppendOutcome::Refused(Refusal::ByProjection { projection, reason }) => {
                    assert_eq!(number % 7, 3, "{reason}");
                    assert_eq!(projection, "balances");
                    assert!(reason.contains("test.sql:") && reason.contains("CHECK constraint"), "{reason}");
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((stored, refused), (5 * 600, 5 * 100));
    // Positions and versions have no gap where a refused append was.
    let log = whole_log(&store, Filter::default()).await;
    assert_eq!(log.len(), stored + 1);
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for (index, event) in log.iter().enumerate() {
        assert_eq!(event.position.0, index as u64 + 1);
        let next = versions.entry(event.stream.to_string()).or_default();
        assert_eq!(event.version, Version(*next));
        *next += 1;
    }
    assert_folded(&store, &models).await;
    let totals = rows(&models, "SELECT type, events, cents FROM totals").await;
    assert_eq!(totals, [[text("Deposited"), Value::Int(3_001), Value::Int(3_005)]]);
    drop(models);
    drop(store);
    let store = open(directory.path());
    let models = crate::models::support::models(&store);
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_behind_a_refused_append_never_saw_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 5)]).await;
    // Whatever batches these fall into: the refused one takes version 1 in none of them, so all that expect version 0 are
    // rivals of each other and not of it.
    for round in 1..=20_u128 {
        let account = format!("account-{round}");
        let first = format!("account-{}", round + 1);
        let ids = round << 8;
        let at = |version, event| Append::to(stream(&account), ExpectedVersion::Exact(Version(version)), vec![event]);
        let appends = vec![
            at(0, moved(ids, "Withdrawn", 1_000)),
            at(0, moved(ids + 1, "Deposited", 1)),
            at(0, moved(ids + 2, "Withdrawn", 1_000)),
            one(&first, moved(ids + 3, "Deposited", 5)),
        ];
        let outcomes = all_at_once(&store, appends).await;
        assert!(matches!(outcomes[1], Ok(AppendOutcome::Appended(_))), "{:?}", outcomes[1]);
        assert!(matches!(outcomes[3], Ok(AppendOutcome::Appended(_))), "{:?}", outcomes[3]);
        for refused in [&outcomes[0], &outcomes[2]] {
            // Refused before the deposit, in conflict behind it; stored never.
            assert!(matches!(refused, Ok(AppendOutcome::Refused(_) | AppendOutcome::Conflict(_))), "{refused:?}");
        }
    }
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_run_the_projection_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    let appends = || (0..100_u128).map(|id| one("account-1", moved(id % 50 + 1, "Deposited", 3))).collect();
    for _ in 0..3 {
        for outcome in all_at_once(&store, appends()).await {
            assert!(matches!(outcome, Ok(AppendOutcome::Appended(_))), "{outcome:?}");
        }
    }
    assert_eq!(rows(&models, "SELECT cents, moves FROM balances").await, [[Value::Int(150), Value::Int(50)]]);
    // A refused one left nothing that its retry could be a duplicate of.
    for _ in 0..2 {
        let outcome = store.append(one("account-1", moved(1_000, "Withdrawn", 1_000))).await;
        assert!(matches!(outcome, Ok(AppendOutcome::Refused(Refusal::ByProjection { .. }))), "{outcome:?}");
    }
    append(&store, "account-1", vec![moved(1_001, "Deposited", 1_000)]).await;
    append(&store, "account-1", vec![moved(1_000, "Withdrawn", 1_000)]).await;
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_several_streams_is_taken_or_refused_as_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 100)]).await;
    let transfer = |id: u128, cents| {
        one("account-1", moved(id, "Withdrawn", cents)).and(
            stream("account-2"),
            ExpectedVersion::Any,
            vec![moved(id + 1, "Deposited", cents), moved(id + 2, "Deposited", 0)],
        )
    };
    let outcomes = all_at_once(&store, vec![transfer(10, 60), transfer(20, 60), transfer(30, 40)]).await;
    let taken = outcomes.iter().filter(|outcome| matches!(outcome, Ok(AppendOutcome::Appended(_)))).count();
    let all = rows(&models, "SELECT sum(cents), count(*) FROM balances").await;
    assert_eq!(all, [[Value::Int(100), Value::Int(2)]], "what one loses the other has");
    assert_eq!(taken, 2, "60 and 40 fit, 60 twice does not: {outcomes:?}");
    assert_eq!(whole_log(&store, Filter::default()).await.len(), 1 + 2 * 3);
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_text_is_searched_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let notes = "-- projection: notes
-- version: 1
-- mode: sync
-- category: account

CREATE VIRTUAL TABLE notes USING fts5 (note, account UNINDEXED);
CREATE TABLE noted (account TEXT PRIMARY KEY, cents BIGINT NOT NULL CHECK (cents < 100));

-- on: Deposited
INSERT INTO notes (note, account) VALUES (:data.note, :stream);
INSERT INTO noted (account, cents) VALUES (:stream, :data.cents)
ON CONFLICT (account) DO UPDATE SET cents = noted.cents + excluded.cents;
";
    serve(&models, notes).await.expect("it serves");
    let appends = (1..=300_u128).map(|id| {
        let cents = if id % 10 == 0 { 1_000 } else { 1 };
        one(&format!("account-{}", id % 20), moved(id, "Deposited", cents))
    });
    let outcomes = all_at_once(&store, appends.collect()).await;
    let taken = outcomes.iter().filter(|outcome| matches!(outcome, Ok(AppendOutcome::Appended(_)))).count();
    assert_eq!(taken, 270);
    let found = rows(&models, "SELECT count(*) FROM notes WHERE notes MATCH 'note'").await;
    assert_eq!(found, [[Value::Int(270)]]);
    assert_eq!(rows(&models, "SELECT count(*) FROM notes WHERE notes MATCH '20'").await, [[Value::Int(0)]]);
    assert_eq!(rows(&models, "SELECT sum(cents) FROM noted").await, [[Value::Int(270)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_waits_for_the_end_is_refused_in_an_append() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let text =
        sync_balances(1).replace("last_note TEXT", "last_note TEXT REFERENCES balances DEFERRABLE INITIALLY DEFERRED");
    let Err(EngineError::File(findings)) = models.begin(&projection(&text), 1).await else { panic!("refused") };
    assert!(findings[0].problem.contains("INITIALLY DEFERRED"), "{findings:?}");
    // One that is checked at once refuses its append.
    let text = text.replace(" DEFERRABLE INITIALLY DEFERRED", "");
    serve(&models, &text).await.expect("it serves");
    let outcome = store.append(one("account-1", moved(1, "Deposited", 1))).await;
    let Ok(AppendOutcome::Refused(Refusal::ByProjection { reason, .. })) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("FOREIGN KEY"), "{reason}");
}
#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_on_by_themselves() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = SqliteOptions { partitions: Some(3), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).expect("it opens");
    let models = models(&store);
    serve(&models, &sync_balances(1)).await.expect("it serves");
    let appends = (0..300_u128).map(|id| one(&format!("account-{}", id % 20), moved(id + 1, "Deposited", 1))).collect();
    for outcome in all_at_once(&store, appends).await {
        assert!(matches!(outcome, Ok(AppendOutcome::Appended(_))), "{outcome:?}");
    }
    assert_folded(&store, &models).await;
    let serving = build(&models, "balances", Role::Serving).await;
    assert_eq!(serving.progress.iter().map(|stands| stands.events).sum::<u64>(), 300);
}

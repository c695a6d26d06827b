//! Whatever happened to the files: the tables hold what an independent fold of the log holds, or nothing passes them.

use std::fs;

use pacioli_core::append::Refusal;
use pacioli_core::store::AppendError;
use pacioli_core::{AppendOutcome, EventStore, Position};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Engine, EngineError, Role, State};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};

use crate::models::support::{build, exists, models, moved, name, rows};
use crate::support::{append, event, open};

use super::{assert_folded, copy_database, one, serve, sync_balances};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lost_its_last_commits_catches_up_before_the_next_append() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let number = serve(&models, &sync_balances(1)).await.expect("it serves");
    for id in 1..=500 {
        append(&store, &format!("account-{}", id % 7), vec![moved(id, "Deposited", 2)]).await;
    }
    let file = directory.path().join(format!("read-models/balances.{}.db", number.0));
    drop(models);
    drop(store);
    let older = directory.path().join("older.db");
    copy_database(&file, &older);

    let store = open(directory.path());
    let models = crate::models::support::models(&store);
    for id in 501..=900 {
        append(&store, &format!("account-{}", id % 7), vec![moved(id, "Deposited", 2)]).await;
    }
    assert_folded(&store, &models).await;
    drop(models);
    drop(store);
    copy_database(&older, &file);

    // Nobody opens the read models: the store itself sees to it, before the first append.
    let store = open(directory.path());
    append(&store, "account-1", vec![moved(901, "Deposited", 2)]).await;
    let models = crate::models::support::models(&store);
    assert_folded(&store, &models).await;
    assert_eq!(build(&models, "balances", Role::Serving).await.number, number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_ahead_of_a_log_that_was_restored_is_filled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log.db");
    let older = directory.path().join("older.db");
    let store = open(directory.path());
    let models = models(&store);
    let number = serve(&models, &sync_balances(1)).await.expect("it serves");
    for id in 1..=300 {
        append(&store, "account-1", vec![moved(id, "Deposited", 2)]).await;
    }
    drop(models);
    drop(store);
    copy_database(&log, &older);
    let store = open(directory.path());
    for id in 301..=600 {
        append(&store, "account-2", vec![moved(id, "Deposited", 2)]).await;
    }
    drop(store);
    copy_database(&older, &log);

    let store = open(directory.path());
    append(&store, "account-1", vec![moved(1_000, "Deposited", 2)]).await;
    let models = crate::models::support::models(&store);
    assert_folded(&store, &models).await;
    assert_ne!(build(&models, "balances", Role::Serving).await.number, number);
    assert!(!exists(&directory.path().join(format!("read-models/balances.{}.db", number.0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_filled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let number = serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    drop(models);
    drop(store);
    fs::remove_file(directory.path().join(format!("read-models/balances.{}.db", number.0))).expect("it was there");
    let store = open(directory.path());
    append(&store, "account-1", vec![moved(2, "Deposited", 2)]).await;
    assert_folded(&store, &crate::models::support::models(&store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_elsewhere_are_found_again_by_the_store_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = SqliteModels::open(&store, Some(elsewhere.path())).expect("they open");
    serve(&models, &sync_balances(1)).await.expect("it serves");
    drop(models);
    drop(store);
    let store = open(directory.path());
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    let refused = store.append(one("account-1", moved(2, "Withdrawn", 3))).await;
    assert!(matches!(refused, Ok(AppendOutcome::Refused(Refusal::ByProjection { .. }))), "{refused:?}");
    let error = SqliteModels::open(&store, None).err().expect("another directory is refused");
    assert!(error.reason.contains("run in every append"), "{error}");
    let models = SqliteModels::open(&store, Some(elsewhere.path())).expect("they open");
    assert_folded(&store, &models).await;
    // A backup is a store of its own: it does not write into the read models of the original.
    let copy = directory.path().join("copy");
    fs::create_dir(&copy).expect("a directory");
    store.backup(&copy.join("log.db")).await.expect("a backup");
    let restored = open(&copy);
    append(&restored, "account-1", vec![moved(3, "Withdrawn", 1_000)]).await;
    drop(restored);
    drop(models);
    drop(store);
    // Without that directory nobody could know what the projections would have said.
    elsewhere.close().expect("it is removed");
    let error = SqliteStore::open(directory.path(), SqliteOptions::default()).err().expect("it does not open");
    assert!(error.reason.contains("sync projections have to see every append"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_below_the_tables_refuses_nothing_for_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let bounded = || SqliteOptions { file_bytes_max: Some(2 << 20), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), bounded()).expect("it opens");
    let models = models(&store);
    let copies = "-- projection: copies
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE copies (position BIGINT, copy BIGINT, data TEXT, PRIMARY KEY (position, copy));

-- on: Deposited
INSERT INTO copies (position, copy, data)
SELECT :position, value, printf('%.*c', 1000, 'x') || :data FROM json_each('[1,2,3,4,5,6,7,8,9,10]');
";
    serve(&models, copies).await.expect("it serves");
    let mut stored = Vec::new();
    let mut full = 0;
    for id in 1..=300 {
        match store.append(one("account-1", moved(id, "Deposited", 1))).await {
            Ok(AppendOutcome::Appended(_)) => stored.push(id),
            Err(AppendError::Store(error)) if error.is_full => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(stored.len() > 50 && full > 50, "{} stored and {full} not", stored.len());
    append(&store, "other-1", vec![event(1_000, "Unrelated")]).await;
    let count = || rows(&models, "SELECT count(*) FROM copies");
    assert_eq!(count().await, [[Value::Int(10 * stored.len() as i64)]]);
    drop(models);
    drop(store);
    // With room again it goes on where it was.
    let store = open(directory.path());
    let models = crate::models::support::models(&store);
    for id in 1..=300 {
        append(&store, "account-1", vec![moved(id, "Deposited", 1)]).await;
    }
    assert_eq!(rows(&models, "SELECT count(*) FROM copies").await, [[Value::Int(3_000)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_keeps_out_what_its_projection_wants_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let number = serve(&models, &sync_balances(1)).await.expect("it serves");
    for id in 1..=2_000 {
        append(&store, &format!("account-{id}"), vec![moved(id, "Deposited", 2)]).await;
    }
    drop(models);
    drop(store);
    let file = directory.path().join(format!("read-models/balances.{}.db", number.0));
    let mut bytes = fs::read(&file).expect("the file");
    // The first page has the schema and where it stands has one of its own, written last; what lies between are rows.
    let root: u32 = {
        let conn = rusqlite::Connection::open(&file).expect("it opens");
        conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'balances'", [], |row| row.get(0))
            .expect("a root")
    };
    let root = root as usize;
    bytes[(root - 1) * 4096..root * 4096].fill(0xa5);
    fs::write(&file, bytes).expect("it is damaged");

    let store = open(directory.path());
    for id in 3_000..3_020 {
        let refused = store.append(one("account-1", moved(id, "Deposited", 1))).await;
        let Err(AppendError::Store(error)) = refused else { panic!("{refused:?}") };
        assert!(error.reason.contains("`balances` is behind the log") && error.reason.contains("malformed"), "{error}");
        append(&store, "other-1", vec![event(id + 1_000, "Unrelated")]).await;
    }
    // It is filled anew beside the damaged one and takes its place.
    let models = crate::models::support::models(&store);
    serve(&models, &sync_balances(2)).await.expect("it serves");
    append(&store, "account-1", vec![moved(5_000, "Deposited", 1)]).await;
    assert_folded(&store, &models).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_cannot_catch_up_keeps_out_what_it_wants_until_somebody_decides() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let number = serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 10)]).await;
    let file = directory.path().join(format!("read-models/balances.{}.db", number.0));
    drop(models);
    drop(store);
    let older = directory.path().join("older.db");
    copy_database(&file, &older);
    let store = open(directory.path());
    append(&store, "account-1", vec![moved(2, "Withdrawn", 7), moved(3, "Deposited", 1)]).await;
    drop(store);
    // An older file in which somebody wrote besides: the withdrawal does not fit any more.
    copy_database(&older, &file);
    let tampered = rusqlite::Connection::open(&file).expect("it opens");
    tampered.execute("UPDATE balances SET cents = 5", []).expect("it is changed");
    drop(tampered);

    let store = open(directory.path());
    let refused = store.append(one("account-2", moved(4, "Deposited", 1))).await;
    let Err(AppendError::Store(error)) = refused else { panic!("{refused:?}") };
    assert!(error.reason.contains("`balances` is behind the log") && error.reason.contains("event 0:2"), "{error}");
    append(&store, "other-1", vec![event(5, "Unrelated")]).await;
    assert!(append(&store, "account-1", vec![moved(2, "Withdrawn", 7), moved(3, "Deposited", 1)]).await.duplicate);

    let models = crate::models::support::models(&store);
    let serving = build(&models, "balances", Role::Serving).await;
    let State::Failed(failed) = &serving.state else { panic!("{:?}", serving.state) };
    assert_eq!((failed.place.to_string().as_str(), serving.progress[0].position), ("0:2", Position(1)));
    let (_, stands) = models.serving(&name("balances")).await.expect("an answer").expect("it serves");
    assert_eq!(stands[0].position, Position(1), "who waits for the head waits");
    let again = models.set_state(&name("balances"), number, State::Running).await;
    assert!(matches!(&again, Err(EngineError::Refused(why)) if why.contains("0:2")), "{again:?}");
    models.skip(&name("balances"), number, failed.place).await.expect("it is passed over");
    assert_eq!(build(&models, "balances", Role::Serving).await.state, State::Running);
    append(&store, "account-1", vec![moved(6, "Withdrawn", 4)]).await;
    assert_eq!(rows(&models, "SELECT cents FROM balances").await, [[Value::Int(2)]]);
    // A rebuild makes good what was tampered with.
    serve(&models, &sync_balances(2)).await.expect("it serves");
    assert_folded(&store, &models).await;
}

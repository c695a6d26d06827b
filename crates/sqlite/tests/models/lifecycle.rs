//! How builds come and go, and what a process that ended anywhere leaves behind.

use std::fs;
use std::path::Path;

use pacioli_core::{EventStore, Partition, Place, Position, Timestamp};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{BuildNumber, Engine, EngineError, Failed, Role, State};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};

use super::support::{
    BALANCES, TOTALS, balances, build, deposit, folded, folded_rows, models, name, projection, rows, to_head,
};
use crate::support::open;

fn version(text: &str, version: u32) -> String {
    text.replace("version: 1", &format!("version: {version}"))
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory.join("read-models"))
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".db"))
        .collect();
    names.sort();
    names
}

async fn roles(models: &SqliteModels) -> Vec<(u32, u32, Role)> {
    let builds = models.builds().await.expect("the builds");
    builds.iter().map(|build| (build.number.0, build.projection.version, build.role)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_build_serves_at_once_and_others_take_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 100, 3).await;
    let models = models(&store);
    let of = name("balances");
    let first = models.begin(&projection(BALANCES), 1).await.expect("a build");
    assert_eq!((first.role, first.number), (Role::Serving, BuildNumber(1)));
    assert_eq!(rows(&models, "SELECT count(*) FROM balances").await, [[Value::Int(0)]], "it is read while it fills");
    to_head(&models, "balances", Role::Serving, 50).await.expect("advances");

    let second = version(BALANCES, 2).replace("moves BIGINT NOT NULL,", "moves BIGINT NOT NULL, extra TEXT,");
    let second = models.begin(&projection(&second), 1).await.expect("a second build");
    assert_eq!((second.role, second.number), (Role::Filling, BuildNumber(2)));
    assert_eq!(balances(&models).await.len(), 3, "the first one serves");
    to_head(&models, "balances", Role::Filling, 50).await.expect("advances");
    models.swap(&of, second.number).await.expect("it takes over");
    assert_eq!(roles(&models).await, [(1, 1, Role::Kept), (2, 2, Role::Serving)]);
    assert_eq!(
        rows(&models, "SELECT count(extra) FROM balances").await,
        [[Value::Int(0)]],
        "the new columns are there"
    );

    // Back to the first: it goes on from where it stood.
    deposit(&store, 1_000, 50, 3).await;
    models.take_back(&of, first.number).await.expect("it fills again");
    assert_eq!(roles(&models).await, [(1, 1, Role::Filling), (2, 2, Role::Serving)]);
    to_head(&models, "balances", Role::Filling, 50).await.expect("advances");
    models.swap(&of, first.number).await.expect("it serves again");
    assert_eq!(roles(&models).await, [(1, 1, Role::Serving), (2, 2, Role::Kept)]);
    assert_eq!(balances(&models).await, folded_rows(&folded(&store, |_| Position::MAX).await));

    // A third drops the one that is kept, with its file.
    models.begin(&projection(&version(BALANCES, 3)), 1).await.expect("a third build");
    to_head(&models, "balances", Role::Filling, 50).await.expect("advances");
    models.swap(&of, BuildNumber(3)).await.expect("it takes over");
    assert_eq!(roles(&models).await, [(1, 1, Role::Kept), (3, 3, Role::Serving)]);
    assert_eq!(files(directory.path()), ["balances.1.db", "balances.3.db", "catalogue.db"]);
    for number in [1, 3] {
        models.drop_build(&of, BuildNumber(number)).await.expect("it is dropped");
    }
    assert_eq!(files(directory.path()), ["catalogue.db"]);
    let again = models.begin(&projection(BALANCES), 1).await.expect("a build");
    assert_eq!((again.role, again.number), (Role::Serving, BuildNumber(4)), "a number is never used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_one_build_or_the_other_while_they_swap() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 60, 3).await;
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    to_head(&models, "balances", Role::Serving, 1_000).await.expect("advances");
    let expected = balances(&models).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let asking = {
        let (models, expected) = (models.clone(), expected.clone());
        tokio::spawn(async move {
            let mut asked = 0;
            while !*stopped.borrow() {
                assert_eq!(balances(&models).await, expected);
                asked += 1;
            }
            asked
        })
    };
    for next in 2..12 {
        let new = models.begin(&projection(&version(BALANCES, next)), 1).await.expect("a build");
        to_head(&models, "balances", Role::Filling, 1_000).await.expect("advances");
        models.swap(&name("balances"), new.number).await.expect("it takes over");
    }
    stop.send(true).expect("somebody asks");
    assert!(asking.await.expect("every query had all rows") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    let refused = |outcome: Result<(), EngineError>, said: &str| match outcome {
        Err(EngineError::Refused(why)) => assert!(why.contains(said), "{why}"),
        other => panic!("{other:?}"),
    };
    let of = name("balances");
    refused(models.begin(&projection(TOTALS), 2).await.map(drop), "one writer for each file");
    refused(models.swap(&of, BuildNumber(1)).await, "is not being filled");
    refused(models.take_back(&of, BuildNumber(1)).await, "is not kept");
    refused(models.swap(&of, BuildNumber(9)).await, "no build 9 of `balances`");
    refused(models.drop_build(&name("nobody"), BuildNumber(1)).await, "no build 1 of `nobody`");
    refused(models.refresh(&of, BuildNumber(1), "balances").await, "no materialized view");
    let other = projection(&TOTALS.replace("totals", "balances").replace("projection: balances", "projection: other"));
    let Err(EngineError::File(findings)) = models.begin(&other, 1).await else { panic!("the table is another's") };
    assert!(
        findings[0].to_string().contains("test.sql:5: error: `balances` belongs to projection `balances`"),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 100, 3).await;
    let first = models(&store);
    first.begin(&projection(BALANCES), 1).await.expect("a build");
    to_head(&first, "balances", Role::Serving, 30).await.expect("advances");
    first.begin(&projection(&version(BALANCES, 2)), 1).await.expect("a second build");
    let failed = State::Failed(Failed {
        place: Place { partition: Partition::ZERO, position: Position(7) },
        error: "it's broken".to_owned(),
        at: Timestamp::from_micros(99),
    });
    first.set_state(&name("balances"), BuildNumber(2), failed.clone()).await.expect("noted");
    first.set_state(&name("balances"), BuildNumber(1), State::Paused).await.expect("noted");
    let before = first.builds().await.expect("the builds");
    drop((first, store));
    let store = open(directory.path());
    let again = models(&store);
    let after = again.builds().await.expect("the builds");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!((&after[0].state, &after[1].state), (&State::Paused, &failed));
    assert_eq!(balances(&again).await, folded_rows(&folded(&store, |_| Position::MAX).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_nobody_names_are_removed_and_others_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 30, 3).await;
    let first = models(&store);
    first.begin(&projection(BALANCES), 1).await.expect("a build");
    to_head(&first, "balances", Role::Serving, 30).await.expect("advances");
    drop(first);
    let root = directory.path().join("read-models");
    let left = [
        "balances.2.db",
        "balances.2.db-wal",
        "gone.1.db",
        "scratch/x.db",
        "scratch/x.db-journal",
        "copies/balances.abc.db.partial",
        "copies/balances.abc.db",
    ];
    let kept = ["notes.txt", "my.db", "copies/readme.txt"];
    for file in left.iter().chain(&kept) {
        fs::write(root.join(file), "half of something").expect("written");
    }
    let again = models(&store);
    for file in left {
        assert!(!root.join(file).exists(), "{file} is removed");
    }
    for file in kept {
        assert!(root.join(file).exists(), "{file} is left alone");
    }
    assert_eq!(balances(&again).await.len(), 3);
    let next = again.begin(&projection(&version(BALANCES, 2)), 1).await.expect("a build of that number");
    assert_eq!(next.number, BuildNumber(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_file_is_missing_or_damaged_is_filled_again() {
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        |file| fs::remove_file(file).expect("removed"),
        |file| fs::write(file, "").expect("emptied"),
        |file| fs::write(file, "this is no database, whatever its name says".repeat(100)).expect("overwritten"),
        |file| assert!(fs::copy(file.with_file_name("totals.1.db"), file).is_ok()),
    ];
    for damage in damages {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        deposit(&store, 1, 30, 3).await;
        let first = models(&store);
        for text in [BALANCES, TOTALS] {
            first.begin(&projection(text), 1).await.expect("a build");
        }
        to_head(&first, "balances", Role::Serving, 30).await.expect("advances");
        to_head(&first, "totals", Role::Serving, 30).await.expect("advances");
        drop((first, store));
        damage(&directory.path().join("read-models/balances.1.db"));
        let store = open(directory.path());
        let again = models(&store);
        let anew = build(&again, "balances", Role::Serving).await;
        assert_eq!((anew.number, anew.progress[0].position), (BuildNumber(2), Position(0)));
        assert_eq!(build(&again, "totals", Role::Serving).await.number, BuildNumber(1), "the other goes on");
        to_head(&again, "balances", Role::Serving, 30).await.expect("advances");
        assert_eq!(balances(&again).await, folded_rows(&folded(&store, |_| Position::MAX).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_ahead_of_a_restored_log_is_filled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 60, 3).await;
    let first = models(&store);
    for text in [BALANCES, TOTALS] {
        first.begin(&projection(text), 1).await.expect("a build");
    }
    to_head(&first, "totals", Role::Serving, 30).await.expect("advances");
    let backup = elsewhere.path().join("backup.db");
    store.backup(&backup).await.expect("a backup");
    deposit(&store, 1_000, 60, 3).await;
    to_head(&first, "balances", Role::Serving, 30).await.expect("advances past the backup");
    first.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy");
    drop((first, store));

    // The log is restored and goes another way; the read models are as they were.
    for file in ["log.db", "log.db-wal", "log.db-shm"] {
        let _ = fs::remove_file(directory.path().join(file));
    }
    fs::copy(&backup, directory.path().join("log.db")).expect("restored");
    let store = open(directory.path());
    deposit(&store, 5_000, 200, 3).await;
    let again = models(&store);
    let anew = build(&again, "balances", Role::Serving).await;
    assert_eq!((anew.number, anew.progress[0].position), (BuildNumber(2), Position(0)), "it was ahead");
    let goes_on = build(&again, "totals", Role::Serving).await;
    assert_eq!(goes_on.number, BuildNumber(1), "what lies before the backup is the same history");
    assert_eq!(goes_on.progress[0].epoch, store.head().await.expect("the head").epoch());
    assert_eq!(fs::read_dir(directory.path().join("read-models/copies")).expect("a folder").count(), 0);
    for of in ["balances", "totals"] {
        to_head(&again, of, Role::Serving, 30).await.expect("advances");
    }
    let expected = folded(&store, |_| Position::MAX).await;
    assert_eq!(balances(&again).await, folded_rows(&expected));
    let events: i64 = expected.values().map(|account| account.1).sum();
    assert_eq!(rows(&again, "SELECT sum(events) FROM totals").await, [[Value::Int(events)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_of_another_store_or_process_are_refused() {
    let (one, other, elsewhere) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let (one, other, elsewhere) =
        (one.expect("a directory"), other.expect("a directory"), elsewhere.expect("a directory"));
    let store = open(one.path());
    let there = elsewhere.path().join("models");
    let first = SqliteModels::open(&store, Some(&there)).expect("opens elsewhere");
    first.begin(&projection(BALANCES), 1).await.expect("a build");
    let refusal =
        |outcome: Result<SqliteModels, pacioli_core::StoreError>| outcome.err().expect("a refusal").to_string();
    let second = refusal(SqliteModels::open(&store, Some(&there)));
    assert!(second.contains("in use by another process"), "{second}");
    drop(first);
    let stranger = SqliteStore::open(other.path(), SqliteOptions::default()).expect("a store");
    let of_other = refusal(SqliteModels::open(&stranger, Some(&there)));
    assert!(of_other.contains("another store"), "{of_other}");
    assert_eq!(SqliteModels::open(&store, Some(&there)).expect("its own").builds().await.expect("builds").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_eight_copies_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let of = name("balances");
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    let copies = || fs::read_dir(directory.path().join("read-models/copies")).expect("a folder").count();
    for round in 1..=10 {
        deposit(&store, round * 100, 10, 3).await;
        to_head(&models, "balances", Role::Serving, 100).await.expect("advances");
        let checkpoint = models.keep_copy(&of, BuildNumber(1)).await.expect("a copy");
        assert_eq!(checkpoint, store.head().await.expect("the head"));
        assert_eq!(copies(), (round as usize).min(8));
    }
    models.begin(&projection(&version(BALANCES, 2)), 1).await.expect("a build");
    models.swap(&of, BuildNumber(2)).await.expect("it takes over");
    assert_eq!(copies(), 8, "those of the version that is kept");
    models.drop_build(&of, BuildNumber(1)).await.expect("it is dropped");
    assert_eq!(copies(), 0);
}

//! `sync` projections run in the append's transaction: what is acknowledged is in their tables, what they refuse is nowhere,
//! and after whatever happened to the files they hold what an independent fold of the log holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pacioli_core::append::{AppendRequest, Refusal};
use pacioli_core::store::{AppendError, Direction};
use pacioli_core::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, NewEvent, Position, ReadStream, Version,
};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Advance, AdvanceError, BuildNumber, Engine, EngineError, Role, State};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};

use crate::models::support::{BALANCES, TOTALS, build, exists, folded, models, moved, name, projection, rows, text, to_head};
use crate::support::{append, event, open, stream, whole_log};

/// The balances, in the append.
fn sync_balances(version: u32) -> String {
    BALANCES.replace("-- version: 1", &format!("-- version: {version}\n-- mode: sync"))
}

/// Registers a file and lets it serve, as the runner does.
async fn serve(models: &SqliteModels, text: &str) -> Result<BuildNumber, EngineError> {
    let begun = models.begin(&projection(text), 1).await?;
    let of = begun.projection.name.as_str();
    to_head(models, of, Role::Filling, 1_000).await.expect("it fills");
    models.swap(&begun.projection.name, begun.number).await?;
    Ok(begun.number)
}

/// Holds the tables against an independent fold of the whole log.
async fn assert_folded(store: &SqliteStore, models: &SqliteModels) {
    let expected = folded(store, |_| Position::MAX).await;
    let expected: Vec<Vec<Value>> = expected
        .iter()
        .map(|(account, (cents, moves, note))| vec![text(account), Value::Int(*cents), Value::Int(*moves), text(note)])
        .collect();
    let found = rows(models, "SELECT account, cents, moves, last_note FROM balances ORDER BY account").await;
    assert_eq!(found, expected);
    let serving = build(models, "balances", Role::Serving).await;
    assert_eq!(serving.state, State::Running);
    let head = store.head().await.expect("the head");
    assert_eq!(serving.checkpoint(&head), head);
}

fn one(account: &str, event: NewEvent) -> AppendRequest {
    Append::to(stream(account), ExpectedVersion::Any, vec![event])
}

/// Sends them all at once; the outcomes in their order.
async fn all_at_once(store: &SqliteStore, appends: Vec<AppendRequest>) -> Vec<Result<AppendOutcome, AppendError>> {
    let send = |append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    };
    let tasks: Vec<_> = appends.into_iter().map(send).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("it does not panic"));
    }
    outcomes
}

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
async fn a_projection_that_comes_to_serve_under_appends_misses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let over = Arc::new(AtomicBool::new(false));
    let appenders: Vec<_> = (0..4_u128)
        .map(|appender| {
            let (store, over) = (store.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut id = (appender + 1) << 64;
                while !over.load(Ordering::Relaxed) {
                    let appends =
                        (0..20).map(|n| one(&format!("account-{}", (id + n) % 9), moved(id + n, "Deposited", 1)));
                    for outcome in all_at_once(&store, appends.collect()).await {
                        assert!(matches!(outcome, Ok(AppendOutcome::Appended(_))), "{outcome:?}");
                    }
                    id += 20;
                }
            })
        })
        .collect();
    for version in 1..=5 {
        // Not taken to the head first: the swap itself brings it there.
        let begun = models.begin(&projection(&sync_balances(version)), 1).await.expect("a build");
        models.swap(&name("balances"), begun.number).await.expect("it serves");
        let serving = build(&models, "balances", Role::Serving).await;
        assert_eq!(serving.projection.version, version);
    }
    over.store(true, Ordering::Relaxed);
    for appender in appenders {
        appender.await.expect("it appended");
    }
    assert_folded(&store, &models).await;
    assert!(whole_log(&store, Filter::default()).await.len() > 100);
}

/// Copies a database file as it is on disk, with its write-ahead log.
fn copy_database(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if with(from).exists() {
            fs::copy(with(from), with(to)).expect("a copy");
        } else {
            let _ = fs::remove_file(with(to));
        }
    }
    let _ = fs::remove_file(format!("{}-shm", to.display()));
}

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
async fn a_projection_that_fails_before_it_serves_says_on_what_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    append(&store, "account-1", vec![moved(1, "Deposited", 2), moved(2, "Withdrawn", 3)]).await;
    let begun = models.begin(&projection(&sync_balances(1)), 1).await.expect("a build");
    let Err(EngineError::Refused(why)) = models.swap(&name("balances"), begun.number).await else { panic!("refused") };
    assert!(why.contains("0:2") && why.contains("CHECK constraint"), "{why}");
    let filling = build(&models, "balances", Role::Filling).await;
    let State::Failed(failed) = &filling.state else { panic!("{:?}", filling.state) };
    assert_eq!((failed.place.to_string().as_str(), filling.progress[0].position), ("0:2", Position(0)));
    append(&store, "account-1", vec![moved(3, "Withdrawn", 3)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serving_sync_projection_is_moved_by_appends_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let first = serve(&models, &sync_balances(1)).await.expect("it serves");
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    let serving = build(&models, "balances", Role::Serving).await;
    let Err(EngineError::Refused(why)) = models.set_state(&name("balances"), first, State::Paused).await else {
        panic!("a pause is refused")
    };
    assert!(why.contains("cannot be paused"), "{why}");
    let advance = Advance {
        epoch: pacioli_core::Epoch::FIRST,
        build: Arc::new(serving),
        worker: 0,
        partition: pacioli_core::Partition(0),
        after: Position(1),
        up_to: Position(2),
        events_max: 10,
    };
    assert!(matches!(models.advance(advance).await, Err(AdvanceError::Moved)));
    // A version that runs by itself takes over, and appends are not refused any more.
    let second = models.begin(&projection(&BALANCES.replace("version: 1", "version: 2")), 1).await.expect("a build");
    to_head(&models, "balances", Role::Filling, 100).await.expect("it fills");
    models.swap(&name("balances"), second.number).await.expect("it serves");
    append(&store, "account-1", vec![moved(2, "Withdrawn", 5)]).await;
    // And back again, from where it stood.
    models.take_back(&name("balances"), first).await.expect("it fills again");
    let Err(EngineError::Refused(why)) = models.swap(&name("balances"), first).await else { panic!("the overdraft") };
    assert!(why.contains("0:2"), "{why}");
    models.drop_build(&name("balances"), first).await.expect("it is dropped");
    let third = serve(&models, &sync_balances(3).replace(" CHECK (cents >= 0)", "")).await.expect("it serves");
    append(&store, "account-1", vec![moved(3, "Withdrawn", 5)]).await;
    assert_folded(&store, &models).await;
    models.drop_build(&name("balances"), third).await.expect("it is dropped");
    append(&store, "account-1", vec![moved(4, "Withdrawn", 5)]).await;
    assert!(!exists(&directory.path().join(format!("read-models/balances.{}.db", third.0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_log_and_a_ninth_projection_are_refused_before_they_fill() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let models = models(&store);
    let named = |name: &str| sync_balances(1).replace("balances", name);
    let Err(EngineError::File(findings)) = models.begin(&projection(&named("streams")), 1).await else {
        panic!("refused")
    };
    assert!(findings[0].problem.contains("`streams` is a table of the log"), "{findings:?}");
    for number in 0..8 {
        serve(&models, &named(&format!("balances_{number}"))).await.expect("it serves");
    }
    let ninth = models.begin(&projection(&named("balances_8")), 1).await;
    let Err(EngineError::Refused(why)) = ninth else { panic!("{ninth:?}") };
    assert!(why.contains("at most 8"), "{why}");
    append(&store, "account-1", vec![moved(1, "Deposited", 2)]).await;
    for number in 0..8 {
        let row = rows(&models, &format!("SELECT cents FROM balances_{number}")).await;
        assert_eq!(row, [[Value::Int(2)]]);
    }
    let read = ReadStream {
        stream: stream("account-1"),
        from: None,
        direction: Direction::Forward,
        limit: 10,
        payload: Default::default(),
    };
    assert_eq!(store.read_stream(read).await.expect("a page").events.len(), 1);
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

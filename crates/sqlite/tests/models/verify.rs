//! A read model that drifted is found, not assumed.

use std::sync::Mutex;

use pacioli_core::{Place, Timestamp};
use pacioli_projection::engine::{BuildNumber, Engine, EngineError, Failed, Role, Sample, State, Verified};
use pacioli_sqlite::SqliteModels;

use super::support::{BALANCES, TOTALS, build, deposit, models, moved, name, projection, step, to_head};
use crate::support::{append, open};

async fn verify(models: &SqliteModels, of: &str, sample: Sample) -> Verified {
    models.verify(&name(of), BuildNumber(1), sample, &|_| {}).await.expect("it can be compared")
}

/// Changes a read model behind its back.
fn tamper(directory: &std::path::Path, file: &str, sql: &str) {
    let conn = rusqlite::Connection::open(directory.join("read-models").join(file)).expect("the file");
    conn.execute_batch(sql).expect("it is changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_gives_is_found_equal_wherever_the_build_stands() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 300, 7).await;
    let models = models(&store);
    for (of, text) in [("balances", BALANCES), ("totals", TOTALS)] {
        models.begin(&projection(text), 1).await.expect("a build");
        for portion in [0, 17, 60, 1_000] {
            if portion > 0 {
                let build = build(&models, of, Role::Serving).await;
                step(&models, &build, 0, portion).await.expect("it advances");
            }
            let stands = build(&models, of, Role::Serving).await.progress[0].position;
            let shares = Mutex::new(Vec::new());
            let told = |share: f64| shares.lock().expect("no panic").push(share);
            let verified = models.verify(&name(of), BuildNumber(1), Sample::All, &told).await.expect("compared");
            assert_eq!((verified.different, verified.differences.as_slice()), (0, [].as_slice()));
            assert_eq!(verified.checkpoint.to_string(), format!("0:{stands}"));
            assert_eq!(verified.rows > 0, stands.0 > 0);
            let shares = shares.into_inner().expect("no panic");
            assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]) && shares.iter().all(|share| *share <= 1.0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_drift_is_found() {
    for (sql, different, said) in [
        (
            "UPDATE balances SET cents = cents + 1 WHERE account = 'account-1'",
            1,
            "balances: the read model has account='account-1', cents=",
        ),
        ("DELETE FROM balances WHERE account = 'account-2'", 1, "balances: only the log gives account='account-2'"),
        (
            "INSERT INTO balances VALUES ('account-x', 1, 1, NULL)",
            1,
            "balances: only the read model has account='account-x', cents=1, moves=1, last_note=NULL",
        ),
        ("UPDATE balances SET cents = cents + 1", 7, "the log gives"),
        ("UPDATE balances SET account = upper(account)", 14, "only the read model has account='ACCOUNT-0'"),
        ("UPDATE balances SET last_note = NULL WHERE account = 'account-1'", 1, "last_note=NULL"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        deposit(&store, 1, 100, 7).await;
        let models = models(&store);
        models.begin(&projection(BALANCES), 1).await.expect("a build");
        to_head(&models, "balances", Role::Serving, 100).await.expect("it advances");
        tamper(directory.path(), "balances.1.db", sql);
        let verified = verify(&models, "balances", Sample::All).await;
        assert_eq!(verified.different, different, "{sql}: {:?}", verified.differences);
        assert!(
            verified.differences.iter().any(|difference| difference.contains(said)),
            "{sql}: {:?}",
            verified.differences
        );
    }
}

const LISTED: &str = "-- projection: listed
-- version: 1
-- category: account
-- parallel-by: stream

CREATE TABLE listed (account TEXT, share REAL, any);
CREATE VIRTUAL TABLE words USING fts5 (note);

-- on: *
INSERT INTO listed (account, share, any) VALUES (:stream, :data.cents / 3.0, :data.note);
INSERT INTO words (rowid, note) VALUES (:position, :data.note);
";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_there_twice_count_and_rounding_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    append(&store, "account-1", (1..=5).map(|id| moved(id, "Deposited", 100)).collect()).await;
    let models = models(&store);
    models.begin(&projection(LISTED), 1).await.expect("a build");
    to_head(&models, "listed", Role::Serving, 100).await.expect("it advances");
    let tamper = |sql: &str| tamper(directory.path(), "listed.1.db", sql);
    tamper("UPDATE listed SET any = 'same'; UPDATE listed SET any = 'note ' || rowid");
    assert_eq!(verify(&models, "listed", Sample::All).await.different, 0);
    tamper("UPDATE listed SET share = share * (1 + 1e-13)");
    assert_eq!(verify(&models, "listed", Sample::All).await.different, 0, "sums in another order are the same sums");
    tamper("UPDATE listed SET share = share * (1 + 1e-6) WHERE rowid = 3");
    assert_eq!(verify(&models, "listed", Sample::All).await.different, 2);
    tamper(
        "UPDATE listed SET share = share / (1 + 1e-6) WHERE rowid = 3; INSERT INTO listed SELECT * FROM listed WHERE rowid = 2",
    );
    let twice = verify(&models, "listed", Sample::All).await;
    assert_eq!(twice.different, 1, "{:?}", twice.differences);
    assert!(
        twice.differences[0].starts_with("listed: only the read model has account='account-1'"),
        "{:?}",
        twice.differences
    );
    tamper("DELETE FROM listed WHERE rowid = 6; DELETE FROM words WHERE rowid = 4");
    let words = verify(&models, "listed", Sample::All).await;
    assert_eq!(words.differences, ["words: only the log gives rowid=4, note='note 4'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_compares_the_streams_of_one_part() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 400, 40).await;
    let models = models(&store);
    let text = BALANCES.replace("-- category: account", "-- category: account\n-- parallel-by: stream");
    models.begin(&projection(&text), 1).await.expect("a build");
    models.begin(&projection(TOTALS), 1).await.expect("a build");
    to_head(&models, "balances", Role::Serving, 100).await.expect("it advances");
    let parts = |part| Sample::Streams { of: 4, part };
    let mut rows = 0;
    for part in 0..4 {
        let verified = verify(&models, "balances", parts(part)).await;
        assert_eq!(verified.different, 0);
        rows += verified.rows;
    }
    assert_eq!(rows, 40, "each stream is in one part");
    tamper(directory.path(), "balances.1.db", "UPDATE balances SET cents = cents + 1 WHERE account = 'account-17'");
    let mut different = 0;
    for part in 0..4 {
        different += verify(&models, "balances", parts(part)).await.different;
    }
    assert_eq!(different, 1);
    for (of, sample) in [("totals", parts(0)), ("balances", parts(4))] {
        let refused = models.verify(&name(of), BuildNumber(1), sample, &|_| {}).await;
        assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_passed_over_is_passed_over_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 30, 3).await;
    let poison = append(&store, "account-1", vec![moved(1 << 90, "Withdrawn", 1 << 40)]).await.checkpoint;
    deposit(&store, 100, 30, 3).await;
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    let place: Place = poison.iter().next().expect("a place");
    while step(&models, &build(&models, "balances", Role::Serving).await, 0, 1).await.is_ok() {}
    let failed = Failed { place, error: "no".to_owned(), at: Timestamp::from_micros(1) };
    models.set_state(&name("balances"), BuildNumber(1), State::Failed(failed)).await.expect("noted");
    models.skip(&name("balances"), BuildNumber(1), place).await.expect("passed over");
    to_head(&models, "balances", Role::Serving, 100).await.expect("it goes on");
    assert_eq!(verify(&models, "balances", Sample::All).await.different, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_compared_at_one_moment_while_the_build_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 600, 7).await;
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    let advancing = {
        let models = models.clone();
        tokio::spawn(async move { to_head(&models, "balances", Role::Serving, 1).await })
    };
    while !advancing.is_finished() {
        let verified = verify(&models, "balances", Sample::All).await;
        assert_eq!(verified.different, 0, "{:?}", verified.differences);
    }
    advancing.await.expect("no panic").expect("it advances");
}

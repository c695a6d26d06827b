//! Queries of the past see what was there then.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use pacioli_core::clock::Clock;
use pacioli_core::{Append, Checkpoint, EventStore, ExpectedVersion, NewEvent, Partition, Position, Timestamp};
use pacioli_projection::answer::{Answer, Value};
use pacioli_projection::engine::{BuildNumber, Engine, Moment, Query, QueryError, QueryLimits, Role};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};

use super::support::{
    BALANCES, TOTALS, balances, deposit, folded, folded_rows, models, moved, name, projection, text, to_head,
};
use crate::support::{append, open, stream};

const BALANCES_SQL: &str = "SELECT account, cents, moves, last_note FROM balances ORDER BY account";

/// A clock that stands until it is set.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

async fn ask(models: &SqliteModels, sql: &str, moment: Moment) -> Result<Answer, QueryError> {
    models.query(Query { sql: sql.to_owned(), as_of: Some(moment), limits: QueryLimits::default() }).await
}

async fn rows_at(models: &SqliteModels, sql: &str, moment: Moment) -> Vec<Vec<Value>> {
    ask(models, sql, moment).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

/// A store of three partitions in which one event an account is recorded at each second, counted from 1.
async fn one_a_second(directory: &std::path::Path, seconds: i64) -> SqliteStore {
    let clock = Arc::new(SetClock(AtomicI64::new(0)));
    let options = SqliteOptions { partitions: Some(3), clock: clock.clone(), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory, options).expect("a store");
    for second in 1..=seconds {
        clock.0.store(second * 1_000_000, Ordering::Release);
        for account in 0..4 {
            append(
                &store,
                &format!("account-{account}"),
                vec![moved((second * 10 + account) as u128, "Deposited", second)],
            )
            .await;
        }
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_of_recording_is_found_in_every_partition() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = one_a_second(directory.path(), 20).await;
    let models = models(&store);
    let log = crate::support::whole_log(&store, pacioli_core::Filter::default()).await;
    let head = store.head().await.expect("the head");
    for micros in [0, 999_999, 1_000_000, 1_000_001, 7_500_000, 19_999_999, 20_000_000, 99_000_000] {
        let last = |partition: u16| {
            let before =
                log.iter().filter(|event| event.partition.0 == partition && event.recorded_at.as_micros() <= micros);
            before.map(|event| event.position).max().unwrap_or_default()
        };
        let expected = Checkpoint::new((0..3).map(last), head.epoch());
        let cut = models.cut(&Moment::Recorded(Timestamp::from_micros(micros))).await.expect("a cut");
        assert_eq!(cut, expected, "at {micros}");
    }
    assert_eq!(
        models.cut(&Moment::At("0:1,1:2,2:0".parse().expect("one"))).await.expect("a cut").to_string(),
        "0:1,1:2,2:0"
    );
    assert_eq!(models.cut(&Moment::Occurred(Timestamp::from_micros(5))).await.expect("a cut"), head);
    for wrong in ["0:1", "0:999999,1:0,2:0", "0:1,1:0,2:0@77"] {
        assert!(models.cut(&Moment::At(wrong.parse().expect("a checkpoint"))).await.is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_as_of_a_moment_gives_what_a_fold_up_to_it_gives() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = one_a_second(directory.path(), 20).await;
    let models = models(&store);
    for text in [BALANCES, TOTALS] {
        models.begin(&projection(text), 1).await.expect("a build");
    }
    // With a build at the start, in the middle, at the head, with copies and without: the answer is the same.
    for stage in 0..4 {
        match stage {
            1 => {
                let build = super::support::build(&models, "balances", Role::Serving).await;
                super::support::step(&models, &build, 1, 7).await.expect("it advances");
            }
            2 => to_head(&models, "balances", Role::Serving, 3).await.expect("it advances"),
            3 => drop(models.keep_copy(&name("balances"), BuildNumber(1)).await.expect("a copy")),
            _ => {}
        }
        for second in [0, 1, 7, 13, 20, 30] {
            let moment = Moment::Recorded(Timestamp::from_micros(second * 1_000_000 + 5));
            let cut = models.cut(&moment).await.expect("a cut");
            let expected = folded_rows(&folded(&store, |partition| cut.position(partition)).await);
            assert_eq!(
                rows_at(&models, BALANCES_SQL, moment.clone()).await,
                expected,
                "second {second}, stage {stage}"
            );
            assert_eq!(rows_at(&models, BALANCES_SQL, Moment::At(cut.clone())).await, expected);
            let as_of = models.rows_as_of("balances", &moment, QueryLimits::default()).await.expect("rows");
            assert_eq!(as_of.rows.len(), expected.len());
            let events: u64 = cut.iter().map(|at| at.position.0).sum();
            let both = "SELECT (SELECT count(*) FROM events), (SELECT ifnull(sum(events), 0) FROM totals)";
            assert_eq!(rows_at(&models, both, moment).await, [[Value::Int(events as i64), Value::Int(events as i64)]]);
        }
    }
    assert_eq!(balances(&models).await, folded_rows(&folded(&store, |_| Position::MAX).await), "and now is still now");
    let wrong = models.rows_as_of("nowhere", &Moment::Occurred(Timestamp::default()), QueryLimits::default()).await;
    assert!(matches!(wrong, Err(QueryError::Invalid(_))), "{wrong:?}");
    for wrong in ["DELETE FROM balances", "SELECT * FROM pacioli_log.log", "PRAGMA query_only = 0"] {
        let refused = ask(&models, wrong, Moment::Recorded(Timestamp::from_micros(5_000_000))).await;
        assert!(matches!(refused, Err(QueryError::Refused(_) | QueryError::Invalid(_))), "{wrong}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn business_time_counts_what_had_occurred_in_the_order_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let occurred = |id: u128, day: i64, cents: i64| NewEvent {
        occurred_at: Some(Timestamp::from_micros(day * 86_400_000_000)),
        ..moved(id, "Deposited", cents)
    };
    // Told late: the second event occurred before the first.
    for (id, day) in [(1, 10), (2, 5), (3, 20)] {
        let events = vec![occurred(id, day, 1 << id)];
        store.append(Append::to(stream("account-1"), ExpectedVersion::Any, events)).await.expect("appended");
    }
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    to_head(&models, "balances", Role::Serving, 10).await.expect("it advances");
    for (day, cents, note) in [(4, None, ""), (5, Some(4), "note 2"), (10, Some(6), "note 2"), (20, Some(14), "note 3")]
    {
        let moment = Moment::Occurred(Timestamp::from_micros(day * 86_400_000_000));
        let found = rows_at(&models, "SELECT cents, last_note FROM balances", moment.clone()).await;
        let expected: Vec<Vec<Value>> = cents.map(|cents| vec![Value::Int(cents), text(note)]).into_iter().collect();
        assert_eq!(found, expected, "day {day}");
        let events = rows_at(&models, "SELECT count(*) FROM events", moment).await;
        assert_eq!(events, [[Value::Int([4, 5, 10, 20].iter().position(|d| *d == day).unwrap_or(0) as i64)]]);
    }
    // What is told later changes what was known of a day.
    append(&store, "account-1", vec![occurred(7, 5, 1_000)]).await;
    let again =
        rows_at(&models, "SELECT cents FROM balances", Moment::Occurred(Timestamp::from_micros(5 * 86_400_000_000)))
            .await;
    assert_eq!(again, [[Value::Int(1_004)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fold_cannot_do_is_said_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 300, 3).await;
    append(&store, "account-1", vec![moved(1 << 80, "Withdrawn", 1 << 40)]).await;
    let head = store.head().await.expect("the head");
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    let failed = ask(&models, BALANCES_SQL, Moment::At(head.clone())).await;
    let Err(QueryError::Invalid(why)) = failed else { panic!("{failed:?}") };
    assert!(why.contains("`balances` cannot be folded") && why.contains("test.sql:18: CHECK"), "{why}");
    let before = Checkpoint::new([Position(head.position(Partition::ZERO).0 - 1)], head.epoch());
    assert_eq!(rows_at(&models, BALANCES_SQL, Moment::At(before)).await.len(), 3);
    let scratch = directory.path().join("read-models/scratch");
    let left = || std::fs::read_dir(&scratch).expect("a folder").count();
    assert_eq!(left(), 1, "only the fold that is kept for the next question");
    for position in 1..=20 {
        let at = Checkpoint::new([Position(position)], head.epoch());
        rows_at(&models, BALANCES_SQL, Moment::At(at)).await;
    }
    assert_eq!(left(), 4, "the last four are kept");
    let limits = QueryLimits { time_max: Duration::from_millis(1), ..QueryLimits::default() };
    let started = Instant::now();
    let at = Moment::At(Checkpoint::new([Position(299)], head.epoch()));
    let late = models.query(Query { sql: BALANCES_SQL.to_owned(), as_of: Some(at), limits }).await;
    assert!(matches!(late, Ok(_) | Err(QueryError::Late(_))), "{late:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(models);
    assert_eq!(left(), 0);
}

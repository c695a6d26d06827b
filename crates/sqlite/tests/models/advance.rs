//! Rows and progress move together, from where they stood and nowhere else.

use pacioli_core::{Partition, Position};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{AdvanceError, Engine, Role};

use super::support::{BALANCES, TOTALS, build, deposit, folded, models, projection, rows, step, text, to_head};
use crate::support::open;

#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_an_independent_fold_by_event_and_by_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 1_000, 7).await;
    let models = models(&store);
    for text in [BALANCES, TOTALS] {
        models.begin(&projection(text), 1).await.expect("a build");
    }
    to_head(&models, "balances", Role::Serving, 300).await.expect("advances");
    to_head(&models, "totals", Role::Serving, 300).await.expect("advances");

    let expected = folded(&store, |_| Position::MAX).await;
    let found = rows(&models, "SELECT account, cents, moves, last_note FROM balances ORDER BY account").await;
    let expected_rows: Vec<Vec<Value>> = expected
        .iter()
        .map(|(account, (cents, moves, note))| vec![text(account), Value::Int(*cents), Value::Int(*moves), text(note)])
        .collect();
    assert_eq!(found, expected_rows);
    let totals =
        rows(&models, "SELECT sum(events), sum(CASE type WHEN 'Deposited' THEN cents ELSE -cents END) FROM totals")
            .await;
    let all = |of: fn(&(i64, i64, String)) -> i64| Value::Int(expected.values().map(of).sum());
    assert_eq!(totals, [vec![all(|account| account.1), all(|account| account.0)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advance_from_elsewhere_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 60, 3).await;
    let models = models(&store);
    let stale = models.begin(&projection(BALANCES), 1).await.expect("a build");
    assert!(step(&models, &stale, 0, 10).await.expect("it advances"));
    let again = step(&models, &stale, 0, 10).await;
    assert!(matches!(again, Err(AdvanceError::Moved)), "{again:?}");
    let now = build(&models, "balances", Role::Serving).await;
    assert_eq!(now.progress[0].position, Position(10));
    assert_eq!(now.progress[0].partition, Partition(0));
    assert_eq!(now.progress[0].events, 10);
}

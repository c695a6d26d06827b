//! Queries read, and nothing else.

use pacioli_projection::engine::{Engine, QueryError, QueryLimits, Role};

use super::support::{BALANCES, deposit, lookup, models, projection, query, rows, text, to_head};
use crate::support::open;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_read_models_and_the_log_in_one_statement() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 100, 3).await;
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    to_head(&models, "balances", Role::Serving, 1_000).await.expect("advances");
    let both = "SELECT account, moves = (SELECT count(*) FROM events WHERE stream = account) FROM balances ORDER BY 1";
    for row in rows(&models, both).await {
        assert_eq!(row[1], pacioli_projection::answer::Value::Int(1));
    }
    let found =
        models.lookup(lookup("balances", "account", "account-1"), QueryLimits::default()).await.expect("an answer");
    assert_eq!(found.rows.len(), 1);
    assert_eq!(found.rows[0][0], text("account-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_or_looks_elsewhere_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 10, 3).await;
    let models = models(&store);
    models.begin(&projection(BALANCES), 1).await.expect("a build");
    for sql in [
        "DELETE FROM balances",
        "SELECT * FROM sqlite_schema",
        "SELECT 1; SELECT 2",
        "PRAGMA journal_mode",
        "ATTACH 'x' AS y",
    ] {
        let refused = query(&models, sql).await;
        assert!(matches!(refused, Err(QueryError::Refused(_))), "{sql}: {refused:?}");
    }
}

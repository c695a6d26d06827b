//! `sync` projections run in the append's transaction: what is acknowledged is in their tables, what they refuse is nowhere,
//! and after whatever happened to the files they hold what an independent fold of the log holds.

mod appends;
mod files;
mod killed;
mod serving;

use std::fs;
use std::path::{Path, PathBuf};

use pacioli_core::append::AppendRequest;
use pacioli_core::store::AppendError;
use pacioli_core::{Append, AppendOutcome, EventStore, ExpectedVersion, NewEvent, Position};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{BuildNumber, Engine, EngineError, Role, State};
use pacioli_sqlite::{SqliteModels, SqliteStore};

use crate::models::support::{BALANCES, build, folded, projection, rows, text, to_head};
use crate::support::stream;

/// The balances, in the append.
pub(crate) fn sync_balances(version: u32) -> String {
    BALANCES.replace("-- version: 1", &format!("-- version: {version}\n-- mode: sync"))
}

/// Registers a file and lets it serve, as the runner does.
pub(crate) async fn serve(models: &SqliteModels, text: &str) -> Result<BuildNumber, EngineError> {
    let begun = models.begin(&projection(text), 1).await?;
    let of = begun.projection.name.as_str();
    to_head(models, of, Role::Filling, 1_000).await.expect("it fills");
    models.swap(&begun.projection.name, begun.number).await?;
    Ok(begun.number)
}

/// Holds the tables against an independent fold of the whole log.
pub(crate) async fn assert_folded(store: &SqliteStore, models: &SqliteModels) {
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

pub(crate) fn one(account: &str, event: NewEvent) -> AppendRequest {
    Append::to(stream(account), ExpectedVersion::Any, vec![event])
}

/// Sends them all at once; the outcomes in their order.
pub(crate) async fn all_at_once(
    store: &SqliteStore,
    appends: Vec<AppendRequest>,
) -> Vec<Result<AppendOutcome, AppendError>> {
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

/// Copies a database file as it is on disk, with its write-ahead log.
pub(crate) fn copy_database(from: &Path, to: &Path) {
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

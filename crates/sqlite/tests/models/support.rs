//! What the tests of read models share: a store with accounts, projections over them, and a runner of a few lines.

use std::path::Path;
use std::sync::Arc;

use pacioli_core::{EventId, EventType, NewEvent, Partition, Position};
use pacioli_projection::Projection;
use pacioli_projection::answer::{Answer, Value};
use pacioli_projection::engine::{Advance, AdvanceError, Build, Engine, Lookup, Query, QueryError, QueryLimits, Role};
use pacioli_projection::file::{Name, listed};
use pacioli_sqlite::{SqliteModels, SqliteStore};
use uuid::Uuid;

use crate::support::append;

/// Balances by event.
pub(crate) const BALANCES: &str = "-- projection: balances
-- version: 1
-- category: account

CREATE TABLE balances (
    account TEXT PRIMARY KEY,
    cents BIGINT NOT NULL CHECK (cents >= 0),
    moves BIGINT NOT NULL,
    last_note TEXT
);

-- on: Deposited
INSERT INTO balances (account, cents, moves, last_note) VALUES (:stream, :data.cents, 1, :data.note)
ON CONFLICT (account) DO UPDATE
SET cents = balances.cents + excluded.cents, moves = balances.moves + 1, last_note = excluded.last_note;

-- on: Withdrawn
UPDATE balances SET cents = cents - :data.cents, moves = moves + 1, last_note = :data.note WHERE account = :stream;
";

/// Totals by type and set of events.
pub(crate) const TOTALS: &str = "-- projection: totals
-- version: 1
-- category: account

CREATE TABLE totals (type TEXT PRIMARY KEY, events BIGINT NOT NULL, cents BIGINT NOT NULL);

-- on batch:
INSERT INTO totals (type, events, cents)
SELECT type, count(*), sum(data ->> 'cents') FROM batch WHERE true GROUP BY type
ON CONFLICT (type) DO UPDATE SET events = totals.events + excluded.events, cents = totals.cents + excluded.cents;
";

pub(crate) fn projection(text: &str) -> Projection {
    Projection::parse("test.sql", text).unwrap_or_else(|findings| panic!("{}", listed(&findings)))
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).expect("a valid name")
}

pub(crate) fn models(store: &SqliteStore) -> SqliteModels {
    SqliteModels::open(store, None).expect("the read models open")
}

pub(crate) fn moved(id: u128, event_type: &str, cents: i64) -> NewEvent {
    let data = format!("{{\"cents\":{cents},\"note\":\"note {id}\"}}");
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new(event_type).expect("a valid type"), data)
}

/// Appends `events` deposits, one in three of them withdrawn again in part, over `accounts` accounts.
pub(crate) async fn deposit(store: &SqliteStore, first_id: u128, events: u128, accounts: u128) {
    for id in (first_id..first_id + events).step_by(50) {
        for account in 0..accounts {
            let ids = (id..(id + 50).min(first_id + events)).filter(|id| id % accounts == account);
            let events: Vec<NewEvent> = ids
                .flat_map(|id| {
                    let withdrawn = (id % 3 == 0).then(|| moved(id | 1 << 100, "Withdrawn", (id % 50) as i64));
                    std::iter::once(moved(id, "Deposited", 100 + (id % 50) as i64)).chain(withdrawn)
                })
                .collect();
            if !events.is_empty() {
                append(store, &format!("account-{account}"), events).await;
            }
        }
    }
}

/// A build as the engine has it now.
pub(crate) async fn build(models: &SqliteModels, of: &str, role: Role) -> Build {
    let builds = models.builds().await.expect("the builds");
    let found = builds.into_iter().find(|build| build.projection.name.as_str() == of && build.role == role);
    found.unwrap_or_else(|| panic!("`{of}` has no build of that role"))
}

/// One advance of at most so many events in a partition.
pub(crate) async fn step(
    models: &SqliteModels,
    build: &Build,
    partition: u16,
    events_max: usize,
) -> Result<bool, AdvanceError> {
    let head = models.head().await.expect("the head");
    let partition = Partition(partition);
    let after = build.progress.iter().find(|stands| stands.partition == partition).expect("it stands there").position;
    let up_to = head.position(partition);
    if after == up_to {
        return Ok(false);
    }
    let build = Arc::new(build.clone());
    models
        .advance(Advance { build, worker: 0, partition, after, up_to, events_max, epoch: head.epoch() })
        .await
        .map(|_| true)
}

/// Brings a build to the head.
pub(crate) async fn to_head(
    models: &SqliteModels,
    of: &str,
    role: Role,
    events_max: usize,
) -> Result<(), AdvanceError> {
    let head = models.head().await.expect("the head");
    for partition in 0..head.partitions() {
        loop {
            let build = build(models, of, role).await;
            if !step(models, &build, partition, events_max).await? {
                break;
            }
        }
    }
    Ok(())
}

pub(crate) async fn query(models: &SqliteModels, sql: &str) -> Result<Answer, QueryError> {
    models.query(Query { sql: sql.to_owned(), as_of: None, limits: QueryLimits::default() }).await
}

/// The rows of a query that has an answer.
pub(crate) async fn rows(models: &SqliteModels, sql: &str) -> Vec<Vec<Value>> {
    query(models, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

pub(crate) fn lookup(table: &str, column: &str, value: &str) -> Lookup {
    Lookup { table: table.to_owned(), equals: vec![(column.to_owned(), value.to_owned())], order: None, limit: 100 }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// An independent fold of the account events up to a position of each partition: cents, moves and the last note.
pub(crate) async fn folded(
    store: &SqliteStore,
    up_to: impl Fn(Partition) -> Position,
) -> std::collections::BTreeMap<String, (i64, i64, String)> {
    let mut accounts = std::collections::BTreeMap::new();
    for event in crate::support::whole_log(store, pacioli_core::Filter::default()).await {
        let kind = event.event_type.as_str();
        if event.position > up_to(event.partition) || !matches!(kind, "Deposited" | "Withdrawn") {
            continue;
        }
        let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).expect("JSON");
        let cents = data["cents"].as_i64().expect("cents");
        let account = accounts.entry(event.stream.as_str().to_owned()).or_insert((0, 0, String::new()));
        account.0 += if kind == "Deposited" { cents } else { -cents };
        account.1 += 1;
        account.2 = data["note"].as_str().expect("a note").to_owned();
    }
    accounts
}

/// The balances as an independent fold has them.
pub(crate) fn folded_rows(accounts: &std::collections::BTreeMap<String, (i64, i64, String)>) -> Vec<Vec<Value>> {
    let row = |(account, (cents, moves, note)): (&String, &(i64, i64, String))| {
        vec![text(account), Value::Int(*cents), Value::Int(*moves), text(note)]
    };
    accounts.iter().map(row).collect()
}

/// The balances that are served.
pub(crate) async fn balances(models: &SqliteModels) -> Vec<Vec<Value>> {
    rows(models, "SELECT account, cents, moves, last_note FROM balances ORDER BY account").await
}

pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}

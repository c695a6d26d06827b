//! What a projection in the append's transaction costs.
//!
//! `cargo bench -p pacioli-sqlite --bench sync_projections -- [--appends N] [--only ways|store]` (default 100,000 appends of one
//! event for each line). Accounts are drawn from 100,000.
//!
//! `ways` compares what keeps a refused append from harming the others of its batch, on bare files: trying all of them in
//! one transaction, a savepoint an append, or one for many appends. A log's row is inserted and a row is written in an attached file, both WAL; the
//! log is synced at each COMMIT and the read model is not, because it can be made again from the log.
//!
//! `store` measures the store itself without projections and with some.
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use pacioli_core::{Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_projection::Projection;
use pacioli_projection::engine::Engine;
use pacioli_projection::file::listed;
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};
use rusqlite::{Connection, params};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ACCOUNTS: u64 = 100_000;

/// What the projection keeps.
#[derive(Clone, Copy, Debug)]
enum Table {
    /// A sum an account.
    Balances,
    /// A full-text index of notes.
    FullText,
}

/// How a batch is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// No projection.
    LogOnly,
    /// All appends in one go; with a refused one everything is rolled back and done again with savepoints.
    Optimistic,
    /// A savepoint around what the projection does for each append.
    Savepoints,
    /// A savepoint for so many appends; behind a refused one those before it are run again, and the next savepoint is for one,
    /// then for two, and so on.
    Many(u64),
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut appends = 100_000_u64;
    let mut only = String::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--appends" => appends = arguments.next().ok_or("--appends takes a number")?.replace('_', "").parse()?,
            "--only" => only = arguments.next().ok_or("--only takes `ways` or `store`")?,
            _ => {}
        }
    }
    println!("{appends} appends of one event over {ACCOUNTS} accounts");
    if only != "store" {
        compare_ways(appends)?;
    }
    if only != "ways" {
        tokio::runtime::Runtime::new()?.block_on(measure_store(appends))?;
    }
    Ok(())
}

fn compare_ways(appends: u64) -> Outcome<()> {
    println!(
        "{:>10} {:>6} {:>22} {:>12} {:>12} {:>12} {:>12}",
        "table", "batch", "refused", "way", "cpu us each", "p50 batch ms", "p99 batch ms"
    );
    for table in [Table::Balances, Table::FullText] {
        for batch in [1, 100, 1_000] {
            let appends = if batch == 1 { appends.min(20_000) } else { appends };
            let refusals = [(0, 1), (1, 10), (1, 1), (batch / 10, 1)];
            for (of_batch, every) in refusals.into_iter().take(if batch == 1 { 1 } else { refusals.len() }) {
                if of_batch == 0 {
                    report(table, Way::LogOnly, appends, batch, (0, 1))?;
                }
                report(table, Way::Optimistic, appends, batch, (of_batch, every))?;
                report(table, Way::Savepoints, appends, batch, (of_batch, every))?;
                for many in [16, 64, 256] {
                    report(table, Way::Many(many), appends, batch, (of_batch, every))?;
                }
            }
        }
    }
    Ok(())
}

fn report(table: Table, way: Way, appends: u64, batch: u64, refused: (u64, u64)) -> Outcome<()> {
    let (mut took, computed) = measure(table, way, appends, batch, refused)?;
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let refused = match refused {
        (0, _) => "none".to_owned(),
        (of_batch, 1) => format!("{of_batch} of each batch"),
        (of_batch, every) => format!("{of_batch} of every {every}th"),
    };
    println!(
        "{:>10} {batch:>6} {refused:>22} {:>12} {:>12.2} {:>12.2} {:>12.2}",
        format!("{table:?}"),
        format!("{way:?}"),
        computed.as_secs_f64() * 1e6 / appends as f64,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

fn measure(
    table: Table,
    way: Way,
    appends: u64,
    batch: u64,
    (refused, every): (u64, u64),
) -> Outcome<(Vec<Duration>, Duration)> {
    let directory = tempfile::tempdir()?;
    let conn = open(directory.path(), way)?;
    let mut took = Vec::new();
    let mut position = 0;
    let before = computed()?;
    for number in 0..appends / batch {
        // Refused ones lie evenly spread over the batch.
        let is_refused =
            |index: u64| refused > 0 && number % every == 0 && index % (batch / refused) == batch / refused / 2;
        let began = Instant::now();
        position = one_batch(&conn, table, way, position, batch, is_refused)?;
        took.push(began.elapsed());
        if position % 20_000 < batch {
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
    }
    Ok((took, computed()? - before))
}

/// How long this thread has computed: on a machine with other work that says more than the clock does.
fn computed() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("the kernel does not say how long a thread computed")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// How long all threads of this process have computed, to a hundredth of a second.
fn computed_by_all() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = behind_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
}

fn one_batch(
    conn: &Connection,
    table: Table,
    way: Way,
    after: u64,
    batch: u64,
    is_refused: impl Fn(u64) -> bool,
) -> Outcome<u64> {
    let mut way = way;
    'again: loop {
        let mut position = after;
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        if way != Way::LogOnly {
            let mut upsert = conn.prepare_cached(match table {
                Table::Balances => {
                    "INSERT INTO balances (account, cents) VALUES (?1, json_extract(?2, '$.cents'))
                     ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents"
                }
                Table::FullText => "INSERT INTO notes (note) VALUES (?1 || ' moved ' || json_extract(?2, '$.cents'))",
            })?;
            let mut run = |index: u64| {
                let data = if is_refused(index) { r#"{"cents":"# } else { r#"{"cents":12}"# };
                upsert.execute(params![account_of(after + index), data]).is_ok()
            };
            let savepoint = |statement: &str| -> Outcome<()> {
                conn.prepare_cached(statement)?.execute([])?;
                Ok(())
            };
            // Since which append the savepoint is, and for how many it may be.
            let (mut since, mut many) = (0, if let Way::Many(many) = way { many } else { 1 });
            for index in 0..batch {
                if way != Way::Optimistic && (index == 0 || index - since >= many) {
                    if index > 0 {
                        savepoint("RELEASE appends")?;
                    }
                    savepoint("SAVEPOINT appends")?;
                    since = index;
                    many = if let Way::Many(most) = way { (many * 2).min(most) } else { 1 };
                }
                if run(index) {
                    continue;
                }
                if way == Way::Optimistic {
                    savepoint("ROLLBACK")?;
                    way = Way::Savepoints;
                    continue 'again;
                }
                savepoint("ROLLBACK TO appends")?;
                (since..index).filter(|index| !is_refused(*index)).for_each(|index| assert!(run(index)));
                many = 1;
            }
            if way != Way::Optimistic {
                savepoint("RELEASE appends")?;
            }
            conn.prepare_cached("UPDATE progress SET position = ?1")?.execute([(after + batch) as i64])?;
        }
        let mut insert = conn.prepare_cached("INSERT INTO log (position, stream, data) VALUES (?1, ?2, ?3)")?;
        for index in 0..batch {
            if way == Way::LogOnly || !is_refused(index) {
                position += 1;
                insert.execute(params![position as i64, account_of(after + index), "x".repeat(200)])?;
            }
        }
        conn.prepare_cached("COMMIT")?.execute([])?;
        return Ok(position);
    }
}

fn account_of(number: u64) -> String {
    format!("account-{}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ACCOUNTS)
}

fn open(directory: &Path, way: Way) -> Outcome<Connection> {
    let conn = Connection::open(directory.join("log.db"))?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32768;
         CREATE TABLE log (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, data TEXT NOT NULL);",
    )?;
    if way != Way::LogOnly {
        conn.execute("ATTACH ?1 AS model", [directory.join("model.db").display().to_string()])?;
        conn.execute_batch(
            "PRAGMA model.journal_mode = WAL; PRAGMA model.synchronous = NORMAL; PRAGMA model.cache_size = -32768;
             CREATE TABLE model.balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL);
             CREATE VIRTUAL TABLE model.notes USING fts5 (note);
             CREATE TABLE model.progress (position INTEGER NOT NULL);
             INSERT INTO model.progress VALUES (0);",
        )?;
        let mut fill = conn.prepare("INSERT INTO balances VALUES (?1, 0)")?;
        conn.execute_batch("BEGIN")?;
        for account in 0..ACCOUNTS {
            fill.execute([format!("account-{account}")])?;
        }
        conn.execute_batch("COMMIT")?;
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(conn)
}

const BALANCES: &str = "-- projection: balances_N
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE balances_N (account TEXT PRIMARY KEY, cents BIGINT NOT NULL CHECK (cents >= 0)) WITHOUT ROWID;

-- on: Moved
INSERT INTO balances_N (account, cents) VALUES (:stream, :data.cents)
ON CONFLICT (account) DO UPDATE SET cents = balances_N.cents + excluded.cents;
";

const NOTES: &str = "-- projection: notes
-- version: 1
-- mode: sync
-- category: account

CREATE VIRTUAL TABLE notes USING fts5 (note);

-- on: Moved
INSERT INTO notes (note) VALUES (:stream || ' moved ' || :data.cents);
";

/// Which projections a store has, and how many of its appends one of them refuses.
const STORES: [(&str, usize, bool, u64); 6] = [
    ("no projection", 0, false, 0),
    ("one, of another category", 1, false, 0),
    ("one", 1, false, 0),
    ("four", 4, false, 0),
    ("one, full text", 0, true, 0),
    ("one, 1 in 500 refused", 1, false, 500),
];

async fn measure_store(appends: u64) -> Outcome<()> {
    println!(
        "{:>26} {:>10} {:>12} {:>12} {:>10} {:>10}",
        "projections", "in flight", "appends/s", "cpu us each", "p50 ms", "p99 ms"
    );
    for in_flight in [1, 100, 1_000] {
        for (name, balances, notes, refused) in STORES {
            let appends = if in_flight == 1 { appends.min(5_000) } else { appends };
            let category = if name.contains("other") { "other" } else { "account" };
            let directory = tempfile::tempdir()?;
            let store = SqliteStore::open(directory.path(), SqliteOptions::default())?;
            let models = SqliteModels::open(&store, None)?;
            for number in 0..balances {
                serve(&models, &BALANCES.replace("_N", &format!("_{number}"))).await?;
            }
            if notes {
                serve(&models, NOTES).await?;
            }
            let (began, before) = (Instant::now(), computed_by_all()?);
            let tasks: Vec<_> = (0..in_flight)
                .map(|task| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let mut took = Vec::new();
                        for number in (task..appends).step_by(in_flight as usize) {
                            let sent = Instant::now();
                            let is_refused = refused > 0 && number % refused == 0;
                            let stored = store.append(moved(category, number, is_refused)).await;
                            assert!(
                                matches!(
                                    (stored, is_refused),
                                    (Ok(AppendOutcome::Appended(_)), false) | (Ok(AppendOutcome::Refused(_)), true)
                                ),
                                "every append has its outcome"
                            );
                            took.push(sent.elapsed());
                        }
                        took
                    })
                })
                .collect();
            let mut took = Vec::new();
            for task in tasks {
                took.extend(task.await?);
            }
            let rate = appends as f64 / began.elapsed().as_secs_f64();
            took.sort_unstable();
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            let computed = (computed_by_all()? - before).as_secs_f64() * 1e6 / appends as f64;
            println!("{name:>26} {in_flight:>10} {rate:>12.0} {computed:>12.1} {:>10.2} {:>10.2}", at(0.5), at(0.99));
        }
    }
    Ok(())
}

async fn serve(models: &SqliteModels, text: &str) -> Outcome<()> {
    let projection = Projection::parse("bench.sql", text).map_err(|findings| listed(&findings))?;
    let begun = models.begin(&projection, 1).await?;
    models.swap(&projection.name, begun.number).await?;
    Ok(())
}

fn moved(category: &str, number: u64, is_refused: bool) -> pacioli_core::append::AppendRequest {
    let account = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ACCOUNTS;
    let cents = if is_refused { -1_000_000_000_000 } else { 12_i64 };
    let data = format!("{{\"cents\":{cents},\"note\":\"{}\"}}", "x".repeat(170));
    // Ids ascend as those do that clients make.
    let id = Uuid::from_u128(u128::from(number) << 64 | 0x7000_0000_8000_0000);
    let event_type = EventType::from_storage("Moved");
    let event = NewEvent::json(EventId(id), event_type, data);
    Append::to(StreamName::from_storage(format!("{category}-{account}")), ExpectedVersion::Any, vec![event])
}

//! What a projection in the append's transaction costs, and what keeps a refused append from harming the others of its
//! batch: trying all of them in one transaction, or a savepoint an append.
//!
//! `cargo bench -p pacioli-sqlite --bench sync_projections -- [--appends N]` (default 100,000 appends of one event for each
//! line). A log's row is inserted and a balance is upserted in an attached file, both WAL; the log is synced at each COMMIT
//! and the read model is not, because it can be made again from the log. Accounts are drawn from 100,000.
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

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
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut appends = 100_000_u64;
    while let Some(argument) = arguments.next() {
        if argument == "--appends" {
            appends = arguments.next().ok_or("--appends takes a number")?.replace('_', "").parse()?;
        }
    }
    println!("{appends} appends of one event over {ACCOUNTS} accounts");
    println!(
        "{:>10} {:>6} {:>22} {:>12} {:>12} {:>12} {:>12}",
        "table", "batch", "refused", "way", "us/append", "p50 batch ms", "p99 batch ms"
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
            }
        }
    }
    Ok(())
}

fn report(table: Table, way: Way, appends: u64, batch: u64, refused: (u64, u64)) -> Outcome<()> {
    let mut took = measure(table, way, appends, batch, refused)?;
    took.sort_unstable();
    let total: Duration = took.iter().sum();
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
        total.as_secs_f64() * 1e6 / appends as f64,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

fn measure(table: Table, way: Way, appends: u64, batch: u64, (refused, every): (u64, u64)) -> Outcome<Vec<Duration>> {
    let directory = tempfile::tempdir()?;
    let conn = open(directory.path(), way)?;
    let mut took = Vec::new();
    let mut position = 0;
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
    Ok(took)
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
            for index in 0..batch {
                let account = account_of(after + index);
                let data = if is_refused(index) { r#"{"cents":"# } else { r#"{"cents":12}"# };
                if way == Way::Savepoints {
                    conn.prepare_cached("SAVEPOINT an_append")?.execute([])?;
                }
                let applied = upsert.execute(params![account, data]).is_ok();
                match (way, applied) {
                    (Way::Savepoints, true) => {
                        conn.prepare_cached("RELEASE an_append")?.execute([])?;
                    }
                    (Way::Savepoints, false) => {
                        conn.prepare_cached("ROLLBACK TO an_append")?.execute([])?;
                        conn.prepare_cached("RELEASE an_append")?.execute([])?;
                    }
                    (_, true) => {}
                    (_, false) => {
                        conn.prepare_cached("ROLLBACK")?.execute([])?;
                        way = Way::Savepoints;
                        continue 'again;
                    }
                }
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

//! Two layouts of the secondary indexes side by side: `WITHOUT ROWID` rows in sorted runs, and packed blocks.
//!
//! `cargo bench -p pacioli-sqlite --bench index_layouts -- [--entries N]` (default 1,000,000 events). Each event
//! brings one entry of the id kind (random keys) and one of the stream kind. Both layouts freeze, flush and merge 16 to
//! 1 at the same places, in transactions of 100 events, in a WAL database with `synchronous=OFF`: this measures the
//! processor and the bytes, not the disk.
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use pacioli_sqlite::index::{CREATE_TABLES, Direction, IndexKind, IndexOptions, Indexes};
use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn Error>>;

const EVENTS_A_COMMIT: u64 = 100;
const EVENTS_A_RUN: u64 = 50_000;
const FAN_IN: usize = 16;
const STREAMS: u64 = 100_000;
/// What a slice may write: as many entries in rows as in blocks.
const ROWS_A_SLICE: usize = 2_000;
const BLOCKS_A_SLICE: usize = 8;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut events = 1_000_000_u64;
    while let Some(argument) = arguments.next() {
        if argument == "--entries" {
            events = arguments.next().ok_or("--entries takes a number")?.replace('_', "").parse()?;
        }
    }
    events = events.clamp(1_000, 100_000_000);
    println!("{events} events, an id entry and a stream entry each; runs of {EVENTS_A_RUN}, {FAN_IN} merge into 1");
    println!(
        "{:26} {:>9} {:>12} {:>12} {:>12} {:>12}",
        "layout", "ns/entry", "bytes/entry", "file b/entry", "longest", "get"
    );
    let rows = measure(&mut Rows::default(), events, "without rowid, rows")?;
    let blocks = measure(&mut Blocks::default(), events, "packed blocks")?;
    println!(
        "rows cost {:.2} times the time and {:.2} times the bytes of packed blocks",
        rows.nanoseconds / blocks.nanoseconds,
        rows.live_bytes / blocks.live_bytes
    );
    all_kinds(events)
}

struct Measured {
    nanoseconds: f64,
    live_bytes: f64,
}

trait Layout {
    fn open(&mut self, conn: &Connection) -> Outcome<()>;
    /// Takes one commit's entries and does a slice of work.
    fn commit(&mut self, conn: &Connection, entries: &[(IndexKind, u128, u64)]) -> Outcome<()>;
    /// Does all work that is left.
    fn settle(&mut self, conn: &Connection) -> Outcome<()>;
    fn get(&self, conn: &Connection, kind: IndexKind, key: u128) -> Outcome<Option<u64>>;
}

fn database(path: &Path) -> Outcome<Connection> {
    let conn = Connection::open(path)?;
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=4000;",
    )?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn measure(layout: &mut impl Layout, events: u64, name: &str) -> Outcome<Measured> {
    let folder = tempfile::tempdir()?;
    let conn = database(&folder.path().join("index.db"))?;
    layout.open(&conn)?;
    let mut longest = Duration::ZERO;
    let mut entries = Vec::new();
    let mut streams = Streams::new();
    let mut spent = Duration::ZERO;
    for first in (0..events).step_by(EVENTS_A_COMMIT as usize) {
        entries.clear();
        for rowid in first..(first + EVENTS_A_COMMIT).min(events) {
            entries.push((IndexKind::Id, id_of(rowid), rowid));
            entries.push((IndexKind::Stream, streams.next_key(rowid), rowid));
        }
        let begun = Instant::now();
        layout.commit(&conn, &entries)?;
        spent += begun.elapsed();
        longest = longest.max(begun.elapsed());
    }
    let begun = Instant::now();
    layout.settle(&conn)?;
    spent += begun.elapsed();

    let reads = 20_000_u64.min(events);
    let begun = Instant::now();
    for n in 0..reads {
        let rowid = mix(n) % events;
        assert_eq!(layout.get(&conn, IndexKind::Id, id_of(rowid))?, Some(rowid), "an entry was lost");
    }
    let get = begun.elapsed().as_nanos() as f64 / reads as f64;
    let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (pages, free, page) = (pragma("page_count")?, pragma("freelist_count")?, pragma("page_size")?);
    let count = (events * 2) as f64;
    let measured =
        Measured { nanoseconds: spent.as_nanos() as f64 / count, live_bytes: ((pages - free) * page) as f64 / count };
    println!(
        "{name:26} {:>9.0} {:>12.1} {:>12.1} {:>9.1} ms {:>9.1} us",
        measured.nanoseconds,
        measured.live_bytes,
        (pages * page) as f64 / count,
        longest.as_secs_f64() * 1e3,
        get / 1e3
    );
    Ok(measured)
}

/// The packed layout with what a real event brings: id, stream, type, category and a tag, and now and then a new
/// stream's name. Tells how the time divides.
fn all_kinds(events: u64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let conn = database(&folder.path().join("index.db"))?;
    let mut layout = Blocks::default();
    layout.open(&conn)?;
    layout.every = true;
    let mut entries = Vec::new();
    let mut streams = Streams::new();
    let (mut spent, mut longest) = (Duration::ZERO, Duration::ZERO);
    let hash = |number: u64| u128::from(mix(number)) << 64;
    let mut written = 0;
    for first in (0..events).step_by(EVENTS_A_COMMIT as usize) {
        entries.clear();
        for rowid in first..(first + EVENTS_A_COMMIT).min(events) {
            let random = mix(rowid);
            entries.push((IndexKind::Id, uuid_v7_like(rowid), rowid));
            entries.push((IndexKind::Stream, streams.next_key(rowid), rowid));
            entries.push((IndexKind::Type, hash(random % 50) | u128::from(rowid), 0));
            entries.push((IndexKind::Category, hash(1_000 + random % 10) | u128::from(rowid), 0));
            entries.push((IndexKind::Tag, hash(2_000 + random % STREAMS) | u128::from(rowid), 0));
            if rowid % 20 == 0 {
                entries.push((IndexKind::Name, id_of(rowid ^ 1 << 60), rowid));
                entries.push((IndexKind::CategoryStreams, hash(1_000 + random % 10) | u128::from(rowid), 0));
            }
        }
        written += entries.len();
        let begun = Instant::now();
        layout.commit(&conn, &entries)?;
        spent += begun.elapsed();
        longest = longest.max(begun.elapsed());
    }
    let begun = Instant::now();
    layout.settle(&conn)?;
    spent += begun.elapsed();
    let indexes = layout.indexes.as_ref().ok_or("open first")?;
    let begun = Instant::now();
    let found = indexes.view().scan(
        &conn,
        IndexKind::Type,
        hash(7),
        hash(7) | u128::from(u64::MAX),
        1_000,
        Direction::Forward,
    )?;
    let scan = begun.elapsed();
    println!(
        "packed blocks, all kinds: {:.0} ns an event ({:.1} entries; {:.0} ns of it in the tail), longest commit {:.1} ms, \
         {:.1} MiB of memory, {} of a type scanned in {:.0} us",
        spent.as_nanos() as f64 / events as f64,
        written as f64 / events as f64,
        layout.in_tail.as_nanos() as f64 / events as f64,
        longest.as_secs_f64() * 1e3,
        indexes.memory_bytes() as f64 / 1_048_576.0,
        found.len(),
        scan.as_secs_f64() * 1e6
    );
    Ok(())
}

/// This crate's structure.
#[derive(Default)]
struct Blocks {
    indexes: Option<Indexes>,
    in_tail: Duration,
    every: bool,
}

impl Blocks {
    fn slice(&mut self, conn: &Connection, blocks: usize) -> Outcome<bool> {
        let indexes = self.indexes.as_mut().ok_or("open first")?;
        let transaction = conn.unchecked_transaction()?;
        let worked = indexes.work(&transaction, blocks)?;
        transaction.commit()?;
        indexes.committed();
        Ok(worked.idle)
    }
}

impl Layout for Blocks {
    fn open(&mut self, conn: &Connection) -> Outcome<()> {
        for statement in CREATE_TABLES {
            conn.execute_batch(statement)?;
        }
        let options = IndexOptions { freeze_at_entries: EVENTS_A_RUN as usize };
        self.indexes = Some(Indexes::open_with(conn, options)?.0);
        Ok(())
    }

    fn commit(&mut self, conn: &Connection, entries: &[(IndexKind, u128, u64)]) -> Outcome<()> {
        let indexes = self.indexes.as_mut().ok_or("open first")?;
        let begun = Instant::now();
        indexes.apply(entries.iter().copied());
        self.in_tail += begun.elapsed();
        if indexes.should_freeze() {
            indexes.freeze(String::new());
        }
        self.slice(conn, if self.every { 2 * BLOCKS_A_SLICE } else { BLOCKS_A_SLICE }).map(drop)
    }

    fn settle(&mut self, conn: &Connection) -> Outcome<()> {
        while !self.slice(conn, BLOCKS_A_SLICE)? {}
        self.indexes.as_mut().ok_or("open first")?.freeze(String::new());
        while !self.slice(conn, BLOCKS_A_SLICE)? {}
        Ok(())
    }

    fn get(&self, conn: &Connection, kind: IndexKind, key: u128) -> Outcome<Option<u64>> {
        Ok(self.indexes.as_ref().ok_or("open first")?.view().get(conn, kind, key)?)
    }
}

/// The plain layout: one row an entry, keyed by run and key. Min and max a run, no filter.
#[derive(Default)]
struct Rows {
    tail: [BTreeMap<u128, u64>; 2],
    /// Run, level, first key, last key; newest last.
    runs: [Vec<(i64, u32, u128, u128)>; 2],
    last_run: i64,
    jobs: std::collections::VecDeque<RowJob>,
}

enum RowJob {
    Flush { kind: usize, run: i64, rows: BTreeMap<u128, u64>, span: (u128, u128) },
    Merge { kind: usize, run: i64, inputs: Vec<i64>, level: u32, span: (u128, u128), heads: Option<Vec<RowHead>> },
    Delete { kind: usize, runs: Vec<i64> },
}

/// A merge input's buffered rows, last one first.
struct RowHead {
    run: i64,
    rows: Vec<(u128, u64)>,
}

const TABLES: [&str; 2] = ["row_ids", "row_streams"];

impl Rows {
    /// Reads the next rows of a run behind a key.
    fn fill(conn: &Connection, kind: usize, head: &mut RowHead, behind: Option<u128>) -> Outcome<()> {
        let sql = format!(
            "SELECT upper, lower, value FROM {} WHERE run = ?1 AND (upper, lower) > (?2, ?3) ORDER BY upper, lower LIMIT 256",
            TABLES[kind]
        );
        let (upper, lower) = behind.map_or((i64::MIN, i64::MIN), halves);
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params![head.run, upper, lower], |row| {
            Ok((whole(row.get(0)?, row.get(1)?), row.get::<_, i64>(2)? as u64))
        })?;
        head.rows = rows.collect::<Result<_, _>>()?;
        head.rows.reverse();
        Ok(())
    }

    fn slice(&mut self, conn: &Connection) -> Outcome<bool> {
        let Some(mut job) = self.jobs.pop_front() else { return Ok(true) };
        let transaction = conn.unchecked_transaction()?;
        let insert = |kind: usize| {
            conn.prepare_cached(&format!(
                "INSERT INTO {} (run, upper, lower, value) VALUES (?1, ?2, ?3, ?4)",
                TABLES[kind]
            ))
        };
        let finished = match &mut job {
            RowJob::Flush { kind, run, rows, .. } => {
                let mut statement = insert(*kind)?;
                for _ in 0..ROWS_A_SLICE {
                    let Some((key, value)) = rows.pop_first() else { break };
                    let (upper, lower) = halves(key);
                    statement.execute(params![*run, upper, lower, value as i64])?;
                }
                rows.is_empty()
            }
            RowJob::Merge { kind, run, inputs, heads, .. } => {
                let heads = heads.get_or_insert_with(Vec::new);
                if heads.is_empty() {
                    for input in inputs.iter() {
                        let mut head = RowHead { run: *input, rows: Vec::new() };
                        Self::fill(conn, *kind, &mut head, None)?;
                        heads.push(head);
                    }
                }
                let mut statement = insert(*kind)?;
                for _ in 0..ROWS_A_SLICE {
                    let Some(least) = heads
                        .iter_mut()
                        .filter(|head| !head.rows.is_empty())
                        .min_by_key(|head| head.rows[head.rows.len() - 1].0)
                    else {
                        break;
                    };
                    let Some((key, value)) = least.rows.pop() else { break };
                    let (upper, lower) = halves(key);
                    statement.execute(params![*run, upper, lower, value as i64])?;
                    if least.rows.is_empty() {
                        Self::fill(conn, *kind, least, Some(key))?;
                    }
                }
                heads.iter().all(|head| head.rows.is_empty())
            }
            RowJob::Delete { kind, runs } => {
                // The key behind the slice, then a range delete: cheaper than naming each row.
                let table = TABLES[*kind];
                let behind = format!(
                    "SELECT upper, lower FROM {table} WHERE run = ?1 ORDER BY upper, lower LIMIT 1 OFFSET {ROWS_A_SLICE}"
                );
                let mut statement = conn.prepare_cached(&behind)?;
                let mut rows = statement.query([runs[0]])?;
                match rows
                    .next()?
                    .map(|row| Ok::<(i64, i64), rusqlite::Error>((row.get(0)?, row.get(1)?)))
                    .transpose()?
                {
                    Some((upper, lower)) => {
                        let sql = format!("DELETE FROM {table} WHERE run = ?1 AND (upper, lower) < (?2, ?3)");
                        conn.prepare_cached(&sql)?.execute(params![runs[0], upper, lower])?;
                    }
                    None => {
                        conn.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([runs[0]])?;
                        runs.remove(0);
                    }
                }
                runs.is_empty()
            }
        };
        transaction.commit()?;
        if finished {
            self.finish(job);
        } else {
            self.jobs.push_front(job);
        }
        Ok(false)
    }

    fn finish(&mut self, job: RowJob) {
        let kind = match job {
            RowJob::Flush { kind, run, span, .. } => {
                self.runs[kind].push((run, 0, span.0, span.1));
                kind
            }
            RowJob::Merge { kind, run, inputs, level, span, .. } => {
                let Some(at) = self.runs[kind].iter().position(|known| known.0 == inputs[0]) else { return };
                self.runs[kind].splice(at..at + inputs.len(), [(run, level, span.0, span.1)]);
                self.jobs.push_back(RowJob::Delete { kind, runs: inputs });
                kind
            }
            RowJob::Delete { .. } => return,
        };
        let full = |runs: &&[(i64, u32, u128, u128)]| runs.len() >= FAN_IN;
        if let Some(level) = self.runs[kind].chunk_by(|older, newer| older.1 == newer.1).rfind(full) {
            let inputs: Vec<i64> = level[..FAN_IN].iter().map(|run| run.0).collect();
            let taken = |job: &RowJob| matches!(job, RowJob::Merge { inputs: taken, .. } if taken[0] == inputs[0]);
            if !self.jobs.iter().any(taken) {
                let span =
                    level[..FAN_IN].iter().fold((u128::MAX, 0), |span, run| (span.0.min(run.2), span.1.max(run.3)));
                self.last_run += 1;
                self.jobs.push_back(RowJob::Merge {
                    kind,
                    run: self.last_run,
                    inputs,
                    level: level[0].1 + 1,
                    span,
                    heads: None,
                });
            }
        }
    }

    fn freeze(&mut self) {
        for kind in 0..2 {
            let rows = std::mem::take(&mut self.tail[kind]);
            if let (Some((first, _)), Some((last, _))) = (rows.first_key_value(), rows.last_key_value()) {
                self.last_run += 1;
                let span = (*first, *last);
                self.jobs.push_front(RowJob::Flush { kind, run: self.last_run, rows, span });
            }
        }
    }
}

impl Layout for Rows {
    fn open(&mut self, conn: &Connection) -> Outcome<()> {
        for table in TABLES {
            conn.execute_batch(&format!(
                "CREATE TABLE {table} (run INTEGER, upper INTEGER, lower INTEGER, value INTEGER, PRIMARY KEY (run, upper, lower)) WITHOUT ROWID"
            ))?;
        }
        Ok(())
    }

    fn commit(&mut self, conn: &Connection, entries: &[(IndexKind, u128, u64)]) -> Outcome<()> {
        for (kind, key, value) in entries {
            self.tail[usize::from(*kind == IndexKind::Stream)].insert(*key, *value);
        }
        if self.tail[0].len() as u64 >= EVENTS_A_RUN {
            self.freeze();
        }
        self.slice(conn).map(drop)
    }

    fn settle(&mut self, conn: &Connection) -> Outcome<()> {
        self.freeze();
        while !self.slice(conn)? {}
        Ok(())
    }

    fn get(&self, conn: &Connection, kind: IndexKind, key: u128) -> Outcome<Option<u64>> {
        let kind = usize::from(kind == IndexKind::Stream);
        let (upper, lower) = halves(key);
        let sql = format!("SELECT value FROM {} WHERE run = ?1 AND upper = ?2 AND lower = ?3", TABLES[kind]);
        let mut statement = conn.prepare_cached(&sql)?;
        for run in self.runs[kind].iter().rev().filter(|run| (run.2..=run.3).contains(&key)) {
            let mut rows = statement.query(params![run.0, upper, lower])?;
            if let Some(row) = rows.next()? {
                return Ok(Some(row.get::<_, i64>(0)? as u64));
            }
        }
        Ok(None)
    }
}

/// The halves of a key as SQLite's signed integers, in the same order.
fn halves(key: u128) -> (i64, i64) {
    (((key >> 64) as u64 ^ 1 << 63) as i64, (key as u64 ^ 1 << 63) as i64)
}

fn whole(upper: i64, lower: i64) -> u128 {
    u128::from(upper as u64 ^ 1 << 63) << 64 | u128::from(lower as u64 ^ 1 << 63)
}

fn id_of(rowid: u64) -> u128 {
    u128::from(mix(rowid)) << 64 | u128::from(mix(!rowid))
}

/// Time ordered by the millisecond, random below.
fn uuid_v7_like(rowid: u64) -> u128 {
    u128::from(1_700_000_000_000 + rowid / 80) << 80 | id_of(rowid) >> 48
}

/// The last version of each stream.
struct Streams(Vec<u64>);

impl Streams {
    fn new() -> Self {
        Self(vec![0; STREAMS as usize])
    }

    /// The key of the next version of a random stream.
    fn next_key(&mut self, rowid: u64) -> u128 {
        let stream = mix(rowid) % STREAMS;
        let version = &mut self.0[stream as usize];
        *version += 1;
        u128::from(stream) << 64 | u128::from(*version)
    }
}

/// Cheap numbers that repeat.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! How fast read models are filled and read on SQLite.
//!
//! `cargo bench -p pacioli-sqlite --bench read_models -- [--events N] [--streams N] [--only WORD]` (default 1,000,000 events of
//! 200 bytes of JSON over 100,000 streams). Prints rates of a rebuild by event and by set, batches of 500 against one event a
//! transaction, the latency of point reads, and how long an aggregate over the log takes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::{
    Append, Epoch, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Partition, Position, StreamName,
};
use pacioli_projection::Projection;
use pacioli_projection::engine::{Advance, Build, Engine, Lookup, Query, QueryLimits};
use pacioli_projection::file::listed;
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const TYPES: [&str; 8] = [
    "AccountOpened",
    "MoneyDeposited",
    "MoneyWithdrawn",
    "AccountFrozen",
    "LimitRaised",
    "CardIssued",
    "CardBlocked",
    "AddressChanged",
];

const BY_EVENT: &str = "-- projection: by_event
-- version: 1
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL, moves BIGINT NOT NULL, last_at TEXT NOT NULL) WITHOUT ROWID;

-- on: *
INSERT INTO balances (account, cents, moves, last_at) VALUES (:stream, :data.cents, 1, :recorded_at)
ON CONFLICT (account) DO UPDATE
SET cents = balances.cents + excluded.cents, moves = balances.moves + 1, last_at = excluded.last_at;
";

const BY_SET: &str = "-- projection: by_set
-- version: 1
-- category: account

CREATE TABLE totals (type TEXT NOT NULL, month TEXT NOT NULL, events BIGINT NOT NULL, cents BIGINT NOT NULL, PRIMARY KEY (type, month));

-- on batch:
INSERT INTO totals (type, month, events, cents)
SELECT type, substr(occurred_at, 1, 7), count(*), sum(data ->> 'cents') FROM batch WHERE true GROUP BY 1, 2
ON CONFLICT (type, month) DO UPDATE SET events = totals.events + excluded.events, cents = totals.cents + excluded.cents;
";

const BY_SET_ROWS: &str = "-- projection: by_set_rows
-- version: 1
-- category: account

CREATE TABLE moves (account TEXT PRIMARY KEY, cents BIGINT NOT NULL, moves BIGINT NOT NULL) WITHOUT ROWID;

-- on batch:
INSERT INTO moves (account, cents, moves)
SELECT stream, sum(data ->> 'cents'), count(*) FROM batch WHERE true GROUP BY 1
ON CONFLICT (account) DO UPDATE SET cents = moves.cents + excluded.cents, moves = moves.moves + excluded.moves;
";

struct Options {
    events: u64,
    streams: u64,
    only: Option<String>,
}

fn main() -> Outcome<()> {
    let mut options = Options { events: 1_000_000, streams: 100_000, only: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} takes a value"));
        match argument.as_str() {
            "--events" => options.events = value()?.replace('_', "").parse()?,
            "--streams" => options.streams = value()?.replace('_', "").parse()?,
            "--only" => options.only = Some(value()?),
            _ => {}
        }
    }
    tokio::runtime::Runtime::new()?.block_on(run(&options))
}

async fn run(options: &Options) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path(), SqliteOptions::default())?;
    let started = Instant::now();
    fill(&store, options).await?;
    println!("{} events appended in {:.1} s", options.events, started.elapsed().as_secs_f64());
    let models = SqliteModels::open(&store, None)?;
    let wants = |what: &str| options.only.as_deref().is_none_or(|only| what.contains(only));
    for (what, text, batch) in [
        ("set-based, aggregate", BY_SET, 5_000),
        ("set-based, a row a stream", BY_SET_ROWS, 5_000),
        ("per event", BY_EVENT, 5_000),
        ("rewind, per event", pacioli_sqlite::models::REWIND, 5_000),
    ] {
        if wants(what) {
            let before = processor_seconds();
            let taken = rebuild(&models, text, batch, options.events).await?;
            let used = (processor_seconds() - before) * 1e6 / options.events as f64;
            let rate = options.events as f64 / taken.as_secs_f64();
            println!("rebuild, {what}: {rate:.0} events/s, {used:.2} us of processor an event");
        }
    }
    if wants("batches") {
        batches(&models, options).await?;
    }
    if wants("point") {
        points(&models, options).await?;
    }
    for (what, sql) in [
        ("count of the log by type", "SELECT count(*) FROM events WHERE type = 'MoneyDeposited'"),
        ("GROUP BY type", "SELECT type, count(*) FROM events GROUP BY type"),
        ("GROUP BY type and month", "SELECT type, substr(occurred_at, 1, 7), count(*) FROM events GROUP BY 1, 2"),
        ("GROUP BY of data", "SELECT type, sum(data ->> 'cents') FROM events GROUP BY type"),
        ("aggregate of 100,000 rows", "SELECT count(*), sum(cents), max(moves) FROM balances"),
        ("aggregate of Rewind's states", "SELECT count(*), sum(state ->> 'cents') FROM rewind_streams"),
        ("Rewind by type", "SELECT type, count(*) FROM rewind_events GROUP BY type"),
    ] {
        if wants(what) {
            let mut times = Vec::new();
            for _ in 0..5 {
                let query = Query { sql: sql.to_owned(), as_of: None, limits: QueryLimits::default() };
                let started = Instant::now();
                let answer = models.query(query).await;
                if answer.is_ok() {
                    times.push(started.elapsed());
                }
            }
            if let Some(best) = times.iter().min() {
                println!("{what}: {:.0} ms (first {:.0} ms)", millis(*best), millis(times[0]));
            }
        }
    }
    Ok(())
}

/// Processor time of this process so far, all threads together; 0 where the system does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = behind_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

async fn fill(store: &SqliteStore, options: &Options) -> Outcome<()> {
    let mut waiting = Vec::new();
    let mut number = 0;
    while number < options.events {
        let stream = StreamName::new(format!("account-{}", (number / 10 * 7_919) % options.streams))?;
        let count = 10.min(options.events - number);
        let events = (number..number + count).map(event).collect::<Outcome<Vec<NewEvent>>>()?;
        let store = store.clone();
        waiting.push(tokio::spawn(async move { store.append(Append::to(stream, ExpectedVersion::Any, events)).await }));
        number += count;
        if waiting.len() == 500 {
            for task in waiting.drain(..) {
                task.await??;
            }
        }
    }
    for task in waiting {
        task.await??;
    }
    Ok(())
}

fn event(number: u64) -> Outcome<NewEvent> {
    let event_type = EventType::new(TYPES[(number % 8) as usize])?;
    let mut data = format!(
        "{{\"cents\":{},\"currency\":\"EUR\",\"reference\":\"invoice {number}\",\"channel\":{{\"kind\":\"web\",\"session\":{}}},\"note\":\"",
        number % 10_000,
        number * 31
    );
    while data.len() < 198 {
        data.push('x');
    }
    data.push_str("\"}");
    Ok(NewEvent::json(EventId(Uuid::now_v7()), event_type, data))
}

async fn rebuild(models: &SqliteModels, text: &str, batch: usize, up_to: u64) -> Outcome<Duration> {
    let projection = Projection::parse("bench.sql", text).map_err(|findings| listed(&findings))?;
    let build = Arc::new(models.begin(&projection, 1).await?);
    let started = Instant::now();
    advance(models, &build, batch, up_to).await?;
    Ok(started.elapsed())
}

async fn advance(models: &SqliteModels, build: &Arc<Build>, batch: usize, up_to: u64) -> Outcome<()> {
    let mut after = build.progress[0].position;
    while after < Position(up_to) {
        let wanted = Advance {
            build: Arc::clone(build),
            worker: 0,
            partition: Partition::ZERO,
            after,
            up_to: Position(up_to),
            events_max: batch,
            epoch: Epoch::FIRST,
        };
        after = models.advance(wanted).await?.position;
    }
    Ok(())
}

async fn batches(models: &SqliteModels, options: &Options) -> Outcome<()> {
    let mut rates = Vec::new();
    for (number, batch) in [500, 1].into_iter().enumerate() {
        let text =
            BY_EVENT.replace("by_event", &format!("batches_{number}")).replace("balances", &format!("b{number}"));
        let events = (options.events / 10).max(1_000);
        let taken = rebuild(models, &text, batch, events).await?;
        rates.push(events as f64 / taken.as_secs_f64());
        println!("batches of {batch}: {:.0} events/s", rates[number]);
    }
    println!("batches of 500 are {:.1} times as fast as one event a transaction", rates[0] / rates[1]);
    Ok(())
}

async fn points(models: &SqliteModels, options: &Options) -> Outcome<()> {
    let mut times = Vec::new();
    for number in 0..20_000_u64 {
        let account = format!("account-{}", number * 104_729 % options.streams);
        let lookup =
            Lookup { table: "balances".into(), equals: vec![("account".into(), account)], order: None, limit: 1 };
        let started = Instant::now();
        models.lookup(lookup, QueryLimits::default()).await?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("point read: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us", at(0.5), at(0.99), at(0.999));
    Ok(())
}

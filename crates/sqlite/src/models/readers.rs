//! Connections that answer queries: read-only, behind the wall, with the files of the builds that a statement names attached.
//!
//! Opening one takes a millisecond, so they are kept, each for its set of files, until a build of theirs stops serving.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use pacioli_core::schemas::Generation;
use pacioli_core::{Checkpoint, Partition, Timestamp};

use super::lifting;
use super::query::Bounds;
use super::text::{quoted, time};
use super::wall::{self, Leave, Purpose, Wall};
use super::window::EVENTS;
use crate::error::{Result, place};
use crate::store::Shared;

/// Connections kept for later, of all sets together.
const IDLE_MAX: usize = 32;
/// Instructions of SQLite's machine between two looks at the clock.
const INSTRUCTIONS_A_LOOK: i32 = 2_000;
/// Statements a connection keeps prepared.
const STATEMENTS_KEPT: usize = 64;
/// What the log is called where it is attached.
const LOG: &str = "pacioli_log";

/// A set of files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// Files of builds, with what may be read in each.
    pub(super) files: Vec<Source>,
    /// Whether the relation `events` is there, and which events.
    pub(super) events: Option<Events>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Tables and views.
    pub(super) relations: Vec<String>,
    /// Full-text tables.
    pub(super) full_text: Vec<String>,
}

/// Which events the relation `events` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// All of them.
    All,
    /// Those up to here.
    UpTo(Checkpoint),
    /// Those that had occurred by then.
    OccurredBy(Timestamp),
}

/// A connection that reads.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) conn: Connection,
    pub(super) wall: Wall,
    pub(super) pace: Arc<Pace>,
}

/// The bounds of the statement that runs.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bounds: Mutex<Option<Bounds>>,
}

impl Pace {
    /// What is run from now on has these bounds.
    pub(super) fn set(&self, bounds: Option<Bounds>) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Whether the statement has to end.
    fn is_over(&self) -> bool {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Bounds::are_over)
    }
}

impl Reader {
    /// Opens a connection over these files and the log.
    pub(super) fn open(sources: &Sources, shared: &Arc<Shared>) -> Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(":memory:", flags)?;
        conn.busy_timeout(Duration::from_secs(1))?;
        // Before the view is made: changing where temporary things are kept forgets them.
        conn.execute_batch(sql!("models/open_model_reader"))?;
        wall::harden(&conn)?;
        let mut leave = Leave::to(Purpose::Query);
        for (number, source) in sources.files.iter().enumerate() {
            let schema = format!("pacioli_{number}");
            attach(&conn, &source.path, &schema)?;
            leave = source.relations.iter().fold(leave, |leave, relation| leave.and(&schema, relation));
            leave = source.full_text.iter().fold(leave, |leave, relation| leave.and_full_text(&schema, relation));
        }
        if let Some(events) = &sources.events {
            attach(&conn, &shared.log, LOG)?;
            add_events(&conn, events, shared)?;
            leave = leave.and_behind(EVENTS, LOG, "log").and_behind(EVENTS, LOG, "types");
        }
        conn.execute_batch(sql!("models/read_only"))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        wall::limit(&conn)?;
        let pace = Arc::new(Pace::default());
        let its_pace = Arc::clone(&pace);
        conn.progress_handler(INSTRUCTIONS_A_LOOK, Some(move || its_pace.is_over()))?;
        let wall = Wall::build(&mut conn, leave)?;
        Ok(Reader { conn, wall, pace })
    }
}

fn attach(conn: &Connection, path: &Path, schema: &str) -> rusqlite::Result<()> {
    let path = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
    conn.execute(&format!("ATTACH DATABASE ?1 AS {}", quoted(schema)), [path]).map(drop)
}

/// The relation `events`, over the log where it is attached.
fn add_events(conn: &Connection, events: &Events, shared: &Arc<Shared>) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    // SQLite's own way to write times and ids takes longer than reading the row.
    conn.create_scalar_function("pacioli_time", 1, flags, |context| {
        Ok(time(Timestamp::from_micros(context.get::<i64>(0)?)))
    })?;
    conn.create_scalar_function("pacioli_id", 1, flags, |context| {
        let id: [u8; 16] = context.get(0)?;
        Ok(uuid::Uuid::from_bytes(id).hyphenated().to_string())
    })?;
    let condition = match events {
        Events::All => String::new(),
        Events::OccurredBy(time) => {
            format!("WHERE ifnull(log.occurred_at, log.recorded_at) <= {}", time.as_micros())
        }
        // A range, which SQLite finds by itself.
        Events::UpTo(up_to) if up_to.partitions() == 1 => {
            format!("WHERE log.position <= {}", up_to.position(Partition::ZERO).0)
        }
        Events::UpTo(up_to) => {
            let up_to = up_to.clone();
            conn.create_scalar_function("pacioli_is_recorded", 1, flags, move |context| {
                let place = place(context.get(0)?);
                Ok(place.partition.0 < up_to.partitions() && place.position <= up_to.position(place.partition))
            })?;
            "WHERE pacioli_is_recorded(log.position)".to_owned()
        }
    };
    let view = lifting::view(conn, shared)?;
    Ok(conn.execute_batch(&format!("{view}{condition}"))?)
}

/// The readers that wait for a query, each for its set of files.
pub(super) struct Readers {
    shared: Arc<Shared>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Grows when builds change: what was taken before is not given back.
    generation: u64,
    readers: Vec<(Seen, Reader)>,
}

/// What a reader sees: files, and events in the shapes of some generation of the registry.
type Seen = (Sources, Option<Generation>);

/// A reader that is in use.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) reader: Reader,
    seen: Seen,
    generation: u64,
}

impl Readers {
    pub(super) fn new(shared: Arc<Shared>) -> Readers {
        Readers { shared, idle: Mutex::default() }
    }

    /// A reader over these files.
    pub(super) fn take(&self, sources: &Sources) -> Result<Taken> {
        let shapes = sources.events.as_ref().and_then(|_| lifting::generation(&self.shared));
        let (kept, generation) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let is_same = |(theirs, of): &Seen| theirs == sources && *of == shapes;
            let at = idle.readers.iter().rposition(|(theirs, _)| is_same(theirs));
            (at.map(|at| idle.readers.remove(at).1), idle.generation)
        };
        let reader = match kept {
            Some(reader) => reader,
            None => Reader::open(sources, &self.shared)?,
        };
        Ok(Taken { reader, seen: (sources.clone(), shapes), generation })
    }

    /// Gives a reader back for the next query.
    pub(super) fn give(&self, taken: Taken) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.generation != idle.generation || !taken.reader.conn.is_autocommit() {
            return;
        }
        if idle.readers.len() >= IDLE_MAX {
            // The one that nobody has asked for the longest.
            idle.readers.remove(0);
        }
        idle.readers.push((taken.seen, taken.reader));
    }

    /// Closes all of them: builds have changed. Those in use close when they are given back.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.generation += 1;
        idle.readers.clear();
    }
}

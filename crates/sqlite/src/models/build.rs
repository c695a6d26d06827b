//! One filling of a projection's tables: a file with the tables, where it stands, and the one connection that writes it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use pacioli_core::place::Position;
use pacioli_core::schemas::{Gate, OnNewer};
use pacioli_core::store::Epochs;
use pacioli_core::{Checkpoint, Epoch, EventType, Partition};
use pacioli_projection::Projection;
use pacioli_projection::engine::{BuildNumber, PassedOver, Progress};

use super::batch::Batch;
use super::events::Ahead;
use super::files;
use super::handlers::Handlers;
use super::wall;
use crate::error::{Error, Result};

/// Statements a connection keeps prepared beside those of the handlers.
const STATEMENTS_OF_OURS: usize = 16;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It outlives this process.
    Kept,
    /// It goes with this process.
    Scratch,
}

/// A build's file. Shared by everything that works on the build.
#[derive(Debug)]
pub(super) struct BuildFile {
    pub(super) path: PathBuf,
    pub(super) handlers: Handlers,
    writing: Mutex<Option<Writing>>,
    /// Where it stands as of the last commit of this process.
    stands: Mutex<Stands>,
    /// Events read ahead of what was applied.
    pub(super) ahead: Mutex<Option<Ahead>>,
}

/// Where a build stands, and what it passed over on the way there.
#[derive(Clone, Debug, Default)]
pub(super) struct Stands {
    pub(super) progress: Vec<Progress>,
    pub(super) passed_over: PassedOver,
}

/// The connection that writes, with the relation `batch` where a statement reads it.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) conn: Connection,
    pub(super) batch: Option<Batch>,
}

impl BuildFile {
    /// The build of a file that is there. The connection is opened when it is needed.
    pub(super) fn new(
        path: PathBuf,
        projection: &Projection,
        gate: Option<&Arc<dyn Gate>>,
        stands: Stands,
    ) -> BuildFile {
        BuildFile {
            path,
            handlers: Handlers::new(projection, gate),
            writing: Mutex::new(None),
            stands: Mutex::new(stands),
            ahead: Mutex::new(None),
        }
    }

    /// Does work on the connection that writes, alone.
    pub(super) fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Writing) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.is_none() {
            *writing = Some(Writing::open(&self.path, &self.handlers, Durability::Kept)?);
        }
        let open = writing.as_ref().expect("it was just opened");
        let done = work(open);
        if !open.conn.is_autocommit() && open.conn.execute_batch(sql!("rollback")).is_err() {
            // A connection that cannot roll back is not used again; closing it rolls back.
            *writing = None;
        }
        done
    }

    /// Closes the connection that writes.
    pub(super) fn close(&self) {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.forget_ahead();
    }

    /// Forgets what was read ahead.
    pub(super) fn forget_ahead(&self) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Where it stands.
    pub(super) fn stands(&self) -> MutexGuard<'_, Stands> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads anew where it stands, for a build that something else writes.
    pub(super) fn refresh_stands(&self) -> Result<()> {
        let conn = open_reader(&self.path)?;
        *self.stands() = read_stands(&conn)?;
        Ok(())
    }

    /// Notes where a worker stands once that is committed.
    pub(super) fn moved(
        &self,
        worker: u16,
        partition: Partition,
        position: Position,
        events: u64,
        passed_over: PassedOver,
    ) {
        let mut stands = self.stands();
        let is_it = |stands: &&mut Progress| stands.worker == worker && stands.partition == partition;
        if let Some(progress) = stands.progress.iter_mut().find(is_it) {
            progress.position = position;
            progress.events += events;
        }
        for (event_type, events) in passed_over {
            *stands.passed_over.entry(event_type).or_default() += events;
        }
    }
}

impl Writing {
    /// Opens the connection that writes.
    pub(super) fn open(path: &Path, handlers: &Handlers, durability: Durability) -> rusqlite::Result<Writing> {
        let mut conn = open_writer(path, durability)?;
        conn.set_prepared_statement_cache_capacity(handlers.statements().len() + STATEMENTS_OF_OURS);
        let batch = if handlers.has_batch() { Some(Batch::create(&mut conn, handlers)?) } else { None };
        Ok(Writing { conn, batch })
    }
}

/// Opens a connection that writes a build or a scratch file.
pub(super) fn open_writer(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    open_writer_with(path, durability, OpenFlags::empty())
}

/// The same of a file that is not there yet.
pub(super) fn open_new(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    open_writer_with(path, durability, OpenFlags::SQLITE_OPEN_CREATE)
}

fn open_writer_with(path: &Path, durability: Durability, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(crate::writer::BUSY_PATIENCE)?;
    conn.execute_batch(match durability {
        Durability::Kept => sql!("models/open_build"),
        Durability::Scratch => sql!("models/open_scratch"),
    })?;
    wall::harden(&conn)?;
    Ok(conn)
}

/// Opens a connection that reads a build and nothing else.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(crate::writer::BUSY_PATIENCE)?;
    conn.execute_batch(sql!("models/open_model_reader"))?;
    conn.execute_batch(sql!("models/read_only"))?;
    wall::harden(&conn)?;
    Ok(conn)
}

/// Makes the file of a build at the start of the log: whole and on disk when this returns.
pub(super) fn create(
    path: &Path,
    projection: &Projection,
    number: BuildNumber,
    head: &Checkpoint,
    durability: Durability,
) -> Result<()> {
    files::remove_database(path).map_err(|error| Error::Store(format!("cannot remove {}: {error}", path.display())))?;
    let conn = open_new(path, durability)?;
    conn.execute_batch(sql!("begin_write"))?;
    for definition in &projection.definitions {
        conn.execute_batch(&definition.sql).map_err(|error| {
            let (line, said) = super::handlers::locate(definition.line, &error);
            Error::Store(format!("{}:{line}: {said}", projection.file))
        })?;
    }
    conn.execute_batch(sql!("models/create_progress"))?;
    conn.execute_batch(sql!("models/create_passed_over"))?;
    conn.execute_batch(sql!("models/create_skipped"))?;
    conn.execute_batch(sql!("models/create_build"))?;
    let row = params![projection.name.as_str(), number.0, projection.hash, head.epoch().0];
    conn.prepare_cached(sql!("models/insert_build_row"))?.execute(row)?;
    for partition in 0..head.partitions() {
        conn.prepare_cached(sql!("models/insert_progress"))?.execute(params![0, partition])?;
    }
    conn.execute_batch(sql!("commit"))?;
    if durability == Durability::Kept {
        conn.query_row(sql!("models/truncate_wal"), [], |_| Ok(()))?;
    }
    conn.close().map_err(|(_, error)| error.into())
}

/// Reads where the file of a build stands.
pub(super) fn read_progress(conn: &Connection) -> Result<Vec<Progress>> {
    let mut statement = conn.prepare_cached(sql!("models/list_progress"))?;
    let rows = statement.query_map([], |row| {
        Ok(Progress {
            worker: row.get(0)?,
            partition: Partition(row.get(1)?),
            position: Position(u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default()),
            events: u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
            epoch: Epoch(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The same, with what it passed over on the way, as of one moment.
pub(super) fn read_stands(conn: &Connection) -> Result<Stands> {
    let moment = conn.unchecked_transaction()?;
    let progress = read_progress(&moment)?;
    // Files of builds that began before it was counted have no table for it.
    let tables: i64 = moment.query_row(sql!("count_tables"), ["pacioli_passed_over"], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Stands { progress, passed_over: PassedOver::new() });
    }
    let mut statement = moment.prepare_cached(sql!("models/list_passed_over"))?;
    let rows = statement.query_map([], |row| {
        let events = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        Ok((EventType::from_storage(row.get::<_, String>(0)?), events))
    })?;
    Ok(Stands { progress, passed_over: rows.collect::<rusqlite::Result<_>>()? })
}

/// The least position of each partition.
pub(super) fn checkpoint(progress: &[Progress], partitions: u16, epoch: Epoch) -> Checkpoint {
    let least = |partition| {
        let of_it = progress.iter().filter(|stands| stands.partition == Partition(partition));
        of_it.map(|stands| stands.position).min().unwrap_or_default()
    };
    Checkpoint::new((0..partitions).map(least), epoch)
}

/// Reads where the file of a build stands, as a checkpoint of the epoch it was written in.
pub(super) fn read_checkpoint(conn: &Connection, partitions: u16) -> Result<Checkpoint> {
    let epoch = conn.query_row(sql!("models/read_build_row"), [], |row| row.get(3))?;
    Ok(checkpoint(&read_progress(conn)?, partitions, Epoch(epoch)))
}

/// Why the file of a build cannot go on as it is.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is missing, damaged, or another build's.
    Damaged(String),
    /// It holds events that the log does not have (any more).
    AheadOfLog(String),
}

/// Looks at the file of a build at start: whether it is the one the catalogue means, and not ahead of the log. Carries its
/// positions into the current epoch.
pub(super) fn inspect(
    path: &Path,
    projection: &Projection,
    number: BuildNumber,
    epochs: &Epochs,
    head: &Checkpoint,
) -> std::result::Result<Stands, Unusable> {
    if !path.exists() {
        return Err(Unusable::Damaged("its file is missing".to_owned()));
    }
    let damaged = |error: Error| Unusable::Damaged(error.to_string());
    let conn = open_writer(path, Durability::Kept).map_err(|error| damaged(error.into()))?;
    let row = conn
        .query_row(sql!("models/read_build_row"), [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?, row.get::<_, u32>(3)?))
        })
        .optional()
        .map_err(|error| damaged(error.into()))?;
    let Some((name, its_number, hash, epoch)) = row else {
        return Err(Unusable::Damaged("its file is empty".to_owned()));
    };
    if (name.as_str(), its_number, &hash) != (projection.name.as_str(), number.0, &projection.hash) {
        return Err(Unusable::Damaged(format!("its file is that of build {its_number} of `{name}`")));
    }
    let progress = read_progress(&conn).map_err(damaged)?;
    let stands = checkpoint(&progress, head.partitions(), Epoch(epoch));
    let known = progress.iter().all(|stands| stands.partition.0 < head.partitions());
    if !known || progress.is_empty() {
        return Err(Unusable::Damaged("where it stands does not fit the store's partitions".to_owned()));
    }
    // A worker that is further than the least of them counts as well.
    let furthest = progress.iter().fold(stands, |mut furthest, stands| {
        if stands.position > furthest.position(stands.partition) {
            furthest.advance(stands.partition, stands.position);
        }
        furthest
    });
    epochs.resolve(Some(&furthest), head).map_err(|error| Unusable::AheadOfLog(error.to_string()))?;
    if Epoch(epoch) != head.epoch() {
        let carried = conn.execute(sql!("models/write_build_epoch"), [head.epoch().0]);
        carried.map_err(|error| damaged(error.into()))?;
    }
    // Nothing is written to a file that needs none of it.
    if projection.on_newer == OnNewer::Skip {
        conn.execute_batch(sql!("models/create_passed_over")).map_err(|error| damaged(error.into()))?;
    }
    read_stands(&conn).map_err(damaged)
}

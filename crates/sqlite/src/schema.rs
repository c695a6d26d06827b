//! What is stored: the migrator, and the settings a store is created with.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use pacioli_core::place::Checkpoint;
use pacioli_core::store::Epochs;
use pacioli_core::{Epoch, Partition, Timestamp};

use crate::error::{Error, Result};
use crate::index;
use crate::registry;

/// The setting that says which format a store has.
pub(crate) const FORMAT: &str = "format";
/// The format of a store in whose registry nothing was ever registered: older builds may open it.
const FORMAT_WITHOUT_SCHEMAS: i64 = 1;
/// The format from the first change of the registry on. A build that knows none would append past the schemas, so it is kept
/// out. A store with a higher one is refused by this build.
pub(crate) const FORMAT_WITH_SCHEMAS: i64 = 2;

/// The oldest SQLite without the bug that can corrupt a database when its write-ahead log is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// What a store was created with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How many partitions it has.
    pub(crate) partitions: u16,
    /// The key of the hash of stream names: secret enough that nobody can make two names collide from outside.
    pub(crate) name_key: [u8; 16],
}

/// Creates the tables of a new store, or checks those of an existing one.
pub(crate) fn migrate(conn: &Connection, partitions: Option<u16>) -> Result<Settings> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(Error::Store(format!(
            "SQLite {} can corrupt a store when its write-ahead log is reset; 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    let is_new: i64 = conn.query_row(sql!("count_tables"), ["meta"], |row| row.get(0))?;
    if is_new == 0 {
        create(conn, partitions.unwrap_or(1))?;
    }
    let format: i64 = read_meta(conn, FORMAT)?.unwrap_or(0);
    if !(FORMAT_WITHOUT_SCHEMAS..=FORMAT_WITH_SCHEMAS).contains(&format) {
        return Err(Error::Store(format!(
            "the store has format {format} and this build knows {FORMAT_WITHOUT_SCHEMAS} and {FORMAT_WITH_SCHEMAS}: use the \
             build that wrote it, or a newer one"
        )));
    }
    let stored: i64 = read_meta(conn, "partitions")?.unwrap_or(0);
    let settings = Settings {
        partitions: u16::try_from(stored)
            .map_err(|_| Error::Store(format!("the store says it has {stored} partitions")))?,
        name_key: read_meta(conn, "name_key")?.ok_or_else(|| Error::Store("the store has no name key".to_owned()))?,
    };
    match partitions {
        Some(asked) if asked != settings.partitions => Err(Error::Store(format!(
            "the store has {} partitions, which is fixed when it is created, and {asked} were asked for",
            settings.partitions
        ))),
        _ => Ok(settings),
    }
}

fn create(conn: &Connection, partitions: u16) -> Result<()> {
    if partitions == 0 || partitions > Partition::MAX_COUNT {
        return Err(Error::Store(format!("a store has 1 to {} partitions", Partition::MAX_COUNT)));
    }
    conn.execute_batch(sql!("begin_write"))?;
    let made = create_tables(conn, partitions);
    conn.execute_batch(if made.is_ok() { sql!("commit") } else { sql!("rollback") })?;
    made
}

fn create_tables(conn: &Connection, partitions: u16) -> Result<()> {
    let tables = [
        sql!("create_meta"),
        sql!("create_log"),
        sql!("create_log_triggers"),
        sql!("create_streams"),
        sql!("create_types"),
        sql!("create_append_keys"),
        sql!("create_tracking"),
        sql!("create_leases"),
        sql!("create_epochs"),
        sql!("create_events_view"),
    ];
    for statement in tables.into_iter().chain(index::CREATE_TABLES) {
        conn.execute_batch(statement)?;
    }
    registry::create_tables(conn)?;
    write_meta(conn, FORMAT, FORMAT_WITHOUT_SCHEMAS)?;
    write_meta(conn, "partitions", i64::from(partitions))?;
    write_meta(conn, "store_id", Uuid::new_v4().to_string())?;
    write_meta(conn, "name_key", Uuid::new_v4().into_bytes())?;
    Ok(())
}

pub(crate) fn read_meta<T: rusqlite::types::FromSql>(conn: &Connection, key: &str) -> Result<Option<T>> {
    Ok(conn.prepare_cached(sql!("read_meta"))?.query_row([key], |row| row.get(0)).optional()?)
}

pub(crate) fn write_meta(conn: &Connection, key: &str, value: impl rusqlite::ToSql) -> Result<()> {
    conn.prepare_cached(sql!("write_meta"))?.execute(params![key, value])?;
    Ok(())
}

/// The epochs of the store.
pub(crate) fn read_epochs(conn: &Connection) -> Result<Epochs> {
    let mut statement = conn.prepare_cached(sql!("list_epochs"))?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)))?;
    let mut began = Vec::new();
    for row in rows {
        let (epoch, heads) = row?;
        let heads: Checkpoint = heads.parse().map_err(|_| Error::Store(format!("epoch {epoch} began at `{heads}`")))?;
        began.push((Epoch(epoch), heads));
    }
    Ok(Epochs::new(began))
}

/// 2026-01-01T00:00:00Z: epochs of restored stores are counted in seconds from here.
const EPOCHS_SINCE_MICROS: i64 = 1_767_225_600_000_000;

/// Where the read models are whose `sync` projections every append has to see; empty where that is the usual directory.
pub(crate) const READ_MODELS: &str = "read_models";
/// The directory beside the log where read models are unless somebody says otherwise.
pub(crate) const USUAL_DIRECTORY: &str = "read-models";

/// What marks a copy made by a backup until it is opened as a store.
pub(crate) const UNOPENED_BACKUP: &str = "unopened_backup";

/// The first time a backup is opened it may lie behind readers of the original: it gets a new epoch, so they are told.
pub(crate) fn begin_epoch_of_backup(conn: &Connection, heads: &Checkpoint, now: Timestamp) -> Result<()> {
    if read_meta::<i64>(conn, UNOPENED_BACKUP)?.unwrap_or(0) == 0 {
        return Ok(());
    }
    // The seconds keep a second restoration of the same copy from beginning the same epoch with another history.
    let seconds = now.as_micros().saturating_sub(EPOCHS_SINCE_MICROS) / 1_000_000;
    let next = (read_epochs(conn)?.current().0 + 1).max(u32::try_from(seconds).unwrap_or(0));
    conn.execute_batch(sql!("begin_write"))?;
    conn.prepare_cached(sql!("insert_epoch"))?.execute(params![
        next,
        heads.to_string(),
        now.as_micros(),
        "restored from a backup"
    ])?;
    write_meta(conn, UNOPENED_BACKUP, 0)?;
    // The read models of the original go on with the original.
    write_meta(conn, READ_MODELS, "")?;
    conn.execute_batch(sql!("commit"))?;
    tracing::info!(epoch = next, heads = %heads, "the store was restored from a backup and begins a new epoch");
    Ok(())
}

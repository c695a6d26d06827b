//! Every SQL statement of the indexes, one function each.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Result;
use super::kind::IndexKind;
use super::run::NUMBER_BITS;

/// The statements that create the tables, in order, for the store's migrator.
pub const CREATE_TABLES: [&str; 4] = [
    include_str!("../sql/index/create_index_runs.sql"),
    include_str!("../sql/index/create_index_blocks.sql"),
    include_str!("../sql/index/create_index_segments.sql"),
    include_str!("../sql/index/create_index_state.sql"),
];

/// A row of `index_runs`.
pub(super) struct RunRow {
    pub(super) run: i64,
    pub(super) kind: i64,
    pub(super) level: u32,
    pub(super) entries: u64,
    pub(super) blocks: usize,
    pub(super) generations: (u64, u64),
    pub(super) complete: bool,
}

pub(super) fn list_runs(conn: &Connection) -> Result<Vec<RunRow>> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/list_runs.sql"))?;
    let rows = statement.query_map([], |row| {
        Ok(RunRow {
            run: row.get(0)?,
            kind: row.get(1)?,
            level: row.get(2)?,
            entries: row.get::<_, i64>(3)? as u64,
            blocks: row.get::<_, i64>(4)? as usize,
            generations: (row.get::<_, i64>(5)? as u64, row.get::<_, i64>(6)? as u64),
            complete: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Returns the id of the new run.
pub(super) fn begin_run(conn: &Connection, kind: IndexKind, level: u32, generations: (u64, u64)) -> Result<i64> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/begin_run.sql"))?;
    statement.execute(params![kind as i64, level, generations.0 as i64, generations.1 as i64])?;
    Ok(conn.last_insert_rowid())
}

pub(super) fn complete_run(conn: &Connection, run: i64, entries: u64, blocks: usize) -> Result<()> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/complete_run.sql"))?;
    statement.execute(params![run, entries as i64, blocks as i64])?;
    Ok(())
}

pub(super) fn retire_run(conn: &Connection, run: i64) -> Result<()> {
    conn.prepare_cached(include_str!("../sql/index/retire_run.sql"))?.execute([run])?;
    Ok(())
}

/// Deletes up to `most` blocks or segments of a run, and its catalogue row when nothing else is left. Returns how
/// many rows went and whether the run is gone. What is left is asked of the tables, so that a rollback needs no care.
pub(super) fn delete_some(conn: &Connection, run: i64, most: usize) -> Result<(usize, bool)> {
    let (first, behind) = (run << NUMBER_BITS, (run + 1) << NUMBER_BITS);
    let mut blocks = conn.prepare_cached(include_str!("../sql/index/delete_blocks.sql"))?;
    let mut deleted = blocks.execute(params![first, behind, most as i64])?;
    if deleted < most {
        let mut segments = conn.prepare_cached(include_str!("../sql/index/delete_segments.sql"))?;
        deleted += segments.execute(params![first, behind, (most - deleted) as i64])?;
    }
    let gone = deleted < most;
    if gone {
        conn.prepare_cached(include_str!("../sql/index/delete_run.sql"))?.execute([run])?;
    }
    Ok((deleted, gone))
}

pub(super) fn insert_block(conn: &Connection, id: i64, entries: &[u8]) -> Result<()> {
    conn.prepare_cached(include_str!("../sql/index/insert_block.sql"))?.execute(params![id, entries])?;
    Ok(())
}

/// Lets `read` look at the stored bytes, `None` when there is no such block.
pub(super) fn read_block<T>(conn: &Connection, id: i64, read: impl FnOnce(Option<&[u8]>) -> T) -> Result<T> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/read_block.sql"))?;
    let mut rows = statement.query([id])?;
    Ok(match rows.next()? {
        Some(row) => read(row.get_ref(0)?.as_blob().ok()),
        None => read(None),
    })
}

pub(super) fn insert_segment(conn: &Connection, id: i64, fences_and_filters: &[u8]) -> Result<()> {
    conn.prepare_cached(include_str!("../sql/index/insert_segment.sql"))?.execute(params![id, fences_and_filters])?;
    Ok(())
}

/// Calls `read` with the id and bytes of each segment of the run, in order.
pub(super) fn read_segments(conn: &Connection, run: i64, mut read: impl FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/read_segments.sql"))?;
    let mut rows = statement.query([run << NUMBER_BITS, (run + 1) << NUMBER_BITS])?;
    while let Some(row) = rows.next()? {
        read(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default())?;
    }
    Ok(())
}

/// The last generation and its watermark.
pub(super) fn read_state(conn: &Connection) -> Result<Option<(u64, String)>> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/read_state.sql"))?;
    Ok(statement.query_row([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).optional()?)
}

pub(super) fn write_state(conn: &Connection, generation: u64, watermark: &str) -> Result<()> {
    let mut statement = conn.prepare_cached(include_str!("../sql/index/write_state.sql"))?;
    statement.execute(params![generation as i64, watermark])?;
    Ok(())
}

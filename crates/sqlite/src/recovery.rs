//! Opening a store: from the file to the state in memory that the writer and the readers share.
//!
//! The log is the truth. Indexes cover it up to a watermark; what lies behind is added to their tails again.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use pacioli_core::place::{Checkpoint, Epoch, Place};
use pacioli_core::store::PayloadChoice;
use pacioli_core::{EventType, StreamName, Timestamp};

use crate::error::{Error, Result, rowid};
use crate::index::{IndexKind, IndexOptions, Indexes};
use crate::read;
use crate::row::{self, Types};
use crate::streams::NameHash;
use crate::writer::{event_entries, stream_entries};

/// Entries added to the tails at once.
const ENTRIES_AT_ONCE: usize = 8_192;

/// What the file says.
pub(crate) struct Recovered {
    pub(crate) indexes: Indexes,
    pub(crate) types: Types,
    pub(crate) last_stream_id: i64,
    /// The names (hashed) of streams with a damaged event behind the watermark.
    pub(crate) damaged: HashSet<u128>,
}

/// The heads of the log and when its newest event was recorded.
pub(crate) fn read_heads(conn: &Connection, partitions: u16) -> Result<(Checkpoint, Timestamp)> {
    let heads = read::heads(conn, partitions)?;
    let newest = heads.iter().map(|(_, recorded_at)| *recorded_at).max().unwrap_or(0);
    Ok((Checkpoint::new(heads.iter().map(|(position, _)| *position), Epoch::FIRST), Timestamp::from_micros(newest)))
}

/// Loads types and indexes, and adds what the indexes do not cover.
pub(crate) fn recover(
    conn: &Connection,
    names: &NameHash,
    heads: &Checkpoint,
    options: IndexOptions,
) -> Result<Recovered> {
    let types = read_types(conn)?;
    let (mut indexes, watermark) = Indexes::open_with(conn, options)?;
    let (covered, covered_stream) = match &watermark {
        Some(text) => parse_watermark(text, heads)?,
        None => (Checkpoint::start(heads.partitions(), heads.epoch()), 0),
    };
    let mut entries = Vec::with_capacity(ENTRIES_AT_ONCE + 64);
    add_streams(conn, names, covered_stream, &mut indexes, &mut entries)?;
    let mut buffer = Vec::new();
    let mut damaged = HashSet::new();
    for head in heads.iter() {
        let at = |position| rowid(Place { partition: head.partition, position });
        let (low, high) = (at(covered.position(head.partition)), at(head.position));
        let mut statement = conn.prepare_cached(sql!("read_events"))?;
        let mut rows = statement.query(params![low, high])?;
        while let Some(row) = rows.next()? {
            let decoded = row::envelope(row, &types)
                .and_then(|envelope| row::event(row, envelope, PayloadChoice::None, &mut buffer));
            match decoded {
                Ok(event) => event_entries(names, &event, row::stream_id(row)?, &mut entries),
                // A damaged event keeps no other from being served. What it says is not indexed, whoever reads it is told,
                // and its stream takes no appends: its next version is not known.
                Err(Error::Damaged { place, problem }) => {
                    tracing::error!(%place, %problem, "an event is damaged; its stream takes no appends");
                    damaged.extend(row::stream_names(row, conn)?.iter().map(|stream| names.of(stream)));
                }
                Err(error) => return Err(error),
            }
            flush_if(entries.len() >= ENTRIES_AT_ONCE, &mut indexes, &mut entries);
        }
        let mut statement = conn.prepare_cached(sql!("list_append_keys_after"))?;
        let mut rows = statement.query(params![low, high])?;
        while let Some(row) = rows.next()? {
            let (first, key): (i64, [u8; 16]) = (row.get(0)?, row.get(1)?);
            entries.push((IndexKind::AppendKey, u128::from_be_bytes(key), first as u64));
            flush_if(entries.len() >= ENTRIES_AT_ONCE, &mut indexes, &mut entries);
        }
    }
    flush_if(true, &mut indexes, &mut entries);
    let last_stream_id = conn.query_row(sql!("last_stream_id"), [], |row| row.get(0))?;
    Ok(Recovered { indexes, types, last_stream_id, damaged })
}

fn flush_if(due: bool, indexes: &mut Indexes, entries: &mut Vec<(IndexKind, u128, u64)>) {
    if due {
        indexes.apply(entries.drain(..));
    }
}

fn add_streams(
    conn: &Connection,
    names: &NameHash,
    after: i64,
    indexes: &mut Indexes,
    entries: &mut Vec<(IndexKind, u128, u64)>,
) -> Result<()> {
    let mut statement = conn.prepare_cached(sql!("list_streams_after"))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let stream = StreamName::from_storage(name);
        stream_entries(names, names.of(&stream), &stream, id, entries);
        flush_if(entries.len() >= ENTRIES_AT_ONCE, indexes, entries);
    }
    Ok(())
}

fn read_types(conn: &Connection) -> Result<Types> {
    let types = Types::default();
    let mut statement = conn.prepare_cached(sql!("list_types"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        if id != types.count() + 1 {
            return Err(Error::Store(format!("event type {} is missing from the store", types.count() + 1)));
        }
        types.add(id, EventType::from_storage(name));
    }
    Ok(types)
}

fn parse_watermark(text: &str, heads: &Checkpoint) -> Result<(Checkpoint, i64)> {
    let parsed = text.split_once(';').and_then(|(covered, stream)| {
        let covered: Checkpoint = covered.parse().ok()?;
        Some((covered, stream.parse().ok()?))
    });
    match parsed {
        Some((covered, stream)) if heads.covers(&covered) => Ok((covered, stream)),
        Some((covered, _)) => Err(Error::Store(format!(
            "the indexes reach {covered} and the log only {heads}: events are missing; restore the store from a backup"
        ))),
        None => Err(Error::Store(format!("the indexes' watermark `{text}` makes no sense"))),
    }
}

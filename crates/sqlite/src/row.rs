//! How an event becomes a row of the log, and a row an event again, verified.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use twox_hash::XxHash3_64;
use uuid::Uuid;

use pacioli_core::store::PayloadChoice;
use pacioli_core::{EventId, EventType, Metadata, Payload, RecordedEvent, StreamName, Tags, Timestamp, Version};

use crate::error::{Error, Result, place, rowid};

/// The event types by id, from 1 on, shared by the writer and all readers. A type is added once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Types {
    known: RwLock<KnownTypes>,
}

#[derive(Debug, Default)]
struct KnownTypes {
    by_id: Vec<EventType>,
    ids: HashMap<EventType, i64>,
}

impl Types {
    /// Adds the type with the next id.
    pub(crate) fn add(&self, id: i64, event_type: EventType) {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.by_id.push(event_type.clone());
        assert_eq!(known.by_id.len() as i64, id, "ids of types run from 1 without a gap");
        known.ids.insert(event_type, id);
    }

    /// The id of a type.
    pub(crate) fn id(&self, event_type: &EventType) -> Option<i64> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).ids.get(event_type).copied()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> i64 {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).by_id.len() as i64
    }

    /// The type with this id.
    pub(crate) fn name(&self, id: i64) -> Option<EventType> {
        let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.by_id.get(usize::try_from(id).ok()?.checked_sub(1)?).cloned()
    }
}

/// Binds an event to `insert_event` and executes it.
pub(crate) fn insert(
    statement: &mut rusqlite::Statement<'_>,
    event: &RecordedEvent,
    stream_id: i64,
    type_id: i64,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    let tags = (!event.tags.is_empty()).then(|| event.tags.joined());
    let metadata = event.metadata.to_json();
    let hash = hash(
        buffer,
        (rowid(event.place()), stream_id),
        event.stream.as_str(),
        event.version.0,
        event.event_type.as_str(),
        event.schema_version,
        (event.recorded_at.as_micros(), event.occurred_at.map(Timestamp::as_micros)),
        event.id.0.as_bytes(),
        tags.as_deref(),
        metadata.as_deref(),
        (event.data.is_json(), event.data.bytes()),
    );
    let data = match &event.data {
        Payload::Json(bytes) => ValueRef::Text(bytes),
        Payload::Binary(bytes) => ValueRef::Blob(bytes),
    };
    statement.execute(params![
        rowid(event.place()),
        stream_id,
        event.version.0 as i64,
        type_id,
        event.schema_version,
        event.recorded_at.as_micros(),
        event.occurred_at.map(Timestamp::as_micros),
        hash as i64,
        event.id.0.as_bytes(),
        event.stream.as_str(),
        tags,
        metadata,
        rusqlite::types::ToSqlOutput::Borrowed(data),
    ])?;
    Ok(())
}

/// The columns of a row that filters look at, read before the rest.
pub(crate) struct Envelope {
    /// Where it lies.
    pub(crate) rowid: i64,
    /// Its stream.
    pub(crate) stream: StreamName,
    /// Its type.
    pub(crate) event_type: EventType,
    /// Its tags.
    pub(crate) tags: Tags,
}

fn damaged(rowid: i64, problem: impl Into<String>) -> Error {
    Error::Damaged { place: place(rowid), problem: problem.into() }
}

fn text<'a>(row: &'a Row<'_>, column: usize, rowid: i64) -> Result<Option<&'a str>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map(Some).map_err(|_| damaged(rowid, "a text column is not UTF-8"))
        }
        _ => Err(damaged(rowid, "a text column holds something else")),
    }
}

/// Reads what filters look at. The columns are those of `read_events`.
pub(crate) fn envelope(row: &Row<'_>, types: &Types) -> Result<Envelope> {
    let rowid: i64 = row.get(0)?;
    let type_id: i64 = row.get(3)?;
    Ok(Envelope {
        rowid,
        stream: StreamName::from_storage(text(row, 9, rowid)?.unwrap_or_default()),
        event_type: types.name(type_id).ok_or_else(|| damaged(rowid, format!("its type {type_id} is unknown")))?,
        tags: Tags::from_storage(text(row, 10, rowid)?.unwrap_or_default()),
    })
}

/// The id of the event's stream. The columns are those of `read_events`.
pub(crate) fn stream_id(row: &Row<'_>) -> Result<i64> {
    Ok(row.get(1)?)
}

/// The streams a damaged row may belong to: the one it names, and the one its id stands for.
pub(crate) fn stream_names(row: &Row<'_>, conn: &rusqlite::Connection) -> Result<Vec<StreamName>> {
    let named = row.get::<_, String>(9).ok();
    let mut statement = conn.prepare_cached(sql!("read_stream_name"))?;
    let by_id = row.get::<_, i64>(1).ok().and_then(|id| statement.query_row([id], |row| row.get::<_, String>(0)).ok());
    Ok(named.into_iter().chain(by_id).map(StreamName::from_storage).collect())
}

/// Reads and verifies the rest of an event.
pub(crate) fn event(
    row: &Row<'_>,
    envelope: Envelope,
    payload: PayloadChoice,
    buffer: &mut Vec<u8>,
) -> Result<Arc<RecordedEvent>> {
    let Envelope { rowid, stream, event_type, tags } = envelope;
    let version: i64 = row.get(2)?;
    let schema_version: u32 = row.get(4)?;
    let recorded_at: i64 = row.get(5)?;
    let occurred_at: Option<i64> = row.get(6)?;
    let stored_hash: i64 = row.get(7)?;
    let id: [u8; 16] = row.get(8).map_err(|_| damaged(rowid, "its id is no UUID"))?;
    let metadata = text(row, 11, rowid)?;
    let (is_json, data) = match row.get_ref(12)? {
        ValueRef::Text(bytes) => (true, bytes),
        ValueRef::Blob(bytes) => (false, bytes),
        _ => return Err(damaged(rowid, "its data is neither text nor a blob")),
    };
    let hash = hash(
        buffer,
        (rowid, stream_id(row)?),
        stream.as_str(),
        version as u64,
        event_type.as_str(),
        schema_version,
        (recorded_at, occurred_at),
        &id,
        text(row, 10, rowid)?,
        metadata,
        (is_json, data),
    );
    if hash != stored_hash as u64 {
        return Err(damaged(rowid, "its content does not match its hash"));
    }
    let bytes = match payload {
        PayloadChoice::All => Bytes::copy_from_slice(data),
        PayloadChoice::None => Bytes::new(),
    };
    let place = place(rowid);
    Ok(Arc::new(RecordedEvent {
        partition: place.partition,
        position: place.position,
        stream,
        version: Version(version as u64),
        id: EventId(Uuid::from_bytes(id)),
        event_type,
        schema_version,
        data: if is_json { Payload::Json(bytes) } else { Payload::Binary(bytes) },
        metadata: metadata.map_or_else(
            || Ok(Metadata::default()),
            |json| {
                Metadata::from_json(json.as_bytes())
                    .map_err(|error| damaged(rowid, format!("its metadata cannot be read: {error}")))
            },
        )?,
        tags,
        occurred_at: occurred_at.map(Timestamp::from_micros),
        recorded_at: Timestamp::from_micros(recorded_at),
    }))
}

/// The hash of a row's whole content. Parts of variable length are preceded by it, so no two contents share an encoding.
#[expect(clippy::too_many_arguments, reason = "one parameter a column, called from the two places above")]
fn hash(
    buffer: &mut Vec<u8>,
    (rowid, stream_id): (i64, i64),
    stream: &str,
    version: u64,
    event_type: &str,
    schema_version: u32,
    (recorded_at, occurred_at): (i64, Option<i64>),
    id: &[u8; 16],
    tags: Option<&str>,
    metadata: Option<&str>,
    (is_json, data): (bool, &[u8]),
) -> u64 {
    buffer.clear();
    buffer.extend_from_slice(&rowid.to_le_bytes());
    buffer.extend_from_slice(&stream_id.to_le_bytes());
    buffer.extend_from_slice(&version.to_le_bytes());
    buffer.extend_from_slice(&schema_version.to_le_bytes());
    buffer.extend_from_slice(&recorded_at.to_le_bytes());
    buffer.extend_from_slice(&occurred_at.unwrap_or(0).to_le_bytes());
    buffer.push(u8::from(occurred_at.is_some()) | u8::from(is_json) << 1);
    buffer.extend_from_slice(id);
    for part in [
        stream.as_bytes(),
        event_type.as_bytes(),
        tags.unwrap_or("").as_bytes(),
        metadata.unwrap_or("").as_bytes(),
        data,
    ] {
        buffer.extend_from_slice(&(part.len() as u64).to_le_bytes());
        buffer.extend_from_slice(part);
    }
    XxHash3_64::oneshot(buffer)
}

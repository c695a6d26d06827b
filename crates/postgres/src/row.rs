//! How events become rows of the log, and a row an event again.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pacioli_core::event::{Metadata, Payload};
use pacioli_core::place::{Place, Position};
use pacioli_core::{EventId, EventType, Partition, RecordedEvent, StreamName, Tag, Tags, Timestamp, Version};
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};

/// Microseconds from 1970, where our times begin, to 2000, where PostgreSQL's do.
const EPOCH_SHIFT_MICROS: i64 = 946_684_800_000_000;

type Boxed = Box<dyn StdError + Sync + Send>;

/// A timestamptz.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Boxed> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Moment(Timestamp::from_micros(micros.saturating_add(EPOCH_SHIFT_MICROS))))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

impl ToSql for Moment {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Boxed> {
        out.extend_from_slice(&self.0.as_micros().saturating_sub(EPOCH_SHIFT_MICROS).to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// JSON text or bytes, as they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Boxed> {
        Ok(Raw(raw))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::BYTEA)
    }
}

impl ToSql for Raw<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Boxed> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSON | Type::BYTEA)
    }

    to_sql_checked!();
}

/// The columns of a batch, one array each: what `insert_events` unnests.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    pub(crate) schema_versions: Vec<i32>,
    pub(crate) positions: Vec<i64>,
    pub(crate) versions: Vec<i64>,
    pub(crate) occurred_at: Vec<Option<Moment>>,
    pub(crate) ids: Vec<Uuid>,
    pub(crate) streams: Vec<&'a str>,
    pub(crate) types: Vec<&'a str>,
    pub(crate) data: Vec<Option<Raw<'a>>>,
    pub(crate) raw: Vec<Option<Raw<'a>>>,
    pub(crate) metadata: Vec<Option<String>>,
    /// Array literals, because an array of arrays of different lengths cannot be sent.
    pub(crate) tags: Vec<Option<String>>,
    /// One entry a tag of an event.
    pub(crate) tag_names: Vec<&'a str>,
    pub(crate) tag_positions: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(events: &'a [Arc<RecordedEvent>]) -> Columns<'a> {
        let mut columns = Columns::default();
        for event in events {
            columns.push(event);
        }
        columns
    }

    fn push(&mut self, event: &'a RecordedEvent) {
        self.schema_versions.push(event.schema_version as i32);
        self.positions.push(event.position.0 as i64);
        self.versions.push(event.version.0 as i64);
        self.occurred_at.push(event.occurred_at.map(Moment));
        self.ids.push(event.id.0);
        self.streams.push(event.stream.as_str());
        self.types.push(event.event_type.as_str());
        let (data, raw) = match &event.data {
            Payload::Json(bytes) => (Some(Raw(bytes)), None),
            Payload::Binary(bytes) => (None, Some(Raw(bytes))),
        };
        self.data.push(data);
        self.raw.push(raw);
        self.metadata.push(event.metadata.to_json());
        self.tags.push((!event.tags.is_empty()).then(|| array_literal(event.tags.as_slice())));
        for tag in event.tags.as_slice() {
            self.tag_names.push(tag.as_str());
            self.tag_positions.push(event.position.0 as i64);
        }
    }
}

/// `{"a","b\"c"}`.
pub(crate) fn array_literal(tags: &[Tag]) -> String {
    let mut literal = String::from("{");
    for tag in tags {
        if literal.len() > 1 {
            literal.push(',');
        }
        literal.push('"');
        for c in tag.as_str().chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(c);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// Makes an event of a row. The columns are those of `scan_log`.
pub(crate) fn event(row: &Row, partition: Partition) -> Result<RecordedEvent> {
    let place = Place { partition, position: Position(row.get::<_, i64>(0) as u64) };
    let damaged = |problem: String| Error::Damaged { place, problem };
    let is_json: bool = row.get(8);
    let payload: Option<Raw<'_>> = row.get(if is_json { 9 } else { 10 });
    let bytes = payload.map_or_else(Bytes::new, |raw| Bytes::copy_from_slice(raw.0));
    let metadata: Option<Raw<'_>> = row.get(11);
    let metadata = match metadata {
        None => Metadata::default(),
        Some(json) => {
            Metadata::from_json(json.0).map_err(|error| damaged(format!("its metadata cannot be read: {error}")))?
        }
    };
    let tags: Option<Vec<&str>> = row.get(12);
    let tags = Tags::new(tags.unwrap_or_default().into_iter().map(Tag::from_storage))
        .map_err(|error| damaged(format!("its tags cannot be read: {error}")))?;
    Ok(RecordedEvent {
        partition,
        position: place.position,
        version: Version(row.get::<_, i64>(1) as u64),
        recorded_at: row.get::<_, Moment>(2).0,
        occurred_at: row.get::<_, Option<Moment>>(3).map(|at| at.0),
        id: EventId(row.get(4)),
        schema_version: row.get::<_, i32>(5) as u32,
        stream: StreamName::from_storage(row.get::<_, &str>(6)),
        event_type: EventType::from_storage(row.get::<_, &str>(7)),
        data: if is_json { Payload::Json(bytes) } else { Payload::Binary(bytes) },
        metadata,
        tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_travel_as_an_array_literal() {
        let tags: Vec<Tag> = ["a", "b\"c", "d\\e", "{f}"].iter().map(|tag| Tag::new(*tag).unwrap()).collect();
        assert_eq!(array_literal(&tags), r#"{"a","b\"c","d\\e","{f}"}"#);
    }

    #[test]
    fn a_moment_is_counted_from_2000() {
        let mut out = BytesMut::new();
        Moment(Timestamp::from_micros(EPOCH_SHIFT_MICROS + 5)).to_sql(&Type::TIMESTAMPTZ, &mut out).unwrap();
        assert_eq!(&out[..], &5_i64.to_be_bytes());
        assert_eq!(Moment::from_sql(&Type::TIMESTAMPTZ, &out).unwrap().0.as_micros(), EPOCH_SHIFT_MICROS + 5);
    }
}

//! Reads one event straight from its bytes on the wire.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pacioli_core::event::DEFAULT_SCHEMA_VERSION;
use pacioli_core::{
    EventId, EventType, Metadata, Partition, Payload, Position, RecordedEvent, StreamName, Tag, Tags, Timestamp,
    Version,
};
use prost::DecodeError;
use uuid::Uuid;

use super::batch::malformed;

/// A log has few types and many events: this many types are shared by the events of a batch.
const SHARED_TYPES_MAX: usize = 32;

/// Reads the events of one batch.
#[derive(Clone, Default)]
pub(super) struct EventReader {
    types: Vec<EventType>,
}

impl EventReader {
    /// Reads an event from exactly its bytes; `previous` is the one before it in the batch, whose names it may share.
    pub(super) fn read(
        &mut self,
        bytes: &Bytes,
        previous: Option<&Arc<RecordedEvent>>,
    ) -> Result<RecordedEvent, DecodeError> {
        let mut fields = Fields { bytes, at: 0 };
        let (mut stream, mut event_type, mut id, mut data) = (None, None, None, None);
        let (mut version, mut position, mut partition) = (0, 0, 0);
        let mut schema_version = u64::from(DEFAULT_SCHEMA_VERSION);
        let (mut recorded_at, mut occurred_at) = (0, None);
        let mut metadata = Metadata::default();
        let mut tags = Vec::new();
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Bytes(range)) => stream = Some(stream_name(text(&bytes[range])?, previous)),
                (2, Value::Number(number)) => version = number,
                (3, Value::Number(number)) => position = number,
                (4, Value::Number(number)) => partition = number,
                (5, Value::Bytes(range)) => id = Uuid::from_slice(&bytes[range]).ok(),
                (6, Value::Bytes(range)) => event_type = Some(self.event_type(text(&bytes[range])?)),
                (7, Value::Number(number)) => schema_version = number,
                (8, Value::Bytes(range)) => data = Some(Payload::Json(bytes.slice(range))),
                (9, Value::Bytes(range)) => data = Some(Payload::Binary(bytes.slice(range))),
                (10, Value::Fixed64(number)) => recorded_at = number,
                (11, Value::Fixed64(number)) => occurred_at = Some(Timestamp::from_micros(number)),
                (12, Value::Bytes(range)) => read_metadata(&mut metadata, &bytes.slice(range))?,
                (13, Value::Bytes(range)) => tags.push(Tag::from_storage(text(&bytes[range])?)),
                (1..=13, _) => return Err(malformed("a field of an event has another wire type than its own")),
                _ => {}
            }
        }
        Ok(RecordedEvent {
            partition: Partition(u16::try_from(partition).map_err(|_| malformed("a partition is beyond 16 bits"))?),
            position: Position(position),
            stream: stream.ok_or_else(|| malformed("an event has no stream"))?,
            version: Version(version),
            id: EventId(id.ok_or_else(|| malformed("an event has no id of 16 bytes"))?),
            event_type: event_type.ok_or_else(|| malformed("an event has no type"))?,
            schema_version: u32::try_from(schema_version)
                .map_err(|_| malformed("a schema version is beyond 32 bits"))?,
            data: data.ok_or_else(|| malformed("an event has no data"))?,
            metadata,
            tags: Tags::new(tags).map_err(|_| malformed("an event has tags that cannot be"))?,
            occurred_at,
            recorded_at: Timestamp::from_micros(recorded_at),
        })
    }

    fn event_type(&mut self, text: &str) -> EventType {
        if let Some(known) = self.types.iter().find(|known| known.as_str() == text) {
            return known.clone();
        }
        let event_type = EventType::from_storage(text);
        if self.types.len() < SHARED_TYPES_MAX {
            self.types.push(event_type.clone());
        }
        event_type
    }
}

fn stream_name(text: &str, previous: Option<&Arc<RecordedEvent>>) -> StreamName {
    match previous {
        Some(previous) if previous.stream.as_str() == text => previous.stream.clone(),
        _ => StreamName::from_storage(text),
    }
}

fn read_metadata(metadata: &mut Metadata, bytes: &Bytes) -> Result<(), DecodeError> {
    let mut fields = Fields { bytes, at: 0 };
    while let Some((field, value)) = fields.next()? {
        let slot = match field {
            1 => &mut metadata.actor,
            2 => &mut metadata.correlation_id,
            3 => &mut metadata.causation_id,
            4 => &mut metadata.traceparent,
            5 => &mut metadata.source,
            6 => &mut metadata.source_id,
            7 => {
                let Value::Bytes(range) = value else {
                    return Err(malformed("the headers of an event have another wire type than their own"));
                };
                metadata.headers = Some(bytes.slice(range));
                continue;
            }
            _ => continue,
        };
        let Value::Bytes(range) = value else {
            return Err(malformed("a field of an event's metadata has another wire type than its own"));
        };
        *slot = Some(text(&bytes[range])?.into());
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
}

/// The fields of one message, one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Value {
    Number(u64),
    Fixed64(i64),
    Fixed32,
    /// Where the bytes lie.
    Bytes(Range<usize>),
}

impl Fields<'_> {
    fn next(&mut self) -> Result<Option<(u64, Value)>, DecodeError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                let range = self.take(8)?;
                let eight = self.bytes[range].try_into().expect("a range of eight bytes");
                Value::Fixed64(i64::from_le_bytes(eight))
            }
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed32)?,
            _ => return Err(malformed("a field has a wire type that no message here uses")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, len: u64) -> Result<Range<usize>, DecodeError> {
        let start = self.at;
        if len > (self.bytes.len() - start) as u64 {
            return Err(malformed("a field is longer than its message"));
        }
        self.at += len as usize;
        Ok(start..self.at)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else { return Err(malformed("a message ends inside a number")) };
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(malformed("a number is beyond 64 bits"))
    }
}

//! Events: as a client sends them ([`NewEvent`]) and as the log holds them ([`RecordedEvent`]).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::json::{self, InvalidJson};
use crate::names::{EventType, StreamName, Tags};
use crate::place::{Partition, Place, Position, Version};
use crate::store::PayloadChoice;

/// An event's identity, made by the client, so that a retry is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in microseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

/// An event's data: JSON whose bytes are kept as they came, or bytes that mean nothing to the store.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// JSON text, checked by [`crate::json::check`] and stored byte for byte.
    Json(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

impl Payload {
    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Payload::Json(bytes) | Payload::Binary(bytes) => bytes,
        }
    }

    /// Whether the bytes are JSON.
    pub fn is_json(&self) -> bool {
        matches!(self, Payload::Json(_))
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are no bytes: only binary data, or a read that asked for envelopes, can be empty.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Json(bytes) => write!(f, "Json({})", String::from_utf8_lossy(bytes)),
            Payload::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// What accompanies the data: typed fields for tracing a cause, and free headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Who did it: a person, a service.
    pub actor: Option<Box<str>>,
    /// What business transaction it belongs to.
    pub correlation_id: Option<Box<str>>,
    /// Which event or command caused it.
    pub causation_id: Option<Box<str>>,
    /// W3C trace context of the request that appended it.
    pub traceparent: Option<Box<str>>,
    /// The CloudEvents `source` it was imported with.
    pub source: Option<Box<str>>,
    /// The CloudEvents `id` it was imported with, where that was no UUID.
    pub source_id: Option<Box<str>>,
    /// Free headers: one JSON object, kept byte for byte.
    pub headers: Option<Bytes>,
}

impl Metadata {
    /// The typed fields with their names, in the order in which they are stored and hashed.
    pub fn fields(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("actor", self.actor.as_deref()),
            ("correlation_id", self.correlation_id.as_deref()),
            ("causation_id", self.causation_id.as_deref()),
            ("traceparent", self.traceparent.as_deref()),
            ("source", self.source.as_deref()),
            ("source_id", self.source_id.as_deref()),
        ]
    }

    /// The typed field of this name, to be set; `None` where the name is a free header's.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Option<Box<str>>> {
        Some(match name {
            "actor" => &mut self.actor,
            "correlation_id" => &mut self.correlation_id,
            "causation_id" => &mut self.causation_id,
            "traceparent" => &mut self.traceparent,
            "source" => &mut self.source,
            "source_id" => &mut self.source_id,
            _ => return None,
        })
    }

    /// As engines keep it: one JSON object with the typed fields and, under `headers`, the free ones byte for byte, so
    /// that SQL tools can read it; `None` where there is none.
    pub fn to_json(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut json = String::from("{");
        let headers = self.headers.as_deref().map(String::from_utf8_lossy);
        let fields = self.fields().into_iter().filter_map(|(name, value)| Some((name, Some(value?))));
        for (name, value) in fields.chain(headers.is_some().then_some(("headers", None))) {
            if json.len() > 1 {
                json.push(',');
            }
            json::push_text(&mut json, name);
            json.push(':');
            match value {
                Some(text) => json::push_text(&mut json, text),
                None => json.push_str(headers.as_deref().unwrap_or_default()),
            }
        }
        json.push('}');
        Some(json)
    }

    /// Reads back what [`Metadata::to_json`] made. Members that are neither a typed field nor `headers` are passed over.
    ///
    /// # Errors
    /// What is no such object.
    pub fn from_json(json: &[u8]) -> Result<Metadata, InvalidJson> {
        let mut metadata = Metadata::default();
        for (name, value) in json::members(json)? {
            if let Some(field) = metadata.field_mut(&name) {
                *field = Some(json::text(value)?.into_owned().into_boxed_str());
            } else if name == "headers" {
                metadata.headers = Some(Bytes::copy_from_slice(value));
            }
        }
        Ok(metadata)
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.headers.is_none() && self.fields().iter().all(|(_, value)| value.is_none())
    }

    /// The bytes it counts for against the limits: all values together.
    pub fn len(&self) -> usize {
        self.fields().iter().map(|(_, value)| value.map_or(0, str::len)).sum::<usize>()
            + self.headers.as_ref().map_or(0, Bytes::len)
    }
}

/// An event on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity, made by the client.
    pub id: EventId,
    /// What happened, in the past tense.
    pub event_type: EventType,
    /// The version of the type's schema; `None` leaves it to the store (the newest registered, else 1).
    pub schema_version: Option<u32>,
    /// What the event says.
    pub data: Payload,
    /// What accompanies it.
    pub metadata: Metadata,
    /// Labels for conditions and filters.
    pub tags: Tags,
    /// When it happened in the business, where that is not when it was recorded.
    pub occurred_at: Option<Timestamp>,
}

impl NewEvent {
    /// An event of `event_type` with JSON `data` and nothing else.
    pub fn json(id: EventId, event_type: EventType, data: impl Into<Bytes>) -> NewEvent {
        NewEvent {
            id,
            event_type,
            schema_version: None,
            data: Payload::Json(data.into()),
            metadata: Metadata::default(),
            tags: Tags::default(),
            occurred_at: None,
        }
    }

    /// The bytes it counts for against the limits.
    pub fn len(&self) -> usize {
        self.data.len() + self.metadata.len()
    }

    /// The bytes it counts for in a bounded queue: all of its texts, and what holds them together.
    pub fn queued_len(&self) -> usize {
        self.len() + self.event_type.as_str().len() + self.tags.len_bytes() + 192
    }

    /// Whether it carries nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `recorded` is what became of this event: the same content as sent, whatever the store added.
    pub fn is_same_as(&self, recorded: &RecordedEvent) -> bool {
        self.id == recorded.id
            && self.event_type == recorded.event_type
            && self.schema_version.is_none_or(|version| version == recorded.schema_version)
            && self.data == recorded.data
            && self.metadata == recorded.metadata
            && self.tags == recorded.tags
            && (self.occurred_at == recorded.occurred_at || self.says_when_it_was_recorded(recorded))
    }

    /// Whether this event names as its business time what the log says of one that had none. An export has one time for
    /// both, and reading it back must not make another event of it.
    fn says_when_it_was_recorded(&self, recorded: &RecordedEvent) -> bool {
        recorded.occurred_at.is_none() && self.occurred_at == Some(recorded.recorded_at)
    }

    /// The event as the log holds it.
    pub fn recorded(self, stream: StreamName, version: Version, place: Place, recorded_at: Timestamp) -> RecordedEvent {
        RecordedEvent {
            partition: place.partition,
            position: place.position,
            stream,
            version,
            id: self.id,
            event_type: self.event_type,
            schema_version: self.schema_version.unwrap_or(DEFAULT_SCHEMA_VERSION),
            data: self.data,
            metadata: self.metadata,
            tags: self.tags,
            occurred_at: self.occurred_at,
            recorded_at,
        }
    }
}

/// The schema version of an event whose type has no registered schema and that names none.
pub const DEFAULT_SCHEMA_VERSION: u32 = 1;

/// An immutable fact in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The partition it lies in.
    pub partition: Partition,
    /// Its place there.
    pub position: Position,
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its place in that stream.
    pub version: Version,
    /// Its identity.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// The version of the type's schema that `data` follows.
    pub schema_version: u32,
    /// What the event says; empty where the read asked for envelopes only.
    pub data: Payload,
    /// What accompanies it.
    pub metadata: Metadata,
    /// Labels.
    pub tags: Tags,
    /// When it happened in the business, where the client said so.
    pub occurred_at: Option<Timestamp>,
    /// When the store recorded it. Never runs backwards within a partition.
    pub recorded_at: Timestamp,
}

impl RecordedEvent {
    /// Where it lies.
    pub fn place(&self) -> Place {
        Place { partition: self.partition, position: self.position }
    }

    /// The event as a reader gets it that asked for `payload`.
    pub fn with_payload(self: &Arc<Self>, payload: PayloadChoice) -> Arc<RecordedEvent> {
        match payload {
            PayloadChoice::All => Arc::clone(self),
            PayloadChoice::None => {
                let data = match self.data {
                    Payload::Json(_) => Payload::Json(Bytes::new()),
                    Payload::Binary(_) => Payload::Binary(Bytes::new()),
                };
                Arc::new(RecordedEvent { data, ..(**self).clone() })
            }
        }
    }

    /// The bytes it counts for in bounded buffers.
    pub fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + self.stream.as_str().len() + self.tags.len_bytes() + 128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back_from_its_json() {
        let mut metadata = Metadata::default();
        assert_eq!(metadata.to_json(), None);
        metadata.actor = Some("an \"actor\" \\ \u{1}é".into());
        metadata.source = Some("/somewhere".into());
        metadata.headers = Some(Bytes::from_static(br#"{"a": [1, {"b": null}], "actor": 1.0}"#));
        let json = metadata.to_json().unwrap();
        assert!(json::check(json.as_bytes()).is_ok(), "{json}");
        assert_eq!(Metadata::from_json(json.as_bytes()).unwrap(), metadata);
        assert_eq!(Metadata::from_json(b" { } ").unwrap(), Metadata::default());
        assert!(Metadata::from_json(b"[]").is_err());
        assert!(Metadata::from_json(br#"{"actor": 1}"#).is_err());
    }
}

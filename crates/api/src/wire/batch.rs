//! [`EventBatch`]: the message `pacioli.v1.EventBatch` without a struct in between.
//!
//! Reads are the hot path of the wire, so a batch holds core's events themselves. Encoding writes their bytes once;
//! decoding builds events whose data are slices of the received buffer.

use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut, Bytes};
use pacioli_core::event::DEFAULT_SCHEMA_VERSION;
use pacioli_core::{Metadata, Payload, RecordedEvent};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, encode_varint, encoded_len_varint, skip_field};

use super::event_reader::EventReader;

/// The field number of `EventBatch.events`.
const EVENTS: u32 = 1;

/// Events on the wire. It reads and writes what the plain message of the proto file would.
#[derive(Clone, Default)]
pub struct EventBatch {
    events: Vec<Arc<RecordedEvent>>,
    /// What is written around the data, made at most once.
    frames: OnceLock<Frames>,
    reader: EventReader,
}

impl EventBatch {
    /// A batch of these events, ready to be sent.
    pub fn new(events: Vec<Arc<RecordedEvent>>) -> EventBatch {
        let frames = OnceLock::from(Frames::of(&events));
        EventBatch { events, frames, reader: EventReader::default() }
    }

    /// The events in order.
    pub fn events(&self) -> &[Arc<RecordedEvent>] {
        &self.events
    }

    /// Takes the events out.
    pub fn into_events(self) -> Vec<Arc<RecordedEvent>> {
        self.events
    }

    fn frames(&self) -> &Frames {
        self.frames.get_or_init(|| Frames::of(&self.events))
    }
}

impl PartialEq for EventBatch {
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events
    }
}

impl std::fmt::Debug for EventBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventBatch").field("events", &self.events).finish()
    }
}

impl prost::Message for EventBatch {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        let frames = self.frames();
        let mut start = 0;
        for (event, end) in self.events.iter().zip(&frames.ends) {
            buf.put_slice(&frames.bytes[start..*end]);
            buf.put_slice(event.data.bytes());
            start = *end;
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag != EVENTS {
            return skip_field(wire_type, tag, buf, ctx);
        }
        prost::encoding::check_wire_type(WireType::LengthDelimited, wire_type)?;
        let len = usize::try_from(prost::encoding::decode_varint(buf)?).unwrap_or(usize::MAX);
        if len > buf.remaining() {
            return Err(malformed("an event is longer than its batch"));
        }
        self.frames = OnceLock::new();
        let event = self.reader.read(&buf.copy_to_bytes(len), self.events.last())?;
        self.events.push(Arc::new(event));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.frames().total
    }

    fn clear(&mut self) {
        *self = EventBatch::default();
    }
}

/// An error of the wire, said in our words.
#[expect(deprecated, reason = "prost offers hand-written messages no other way to fail with a reason of their own")]
pub(super) fn malformed(problem: &'static str) -> DecodeError {
    DecodeError::new(problem)
}

/// For each event everything that comes before its data: the key and length within the batch, the envelope, the
/// metadata, and the key and length of the data.
#[derive(Clone)]
struct Frames {
    bytes: Vec<u8>,
    /// Where each event's frame ends in `bytes`.
    ends: Vec<usize>,
    /// The length of the whole message, data and all.
    total: usize,
}

impl Frames {
    fn of(events: &[Arc<RecordedEvent>]) -> Frames {
        let mut frames =
            Frames { bytes: Vec::with_capacity(events.len() * 96), ends: Vec::with_capacity(events.len()), total: 0 };
        let mut envelope = Vec::with_capacity(256);
        for event in events {
            envelope.clear();
            put_envelope(event, &mut envelope);
            put_key(EVENTS, WireType::LengthDelimited, &mut frames.bytes);
            encode_varint((envelope.len() + event.data.len()) as u64, &mut frames.bytes);
            frames.bytes.extend_from_slice(&envelope);
            frames.ends.push(frames.bytes.len());
            frames.total += event.data.len();
        }
        frames.total += frames.bytes.len();
        frames
    }
}

/// Writes the event up to the bytes of its data, which come last.
fn put_envelope(event: &RecordedEvent, out: &mut Vec<u8>) {
    put_bytes(1, event.stream.as_str().as_bytes(), out);
    put_number(2, event.version.0, out);
    put_number(3, event.position.0, out);
    put_number(4, u64::from(event.partition.0), out);
    put_bytes(5, event.id.0.as_bytes(), out);
    put_bytes(6, event.event_type.as_str().as_bytes(), out);
    if event.schema_version != DEFAULT_SCHEMA_VERSION {
        // Has presence in the proto, so a 0 would be written too.
        put_key(7, WireType::Varint, out);
        encode_varint(u64::from(event.schema_version), out);
    }
    put_fixed(10, event.recorded_at.as_micros(), out);
    if let Some(occurred_at) = event.occurred_at {
        put_fixed(11, occurred_at.as_micros(), out);
    }
    if !event.metadata.is_empty() {
        put_metadata(&event.metadata, out);
    }
    for tag in event.tags.as_slice() {
        put_bytes(13, tag.as_str().as_bytes(), out);
    }
    let field = match event.data {
        Payload::Json(_) => 8,
        Payload::Binary(_) => 9,
    };
    put_key(field, WireType::LengthDelimited, out);
    encode_varint(event.data.len() as u64, out);
}

fn put_metadata(metadata: &Metadata, out: &mut Vec<u8>) {
    let values = metadata.fields().map(|(_, value)| value.map(str::as_bytes));
    let values = values.into_iter().chain([metadata.headers.as_deref()]);
    let part_len = |value: &[u8]| 1 + encoded_len_varint(value.len() as u64) + value.len();
    put_key(12, WireType::LengthDelimited, out);
    encode_varint(values.clone().flatten().map(part_len).sum::<usize>() as u64, out);
    for (field, value) in (1..).zip(values) {
        if let Some(value) = value {
            put_bytes(field, value, out);
        }
    }
}

fn put_key(field: u32, wire_type: WireType, out: &mut Vec<u8>) {
    debug_assert!(field < 16, "the key of a field below 16 is one byte");
    out.push((field << 3) as u8 | wire_type as u8);
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        put_key(field, WireType::Varint, out);
        encode_varint(number, out);
    }
}

fn put_fixed(field: u32, number: i64, out: &mut Vec<u8>) {
    // `recorded_at` has no presence, yet a zero that is written reads as the same zero.
    put_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// How many bytes an event costs on the wire beyond its data and its metadata, the key and length of both left out.
///
/// ```
/// use pacioli_api::wire::envelope_len;
/// use pacioli_core::*;
///
/// let event = NewEvent::json(EventId(uuid::Uuid::from_u128(7)), EventType::new("MoneyDeposited01")?, "{}");
/// let place = Place { partition: Partition::ZERO, position: Position(10_000_000) };
/// let event = event.recorded(StreamName::new("account-00000042")?, Version(10), place, Timestamp::from_micros(1));
/// assert!(envelope_len(&event) <= 128);
/// # Ok::<(), InvalidName>(())
/// ```
pub fn envelope_len(event: &RecordedEvent) -> usize {
    let bare = RecordedEvent { data: Payload::Binary(Bytes::new()), metadata: Metadata::default(), ..event.clone() };
    Frames::of(&[Arc::new(bare)]).total
}

//! What a request may hold, counted over its raw bytes before anything is decoded.
//!
//! An empty event takes two bytes on the wire and some hundred once it is decoded, so a message within the transport's
//! limit could still become a gigabyte. The scan walks the fields with prost's own readers, so it sees what the decoder
//! will see, and allocates nothing.

use std::any::TypeId;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Buf;
use pacioli_core::{InvalidAppend, Limits};
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::generated::v1;

/// A shorter message is not scanned: whatever it holds is small.
const UNSCANNED_BYTES: usize = 4 << 10;
/// How far beyond a limit a request is still decoded, so that the store names the limit, and on a call with many appends
/// only the one that is too large fails.
const SLACK: usize = 2;
/// Tags of one event; beyond it its list is refused anyway.
const TAGS_OF_EVENT: usize = 32;

static EVENTS_MAX: AtomicUsize = AtomicUsize::new(1_000);
static TERMS_MAX: AtomicUsize = AtomicUsize::new(64);

/// Lets requests through that fit a store with these limits. Counts for the whole process and only ever widens, because
/// the codec of a generated service cannot be told whose it is; the exact limit is the store's to keep.
pub fn allow(limits: &Limits) {
    EVENTS_MAX.fetch_max(limits.append_events_max, Ordering::Relaxed);
    TERMS_MAX.fetch_max(limits.query_terms_max, Ordering::Relaxed);
}

/// What is counted. Each is counted over the whole message, since a field that is sent twice is merged into one.
#[derive(Clone, Copy)]
enum Counted {
    Writes,
    Events,
    Tags,
    Items,
    Terms,
}

const COUNTED: usize = 5;

impl Counted {
    /// How many there may be, and the field and the words that say so.
    fn bound(self) -> (usize, &'static str, &'static str) {
        let events = EVENTS_MAX.load(Ordering::Relaxed).saturating_mul(SLACK);
        let terms = TERMS_MAX.load(Ordering::Relaxed).saturating_mul(SLACK);
        match self {
            Counted::Writes => (events, "writes", "streams"),
            Counted::Events => (events, "events", "events"),
            Counted::Tags => (events.saturating_mul(TAGS_OF_EVENT), "events.tags", "tags over all events"),
            Counted::Items => (terms, "condition.items", "items"),
            Counted::Terms => (terms, "condition.items", "types and tags over all items"),
        }
    }
}

/// The repeated fields of a message, and the messages they lie in. All else is skipped.
struct Shape(&'static [(u32, Option<Counted>, Option<&'static Shape>)]);

const EVENT: Shape = Shape(&[(7, Some(Counted::Tags), None)]);
const WRITE: Shape = Shape(&[(3, Some(Counted::Events), Some(&EVENT))]);
const ITEM: Shape = Shape(&[(1, Some(Counted::Terms), None), (2, Some(Counted::Terms), None)]);
const CONDITION: Shape = Shape(&[(1, Some(Counted::Items), Some(&ITEM))]);
const APPEND: Shape = Shape(&[(1, Some(Counted::Writes), Some(&WRITE)), (3, None, Some(&CONDITION))]);
const APPEND_STREAM: Shape = Shape(&[(2, None, Some(&APPEND))]);

/// The bounds of one kind of message.
#[derive(Clone, Copy)]
pub(super) struct Bounds(Option<&'static Shape>);

impl Bounds {
    /// Those of `T`; most messages have none, as they are small or come from a server that is trusted.
    pub(super) fn of<T: 'static>() -> Bounds {
        let of = TypeId::of::<T>();
        Bounds(if of == TypeId::of::<v1::AppendRequest>() {
            Some(&APPEND)
        } else if of == TypeId::of::<v1::AppendStreamRequest>() {
            Some(&APPEND_STREAM)
        } else {
            None
        })
    }

    /// Refuses a message that holds too much. One that is malformed passes: the decoder says what is wrong with it.
    pub(super) fn check(self, message: &[u8]) -> Result<(), InvalidAppend> {
        match self.0 {
            Some(shape) if message.len() > UNSCANNED_BYTES => {
                let bound = |counted: Counted| (counted.bound().0, 0);
                use Counted::*;
                let mut counts: Counts = [Writes, Events, Tags, Items, Terms].map(bound);
                scan(shape, message, &mut counts).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// How many there may be and how many there were, in the order of [`Counted`].
type Counts = [(usize, usize); COUNTED];

/// Walks the fields of one message; false where it is malformed, so that nothing behind it would be decoded either.
fn scan(shape: &Shape, mut message: &[u8], counts: &mut Counts) -> Result<bool, InvalidAppend> {
    while !message.is_empty() {
        let Ok((number, wire_type)) = decode_key(&mut message) else { return Ok(false) };
        let length = match wire_type {
            WireType::Varint => match decode_varint(&mut message) {
                Ok(_) => 0,
                Err(_) => return Ok(false),
            },
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => match decode_varint(&mut message).map(usize::try_from) {
                Ok(Ok(length)) => length,
                _ => return Ok(false),
            },
            // None of our messages has them, and what lies in one would escape the count.
            WireType::StartGroup | WireType::EndGroup => {
                return Err(InvalidAppend::new(
                    "request",
                    "has a field of the old type `group`, which is not read here",
                ));
            }
        };
        if message.remaining() < length {
            return Ok(false);
        }
        let (value, rest) = message.split_at(length);
        message = rest;
        let Some((_, counted, inner)) = shape.0.iter().find(|(known, _, _)| *known == number) else { continue };
        if let Some(counted) = counted {
            let (max, count) = &mut counts[*counted as usize];
            *count += 1;
            if count > max {
                let (_, field, what) = counted.bound();
                let problem = format!("a request with more than {max} {what} is not even decoded; split it");
                return Err(InvalidAppend { over_limit: true, ..InvalidAppend::new(field, problem) });
            }
        }
        if let Some(inner) = inner
            && wire_type == WireType::LengthDelimited
            && !scan(inner, value, counts)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// A field with a length: its key and then its bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    }

    fn refused<T: 'static>(message: &[u8]) -> String {
        let error = Bounds::of::<T>().check(message).expect_err("too much");
        assert!(error.over_limit, "{error}");
        error.field
    }

    #[test]
    fn a_message_that_would_blow_up_is_refused_by_its_field() {
        type Request = v1::AppendRequest;
        let empty = |number, count: usize| field(number, &[]).repeat(count);
        let events = field(1, &empty(3, 2_500_000));
        assert_eq!(refused::<Request>(&events), "events");
        assert_eq!(refused::<v1::AppendStreamRequest>(&field(2, &events)), "events");
        assert_eq!(refused::<Request>(&empty(1, 2_500_000)), "writes");
        assert_eq!(refused::<Request>(&field(1, &field(3, &empty(7, 2_500_000)))), "events.tags");
        assert_eq!(refused::<Request>(&field(3, &empty(1, 5_000))), "condition.items");
        for list in [1, 2] {
            assert_eq!(refused::<Request>(&field(3, &field(1, &empty(list, 5_000)))), "condition.items");
        }
        // A field that is sent again is merged with what came before.
        assert_eq!(refused::<Request>(&field(1, &empty(3, 4)).repeat(1_000)), "events");
        assert_eq!(refused::<v1::AppendStreamRequest>(&field(2, &field(1, &empty(3, 4))).repeat(1_000)), "events");
        assert_eq!(refused::<Request>(&field(3, &field(1, &[])).repeat(1_100)), "condition.items");
    }

    #[test]
    fn a_full_append_passes_and_so_does_what_the_decoder_refuses() {
        let event = v1::NewEvent { tags: vec!["t".to_owned(); 32], ..v1::NewEvent::default() };
        let write = v1::StreamWrite { events: vec![event; 1_001], ..v1::StreamWrite::default() };
        let full = v1::AppendRequest { writes: vec![write], ..v1::AppendRequest::default() }.encode_to_vec();
        assert_eq!(Bounds::of::<v1::AppendRequest>().check(&full), Ok(()));
        let torn = &full[..full.len() - 1];
        assert_eq!(Bounds::of::<v1::AppendRequest>().check(torn), Ok(()));
        assert!(v1::AppendRequest::decode(torn).is_err());
        let group = [full, vec![9 << 3 | 3]].concat();
        assert_eq!(Bounds::of::<v1::AppendRequest>().check(&group).unwrap_err().field, "request");
    }
}

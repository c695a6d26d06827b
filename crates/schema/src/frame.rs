//! The framing in which the serializers of Confluent's registry put binary data: a zero byte, the number of the schema's text
//! in four bytes, and of Protobuf which message of the file it is.
//!
//! An event may be stored in it, since consumers find the schema by it. So it has to be the number of the version that the
//! event follows, and what is lifted gets that of the version it was lifted to.

use bytes::Bytes;
use pacioli_core::Payload;
use pacioli_core::schemas::SchemaFormat;

use crate::format::{Broken, Schema};

/// The zero byte and the number.
pub(crate) const LENGTH: usize = 5;

/// The number of the schema that stands in front of bytes which begin with a framing.
fn number(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The number that data of a schema is framed with, and the data without its framing.
fn opened(schema: &Schema, data: &Payload) -> Option<(u32, Payload)> {
    let Payload::Binary(bytes) = data else { return None };
    let number = number(bytes)?;
    Some((number, Payload::Binary(bytes.slice(schema.framing_of(bytes)?..))))
}

/// Refuses data, which is what the schema says, where it is framed as data of another one than the text `id`.
pub(crate) fn check(schema: &Schema, id: u32, data: &Payload) -> Result<(), Broken> {
    match opened(schema, data) {
        Some((number, _)) if number != id => Err(Broken {
            path: String::new(),
            rule: "framing".to_owned(),
            problem: format!(
                "is framed as data of the schema {number}, and the schema of this version is {id}; say the version whose \
                 schema that is, serialize it by this one, or send it without the framing"
            ),
        }),
        _ => Ok(()),
    }
}

/// Lifts data, and puts what becomes of it into the framing of the version it is lifted to where it stood in one.
pub(crate) fn lifted(
    data: &Payload,
    from: Option<&Schema>,
    (format, id): (SchemaFormat, u32),
    lift: impl FnOnce(&Payload) -> Option<Payload>,
) -> Option<Payload> {
    let Some((_, bare)) = from.and_then(|from| opened(from, data)) else { return lift(data) };
    let lifted = lift(&bare)?;
    let mut framed = Vec::with_capacity(LENGTH + 1 + lifted.bytes().len());
    framed.push(0);
    framed.extend(id.to_be_bytes());
    if format == SchemaFormat::Protobuf {
        // The first message of the file, in the short form.
        framed.push(0);
    }
    framed.extend_from_slice(lifted.bytes());
    Some(Payload::Binary(Bytes::from(framed)))
}

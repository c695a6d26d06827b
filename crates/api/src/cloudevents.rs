//! Events as CloudEvents 1.0 in JSON: how HTTP, `log`, `read` and `export` show them and `import` takes them.
//!
//! Members are always written in this order; those with `?` only where there is something to say:
//!
//! ```text
//! specversion  id  source  type  subject  time  datacontenttype
//! streamversion  partition  position  recordedat  schemaversion
//! actor?  correlationid?  causationid?  traceparent?  sourceid?  tags?  metadata?
//! data | data_base64
//! ```
//!
//! `subject` is the stream. `streamversion`, `partition` and `schemaversion` are numbers, `position` is text because it
//! outgrows what CloudEvents calls an integer. `time` is `occurred_at`, or else `recorded_at`. `tags` are joined by commas,
//! `metadata` is the free headers as JSON text, `sourceid` is the id an event was imported with, where that was no UUID.
//! Reading is in [`mod@crate::import`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pacioli_core::{Payload, RecordedEvent};

use crate::fields::Fields;
use crate::text::{push_number, push_string};
use crate::time;

/// The `source` of events that were not imported with one.
pub const SOURCE: &str = "/pacioli";
/// The media type of one event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The media type of an array of events.
pub const MEDIA_TYPE_BATCH: &str = "application/cloudevents-batch+json";

/// Where the text will stand, which decides how `data` is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In a document: `data` is written byte for byte.
    Document,
    /// On a line of its own (NDJSON, server-sent events): line breaks between the tokens of `data` become spaces.
    Line,
    /// On a line of an export: `data` that would not survive a line byte for byte (line breaks, blanks around it) is
    /// written as `data_base64` under `application/json`, so that an import restores every byte.
    Export,
}

/// Writes one event; see the [module](self) for its members.
pub fn write(out: &mut Vec<u8>, event: &RecordedEvent, fields: &Fields, layout: Layout) {
    out.reserve(512 + event.data.len());
    out.extend_from_slice(br#"{"specversion":"1.0","id":""#);
    let mut id = uuid::Uuid::encode_buffer();
    out.extend_from_slice(event.id.0.hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(br#"","source":"#);
    push_string(out, event.metadata.source.as_deref().unwrap_or(SOURCE));
    out.extend_from_slice(br#","type":"#);
    push_string(out, event.event_type.as_str());
    out.extend_from_slice(br#","subject":"#);
    push_string(out, event.stream.as_str());
    out.extend_from_slice(br#","time":""#);
    time::write(out, event.occurred_at.unwrap_or(event.recorded_at));
    out.push(b'"');
    let data = Data::of(event, fields, layout);
    match data {
        Data::Absent => {}
        Data::Json | Data::JsonAsBase64 => out.extend_from_slice(br#","datacontenttype":"application/json""#),
        Data::Base64 => out.extend_from_slice(br#","datacontenttype":"application/octet-stream""#),
    }
    out.extend_from_slice(br#","streamversion":"#);
    push_number(out, event.version.0);
    out.extend_from_slice(br#","partition":"#);
    push_number(out, u64::from(event.partition.0));
    out.extend_from_slice(br#","position":""#);
    push_number(out, event.position.0);
    out.extend_from_slice(br#"","recordedat":""#);
    time::write(out, event.recorded_at);
    out.extend_from_slice(br#"","schemaversion":"#);
    push_number(out, u64::from(event.schema_version));
    write_metadata(out, event);
    match data {
        Data::Absent => {}
        Data::Json => {
            out.extend_from_slice(br#","data":"#);
            let start = out.len();
            fields.select(event.data.bytes(), out);
            if layout != Layout::Document {
                // A line break in JSON can only stand between tokens: inside text it must be escaped.
                for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
                    *byte = b' ';
                }
            }
        }
        Data::Base64 | Data::JsonAsBase64 => {
            out.extend_from_slice(br#","data_base64":""#);
            push_base64(out, event.data.bytes());
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// The text of one event, as [`write()`] writes it.
pub fn to_string(event: &RecordedEvent, fields: &Fields, layout: Layout) -> String {
    let mut out = Vec::new();
    write(&mut out, event, fields, layout);
    String::from_utf8(out).expect("names are UTF-8, and stored JSON was checked to be")
}

fn write_metadata(out: &mut Vec<u8>, event: &RecordedEvent) {
    let metadata = &event.metadata;
    for (name, value) in [
        ("actor", &metadata.actor),
        ("correlationid", &metadata.correlation_id),
        ("causationid", &metadata.causation_id),
        ("traceparent", &metadata.traceparent),
        ("sourceid", &metadata.source_id),
    ] {
        if let Some(value) = value {
            write_extension(out, name, value);
        }
    }
    if !event.tags.is_empty() {
        write_extension(out, "tags", &event.tags.joined());
    }
    if let Some(headers) = &metadata.headers {
        write_extension(out, "metadata", &String::from_utf8_lossy(headers));
    }
}

fn write_extension(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    push_string(out, value);
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("the buffer has the length of the text");
    out.truncate(start + written);
}

/// How `data` is shown.
#[derive(Clone, Copy)]
enum Data {
    Absent,
    Json,
    JsonAsBase64,
    Base64,
}

impl Data {
    fn of(event: &RecordedEvent, fields: &Fields, layout: Layout) -> Data {
        match (&event.data, fields) {
            (_, Fields::None) => Data::Absent,
            (Payload::Json(bytes), Fields::All) if layout == Layout::Export && !survives_a_line(bytes) => {
                Data::JsonAsBase64
            }
            (Payload::Json(_), _) => Data::Json,
            (Payload::Binary(_), Fields::All) => Data::Base64,
            // Bytes have no fields to choose from.
            (Payload::Binary(_), Fields::Pointers(_)) => Data::Absent,
        }
    }
}

/// Whether JSON inside a line is read back byte for byte.
fn survives_a_line(json: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    !is_blank(json.first()) && !is_blank(json.last()) && !json.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}
